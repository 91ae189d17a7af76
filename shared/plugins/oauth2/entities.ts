/** Entities that come with oauth2. */
import { defineEntity, type EntityOf } from '../../schema/infer.ts';
import { tags, timestampSeconds, uuid } from '../../schema/typedefs.ts';

export const oauth2Credential = defineEntity({
  name: 'oauth2_credentials',
  admin_api_name: 'oauth2',
  endpoint_key: 'client_id',
  cache_key: ['client_id'],
  workspaceable: true,
  placement: 'client_id',
  fields: {
    id: uuid,
    created_at: timestampSeconds,
    consumer: { type: 'foreign', reference: 'consumers', required: true, on_delete: 'cascade' },
    name: { type: 'string', required: true, description: 'Name of the application.' },
    client_id: { type: 'string', required: false, unique: true, auto: true },
    client_secret: {
      type: 'string',
      required: false,
      auto: true,
      encrypted: true,
      secret: 'sealed',
    },
    hash_secret: {
      type: 'boolean',
      required: true,
      default: false,
      description: 'Whether client_secret is kept and shown as a hash only.',
    },
    redirect_uris: {
      type: 'array',
      required: false,
      elements: { type: 'string', custom_validator: redirectUriError },
    },
    tags,
    client_type: {
      type: 'string',
      required: true,
      default: 'confidential',
      one_of: ['confidential', 'public'],
    },
  },
});

/** Made by a data plane while a user grants access; there is no API for them, and no table yet. */
export const oauth2AuthorizationCode = defineEntity({
  name: 'oauth2_authorization_codes',
  generate_admin_api: false,
  ttl: true,
  workspaceable: true,
  stored: false,
  wire: false,
  fields: {
    id: uuid,
    created_at: timestampSeconds,
    service: { type: 'foreign', reference: 'services', default: null, on_delete: 'cascade' },
    credential: {
      type: 'foreign',
      reference: 'oauth2_credentials',
      required: true,
      on_delete: 'cascade',
    },
    code: { type: 'string', required: false, unique: true, auto: true, secret: 'lookup' },
    authenticated_userid: { type: 'string', required: false },
    scope: { type: 'string' },
    challenge: { type: 'string', required: false },
    challenge_method: { type: 'string', required: false, one_of: ['S256'] },
    plugin: { type: 'foreign', reference: 'plugins', default: null, on_delete: 'cascade' },
  },
});

/** What a data plane issues: not configuration, so not sent with it. */
export const oauth2Token = defineEntity({
  name: 'oauth2_tokens',
  endpoint_key: 'access_token',
  cache_key: ['access_token'],
  ttl: true,
  workspaceable: true,
  wire: false,
  fields: {
    id: uuid,
    created_at: timestampSeconds,
    service: { type: 'foreign', reference: 'services', default: null, on_delete: 'cascade' },
    credential: {
      type: 'foreign',
      reference: 'oauth2_credentials',
      required: true,
      on_delete: 'cascade',
    },
    token_type: { type: 'string', required: true, one_of: ['bearer'], default: 'bearer' },
    expires_in: { type: 'integer', required: true, description: 'In seconds.' },
    access_token: { type: 'string', required: false, unique: true, auto: true, secret: 'lookup' },
    refresh_token: { type: 'string', required: false, unique: true, secret: 'lookup' },
    authenticated_userid: { type: 'string', required: false },
    scope: { type: 'string' },
  },
});

export type Oauth2Credential = EntityOf<typeof oauth2Credential>;

export const OAUTH2_ENTITIES = [oauth2Credential, oauth2AuthorizationCode, oauth2Token] as const;

/** An absolute URI with a host and without a fragment. Source: RFC 6749, 3.1.2. */
function redirectUriError(uri: string): string | null {
  if (!/^[A-Za-z0-9][A-Za-z0-9+.-]*:\/\/[^/?#]+/.test(uri)) return `cannot parse '${uri}'`;
  return uri.includes('#') ? `fragment not allowed in '${uri}'` : null;
}
