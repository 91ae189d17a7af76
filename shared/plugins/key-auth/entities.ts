/** Entities that come with key-auth. */
import { defineEntity, type EntityOf } from '../../schema/infer.ts';
import { tags, timestampSeconds, uuid } from '../../schema/typedefs.ts';

export const keyauthCredential = defineEntity({
  name: 'keyauth_credentials',
  admin_api_name: 'key-auths',
  admin_api_nested_name: 'key-auth',
  endpoint_key: 'key',
  cache_key: ['key'],
  ttl: true,
  workspaceable: true,
  placement: 'key',
  fields: {
    id: uuid,
    created_at: timestampSeconds,
    consumer: { type: 'foreign', reference: 'consumers', required: true, on_delete: 'cascade' },
    key: { type: 'string', required: false, unique: true, auto: true, secret: 'lookup' },
    tags,
  },
});

export type KeyauthCredential = EntityOf<typeof keyauthCredential>;

export const KEY_AUTH_ENTITIES = [keyauthCredential] as const;
