/** A tag on an entity, as `/tags` lists them. Stored with the entity, so that it cannot be written alone. */
import { defineEntity } from '../schema/infer.ts';
import { tagName, uuid } from '../schema/typedefs.ts';

export const tag = defineEntity({
  name: 'tags',
  endpoint_key: 'tag',
  workspaceable: false,
  stored: false,
  wire: false,
  fields: {
    tag: tagName,
    entity_name: { type: 'string', required: true, description: 'As in `/schemas/{name}`.' },
    entity_id: { ...uuid, required: true },
  },
});
