/** Entities that come with session. */
import { defineEntity, type EntityOf } from '../../schema/infer.ts';
import { timestampSeconds, uuid } from '../../schema/typedefs.ts';

/** Made by data planes while they serve: not configuration, so not sent with it. */
export const session = defineEntity({
  name: 'sessions',
  endpoint_key: 'session_id',
  cache_key: ['session_id'],
  ttl: true,
  workspaceable: false,
  wire: false,
  fields: {
    id: uuid,
    // Whoever has it is taken for the user.
    session_id: { type: 'string', required: true, unique: true, secret: 'lookup' },
    expires: { type: 'integer' },
    data: { type: 'string', secret: 'sealed' },
    created_at: timestampSeconds,
  },
});

export type Session = EntityOf<typeof session>;

export const SESSION_ENTITIES = [session] as const;
