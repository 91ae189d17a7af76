import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nodeCrypto as crypto } from '../platform/node/crypto.ts';
import { makeRecord, type ConfigRecord, type RecordKey } from './record.ts';
import { placementPath } from './tree-node.ts';
import { ConfigTree, LEAF_RECORDS_MAX, parseNode } from './tree.ts';

const WS = '00000000-0000-4000-8000-000000000001';

function record(id: string, version = 1, placement = id): ConfigRecord {
  return makeRecord({ kind: 'routes', ws: WS, id, placement }, { id, version }, crypto);
}

function tree(records: readonly ConfigRecord[]): ConfigTree {
  return ConfigTree.empty(crypto).apply(records, []);
}

function many(count: number, version = 1): ConfigRecord[] {
  return Array.from({ length: count }, (_, i) => record(`r${i}`, version));
}

/** Content as plain data, by key. */
function content(of: ConfigTree): Record<string, string> {
  return Object.fromEntries([...of.records()].map((entry) => [entry.id, entry.text]));
}

function keyOf(of: ConfigRecord): RecordKey {
  return { kind: of.kind, ws: of.ws, id: of.id, placement: of.placement };
}

function parse({ id, text }: { id: string; text: string }, prefix = ''): boolean {
  return parseNode(text, id, crypto, prefix).ok;
}

// Sets of up to 400 records around the sizes where leaves split, some of them sharing a placement.
const sets = fc
  .uniqueArray(fc.tuple(fc.integer({ min: 0, max: 500 }), fc.integer({ min: 1, max: 2 })), {
    selector: ([id]) => id,
    minLength: 0,
    maxLength: 400,
    size: 'max',
  })
  .map((pairs) =>
    pairs.map(([id, version]) => record(`r${id}`, version, id < 150 ? 'same' : `r${id}`)),
  );

describe('ConfigTree', () => {
  it('has a shape that depends on its content and not on its history', () => {
    fc.assert(
      fc.property(sets, sets, fc.integer({ min: 1, max: 50 }), (target, detour, step) => {
        const direct = tree(target);

        let wandering = tree(detour);
        for (let at = 0; at < target.length; at += step) {
          wandering = wandering.apply(target.slice(at, at + step).toReversed(), []);
        }
        const kept = new Set(target.map((entry) => entry.id));
        wandering = wandering.apply([], detour.filter((entry) => !kept.has(entry.id)).map(keyOf));

        expect(wandering.hash).toBe(direct.hash);
        expect([...wandering.nodes()]).toEqual([...direct.nodes()]);
        expect(wandering.size).toBe(target.length);
      }),
      { numRuns: 60 },
    );
  });

  it('goes from one content to another by the diff of the two', () => {
    fc.assert(
      fc.property(sets, sets, (before, after) => {
        const older = tree(before);
        const newer = tree(after);

        const diff = newer.diff(older);

        expect(older.apply(diff.upserts, diff.removals).hash).toBe(newer.hash);
        const ids = new Set([...older.nodes()].map((node) => node.id));
        for (const id of diff.droppedNodeIds) expect(ids.delete(id)).toBe(true);
        for (const node of diff.addedNodes) {
          expect(older.nodeMap().has(node.id)).toBe(false);
          ids.add(node.id);
        }
        expect(ids).toEqual(new Set([...newer.nodes()].map((node) => node.id)));
      }),
      { numRuns: 60 },
    );
  });

  it('splits a leaf with the record after the 128th and joins it again without it', () => {
    const full = tree(many(LEAF_RECORDS_MAX));
    const split = full.apply([record('one more')], []);
    const joined = split.apply([], [keyOf(record('one more'))]);

    expect([...full.nodes()]).toHaveLength(1);
    expect([...split.nodes()].length).toBeGreaterThan(2);
    expect(joined.hash).toBe(full.hash);
    expect([...joined.nodes()]).toHaveLength(1);
  });

  it('keeps records of one placement in one leaf, however many', () => {
    const crowd = Array.from({ length: 300 }, (_, i) => record(`t${i}`, 1, 'upstream'));
    const alone = tree(crowd);
    const accompanied = alone.apply(many(3), []);

    expect([...alone.nodes()]).toHaveLength(1);
    expect([...accompanied.nodes()].length).toBeLessThan(12);
    expect(accompanied.apply([], many(3).map(keyOf)).hash).toBe(alone.hash);
    const diff = alone.diff(accompanied);
    expect(diff.droppedNodeIds).not.toContain(alone.hash);
    expect(diff.addedNodes).toEqual([]);
  });

  it('is the same tree when nothing changes', () => {
    const before = tree(many(300));
    expect(before.apply(many(20), [keyOf(record('absent'))])).toBe(before);
  });

  it('shares the nodes that a change does not touch', () => {
    const before = tree(many(3000));
    const after = before.apply([record('r77', 2)], []);

    const diff = after.diff(before);
    expect(diff.upserts.map((entry) => entry.id)).toEqual(['r77']);
    expect(diff.removals).toEqual([]);
    expect(diff.addedNodes.length).toBeLessThanOrEqual(4);
    expect(diff.droppedNodeIds).toHaveLength(diff.addedNodes.length);
  });

  it('finds a record by its key and no other', () => {
    const full = tree(many(500));
    expect(full.get(keyOf(record('r123')))?.text).toBe(record('r123').text);
    expect(full.get(keyOf(record('r500')))).toBeNull();
    expect(full.get({ ...keyOf(record('r123')), kind: 'services' })).toBeNull();
    expect(full.get({ ...keyOf(record('r123')), ws: 'other' })).toBeNull();
    expect(ConfigTree.empty(crypto).get(keyOf(record('r1')))).toBeNull();
  });

  it('lets the upsert win over the removal of one key, and the last of two upserts', () => {
    const key = keyOf(record('a'));
    const after = tree([record('a')]).apply([record('a', 2), record('a', 3)], [key]);
    expect(content(after)).toEqual({ a: record('a', 3).text });
  });

  it('has one hash when it is empty, however it came to be', () => {
    const emptied = tree(many(200)).apply([], many(200).map(keyOf));
    expect(emptied.hash).toBe(ConfigTree.empty(crypto).hash);
    expect(emptied.size).toBe(0);
    expect([...emptied.records()]).toEqual([]);
  });

  it('gives its nodes as a map of texts', () => {
    const full = tree(many(300));
    const expected = [...full.nodes()].map((node) => [node.id, node.text]);
    expect([...full.nodeMap()]).toEqual(expected);
    expect(full.nodeMap().get(full.hash)).toBe(expected[0]?.[1]);
    expect(full.nodeMap().size).toBe(expected.length);
    expect(full.nodeMap().has('nobody')).toBe(false);
  });
});

describe('parseNode', () => {
  const full = tree(many(300));
  const nodes = [...full.nodes()];

  it('reads every node of a tree', () => {
    for (const { id, text } of nodes) expect(parseNode(text, id, crypto).ok).toBe(true);
    const [empty] = [...ConfigTree.empty(crypto).nodes()];
    expect(empty && parseNode(empty.text, empty.id, crypto)).toMatchObject({
      ok: true,
      node: { type: 'leaf', records: [] },
    });
  });

  it('refuses a node with any one character changed', () => {
    const leaf = nodes.find((node) => node.text.startsWith('leaf'));
    for (const { id, text } of [nodes[0], leaf].filter((node) => node !== undefined)) {
      for (let at = 0; at < text.length; at += 7) {
        const flipped = String.fromCharCode(text.charCodeAt(at) ^ 1);
        const changed = text.slice(0, at) + flipped + text.slice(at + 1);
        expect(parseNode(changed, id, crypto).ok).toBe(false);
      }
    }
  });

  it.each(['', 'leaf', 'inner', 'leaf\n', 'leaf\n{}', 'leaf\nnull', '{"a":1}', 'tree\n'])(
    'refuses %j under the id of another node',
    (text) => {
      expect(parseNode(text, full.hash, crypto).ok).toBe(false);
    },
  );

  it('refuses a leaf out of order, too large, or under a prefix that is not its own', () => {
    const entries = many(200)
      .map((entry) => ({ path: placementPath(WS, entry.placement, crypto), entry }))
      .toSorted((a, b) => (a.path < b.path ? -1 : 1));
    const texts = entries.map(({ entry }) => entry.text);
    const hashes = entries.map(({ entry }) => entry.hash);
    const leafOf = (from: number, to: number, flip: boolean) => {
      const order = <T>(list: T[]): T[] => (flip ? list.toReversed() : list);
      const preimage = ['leaf', ...order(hashes.slice(from, to))].join('\n');
      const id = Buffer.from(crypto.sha256(preimage)).toString('hex');
      return { id, text: ['leaf', ...order(texts.slice(from, to))].join('\n') };
    };
    expect(parse(leafOf(0, 128, false))).toBe(true);
    expect(parse(leafOf(0, 129, false))).toBe(false);
    expect(parse(leafOf(0, 2, true))).toBe(false);
    expect(parse(leafOf(0, 1, false), entries[0]?.path.slice(0, 3))).toBe(true);
    expect(parse(leafOf(0, 1, false), 'fff')).toBe(false);
    expect(parse(leafOf(0, 0, false))).toBe(true);
    expect(parse(leafOf(0, 0, false), '0')).toBe(false);
  });

  it('refuses an inner node of no more records than fit a leaf', () => {
    const child = 'a'.repeat(64);
    const inner = (count: string): boolean => {
      const text = ['inner', `${count}:${child}`, ...Array.from({ length: 15 }, () => '-')].join(
        '\n',
      );
      const id = Buffer.from(crypto.sha256(text)).toString('hex');
      return parseNode(text, id, crypto).ok;
    };
    expect(inner('129')).toBe(true);
    expect(inner('128')).toBe(false);
    expect(inner('0129')).toBe(false);
    expect(inner('-129')).toBe(false);
    expect(inner('1e3')).toBe(false);
  });
});
