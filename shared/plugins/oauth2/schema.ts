/** oauth2: gives out access tokens, and who sends one is its consumer. */
import { defineFields, type RecordOf } from '../../schema/infer.ts';
import { noConsumer, protocolsHttp, ttl } from '../../schema/typedefs.ts';
import { definePlugin } from '../plugin.ts';
import { OAUTH2_ENTITIES } from './entities.ts';

const FLOWS = [
  'enable_authorization_code',
  'enable_implicit_grant',
  'enable_client_credentials',
  'enable_password_grant',
] as const;

const config = defineFields({
  scopes: {
    type: 'array',
    elements: { type: 'string' },
    description: 'Scopes that can be asked for.',
  },
  mandatory_scope: {
    type: 'boolean',
    required: true,
    default: false,
    description: 'Whether a scope must be asked for.',
  },
  provision_key: {
    type: 'string',
    required: true,
    unique: true,
    auto: true,
    encrypted: true,
    secret: 'sealed',
    description: 'What the application that asks users for consent proves itself with.',
  },
  token_expiration: {
    type: 'number',
    required: true,
    default: 7200,
    description: 'Seconds that a token lives; 0 for ever.',
  },
  enable_authorization_code: { type: 'boolean', required: true, default: false },
  enable_implicit_grant: { type: 'boolean', required: true, default: false },
  enable_client_credentials: { type: 'boolean', required: true, default: false },
  enable_password_grant: { type: 'boolean', required: true, default: false },
  hide_credentials: {
    type: 'boolean',
    required: true,
    default: false,
    description: 'Whether the credential is taken out of the request before it goes upstream.',
  },
  accept_http_if_already_terminated: {
    type: 'boolean',
    required: true,
    default: false,
    description: 'Whether plain HTTP is fine where a proxy in front says it took TLS.',
  },
  anonymous: {
    type: 'string',
    description: 'Consumer (id or username) to use when there is no valid credential.',
  },
  global_credentials: {
    type: 'boolean',
    required: true,
    default: false,
    description: 'Whether tokens hold for all services with this setting.',
  },
  auth_header_name: { type: 'string', default: 'authorization' },
  refresh_token_ttl: {
    ...ttl,
    required: true,
    default: 1_209_600,
    description: 'Seconds that a refresh token lives; 0 for ever.',
  },
  reuse_refresh_token: {
    type: 'boolean',
    required: true,
    default: false,
    description: 'Whether a refresh token stays the same when it is used.',
  },
  pkce: {
    type: 'string',
    required: false,
    default: 'lax',
    one_of: ['none', 'lax', 'strict'],
    description: 'Whether clients must prove that they started the flow (RFC 7636).',
  },
  realm: {
    type: 'string',
    required: false,
    description: 'Realm in the WWW-Authenticate header of refusals.',
  },
});

export type Oauth2Config = RecordOf<typeof config>;

export const oauth2 = definePlugin({
  name: 'oauth2',
  version: '3.9.4',
  priority: 1400,
  phases: ['access'],
  runtimes: [],
  protects: true,
  fields: {
    consumer: noConsumer,
    protocols: protocolsHttp,
    config: {
      type: 'record',
      required: true,
      fields: config,
      custom_validator: flowsError,
      entity_checks: [
        {
          conditional: {
            if_field: 'mandatory_scope',
            if_match: { eq: true },
            then_field: 'scopes',
            then_match: { required: true },
          },
        },
      ],
    },
  },
  entities: OAUTH2_ENTITIES,
});

function flowsError(flows: Oauth2Config): string | null {
  if (FLOWS.some((flow) => flows[flow])) return null;
  return `at least one of these fields must be true: ${FLOWS.join(', ')}`;
}
