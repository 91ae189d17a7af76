import { describe, expect, it } from 'vitest';
import { nameOf, TestPool } from './balancer.suite.ts';
import { observeLatency } from './latency.ts';
import type { Peer } from './peer.ts';

/** How far apart the picks of one target are. */
function gapsOf(order: string, name: string): number[] {
  const at = [...order].flatMap((each, i) => (each === name ? [i] : []));
  return at.slice(1).map((index, i) => index - (at[i] ?? 0));
}

describe('a change to one target', () => {
  it('leaves the turns of the others as they are (round robin)', () => {
    const pool = new TestPool({ a: 10, b: 10, c: 10, d: 10 });
    const before = pool.picks(22);
    pool.change({ a: 10, b: 10, c: 10, d: 30 });
    const after = pool.picks(24);

    // Nobody is picked twice in a row, or left out, because somebody else weighs more now.
    for (const name of ['a', 'b', 'c']) {
      const gaps = gapsOf(before + after, name);
      expect(Math.min(...gaps), name).toBeGreaterThanOrEqual(3);
      expect(Math.max(...gaps), name).toBeLessThanOrEqual(8);
    }
    expect(after.split('d').length - 1).toBe(12);
  });

  it('brings no burst to one that joins, or that comes back (round robin)', () => {
    const pool = new TestPool({ a: 1, b: 1 });
    pool.picks(10_000);
    pool.change({ a: 1, b: 1, c: 1 });
    expect(gapsOf(`c${pool.picks(12)}`, 'c').slice(1)).toEqual([3, 3, 3]);

    pool.change({ a: 1, b: 1, c: 0 });
    pool.picks(1000);
    pool.change({ a: 1, b: 1, c: 1 });
    expect(pool.picks(12).split('c').length - 1).toBe(4);
  });

  it('keeps what is under way counted (least connections)', () => {
    const pool = new TestPool({ a: 1, b: 1, c: 1 }, { algorithm: 'least-connections' });
    const held: Peer[] = [];
    for (const name of ['a', 'a', 'b', 'b', 'c']) {
      pool.state.began(pool.peer(name));
      held.push(pool.peer(name));
    }
    pool.change({ a: 1, b: 1, c: 1, d: 4 });

    expect(pool.pick()).toBe('d');
    expect(pool.picks(1)).toBe('d');
    pool.change({ a: 1, b: 1, c: 1 });
    expect(pool.pick()).toBe('c');
    // They end by the peer that they began with, whatever the version.
    for (const peer of held) pool.state.ended(peer);
    expect([pool.state.active, pool.peer('a').active]).toEqual([0, 0]);
  });

  it('drains one whose weight becomes 0: what is under way goes on, nothing new comes', () => {
    const pool = new TestPool({ a: 1, b: 1 }, { algorithm: 'least-connections' });
    const peer = pool.peer('a');
    pool.state.began(peer);
    pool.change({ a: 0, b: 1 });
    expect(pool.picks(4)).toBe('bbbb');
    expect(peer.active).toBe(1);
    pool.state.ended(peer);
    expect(peer.active).toBe(0);
  });

  it('keeps what is known of speed, and starts one that is new at the average (latency)', () => {
    const pool = new TestPool({ a: 1, b: 1 }, { algorithm: 'latency' });
    observeLatency(pool.peer('a'), 10, 0);
    observeLatency(pool.peer('b'), 30, 0);
    pool.change({ a: 1, b: 1, c: 1 });
    pool.pick();
    const known = ['a', 'b', 'c'].map((name) => pool.peer(name).latencyMs);
    expect(known).toEqual([10, 30, 20]);
    expect(pool.picks(3)).toBe('aaa');
  });

  it('lets a try that began with the version before end by it', () => {
    const pool = new TestPool({ a: 1, b: 1 }, { algorithm: 'least-connections' });
    const old = pool.balancer;
    pool.change({ c: 1 });
    pool.state.began(pool.peer('c'));
    const first = old.pick(pool.choice());
    const second = old.pick(pool.choice({ tried: new Set(first === null ? [] : [first]) }));
    expect([nameOf(first), nameOf(second)].toSorted()).toEqual(['a', 'b']);
  });

  it('lets the version before see what the next one has under way', () => {
    const pool = new TestPool({ a: 1, b: 1 }, { algorithm: 'least-connections' });
    const old = pool.balancer;
    pool.change({ a: 1, c: 1 });
    expect(nameOf(old.pick(pool.choice()))).toBe('a');
    for (let i = 0; i < 3; i += 1) pool.state.began(pool.peer('a'));
    expect(pool.picks(2)).toBe('cc');
    for (let i = 0; i < 3; i += 1) expect(nameOf(old.pick(pool.choice()))).toBe('b');
  });
});

// Source: Kong `runloop/balancer/latency.lua`, decay_ewma
describe('the average of latency', () => {
  it('forgets by e every 10 seconds', () => {
    const pool = new TestPool({ a: 1 }, { algorithm: 'latency' });
    const peer = pool.peer('a');
    observeLatency(peer, 100, 0);
    observeLatency(peer, 0, 10_000);
    expect(peer.latencyMs).toBeCloseTo(100 / Math.E, 6);
    observeLatency(peer, 50, 10_000);
    expect(peer.latencyMs).toBeCloseTo(100 / Math.E, 6);
  });

  it('asks a slow one again when nobody has for a while', () => {
    const pool = new TestPool({ a: 1, b: 1 }, { algorithm: 'latency' });
    observeLatency(pool.peer('a'), 10, 0);
    observeLatency(pool.peer('b'), 1000, 0);
    expect(pool.picks(5)).toBe('aaaaa');
    for (let second = 1; second <= 60; second += 1) {
      pool.nowMs = second * 1000;
      observeLatency(pool.peer('a'), 10, pool.nowMs);
    }
    expect(pool.pick()).toBe('b');
  });

  it('counts what is under way, so that a stalled one is left alone before it answers', () => {
    const pool = new TestPool({ a: 1, b: 1 }, { algorithm: 'latency' });
    observeLatency(pool.peer('a'), 10, 0);
    observeLatency(pool.peer('b'), 25, 0);
    for (let i = 0; i < 3; i += 1) pool.state.began(pool.peer('a'));
    expect(pool.pick()).toBe('b');
  });
});
