/** A key, as JWK or as PEM. */
import { defineEntity, type EntityOf } from '../schema/infer.ts';
import { tags, timestampSeconds, uuid } from '../schema/typedefs.ts';

export const key = defineEntity({
  name: 'keys',
  endpoint_key: 'name',
  cache_key: ['kid', 'set'],
  workspaceable: true,
  fields: {
    id: uuid,
    set: { type: 'foreign', reference: 'key_sets', required: false, on_delete: 'cascade' },
    name: { type: 'string', required: false, unique: true },
    kid: {
      type: 'string',
      required: true,
      unique: false,
      description: 'Id of the key, as in a JWK or the header of a JWT.',
    },
    jwk: {
      type: 'string',
      referenceable: true,
      encrypted: true,
      secret: 'sealed',
      description: 'The key as the text of a JSON Web Key with the same kid.',
    },
    pem: {
      type: 'record',
      required: false,
      fields: {
        private_key: {
          type: 'string',
          required: false,
          referenceable: true,
          encrypted: true,
          secret: 'sealed',
        },
        public_key: { type: 'string', required: false, referenceable: true },
      },
      entity_checks: [{ at_least_one_of: ['private_key', 'public_key'] }],
    },
    tags,
    created_at: timestampSeconds,
    updated_at: timestampSeconds,
  },
  entity_checks: [
    { mutually_exclusive: ['pem', 'jwk'] },
    { at_least_one_of: ['pem', 'jwk'] },
    // Whether it is a key takes cryptography: the control plane's rules check it.
    { custom_entity_check: { field_sources: ['jwk', 'pem', 'kid'] } },
  ],
});

export type Key = EntityOf<typeof key>;
