/** What a data plane holds: its own file, verified as it would itself. */
import { join } from 'node:path';
import { must } from '#shared/base/assert.ts';
import { loadReplica, type ReplicaState } from '#shared/config/replica.ts';
import type { ConfigTree } from '#shared/config/tree.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { FileConfigStore } from '../../node-dp/config-store.ts';
import { fileIdentityStore } from '../../node-dp/identity-store.ts';
import type { HistoryEvent } from './history.ts';
import type { Member } from './fleet.ts';

/** Null as long as it has none. @throws when there is one that does not hold */
export async function heldConfig(member: Member): Promise<ReplicaState | null> {
  const folder = join(member.folder, 'dp');
  // First: what it says is the least that must be there is never above what is read after it.
  const identity = await fileIdentityStore(join(folder, 'node.json')).load();
  if (identity === null || identity.tag !== 'joined') return null;
  const read = await new FileConfigStore(join(folder, 'config.json')).read();
  if (read.tag === 'none') return null;
  if (read.tag === 'unusable') throw new Error(`${member.name}: ${read.reason}`);
  const loaded = await loadReplica(read.config, identity, nodeCrypto);
  if (!loaded.ok) throw new Error(`${member.name}: ${loaded.code} ${loaded.detail}`);
  return loaded.state;
}

/** A tag of the entity that stands for a register, and of the value that it has. */
export const REGISTER_TAG = 'register:';
export const VALUE_TAG = 'value:';

/** The registers of a workspace, as the data plane has them on its disk. Null: no configuration. */
export async function viewOf(
  member: Member,
  workspace: string,
): Promise<Extract<HistoryEvent, { type: 'view' }> | null> {
  const state = await heldConfig(member);
  if (state === null) return null;
  const { replica, tree } = state;
  const { epoch, revision, hash } = replica;
  const atMs = performance.now();
  const version = state.manifest.workspaces[workspace] ?? 0;
  const registers = registersOf(tree);
  return { type: 'view', node: member.name, epoch, revision, hash, version, registers, atMs };
}

/** All values that stand for each register. */
export function registersOf(tree: ConfigTree): Record<string, string[]> {
  const registers: Record<string, string[]> = {};
  for (const { body } of tree.records()) {
    const tags = Array.isArray(body['tags']) ? body['tags'].map(String) : [];
    const register = tagged(tags, REGISTER_TAG);
    if (register === null) continue;
    (registers[register] ??= []).push(must(tagged(tags, VALUE_TAG), 'a value'));
  }
  return registers;
}

function tagged(tags: readonly string[], prefix: string): string | null {
  const tag = tags.find((one) => one.startsWith(prefix));
  return tag === undefined ? null : tag.slice(prefix.length);
}
