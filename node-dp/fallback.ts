/**
 * The start of a node that has no configuration of its own: from the copy that control planes keep in
 * the fallback storage, while none of them may answer. The storage is believed in nothing: the manifest
 * is proven from the root key, and that from the node's identity, the boot key or the join token.
 */
import { Assembly } from '#shared/config/assembly.ts';
import { type BootRecord, parseBootKey, readBootRecord } from '#shared/config/boot-record.ts';
import { bootName, headName, nodeName } from '#shared/config/fallback.ts';
import { SCHEMA_LEVEL } from '#shared/config/levels.ts';
import type { Pinned } from '#shared/config/manifest.ts';
import { makeState, refuseBelow, type ReplicaState, verifyHead } from '#shared/config/replica.ts';
import type { GroupSecret } from '#shared/config/secrets.ts';
import { signedManifestOf } from '#shared/config/signed-manifest.ts';
import { ConfigTree } from '#shared/config/tree.ts';
import type { ObjectStore } from '#shared/platform/node/object-store.ts';
import type { Crypto, Logger } from '#shared/platform/platform.ts';
import type { NodeIdentity } from '#shared/sync/identity.ts';
import { parseJoinToken } from '#shared/sync/join-token.ts';

/** Nodes asked for at the same time. */
const READS_IN_FLIGHT_MAX = 16;

export interface FallbackOptions {
  readonly store: ObjectStore;
  /** A group's name: the node's own, or `HEADGATE_GROUP` as long as it has none. */
  readonly group: string;
  readonly bootKey: string | null;
  readonly joinToken: string | null;
  /** Null for a node that never joined. */
  readonly identity: NodeIdentity | null;
  readonly crypto: Crypto;
  readonly logger: Logger;
}

export interface Fallback {
  readonly state: ReplicaState;
  /** Newest first; empty when they cannot be opened here. */
  readonly groupSecrets: readonly GroupSecret[];
}

/** Null when there is nothing to start from; the log says why. Throws nothing. */
export async function loadFallback(options: FallbackOptions): Promise<Fallback | null> {
  const { logger, group } = options;
  try {
    const found = await load(options);
    if (typeof found === 'string') {
      const message = 'no start from the fallback storage: asking a control plane';
      logger.log('warn', message, { group, reason: found });
      return null;
    }
    const { epoch, revision } = found.state.replica;
    const isOpen = found.groupSecrets.length > 0;
    const message = isOpen
      ? 'starting from the fallback storage'
      : 'starting from the fallback storage, without secrets: scopes that need them stay closed';
    logger.log(isOpen ? 'info' : 'warn', message, { group, epoch, revision });
    return found;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    logger.log('warn', 'the fallback storage cannot be read', { group, reason });
    return null;
  }
}

async function load(options: FallbackOptions): Promise<Fallback | string> {
  const { store, group, identity, crypto } = options;
  const record = await believedRecord(options);
  const pinned: Pinned | null = identity ?? (typeof record === 'string' ? null : record);
  if (pinned === null) return String(record);
  for (let level = SCHEMA_LEVEL; level > 0; level--) {
    const stored = await store.get(headName(group, level));
    if (stored === null) continue;
    const signed = signedManifestOf(stored);
    if (signed === null) return 'the pointer in it is none';
    const verified = await verifyHead(signed, pinned, crypto);
    if (!verified.ok) return `${verified.code}: ${verified.detail}`;
    // Signed, as the rest: who may write there cannot hand out another group's.
    const named = verified.head.manifest.group;
    if (named !== group) return `it is of the group ${named}`;
    const refusal = refuseBelow(verified.head, pinned);
    if (refusal !== null) return `${refusal.code}: ${refusal.detail}`;
    const tree = await fetchTree(options, verified.head.manifest);
    if (typeof tree === 'string') return tree;
    const made = makeState(verified.head, tree);
    if (!made.ok) return `${made.code}: ${made.detail}`;
    const brought = typeof record === 'string' ? [] : record.groupSecrets;
    const held = identity?.groupSecrets ?? [];
    return { state: made.state, groupSecrets: held.length > 0 ? held : brought };
  }
  return 'there is no configuration of this group in it';
}

/** A text that says why it is not believed. */
async function believedRecord(options: FallbackOptions): Promise<BootRecord | string> {
  const { store, group, crypto, identity } = options;
  const text = await store.get(bootName(group));
  if (text === null) return 'there is no configuration of this group in it';
  const key = options.bootKey === null ? null : parseBootKey(options.bootKey);
  const record = await readBootRecord(text, key, crypto);
  if (key !== null && record !== null) return record;
  const bare = await readBootRecord(text, null, crypto);
  if (bare === null) return 'the boot record in it is none';
  const token = parseJoinToken(options.joinToken ?? '');
  const pin = token?.rootKeyHash ?? (identity && crypto.sha256(identity.rootKey));
  if (!pin) return 'HEADGATE_BOOT_KEY does not open it, and there is no join token to know it by';
  return crypto.timingSafeEqual(crypto.sha256(bare.rootKey), pin)
    ? bare
    : 'it is of another cluster than the join token';
}

async function fetchTree(
  { store, group, crypto }: FallbackOptions,
  goal: { readonly root: string; readonly records: number },
): Promise<ConfigTree | string> {
  const assembly = new Assembly(goal, ConfigTree.empty(crypto), crypto);
  while (!assembly.isSettled) {
    const ids = assembly.missing(READS_IN_FLIGHT_MAX);
    const texts = await Promise.all(ids.map((id) => store.get(nodeName(group, id))));
    for (const [index, id] of ids.entries()) {
      const text = texts[index] ?? null;
      if (text === null) return 'a tree node is missing in it';
      if (!assembly.add(id, text)) return 'a tree node in it is not what its id says';
    }
  }
  const assembled = assembly.finish();
  return assembled.ok ? assembled.tree : assembled.detail;
}
