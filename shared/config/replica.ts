/** A data plane's configuration: how it is loaded, moved forward and kept. Verified or not at all. */
import { type Breaks, inSlices, NO_BREAKS, type Sliced } from '../base/slices.ts';
import type { Crypto, StoredConfig } from '../platform/platform.ts';
import type { FrameOf, Position, SignedManifest } from '../wire/frames.ts';
import { Assembly } from './assembly.ts';
import {
  compareRevisions,
  verifySigned,
  type Manifest,
  type Pinned,
  type Refusal,
  type Verified,
} from './manifest.ts';
import { parseRecordText, type ConfigRecord, type Replica } from './record.ts';
import { ConfigTree } from './tree.ts';

export type { Pinned, Refusal } from './manifest.ts';

/** A verified configuration, with what is needed to move it forward. Immutable. */
export interface ReplicaState {
  readonly replica: Replica;
  readonly tree: ConfigTree;
  readonly signed: SignedManifest;
  readonly manifest: Manifest;
  /** Sequence of the key list that it was verified by. */
  readonly keySequence: number;
}

/** A verified manifest with the text it was read from. */
export interface Head {
  readonly signed: SignedManifest;
  readonly manifest: Manifest;
  readonly position: Position;
  readonly keySequence: number;
}

export type Loaded = { readonly ok: true; readonly state: ReplicaState } | Refusal;

/** A revision has a manifest, and so a hash, for each schema level that it is published at. */
export interface AtLevel extends Position {
  readonly level: number;
}

/** Where a node without configuration stands. */
export const NOWHERE: Position = { epoch: 0, revision: 0, hash: '' };

/** Proves a manifest from the pins; see `verifySigned` for the codes. */
export async function verifyHead(
  signed: SignedManifest,
  pinned: Pinned,
  crypto: Crypto,
): Promise<{ readonly ok: true; readonly head: Head } | Refusal> {
  const verified = await verifySigned(signed, pinned, crypto);
  return verified.ok ? { ok: true, head: headOf(signed, verified) } : verified;
}

/**
 * Whether a verified head may follow what is held.
 *
 * @returns `newer`; `same` for the very one that is held; a refusal for anything older, and for other
 *   content under the same number
 */
export function admit(head: AtLevel, held: AtLevel): 'newer' | 'same' | Refusal {
  const order = compareRevisions(head, held);
  if (order > 0) return 'newer';
  if (order === 0 && head.hash === held.hash) return 'same';
  // The same revision as another release has it: this node, or its control plane, is now of that one.
  if (order === 0 && head.level !== held.level) return 'newer';
  const detail =
    order < 0
      ? `${head.epoch}.${head.revision} is older than ${held.epoch}.${held.revision}`
      : `another manifest is held as ${held.epoch}.${held.revision}`;
  return { ok: false, code: 'not_newer', detail };
}

/** A refusal when a verified head is below the high-water mark, whatever is held now; else null. */
export function refuseBelow({ position }: Head, { highWater }: Pinned): Refusal | null {
  if (highWater === undefined || compareRevisions(position, highWater) >= 0) return null;
  const mark = `${highWater.epoch}.${highWater.revision}`;
  const detail = `${position.epoch}.${position.revision} is older than ${mark}, held before`;
  return { ok: false, code: 'not_newer', detail };
}

/** A state from a verified head and the tree that it names. */
export function makeState(head: Head, tree: ConfigTree): Loaded {
  const { manifest, signed, position, keySequence } = head;
  if (tree.hash !== manifest.root || tree.size !== manifest.records) {
    return { ok: false, code: 'hash_mismatch', detail: 'the records are not what was signed' };
  }
  const replica: Replica = {
    cluster: manifest.cluster,
    group: manifest.group,
    ...position,
    secretGeneration: manifest.secret_generation,
    tree,
  };
  return { ok: true, state: { replica, tree, signed, manifest, keySequence } };
}

/** What a state's node answers when asked where it stands. */
export function positionOf(state: ReplicaState | null): Position {
  if (state === null) return NOWHERE;
  const { epoch, revision, hash } = state.replica;
  return { epoch, revision, hash };
}

/** As `positionOf`. */
export function levelOf(state: ReplicaState | null): AtLevel {
  return { ...positionOf(state), level: state?.manifest.level ?? 0 };
}

/** Reads what was stored, and believes nothing of it without proof. */
export async function loadReplica(
  stored: StoredConfig,
  pinned: Pinned,
  crypto: Crypto,
  breaks: Breaks = NO_BREAKS,
): Promise<Loaded> {
  const signed: SignedManifest = {
    manifest: stored.manifest,
    signature: stored.signature,
    key_list: stored.keyList,
    key_list_signature: stored.keyListSignature,
  };
  const verified = await verifyHead(signed, pinned, crypto);
  if (!verified.ok) return verified;
  const { head } = verified;
  const refusal = refuseBelow(head, pinned);
  if (refusal !== null) return refusal;
  return inSlices(assemble(head, stored.nodes, crypto), breaks);
}

function* assemble(head: Head, nodes: StoredConfig['nodes'], crypto: Crypto): Sliced<Loaded> {
  const assembly = new Assembly(head.manifest, ConfigTree.empty(crypto), crypto);
  while (!assembly.isSettled) {
    for (const id of assembly.missing(Number.MAX_SAFE_INTEGER)) {
      yield;
      const text = nodes.get(id);
      if (text === undefined) return mismatch('a tree node is missing');
      if (!assembly.add(id, text)) return mismatch('a tree node is not what its id says');
    }
  }
  const assembled = assembly.finish();
  return assembled.ok ? makeState(head, assembled.tree) : mismatch(assembled.detail);
}

/** What a store keeps of a state. Node texts are made when they are read. */
export function toStored(state: ReplicaState): StoredConfig {
  return {
    manifest: state.signed.manifest,
    signature: state.signed.signature,
    keyList: state.signed.key_list,
    keyListSignature: state.signed.key_list_signature,
    nodes: state.tree.nodeMap(),
  };
}

/**
 * A tree with a delta's changes, if `head` is what signs the result.
 *
 * @param head  the delta's own head, verified and newer than `state`
 * @returns `hash_mismatch` when it is not for this base or does not lead to what was signed: the
 *   nodes that differ can be fetched instead
 */
export function advance(
  state: ReplicaState | null,
  frame: FrameOf<'delta'>,
  head: Head,
  crypto: Crypto,
): Loaded {
  const held = positionOf(state);
  if (compareRevisions(frame.base, held) !== 0 || frame.base.hash !== held.hash) {
    return mismatch('a delta for another base');
  }
  const upserts: ConfigRecord[] = [];
  for (const text of frame.upserts) {
    const record = parseRecordText(text, crypto);
    if (record === null) return mismatch('a delta with a text that is no record');
    upserts.push(record);
  }
  const tree = state?.tree ?? ConfigTree.empty(crypto);
  return makeState(head, tree.apply(upserts, frame.removals));
}

/** Verifies a delta and applies it: `verifyHead`, `admit` and `advance` in one. */
export async function applyDelta(
  state: ReplicaState | null,
  frame: FrameOf<'delta'>,
  pinned: Pinned,
  crypto: Crypto,
): Promise<Loaded> {
  const verified = await verifyHead(frame.head, pinned, crypto);
  if (!verified.ok) return verified;
  const refusal = refuseBelow(verified.head, pinned);
  if (refusal !== null) return refusal;
  const { position, manifest } = verified.head;
  const verdict = admit({ ...position, level: manifest.level }, levelOf(state));
  if (verdict === 'newer') return advance(state, frame, verified.head, crypto);
  if (verdict === 'same' && state !== null) return { ok: true, state };
  return typeof verdict === 'object' ? verdict : mismatch('nothing is held');
}

function headOf(signed: SignedManifest, { manifest, hash, keySequence }: Verified): Head {
  const { epoch, revision } = manifest;
  return { signed, manifest, position: { epoch, revision, hash }, keySequence };
}

function mismatch(detail: string): Refusal {
  return { ok: false, code: 'hash_mismatch', detail };
}
