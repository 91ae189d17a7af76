/** Entities that come with acl. */
import { defineEntity, type EntityOf } from '../../schema/infer.ts';
import { tags, timestampSeconds, uuid } from '../../schema/typedefs.ts';

export const acl = defineEntity({
  name: 'acls',
  cache_key: ['consumer', 'group'],
  workspaceable: true,
  placement: 'consumer',
  fields: {
    id: uuid,
    created_at: timestampSeconds,
    consumer: { type: 'foreign', reference: 'consumers', required: true, on_delete: 'cascade' },
    group: { type: 'string', required: true, description: 'A group that the consumer is in.' },
    tags,
  },
});

export type Acl = EntityOf<typeof acl>;

export const ACL_ENTITIES = [acl] as const;
