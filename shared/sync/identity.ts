/** Who a node is, and how that is kept. */
import { base64url, fromBase64url } from '../base/bytes.ts';
import { canonicalJson } from '../config/canonical.ts';
import type { GroupSecret } from '../config/secrets.ts';
import { parseJson } from '../config/signed-text.ts';
import type { RawKeyPair } from '../platform/platform.ts';
import type { JsonObject } from '../schema/field.ts';
import { defineFields, type RecordOf } from '../schema/infer.ts';
import { parseRecord } from '../schema/parse.ts';

/** A node that has joined. Its private keys were made here and never leave. */
export interface NodeIdentity {
  readonly tag: 'joined';
  readonly cluster: string;
  readonly node: string;
  /** The group's name; `groupId` is what counts. */
  readonly group: string;
  readonly groupId: string;
  /** The cluster's root public key, pinned. */
  readonly rootKey: Uint8Array;
  /** Ed25519. */
  readonly signing: RawKeyPair;
  /** X25519. */
  readonly sealing: RawKeyPair;
  readonly joinSeq: number;
  /** Newest first. */
  readonly groupSecrets: readonly GroupSecret[];
  /** Newest configuration that was saved: nothing older is ever taken, wherever it comes from. */
  readonly highWater: { readonly epoch: number; readonly revision: number };
  /** Highest key list sequence seen. */
  readonly keySequence: number;
  /** Keys that are to replace the present ones, as soon as the control plane knows them. */
  readonly next?: NextKeys;
}

/** Kept before anybody hears of them: whatever is lost on the way, one of the two pairs counts. */
export type NextKeys =
  /** To enrol again, by a token. */
  | {
      readonly tag: 'enrol';
      /** Id of the join token. */
      readonly token: string;
      readonly signing: RawKeyPair;
      readonly sealing: RawKeyPair;
    }
  /** To take the place of the signing key. */
  | { readonly tag: 'rotate'; readonly signing: RawKeyPair };

/** A node that has asked to join and not heard yet: asked again with the same keys, it is the same. */
export interface PendingIdentity {
  readonly tag: 'pending';
  /** Id of the join token it was made for. */
  readonly token: string;
  readonly signing: RawKeyPair;
  readonly sealing: RawKeyPair;
}

export type StoredIdentity = NodeIdentity | PendingIdentity;

/** Where the identity is kept: a private file, a Durable Object's storage. */
export interface IdentityStore {
  /** Null when there is none. Rejects when there is one that cannot be read. */
  load(): Promise<StoredIdentity | null>;
  /** Whole or not at all, and there to stay once resolved. */
  save(identity: StoredIdentity): Promise<void>;
}

/** An identity store over anything that keeps one text. */
export function textIdentityStore(place: {
  read(): Promise<string | null>;
  write(text: string): Promise<void>;
}): IdentityStore {
  return {
    async load() {
      const text = await place.read();
      if (text === null) return null;
      const identity = parseIdentity(text);
      if (identity === null) throw new Error('the identity of this node is damaged');
      return identity;
    },
    save: (identity) => place.write(identityText(identity)),
  };
}

const text = { type: 'string', required: true } as const;
const uuid = { type: 'string', required: true, uuid: true } as const;
const count = { type: 'integer', required: true, between: [0, Number.MAX_SAFE_INTEGER] } as const;
const keyPair = {
  type: 'record',
  required: true,
  fields: { private_key: text, public_key: text },
} as const;

const pendingFields = defineFields({
  format: { type: 'integer', required: true, one_of: [1] },
  tag: { type: 'string', required: true, one_of: ['pending'] },
  token: uuid,
  signing: keyPair,
  sealing: keyPair,
});

const joinedFields = defineFields({
  format: { type: 'integer', required: true, one_of: [1] },
  tag: { type: 'string', required: true, one_of: ['joined'] },
  cluster: uuid,
  node: uuid,
  group: text,
  group_id: uuid,
  root_key: text,
  signing: keyPair,
  sealing: keyPair,
  join_seq: count,
  group_secrets: {
    type: 'array',
    required: true,
    elements: { type: 'record', fields: { generation: count, secret: text } },
  },
  high_water: { type: 'record', required: true, fields: { epoch: count, revision: count } },
  key_sequence: count,
  /** Only while there are such: older releases know none. */
  next: {
    type: 'record',
    required: false,
    fields: {
      tag: { type: 'string', required: true, one_of: ['enrol', 'rotate'] },
      token: { ...uuid, required: false },
      signing: keyPair,
      sealing: { ...keyPair, required: false },
    },
  },
});

/** The identity as a text for a private place: it holds the node's keys. */
export function identityText(identity: StoredIdentity): string {
  const keys = { signing: pairToJson(identity.signing), sealing: pairToJson(identity.sealing) };
  if (identity.tag === 'pending') {
    return canonicalJson({ format: 1, tag: 'pending', token: identity.token, ...keys });
  }
  const { cluster, node, group } = identity;
  return canonicalJson({
    format: 1,
    tag: 'joined',
    cluster,
    node,
    group,
    group_id: identity.groupId,
    root_key: base64url(identity.rootKey),
    ...keys,
    join_seq: identity.joinSeq,
    group_secrets: identity.groupSecrets.map(({ generation, secret }) => ({
      generation,
      secret: base64url(secret),
    })),
    high_water: { epoch: identity.highWater.epoch, revision: identity.highWater.revision },
    key_sequence: identity.keySequence,
    ...(identity.next ? { next: nextToJson(identity.next) } : {}),
  });
}

function nextToJson(next: NextKeys): JsonObject {
  const { tag } = next;
  const signing = pairToJson(next.signing);
  if (next.tag === 'rotate') return { tag, signing };
  return { tag, token: next.token, signing, sealing: pairToJson(next.sealing) };
}

/** Null when the text is not an identity. */
export function parseIdentity(stored: string): StoredIdentity | null {
  const value = parseJson(stored);
  const pending = parseRecord(pendingFields, value);
  try {
    if (pending.ok) return readPending(pending.value);
    const joined = parseRecord(joinedFields, value);
    return joined.ok ? readJoined(joined.value) : null;
  } catch (error) {
    if (error instanceof NotBytes) return null;
    throw error;
  }
}

function readPending(value: RecordOf<typeof pendingFields>): PendingIdentity {
  const { token, signing, sealing } = value;
  return { tag: 'pending', token, signing: pairOf(signing), sealing: pairOf(sealing) };
}

function readJoined(value: RecordOf<typeof joinedFields>): NodeIdentity {
  const { cluster, node, group } = value;
  return {
    tag: 'joined',
    cluster,
    node,
    group,
    groupId: value.group_id,
    rootKey: key32(value.root_key),
    signing: pairOf(value.signing),
    sealing: pairOf(value.sealing),
    joinSeq: value.join_seq,
    groupSecrets: value.group_secrets.map(({ generation, secret }) => ({
      generation,
      secret: key32(secret),
    })),
    highWater: value.high_water,
    keySequence: value.key_sequence,
    ...(value.next === null ? {} : { next: readNext(value.next) }),
  };
}

function readNext(value: NonNullable<RecordOf<typeof joinedFields>['next']>): NextKeys {
  const signing = pairOf(value.signing);
  if (value.tag === 'rotate') return { tag: 'rotate', signing };
  if (value.token === null || value.sealing === null) throw new NotBytes('half of an enrolment');
  return { tag: 'enrol', token: value.token, signing, sealing: pairOf(value.sealing) };
}

function pairToJson(pair: RawKeyPair): JsonObject {
  return { private_key: base64url(pair.privateKey), public_key: base64url(pair.publicKey) };
}

function pairOf(pair: RecordOf<(typeof keyPair)['fields']>): RawKeyPair {
  return { privateKey: key32(pair.private_key), publicKey: key32(pair.public_key) };
}

class NotBytes extends Error {}

function key32(encoded: string): Uint8Array {
  const bytes = fromBase64url(encoded);
  if (bytes?.length !== 32) throw new NotBytes('not 32 bytes');
  return bytes;
}
