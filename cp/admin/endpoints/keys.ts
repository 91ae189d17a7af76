/** `/headgate/keys`: the generations of the keys that protect what is stored, and their rotation. */
import type { JsonObject } from '#shared/schema/field.ts';
import { defineFields } from '#shared/schema/infer.ts';
import { KeyringError } from '../../keys/kek.ts';
import { type KeyStatus, type KindStatus, RotationError } from '../../keys/rotation.ts';
import { readFields } from '../arguments.ts';
import type { AdminContext, AdminRequest, AdminResponse, Endpoint } from '../context.ts';
import { AdminError, schemaViolation } from '../errors.ts';

/** Body of `POST /headgate/keys/rotate`. */
export const KEY_ROTATION_REQUEST = defineFields({
  data: {
    type: 'boolean',
    required: true,
    default: false,
    description: 'A new key for everything that is stored encrypted.',
  },
  pepper: {
    type: 'boolean',
    required: true,
    default: false,
    description: 'A new key for the indexes by which credentials are found.',
  },
  kek: {
    type: 'boolean',
    required: true,
    default: false,
    description:
      'Read HEADGATE_KEK again (its file may have changed), and wrap all other keys by it.',
  },
});

export function keyEndpoints(): Endpoint[] {
  return [
    { path: '/headgate/keys', area: 'cluster', methods: { GET: show } },
    { path: '/headgate/keys/rotate', area: 'cluster', methods: { POST: rotate } },
  ];
}

async function show({ keys }: AdminContext): Promise<AdminResponse> {
  return { status: 200, body: viewOf(await keys.keyStatus()) };
}

/** Answers when the new keys are in force; what was is renewed after that, and `show` tells how far. */
async function rotate(context: AdminContext, request: AdminRequest): Promise<AdminResponse> {
  const asked = await readFields(request.raw, context.bodyMax, KEY_ROTATION_REQUEST);
  if (!asked.data && !asked.pepper && !asked.kek) {
    throw schemaViolation({ '@entity': ['say which keys: data, pepper, kek'] });
  }
  try {
    return { status: 202, body: viewOf(await context.keys.rotateKeys(asked)) };
  } catch (error) {
    const { message } = error instanceof Error ? error : new Error(String(error));
    if (error instanceof RotationError || error instanceof KeyringError) {
      throw new AdminError(409, { message });
    }
    throw error;
  }
}

function viewOf({ data, pepper, kek }: KeyStatus): JsonObject {
  return { data: kindView(data), pepper: kindView(pepper), kek: { id: kek.id } };
}

function kindView({ generation, sinceMs, older, remaining }: KindStatus): JsonObject {
  return { generation, since: Math.floor(sinceMs / 1000), older, remaining };
}
