/** What a data plane holds, of whichever release it is: the signature is for itself to look at. */
import { join } from 'node:path';
import { Assembly } from '#shared/config/assembly.ts';
import { ConfigTree } from '#shared/config/tree.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { FileConfigStore } from '../../node-dp/config-store.ts';
import type { Member } from '../chaos/fleet.ts';

export interface Held {
  readonly manifest: {
    readonly epoch: number;
    readonly revision: number;
    readonly level: number;
    readonly root: string;
    readonly records: number;
    readonly workspaces: Readonly<Record<string, number>>;
  };
  readonly tree: ConfigTree;
}

/** Null as long as it has none. @throws when the records are not those of the manifest */
export async function heldUnproven(member: Member): Promise<Held | null> {
  const read = await new FileConfigStore(join(member.folder, 'dp', 'config.json')).read();
  if (read.tag === 'none') return null;
  if (read.tag === 'unusable') throw new Error(`${member.name}: ${read.reason}`);
  const { manifest: text, nodes } = read.config;
  const manifest: Held['manifest'] = JSON.parse(text);
  const assembly = new Assembly(manifest, ConfigTree.empty(nodeCrypto), nodeCrypto);
  while (!assembly.isSettled) {
    for (const id of assembly.missing(Number.MAX_SAFE_INTEGER)) {
      assembly.add(id, nodes.get(id) ?? '');
    }
  }
  const assembled = assembly.finish();
  if (!assembled.ok) throw new Error(`${member.name}: ${assembled.detail}`);
  return { manifest, tree: assembled.tree };
}
