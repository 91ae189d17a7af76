import { describe, expect, it } from 'vitest';
import { UniqueMap } from './unique-map.ts';

const [a, b, c] = [{ id: 'a' }, { id: 'b' }, { id: 'c' }];

describe('a map of values that should be unique', () => {
  it('is the same whichever of several came first', () => {
    const orders = [
      [a, b, c],
      [c, b, a],
      [b, c, a],
    ];
    for (const order of orders) {
      let map = UniqueMap.empty<{ id: string }>();
      for (const one of order) map = map.with([], [['x', one]]);
      expect([map.get('x'), map.size]).toEqual([c, 1]);
    }
  });

  it('keeps the right one when another goes', () => {
    const all = UniqueMap.empty<{ id: string }>().with(
      [],
      [
        ['x', a],
        ['x', b],
        ['x', c],
      ],
    );
    expect(all.with([['x', c]], []).get('x')).toBe(b);
    expect(all.with([['x', a]], []).get('x')).toBe(c);
    const one = all.with(
      [
        ['x', c],
        ['x', a],
      ],
      [],
    );
    expect(one.get('x')).toBe(b);
    expect(one.with([['x', b]], []).get('x')).toBeUndefined();
    expect(all.get('x')).toBe(c);
  });

  it('puts the new form of one in the place of the old', () => {
    const newer = { id: 'b', more: true };
    const map = UniqueMap.empty<{ id: string }>().with([], [['x', b]]);
    const next = map.with([['x', b]], [['x', newer]]);
    expect(next.get('x')).toBe(newer);
    expect(next.with([['x', newer]], []).size).toBe(0);
    expect(map.with([['y', b]], [])).toBe(map);
  });
});
