/** A key set: keys that are used together. */
import { defineEntity, type EntityOf } from '../schema/infer.ts';
import { tags, timestampSeconds, uuid } from '../schema/typedefs.ts';

export const keySet = defineEntity({
  name: 'key_sets',
  admin_api_name: 'key-sets',
  endpoint_key: 'name',
  workspaceable: true,
  fields: {
    id: uuid,
    name: { type: 'string', required: false, unique: true },
    tags,
    created_at: timestampSeconds,
    updated_at: timestampSeconds,
  },
});

export type KeySet = EntityOf<typeof keySet>;
