/** Kinds of vaults that secrets can be referenced in, by name: a vault's `config` is theirs. */
import type { Subschema } from '../schema/field.ts';

/** Environment variables of the data plane. */
const env: Subschema = {
  name: 'env',
  fields: {
    config: {
      type: 'record',
      required: true,
      fields: {
        prefix: {
          type: 'string',
          match: '^[%a_-][%a%d_-]*$',
          description: 'Put before the name of every variable.',
        },
      },
    },
  },
};

export const VAULT_KINDS: Readonly<Record<string, Subschema>> = { env };
