/** Entities that come with hmac-auth. */
import { defineEntity, type EntityOf } from '../../schema/infer.ts';
import { tags, timestampSeconds, uuid } from '../../schema/typedefs.ts';

export const hmacauthCredential = defineEntity({
  name: 'hmacauth_credentials',
  admin_api_name: 'hmac-auths',
  admin_api_nested_name: 'hmac-auth',
  endpoint_key: 'username',
  cache_key: ['username'],
  workspaceable: true,
  placement: 'username',
  fields: {
    id: uuid,
    created_at: timestampSeconds,
    consumer: { type: 'foreign', reference: 'consumers', required: true, on_delete: 'cascade' },
    username: { type: 'string', required: true, unique: true },
    secret: { type: 'string', auto: true, secret: 'sealed' },
    tags,
  },
});

export type HmacauthCredential = EntityOf<typeof hmacauthCredential>;

export const HMAC_AUTH_ENTITIES = [hmacauthCredential] as const;
