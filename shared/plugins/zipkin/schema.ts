/** zipkin: sends traces to a Zipkin server. */
import { defineFields } from '../../schema/infer.ts';
import { protocols, timeout, url } from '../../schema/typedefs.ts';
import { definePlugin } from '../plugin.ts';
import { propagation } from '../propagation.ts';
import { queue } from '../queue.ts';

const config = defineFields({
  local_service_name: {
    type: 'string',
    required: true,
    default: 'kong',
    description: 'Name of the gateway in traces.',
  },
  http_endpoint: { ...url, description: 'Where to send spans.' },
  sample_ratio: {
    type: 'number',
    default: 0.001,
    between: [0, 1],
    description: 'Share of requests that are traced, where the client does not say.',
  },
  default_service_name: {
    type: 'string',
    description: 'Name of the upstream where there is no service.',
  },
  include_credential: {
    type: 'boolean',
    required: true,
    default: true,
    description: 'Whether spans tell the id of the credential.',
  },
  traceid_byte_count: { type: 'integer', required: true, default: 16, one_of: [8, 16] },
  header_type: {
    type: 'string',
    required: true,
    default: 'preserve',
    one_of: [
      'preserve',
      'ignore',
      'b3',
      'b3-single',
      'w3c',
      'jaeger',
      'ot',
      'aws',
      'datadog',
      'gcp',
    ],
    deprecation: {
      message: 'config.header_type is deprecated, use config.propagation',
      removal_in_version: '4.0',
      old_default: 'preserve',
    },
  },
  default_header_type: {
    type: 'string',
    required: true,
    default: 'b3',
    one_of: ['b3', 'b3-single', 'w3c', 'jaeger', 'ot', 'aws', 'datadog', 'gcp'],
    deprecation: {
      message: 'config.default_header_type is deprecated, use config.propagation.default_format',
      removal_in_version: '4.0',
      old_default: 'b3',
    },
  },
  tags_header: {
    type: 'string',
    required: true,
    default: 'Zipkin-Tags',
    description: 'Request header whose tags are put on spans.',
  },
  static_tags: {
    type: 'array',
    elements: {
      type: 'record',
      fields: {
        name: {
          type: 'string',
          required: true,
          not_one_of: [
            'error',
            'http.method',
            'http.path',
            'http.status_code',
            'kong.balancer.state',
            'kong.balancer.try',
            'kong.consumer',
            'kong.credential',
            'kong.node.id',
            'kong.route',
            'kong.service',
            'lc',
            'peer.hostname',
          ],
        },
        value: { type: 'string', required: true },
      },
    },
    custom_validator: tagsError,
    description: 'Tags that every span has.',
  },
  http_span_name: {
    type: 'string',
    required: true,
    default: 'method',
    one_of: ['method', 'method_path'],
  },
  connect_timeout: { ...timeout, default: 2000 },
  send_timeout: { ...timeout, default: 5000 },
  read_timeout: { ...timeout, default: 5000 },
  http_response_header_for_traceid: {
    type: 'string',
    description: 'Response header that carries the id of the trace.',
  },
  phase_duration_flavor: {
    type: 'string',
    required: true,
    default: 'annotations',
    one_of: ['annotations', 'tags'],
  },
  queue,
  propagation: { ...propagation, default: { default_format: 'b3' } },
});

export const zipkin = definePlugin({
  name: 'zipkin',
  version: '3.9.4',
  priority: 100_000,
  phases: ['rewrite', 'access', 'header_filter', 'log'],
  runtimes: [],
  protects: false,
  fields: { protocols, config: { type: 'record', required: true, fields: config } },
});

function tagsError(tags: readonly { readonly name: string }[]): string | null {
  const seen = new Set<string>();
  for (const { name } of tags) {
    if (seen.has(name)) return `repeated tags are not allowed: ${name}`;
    seen.add(name);
  }
  return null;
}
