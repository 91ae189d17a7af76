/** A consumer: whoever calls, known by a credential. */
import { defineEntity, type EntityOf } from '../schema/infer.ts';
import { tags, timestampSeconds, uuid } from '../schema/typedefs.ts';

export const consumer = defineEntity({
  name: 'consumers',
  endpoint_key: 'username',
  workspaceable: true,
  fields: {
    id: uuid,
    created_at: timestampSeconds,
    updated_at: timestampSeconds,
    username: {
      type: 'string',
      unique: true,
      description: 'Name of the consumer. One of it and custom_id must be there.',
    },
    custom_id: {
      type: 'string',
      unique: true,
      description: 'What the consumer is called in a system of your own.',
    },
    tags,
  },
  entity_checks: [{ at_least_one_of: ['custom_id', 'username'] }],
});

export type Consumer = EntityOf<typeof consumer>;
