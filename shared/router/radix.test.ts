import { describe, expect, it } from 'vitest';
import { collectPrefixes, collectSuffixes, RadixEdit, radixGet, reversed } from './radix.ts';
import type { Radix } from './radix.ts';
import { SEED, Seeded } from './seeded.suite.ts';

function edited(root: Radix<number>, change: (edit: RadixEdit<number>) => void): Radix<number> {
  const edit = new RadixEdit(root, {});
  change(edit);
  return edit.root;
}

function treeOf(content: ReadonlyMap<string, number>): Radix<number> {
  return edited(null, (edit) => {
    for (const [key, value] of content) edit.open(key).value = value;
  });
}

/** Without the owners, which say who made a node. */
function shapeOf(root: Radix<number>): unknown {
  if (root === null) return null;
  const { label, value, codes, children } = root;
  return { label, value, codes: [...codes], children: children.map(shapeOf) };
}

describe('a radix tree', () => {
  it('finds the keys that begin a text, shortest first, and those that end it', () => {
    const tree = treeOf(
      new Map([
        ['', 0],
        ['/a', 1],
        ['/ab/c', 2],
        ['/b', 3],
      ]),
    );
    const found: number[] = [];
    collectPrefixes(tree, '/ab/cd', found);
    expect(found).toEqual([0, 1, 2]);

    const ends: number[] = [];
    const suffixes = treeOf(
      new Map([
        [reversed('.com'), 1],
        [reversed('.a.com'), 2],
        [reversed('.b.com'), 3],
      ]),
    );
    collectSuffixes(suffixes, 'x.a.com', ends);
    expect(ends).toEqual([1, 2]);
  });

  it('holds what a map holds, in a shape that depends on nothing else, and leaves old trees alone', () => {
    const random = new Seeded(SEED);
    let tree: Radix<number> = null;
    let content = new Map<string, number>();
    const key = (): string => {
      const length = random.below(5);
      return Array.from({ length }, () => random.pick(['a', 'b', 'c', '/', 'é'])).join('');
    };
    for (let round = 0; round < 2_000; round += 1) {
      const before = { tree, shape: JSON.stringify(shapeOf(tree)) };
      content = new Map(content);
      tree = edited(tree, (edit) => {
        for (let i = random.below(4); i >= 0; i -= 1) {
          const text = key();
          if (random.chance(0.5)) {
            edit.remove(text);
            content.delete(text);
          } else {
            edit.open(text).value = round;
            content.set(text, round);
          }
        }
      });
      const where = `seed ${SEED}, round ${round}`;
      expect(JSON.stringify(shapeOf(before.tree)), where).toBe(before.shape);
      expect(shapeOf(tree), where).toEqual(shapeOf(treeOf(content)));
      const text = key() + key();
      const prefixes: number[] = [];
      collectPrefixes(tree, text, prefixes);
      const expected = Array.from({ length: text.length + 1 }, (_, end) => text.slice(0, end));
      expect(prefixes, where).toEqual(expected.flatMap((prefix) => content.get(prefix) ?? []));
      const suffixes: number[] = [];
      collectSuffixes(tree, reversed(text), suffixes);
      expect(suffixes, where).toEqual(prefixes);
      const asked = key();
      expect(radixGet(tree, asked), where).toBe(content.get(asked) ?? null);
    }
  });

  it('grows wide', () => {
    const keys = Array.from({ length: 5_000 }, (_, code) => String.fromCharCode(0x4e00 + code));
    const tree = treeOf(new Map(keys.map((key, index) => [key, index])));

    for (const [index, key] of keys.entries()) expect(radixGet(tree, key)).toBe(index);
    expect(radixGet(tree, 'x')).toBeNull();
  });
});
