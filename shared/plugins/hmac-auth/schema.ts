/** hmac-auth: who signs requests with a known secret is its consumer. */
import { defineFields } from '../../schema/infer.ts';
import { noConsumer, protocolsHttp } from '../../schema/typedefs.ts';
import { definePlugin } from '../plugin.ts';
import { HMAC_AUTH_ENTITIES } from './entities.ts';

const ALGORITHMS = ['hmac-sha1', 'hmac-sha256', 'hmac-sha384', 'hmac-sha512'] as const;

const config = defineFields({
  hide_credentials: {
    type: 'boolean',
    required: true,
    default: false,
    description: 'Whether the credential is taken out of the request before it goes upstream.',
  },
  clock_skew: {
    type: 'number',
    default: 300,
    gt: 0,
    description: 'Seconds that the date of a request may be off.',
  },
  anonymous: {
    type: 'string',
    description: 'Consumer (id or username) to use when there is no valid credential.',
  },
  validate_request_body: {
    type: 'boolean',
    required: true,
    default: false,
    description: 'Whether the digest of the body is checked.',
  },
  enforce_headers: {
    type: 'array',
    default: [],
    elements: { type: 'string' },
    description: 'Headers that a signature must cover.',
  },
  algorithms: {
    type: 'array',
    default: ALGORITHMS,
    elements: { type: 'string', one_of: ALGORITHMS },
  },
  realm: {
    type: 'string',
    required: false,
    description: 'Realm in the WWW-Authenticate header of refusals.',
  },
});

export const hmacAuth = definePlugin({
  name: 'hmac-auth',
  version: '3.9.4',
  priority: 1030,
  phases: ['access'],
  runtimes: [],
  protects: true,
  fields: {
    consumer: noConsumer,
    protocols: protocolsHttp,
    config: { type: 'record', required: true, fields: config },
  },
  entities: HMAC_AUTH_ENTITIES,
});
