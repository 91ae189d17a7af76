/**
 * The configuration in KV: immutable nodes under their hash, and one pointer to the newest state.
 *
 * KV keeps no order between keys and caches misses, so a pointer may name nodes that are not to be
 * seen yet. Nodes are therefore written first, and whoever reads asks the hub for what is missing.
 */
import type { SignedManifest } from '#shared/wire/frames.ts';
import { signedManifestOf } from '#shared/config/signed-manifest.ts';
import type { TreeNode } from './hub-store.ts';

/** KV's least: a pointer is at most this old where it was read before. */
const HEAD_CACHE_SECONDS = 30;
/** Nodes never change. */
const NODE_CACHE_SECONDS = 86_400;
/** KV's limit for one bulk read. */
const BULK_KEYS_MAX = 100;
/** Writes in flight: more would only queue. */
const WRITES_IN_FLIGHT_MAX = 6;
/** KV's limit for one value. */
export const KV_VALUE_BYTES_MAX = 25 * 1024 * 1024;

export class KvConfig {
  readonly #kv: KVNamespace;
  readonly #prefix: string;

  /** @param deployment  keeps deployments apart even if they share a namespace by mistake */
  constructor(kv: KVNamespace, deployment: string) {
    this.#kv = kv;
    this.#prefix = `hg1/${deployment}/`;
  }

  /** The newest state KV knows of; null when there is none, or none that can be read. */
  async readHead(): Promise<SignedManifest | null> {
    const text = await this.#kv.get(`${this.#prefix}head`, { cacheTtl: HEAD_CACHE_SECONDS });
    return text === null ? null : signedManifestOf(text);
  }

  async writeHead(head: SignedManifest): Promise<void> {
    await this.#kv.put(`${this.#prefix}head`, JSON.stringify(head));
  }

  async readBoot(): Promise<string | null> {
    return this.#kv.get(`${this.#prefix}boot`, { cacheTtl: HEAD_CACHE_SECONDS });
  }

  async writeBoot(text: string): Promise<void> {
    await this.#kv.put(`${this.#prefix}boot`, text);
  }

  /** What KV has of these nodes; the caller verifies each. */
  async readNodes(ids: readonly string[]): Promise<TreeNode[]> {
    const found: TreeNode[] = [];
    for (let i = 0; i < ids.length; i += BULK_KEYS_MAX) {
      const batch = ids.slice(i, i + BULK_KEYS_MAX);
      const keys = batch.map((id) => this.#nodeKey(id));
      const texts = await this.#kv.get(keys, { type: 'text', cacheTtl: NODE_CACHE_SECONDS });
      for (const id of batch) {
        const text = texts.get(this.#nodeKey(id)) ?? null;
        if (text !== null) found.push({ id, text });
      }
    }
    return found;
  }

  async writeNodes(nodes: readonly TreeNode[]): Promise<void> {
    await inFlight(nodes, (node) => this.#kv.put(this.#nodeKey(node.id), node.text));
  }

  async removeNodes(ids: readonly string[]): Promise<void> {
    await inFlight(ids, (id) => this.#kv.delete(this.#nodeKey(id)));
  }

  #nodeKey(id: string): string {
    return `${this.#prefix}node/${id}`;
  }
}

/** Works through `items`, a few at a time; the first failure ends it. */
async function inFlight<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let item = items[next++]; item !== undefined; item = items[next++]) await work(item);
  };
  const count = Math.min(WRITES_IN_FLIGHT_MAX, items.length);
  await Promise.all(Array.from({ length: count }, worker));
}
