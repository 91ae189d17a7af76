/** From a signed manifest to a complete, verified state, fetching the tree nodes that are not held. */
import { Assembly } from '#shared/config/assembly.ts';
import {
  admit,
  levelOf,
  makeState,
  verifyHead,
  type Head,
  type Pinned,
  type Refusal,
  type ReplicaState,
} from '#shared/config/replica.ts';
import { ConfigTree } from '#shared/config/tree.ts';
import type { Crypto } from '#shared/platform/platform.ts';
import type { SignedManifest } from '#shared/wire/frames.ts';
import type { BootRecord } from '#shared/config/boot-record.ts';
import { NODES_COUNT_MAX } from './hub-api.ts';
import type { TreeNode } from './hub-store.ts';

/** Answers those of the nodes that it has; the rest may be had elsewhere. */
export type NodeSource = (ids: string[]) => Promise<readonly TreeNode[]>;

export interface Fetching {
  readonly head: SignedManifest;
  readonly boot: BootRecord;
  /** What is served now; its nodes are shared. */
  readonly held: ReplicaState | null;
  /** Hash of a manifest that is known to be of no use; empty for none. */
  readonly refused: string;
  /** Asked in turn for what is missing. */
  readonly sources: readonly NodeSource[];
  readonly crypto: Crypto;
}

/** `state` null: it is not newer than what is held, and nothing was fetched. */
export type Fetched = { readonly ok: true; readonly state: ReplicaState | null } | Refusal;

export async function fetchState(fetching: Fetching): Promise<Fetched> {
  const { boot, crypto, refused } = fetching;
  const held = fetching.held !== null && isSamePin(fetching.held, boot) ? fetching.held : null;
  const pinned: Pinned = {
    cluster: boot.cluster,
    groupId: boot.groupId,
    rootKey: boot.rootKey,
    keySequence: held?.keySequence ?? 0,
  };
  const verified = await verifyHead(fetching.head, pinned, crypto);
  if (!verified.ok) return verified;
  const { head } = verified;
  const at = { ...head.position, level: head.manifest.level };
  if (admit(at, levelOf(held)) !== 'newer' || head.position.hash === refused)
    return { ok: true, state: null };
  return assemble(head, held, fetching);
}

async function assemble(
  head: Head,
  held: ReplicaState | null,
  { sources, crypto }: Fetching,
): Promise<Fetched> {
  const assembly = new Assembly(head.manifest, held?.tree ?? ConfigTree.empty(crypto), crypto);
  while (!assembly.isSettled) {
    // The ids of the next level stand in the nodes of this one.
    if (!(await fetchSome(assembly, sources))) return mismatch('tree nodes are not to be had');
  }
  const assembled = assembly.finish();
  return assembled.ok ? makeState(head, assembled.tree) : mismatch(assembled.detail);
}

/** Asks one source after the other; false when none of them had one node that is missing. */
async function fetchSome(assembly: Assembly, sources: readonly NodeSource[]): Promise<boolean> {
  for (const source of sources) {
    let progress = false;
    // A later source is only asked for what the ones before it do not have.
    for (const { id, text } of await nodesFrom(source, assembly.missing(NODES_COUNT_MAX))) {
      progress = assembly.add(id, text) || progress;
    }
    if (progress) return true;
  }
  return false;
}

/** A source that fails is one that has nothing: the next one is asked. */
async function nodesFrom(source: NodeSource, ids: string[]): Promise<readonly TreeNode[]> {
  try {
    return await source(ids);
  } catch {
    return [];
  }
}

/** Whether a state belongs to the cluster and group that are pinned. */
export function isSamePin(state: ReplicaState, boot: BootRecord): boolean {
  return state.manifest.cluster === boot.cluster && state.manifest.group_id === boot.groupId;
}

/** Whether a state may take the place of what is held. */
export function isNewer(state: ReplicaState, held: ReplicaState | null, boot: BootRecord): boolean {
  if (held === null || !isSamePin(held, boot)) return true;
  return admit(levelOf(state), levelOf(held)) === 'newer';
}

function mismatch(detail: string): Refusal {
  return { ok: false, code: 'hash_mismatch', detail };
}
