/** A vault: where `{vault://prefix/name}` in a field leads. */
import { defineEntity, type EntityOf } from '../schema/infer.ts';
import { tags, timestampSeconds, uuid } from '../schema/typedefs.ts';
import { VAULT_KINDS } from './vault-kinds.ts';

export const vault = defineEntity({
  name: 'vaults',
  endpoint_key: 'prefix',
  cache_key: ['prefix'],
  workspaceable: true,
  subschema_key: 'name',
  subschema_error: "vault '%s' is not installed",
  subschemas: VAULT_KINDS,
  fields: {
    id: uuid,
    prefix: {
      type: 'string',
      required: true,
      unique: true,
      unique_across_ws: true,
      match: '^[a-z][a-z%d-]-[a-z%d]+$',
      not_one_of: Object.keys(VAULT_KINDS),
      description: 'Name of the vault in references.',
    },
    name: { type: 'string', required: true, description: 'Kind of vault.' },
    description: { type: 'string' },
    config: { type: 'record', abstract: true, fields: {} },
    created_at: timestampSeconds,
    updated_at: timestampSeconds,
    tags,
  },
});

export type Vault = EntityOf<typeof vault>;
