/** Entities that come with basic-auth. */
import { defineEntity, type EntityOf } from '../../schema/infer.ts';
import { tags, timestampSeconds, uuid } from '../../schema/typedefs.ts';

export const basicauthCredential = defineEntity({
  name: 'basicauth_credentials',
  admin_api_name: 'basic-auths',
  admin_api_nested_name: 'basic-auth',
  endpoint_key: 'username',
  cache_key: ['username'],
  workspaceable: true,
  placement: 'username',
  fields: {
    id: uuid,
    created_at: timestampSeconds,
    consumer: { type: 'foreign', reference: 'consumers', required: true, on_delete: 'cascade' },
    username: { type: 'string', required: true, unique: true },
    password: {
      type: 'string',
      required: true,
      encrypted: true,
      secret: 'sealed',
      description: 'Kept and shown as a hash, in hex, of the password and the consumer.',
    },
    tags,
  },
});

export type BasicauthCredential = EntityOf<typeof basicauthCredential>;

export const BASIC_AUTH_ENTITIES = [basicauthCredential] as const;
