import { describe, expect, it } from 'vitest';
import { TestPool } from './balancer.suite.ts';
import type { Peer } from './peer.ts';
import { readTarget } from './target.ts';

describe('round robin', () => {
  it('interleaves by weight', () => {
    // Seven to a round: never the light ones side by side, never more than three a in a row.
    const order = new TestPool({ a: 5, b: 1, c: 1 }).picks(70);
    expect(order).not.toMatch(/aaaa|bc|cb|bb|cc/);
    expect(new TestPool({ a: 100, b: 100 }).picks(4)).toBe('abab');
  });

  it('gives each target exactly its share of a round', () => {
    const weights = { a: 3, b: 7, c: 10, d: 1 };
    const round = new TestPool(weights).picks(21);

    for (const [name, weight] of Object.entries(weights)) {
      expect(round.split(name).length - 1, name).toBe(weight);
    }
  });

  it('does not depend on the order in which targets come', () => {
    const one = new TestPool({ c: 1, a: 2, b: 1 });
    expect(one.picks(8)).toBe(new TestPool({ a: 2, b: 1, c: 1 }).picks(8));
  });

  it('sends nothing to weight 0', () => {
    expect(new TestPool({ a: 0, b: 1 }).picks(3)).toBe('bbb');
    expect(new TestPool({ a: 0 }).pick()).toBe('-');
    expect(new TestPool({}).pick()).toBe('-');
  });

  it('leaves out what was tried, and answers null when nothing is left', () => {
    const three = new TestPool({ a: 1, b: 1, c: 1 });
    const tried = new Set<Peer>();
    const order: string[] = [];
    const choice = three.choice({ tried });
    for (let next = three.balancer.pick(choice); next !== null;) {
      tried.add(next);
      order.push(next.host);
      next = three.balancer.pick(choice);
    }

    expect(order.toSorted()).toEqual(['fd00::a', 'fd00::b', 'fd00::c']);
    expect(three.balancer.pick(choice)).toBeNull();
  });

  it('keeps the turn of targets that a rebuild leaves as they are', () => {
    const weights = { a: 2, b: 1, c: 1 };
    const uninterrupted = new TestPool(weights).picks(8);
    const pool = new TestPool(weights);
    let rebuilt = '';
    for (let i = 0; i < 8; i += 1) {
      rebuilt += pool.picks(1);
      pool.change(weights);
    }

    expect(rebuilt).toBe(uninterrupted);
  });
});

describe('readTarget', () => {
  it.each([
    ['example.com', 'example.com', 8000, 'example.com:8000'],
    ['example.com:80', 'example.com', 80, 'example.com:80'],
    ['10.0.0.1:81', '10.0.0.1', 81, '10.0.0.1:81'],
    ['[::1]:82', '::1', 82, '[::1]:82'],
    ['[::1]', '::1', 8000, '[::1]:8000'],
  ])('reads %s', (address, host, port, key) => {
    expect(readTarget({ target: address, weight: 100 })).toEqual({ key, host, port, weight: 100 });
  });

  it('refuses what has no host', () => {
    expect(readTarget({ target: ':80', weight: 100 })).toBeNull();
  });
});
