/** What a data plane makes of a folder after something happened to it: loads it as a start does. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { loadReplica, type ReplicaState } from '#shared/config/replica.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { sweepTemporaries } from '#shared/platform/node/files.ts';
import type { StoredConfig } from '#shared/platform/platform.ts';
import type { NodeIdentity } from '#shared/sync/identity.ts';
import { FileConfigStore } from '../../../node-dp/config-store.ts';
import { fileIdentityStore } from '../../../node-dp/identity-store.ts';

/** A configuration as JSON. */
export interface SavedConfig extends Omit<StoredConfig, 'nodes'> {
  readonly nodes: readonly (readonly [string, string])[];
}

export interface Found {
  readonly identity: NodeIdentity;
  /** Proven from the identity's pins; null: none that may be used. */
  readonly state: ReplicaState | null;
  /** Names in the folder after the sweep. */
  readonly names: readonly string[];
}

/** @throws when a start would fail */
export async function startFrom(folder: string): Promise<Found> {
  await sweepTemporaries(folder);
  const identity = await fileIdentityStore(join(folder, 'node.json')).load();
  if (identity?.tag !== 'joined') throw new Error('the identity is lost');
  const state = await loadFrom(join(folder, 'config.json'), identity);
  return { identity, state, names: (await readdir(folder)).toSorted() };
}

/** The newest configuration of a cache that the node may use. */
export async function loadFrom(path: string, identity: NodeIdentity): Promise<ReplicaState | null> {
  const cache = await new FileConfigStore(path).read();
  if (cache.tag !== 'read') return null;
  for (const stored of [cache.config, ...cache.older]) {
    const loaded = await loadReplica(stored, identity, nodeCrypto);
    if (loaded.ok) return loaded.state;
  }
  return null;
}
