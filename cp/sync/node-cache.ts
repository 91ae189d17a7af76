/**
 * Tree nodes of the groups, as they stand in `shards` frames. Two thousand nodes that come back at
 * once want the same few: they are read and escaped once, and only for the node's own group.
 */
import { concat, utf8 } from '#shared/base/bytes.ts';
import type { Db } from '../store/db.ts';
import type { FrameBytes } from './feed.ts';

/** Of a `shards` frame, unless a single node takes more: the reader takes eight megabytes at most. */
const FRAME_BYTES_MAX = 1024 * 1024;
const CACHE_BYTES_MAX = 64 * 1024 * 1024;

const HEAD = utf8('{"type":"shards","nodes":[');
const COMMA = utf8(',');

/** A frame, and what was asked for and found no room in it. */
export interface Shards {
  readonly frame: FrameBytes;
  readonly rest: readonly string[];
}

export class NodeCache {
  readonly #db: Db;
  readonly #bytesMax: number;
  /** By group and node id, least recently used first. */
  readonly #fragments = new Map<string, Uint8Array>();
  /** Loads under way, so that a stampede reads each node once. */
  readonly #loading = new Map<string, Promise<Uint8Array | null>>();
  #bytes = 0;

  constructor(db: Db, bytesMax: number = CACHE_BYTES_MAX) {
    this.#db = db;
    this.#bytesMax = bytesMax;
  }

  /** Bytes held; never above the bound. */
  get size(): number {
    return this.#bytes;
  }

  /** One `shards` frame with what there is of `ids`; what there is not stands in its `missing`. */
  async frame(groupId: string, ids: readonly string[]): Promise<Shards> {
    const unknown = ids.filter((id) => !this.#isKnown(groupId, id));
    if (unknown.length > 0) this.#load(groupId, unknown);
    const found = await Promise.all(ids.map(async (id) => this.#get(groupId, id)));
    const parts: Uint8Array[] = [HEAD];
    const missing: string[] = [];
    const rest: string[] = [];
    let bytes = 0;
    found.forEach((fragment, index) => {
      const id = ids[index] ?? '';
      if (fragment === null) missing.push(id);
      else if (bytes > 0 && bytes + fragment.length > FRAME_BYTES_MAX) rest.push(id);
      else {
        parts.push(...(bytes > 0 ? [COMMA, fragment] : [fragment]));
        bytes += fragment.length;
      }
    });
    parts.push(utf8(`],"missing":${JSON.stringify(missing)}}`));
    return { frame: concat(...parts), rest };
  }

  #isKnown(groupId: string, id: string): boolean {
    const key = `${groupId}/${id}`;
    return this.#fragments.has(key) || this.#loading.has(key);
  }

  async #get(groupId: string, id: string): Promise<Uint8Array | null> {
    const key = `${groupId}/${id}`;
    const fragment = this.#fragments.get(key);
    if (fragment === undefined) return (await this.#loading.get(key)) ?? null;
    this.#fragments.delete(key);
    this.#fragments.set(key, fragment);
    return fragment;
  }

  #load(groupId: string, ids: readonly string[]): void {
    const query = this.#db.query<{ id: string; text: string }>(
      'SELECT id, text FROM group_nodes WHERE group_id = $1 AND id = ANY($2::text[])',
      [groupId, [...ids]],
    );
    const fragments = query.then(
      ({ rows }) => new Map(rows.map((row) => [row.id, fragmentOf(row.id, row.text)])),
    );
    for (const id of ids) {
      const key = `${groupId}/${id}`;
      const loading = fragments
        .then((found) => {
          const fragment = found.get(id) ?? null;
          if (fragment !== null) this.#keep(key, fragment);
          return fragment;
        })
        .finally(() => this.#loading.delete(key));
      this.#loading.set(key, loading);
    }
  }

  #keep(key: string, fragment: Uint8Array): void {
    if (fragment.length > this.#bytesMax) return;
    this.#fragments.set(key, fragment);
    this.#bytes += fragment.length;
    for (const [oldest, bytes] of this.#fragments) {
      if (this.#bytes <= this.#bytesMax) return;
      this.#fragments.delete(oldest);
      this.#bytes -= bytes.length;
    }
  }
}

function fragmentOf(id: string, text: string): Uint8Array {
  return utf8(JSON.stringify({ id, text }));
}
