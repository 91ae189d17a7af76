/** Entities that come with acme. */
import { defineEntity, type EntityOf } from '../../schema/infer.ts';
import { timestampSeconds, uuid } from '../../schema/typedefs.ts';

/** Accounts, challenges and certificates with their keys, made by data planes: not configuration. */
export const acmeStorage = defineEntity({
  name: 'acme_storage',
  cache_key: ['key'],
  ttl: true,
  workspaceable: false,
  wire: false,
  fields: {
    id: uuid,
    key: { type: 'string', required: true, unique: true, auto: true },
    value: { type: 'string', required: true, auto: true, secret: 'sealed' },
    created_at: timestampSeconds,
  },
});

export type AcmeStorage = EntityOf<typeof acmeStorage>;

export const ACME_ENTITIES = [acmeStorage] as const;
