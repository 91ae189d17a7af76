import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { fromUtf8 } from '#shared/base/bytes.ts';
import { REGISTRY } from '#shared/registry.ts';
import { decodeDownFrame } from '#shared/wire/codec.ts';
import { openTestStore, type TestStore } from '../../test/support/pglite.ts';
import { NodeCache } from './node-cache.ts';

let db: TestStore;
let group: string;

beforeAll(async () => {
  db = await openTestStore(REGISTRY.entities);
  const { rows } = await db.store.db.query<{ id: string }>('SELECT id FROM groups');
  group = must(rows[0], 'a group').id;
}, 60_000);
afterAll(() => db.close());
beforeEach(() => db.store.db.query('DELETE FROM group_nodes'));

const idOf = (index: number): string => index.toString(16).padStart(64, '0');

async function put(...texts: string[]): Promise<void> {
  for (const [index, text] of texts.entries()) {
    await db.store.db.query('INSERT INTO group_nodes (group_id, id, text) VALUES ($1, $2, $3)', [
      group,
      idOf(index),
      text,
    ]);
  }
}

async function shards(cache: NodeCache, ...ids: string[]) {
  const decoded = decodeDownFrame(fromUtf8((await cache.frame(group, ids)).frame));
  if (!decoded.ok || decoded.frame.type !== 'shards') throw new Error('not a shards frame');
  return decoded.frame;
}

describe('the cache of tree nodes', () => {
  it('makes one frame of what is there and what is missing', async () => {
    await put('leaf\n{"a":"ä\\u0000"}', 'inner');
    const frame = await shards(new NodeCache(db.store.db), idOf(0), idOf(9), idOf(1));
    expect(frame.nodes).toEqual([
      { id: idOf(0), text: 'leaf\n{"a":"ä\\u0000"}' },
      { id: idOf(1), text: 'inner' },
    ]);
    expect(frame.missing).toEqual([idOf(9)]);
  });

  it('makes no frame that its reader would refuse for its size, and always some progress', async () => {
    const large = 'x'.repeat(3_000_000);
    await put(large, large, large, 'small');
    const cache = new NodeCache(db.store.db);
    let ids: readonly string[] = [0, 1, 2, 3].map(idOf);
    const seen: number[] = [];
    while (ids.length > 0) {
      const { frame, rest } = await cache.frame(group, ids);
      expect(decodeDownFrame(fromUtf8(frame)).ok).toBe(true);
      seen.push(ids.length - rest.length);
      ids = rest;
    }
    expect(seen).toEqual([1, 1, 1, 1]);
  });

  it('answers a second time from memory: nodes never change', async () => {
    await put('once');
    const cache = new NodeCache(db.store.db);
    const [first, second] = await Promise.all([shards(cache, idOf(0)), shards(cache, idOf(0))]);
    expect(first).toEqual(second);
    await db.store.db.query('DELETE FROM group_nodes');
    expect(await shards(cache, idOf(0))).toEqual(first);
  });

  it('asks again for what was missing: it may have been published since', async () => {
    const cache = new NodeCache(db.store.db);
    expect((await shards(cache, idOf(0))).missing).toHaveLength(1);
    await put('late');
    expect((await shards(cache, idOf(0))).nodes).toHaveLength(1);
  });

  it('holds no more than its bound, and lets go of what was used least', async () => {
    await put('a'.repeat(100), 'b'.repeat(100), 'c'.repeat(100), 'd'.repeat(1_000));
    const cache = new NodeCache(db.store.db, 400);
    for (const index of [0, 1, 0, 2, 3]) {
      await shards(cache, idOf(index));
      expect(cache.size).toBeLessThanOrEqual(400);
    }
    await db.store.db.query('DELETE FROM group_nodes');
    expect((await shards(cache, idOf(0), idOf(2))).nodes).toHaveLength(2);
    expect((await shards(cache, idOf(1), idOf(3))).nodes).toHaveLength(0);
  });

  it('never gives a node of one group to another', async () => {
    await put('secret');
    const cache = new NodeCache(db.store.db);
    await shards(cache, idOf(0));
    const other = await cache.frame('00000000-0000-4000-8000-000000000001', [idOf(0)]);
    expect(fromUtf8(other.frame)).not.toContain('secret');
  });
});
