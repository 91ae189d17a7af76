/** jwt: who sends a token signed with a known key is its consumer. */
import { defineFields } from '../../schema/infer.ts';
import { noConsumer, protocolsHttp } from '../../schema/typedefs.ts';
import { definePlugin } from '../plugin.ts';
import { JWT_ENTITIES } from './entities.ts';

const config = defineFields({
  uri_param_names: {
    type: 'set',
    default: ['jwt'],
    elements: { type: 'string' },
    description: 'Query arguments that may hold the token.',
  },
  cookie_names: {
    type: 'set',
    default: [],
    elements: { type: 'string' },
    description: 'Cookies that may hold the token.',
  },
  key_claim_name: {
    type: 'string',
    default: 'iss',
    description: 'Claim that names the credential.',
  },
  secret_is_base64: {
    type: 'boolean',
    required: true,
    default: false,
    description: 'Whether secrets of credentials are in base64.',
  },
  claims_to_verify: {
    type: 'set',
    elements: { type: 'string', one_of: ['exp', 'nbf'] },
    description: 'Claims about time that must be there and hold.',
  },
  anonymous: {
    type: 'string',
    description: 'Consumer (id or username) to use when there is no valid credential.',
  },
  run_on_preflight: {
    type: 'boolean',
    required: true,
    default: true,
    description: 'Whether OPTIONS requests need a token as well.',
  },
  maximum_expiration: {
    type: 'number',
    default: 0,
    between: [0, 31_536_000],
    description: 'Longest life of a token in seconds; 0 for any.',
  },
  header_names: {
    type: 'set',
    default: ['authorization'],
    elements: { type: 'string' },
    description: 'Headers that may hold the token.',
  },
  realm: {
    type: 'string',
    required: false,
    description: 'Realm in the WWW-Authenticate header of refusals.',
  },
});

export const jwt = definePlugin({
  name: 'jwt',
  version: '3.9.4',
  priority: 1450,
  phases: ['access'],
  runtimes: [],
  protects: true,
  fields: {
    consumer: noConsumer,
    protocols: protocolsHttp,
    config: { type: 'record', required: true, fields: config },
  },
  entity_checks: [
    {
      conditional: {
        if_field: 'config.maximum_expiration',
        if_match: { gt: 0 },
        then_field: 'config.claims_to_verify',
        then_match: { contains: 'exp' },
      },
    },
  ],
  entities: JWT_ENTITIES,
});
