/** aws-lambda: answers with what an AWS Lambda function makes of the request. */
import { defineFields, type RecordOf } from '../../schema/infer.ts';
import { host, port, protocolsHttp, url } from '../../schema/typedefs.ts';
import { parseUrl } from '../../schema/url.ts';
import { definePlugin } from '../plugin.ts';

const config = defineFields({
  timeout: {
    type: 'number',
    required: true,
    default: 60_000,
    description: 'Milliseconds to wait for the function.',
  },
  keepalive: {
    type: 'number',
    required: true,
    default: 60_000,
    description: 'Milliseconds that an idle connection is kept.',
  },
  aws_key: {
    type: 'string',
    encrypted: true,
    referenceable: true,
    secret: 'sealed',
    description: 'Access key id; without it the role of the machine is used.',
  },
  aws_secret: {
    type: 'string',
    encrypted: true,
    referenceable: true,
    secret: 'sealed',
    description: 'Secret access key.',
  },
  aws_assume_role_arn: {
    type: 'string',
    encrypted: true,
    referenceable: true,
    secret: 'sealed',
    description: 'Role to take on before the call.',
  },
  aws_role_session_name: { type: 'string', default: 'kong' },
  aws_sts_endpoint_url: url,
  aws_region: { ...host, description: 'Region of the function.' },
  function_name: { type: 'string', required: false, description: 'Name or ARN.' },
  qualifier: { type: 'string', description: 'Version or alias of the function.' },
  invocation_type: {
    type: 'string',
    required: true,
    default: 'RequestResponse',
    one_of: ['RequestResponse', 'Event', 'DryRun'],
  },
  log_type: { type: 'string', required: true, default: 'Tail', one_of: ['Tail', 'None'] },
  host: { ...host, description: 'Host of the function, in place of the one of its region.' },
  port: { ...port, default: 443 },
  disable_https: { type: 'boolean', default: false },
  unhandled_status: {
    type: 'integer',
    between: [100, 999],
    description: 'Status when the function fails, in place of 200, 202 or 204.',
  },
  forward_request_method: { type: 'boolean', default: false },
  forward_request_uri: { type: 'boolean', default: false },
  forward_request_headers: { type: 'boolean', default: false },
  forward_request_body: { type: 'boolean', default: false },
  is_proxy_integration: {
    type: 'boolean',
    default: false,
    description:
      'Whether the answer of the function has the form that the API gateway of AWS reads.',
  },
  awsgateway_compatible: {
    type: 'boolean',
    default: false,
    description: 'Whether the function gets what the API gateway of AWS would send.',
  },
  proxy_url: { ...url, description: 'HTTP proxy on the way to AWS.' },
  skip_large_bodies: {
    type: 'boolean',
    default: true,
    description: 'Whether bodies that the proxy put on disk are left out.',
  },
  base64_encode_body: {
    type: 'boolean',
    default: true,
    description: 'Whether bodies are sent in base64.',
  },
  aws_imds_protocol_version: {
    type: 'string',
    required: true,
    default: 'v1',
    one_of: ['v1', 'v2'],
  },
  empty_arrays_mode: {
    type: 'string',
    required: true,
    default: 'legacy',
    one_of: ['legacy', 'correct'],
  },
});

export type AwsLambdaConfig = RecordOf<typeof config>;

export const awsLambda = definePlugin({
  name: 'aws-lambda',
  version: '3.9.4',
  priority: 750,
  phases: ['access', 'header_filter'],
  runtimes: [],
  // It answers in place of the upstream, which must not see the request instead.
  protects: true,
  fields: { protocols: protocolsHttp, config: { type: 'record', required: true, fields: config } },
  entity_checks: [
    { mutually_required: ['config.aws_key', 'config.aws_secret'] },
    { custom_entity_check: { field_sources: ['config.proxy_url'], fn: proxyUrlError } },
  ],
});

/** Checked with the field itself: here it is a URL, or null. */
function proxyUrlError(plugin: { readonly config: AwsLambdaConfig }): string | null {
  const { proxy_url: proxy } = plugin.config;
  if (proxy === null || parseUrl(proxy).scheme === 'http') return null;
  return 'proxy_url scheme must be http';
}
