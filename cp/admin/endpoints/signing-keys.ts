/**
 * `/headgate/keys/signing`: the keys that sign what data planes believe. A list is proposed here, signed
 * by `headgate keys sign` where the root key is, and put in force here.
 */
import { defineFields } from '#shared/schema/infer.ts';
import { KeyringError } from '../../keys/kek.ts';
import { readFields } from '../arguments.ts';
import type { AdminContext, AdminRequest, AdminResponse, Endpoint } from '../context.ts';
import { AdminError } from '../errors.ts';

/** Body of `POST /headgate/keys/signing`. */
export const KEY_PROPOSAL_REQUEST = defineFields({
  change: {
    type: 'string',
    required: true,
    default: 'add',
    one_of: ['add', 'drop', 'recover'],
    description:
      'add: a new key beside those in force. drop: the newest key alone. recover: nothing but a new key, and epochs above everything that a thief of the others can have signed.',
  },
});

/** Body of `PUT /headgate/keys/signing`: what `headgate keys sign` writes. */
export const KEY_LIST_REQUEST = defineFields({
  text: { type: 'string', required: true, description: 'The list, exactly as it was signed.' },
  signature: { type: 'string', required: true, description: 'Of the root key, base64url.' },
});

export function signingKeyEndpoints(): Endpoint[] {
  const path = '/headgate/keys/signing';
  return [{ path, area: 'cluster', methods: { GET: show, POST: propose, PUT: take } }];
}

async function show({ signingKeys }: AdminContext): Promise<AdminResponse> {
  const { text, signature, rootPublicKey } = await signingKeys.show();
  return { status: 200, body: { text, signature, root_public_key: rootPublicKey } };
}

async function propose(context: AdminContext, request: AdminRequest): Promise<AdminResponse> {
  const { change } = await readFields(request.raw, context.bodyMax, KEY_PROPOSAL_REQUEST);
  const recover = change === 'recover';
  const proposal = change === 'drop' ? null : { alone: recover, recover };
  return conflictOr(async () => {
    return { status: 200, body: { text: await context.signingKeys.propose(proposal) } };
  });
}

async function take(context: AdminContext, request: AdminRequest): Promise<AdminResponse> {
  const signed = await readFields(request.raw, context.bodyMax, KEY_LIST_REQUEST);
  return conflictOr(async () => {
    const { sequence, keys } = await context.signingKeys.take(signed);
    return { status: 200, body: { sequence, keys: keys.map(({ id }) => id) } };
  });
}

async function conflictOr(work: () => Promise<AdminResponse>): Promise<AdminResponse> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof KeyringError) throw new AdminError(409, { message: error.message });
    throw error;
  }
}
