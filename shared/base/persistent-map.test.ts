import { describe, expect, it } from 'vitest';
import { PersistentMap } from './persistent-map.ts';

const SEED = Number(process.env['TEST_SEED'] ?? 20_261_124);

/** Mulberry32. */
function random(seed: number): (limit: number) => number {
  let state = seed | 0;
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296) * limit);
  };
}

function contents<V>(map: PersistentMap<V>): Map<string, V> {
  return new Map(map);
}

/**
 * 2^`blocks` keys that one hash does not tell apart, so that the next is asked: pairs of blocks that
 * lead from one state of the hash to one other, one after the other (Joux, "Multicollisions in
 * iterated hash functions", CRYPTO 2004).
 */
function colliding(blocks: number): string[] {
  let keys = [''];
  let state = 0x811c9dc5;
  for (let i = 0; i < blocks; i++) {
    const pair = collidingPair(state);
    keys = keys.flatMap((key) => pair.map((block) => key + block));
    state = advance(state, pair[0]);
  }
  return keys;
}

function collidingPair(state: number): [string, string] {
  const seen = new Map<number, string>();
  for (let n = 0; ; n++) {
    const block = n.toString(36).padStart(6, '0');
    const next = advance(state, block);
    const twin = seen.get(next);
    if (twin !== undefined) return [twin, block];
    seen.set(next, block);
  }
}

/** FNV-1a, as the map's first hash begins. */
function advance(state: number, text: string): number {
  let hash = state;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash;
}

describe('a persistent map', () => {
  it('is empty at first', () => {
    const map = PersistentMap.empty<number>();
    expect([map.size, map.get(''), map.has('a'), [...map]]).toEqual([0, undefined, false, []]);
    expect(map.delete('a')).toBe(map);
  });

  it('leaves the map before a change as it was', () => {
    const one = PersistentMap.from([['a', 1]]);
    const two = one.set('b', 2);
    const three = two.set('a', 3).delete('b');
    expect([one, two, three].map(contents)).toEqual([
      new Map([['a', 1]]),
      new Map([
        ['a', 1],
        ['b', 2],
      ]),
      new Map([['a', 3]]),
    ]);
  });

  it('is the same map when nothing changed', () => {
    const map = PersistentMap.from([
      ['a', 1],
      ['b', Number.NaN],
    ]);
    expect(map.set('a', 1)).toBe(map);
    expect(map.set('b', Number.NaN)).toBe(map);
    expect(map.delete('c')).toBe(map);
    expect(map.edit().set('a', 1).delete('c').done()).toBe(map);
  });

  it('holds undefined as a value, and any string as a key', () => {
    const keys = ['', '\0', '__proto__', 'constructor', '\ud800', 'é', 'x'.repeat(10_000)];
    const map = PersistentMap.from<undefined>(keys.map((key) => [key, undefined]));
    expect(map.size).toBe(keys.length);
    for (const key of keys) expect([map.has(key), map.get(key)]).toEqual([true, undefined]);
    expect(new Set(map.keys())).toEqual(new Set(keys));
  });

  it('refuses an edit that is done', () => {
    const edit = PersistentMap.empty<number>().edit();
    edit.done();
    expect(() => edit.set('a', 1)).toThrow(/done/);
    expect(() => edit.delete('a')).toThrow(/done/);
    expect(() => edit.done()).toThrow(/done/);
  });

  it('tells keys apart that have the same hash', () => {
    const keys = colliding(5);
    expect(new Set(keys).size).toBe(32);
    expect(new Set(keys.map((key) => advance(0x811c9dc5, key))).size).toBe(1);
    const map = PersistentMap.from(keys.map((key, n) => [key, n]));
    expect(keys.map((key) => map.get(key))).toEqual(keys.map((_, n) => n));
    const rest = new Map(map);
    let shrinking = map;
    for (const key of keys) {
      shrinking = shrinking.delete(key);
      rest.delete(key);
      expect(contents(shrinking)).toEqual(rest);
      expect(shrinking.has(key)).toBe(false);
    }
  });

  it(`does what a Map does, in any history (seed ${SEED})`, () => {
    const below = random(SEED);
    const odd = colliding(4);
    for (let round = 0; round < 40; round++) {
      const keyCount = 1 + below(400);
      const key = (): string => {
        const n = below(keyCount);
        return odd[n] ?? `key-${n}`;
      };
      let map = PersistentMap.empty<number>();
      const model = new Map<string, number>();
      const past: { map: PersistentMap<number>; model: Map<string, number> }[] = [];
      for (let step = 0; step < 60; step++) {
        const edit = map.edit();
        for (let n = below(20); n >= 0; n--) {
          const at = key();
          if (below(5) < 2) {
            edit.delete(at);
            model.delete(at);
          } else {
            const value = below(3);
            edit.set(at, value);
            model.set(at, value);
          }
          expect([edit.size, edit.get(at)]).toEqual([model.size, model.get(at)]);
        }
        map = edit.done();
        past.push({ map, model: new Map(model) });
      }
      for (const then of past) {
        expect(then.map.size).toBe(then.model.size);
        expect(contents(then.map)).toEqual(then.model);
        for (const [at, value] of then.model) expect(then.map.get(at)).toBe(value);
        // However it came about, the order is that of its content.
        expect([...then.map.keys()]).toEqual([...PersistentMap.from(then.model).keys()]);
      }
    }
  });
});
