import { describe, expect, it } from 'vitest';
import { SeededRandom } from '../../test/support/seeded-random.ts';
import { Balancer, placesToGo, surplus } from './balance.ts';
import type { Peer } from './control-planes.ts';

const peer = (name: string, sessions: number): Peer => ({
  id: name,
  urls: [`wss://${name}.test`],
  sessions,
});

describe('sharing nodes among control planes', () => {
  it('moves nothing when there is nowhere to go', () => {
    expect(surplus(1000, [])).toBe(0);
    expect(surplus(1000, [{ id: 'a', urls: [], sessions: 0 }])).toBe(0);
  });

  it('moves nothing for a small difference', () => {
    expect(surplus(2, [peer('a', 1)])).toBe(0);
    expect(surplus(1, [peer('a', 0)])).toBe(0);
    expect(surplus(108, [peer('a', 92)])).toBe(0);
  });

  it('never moves more than a tenth, or five, at a time', () => {
    expect(surplus(2000, [peer('a', 0)])).toBe(200);
    expect(surplus(30, [peer('a', 0)])).toBe(5);
  });

  it('evens out, from any beginning, without swinging', () => {
    for (const start of [
      [2000, 0, 0],
      [30, 1, 0],
      [500, 500, 0],
      [3, 0, 0],
      [100, 1, 700, 20],
    ]) {
      const random = new SeededRandom(7);
      let counts = start;
      const average = counts.reduce((sum, count) => sum + count, 0) / counts.length;
      let rounds = 0;
      for (; rounds < 100; rounds += 1) {
        // All look at the same leases at the same time: the worst case.
        const seen = counts;
        const next = [...counts];
        seen.forEach((own, self) => {
          const peers = seen.flatMap((sessions, i) => (i === self ? [] : [peer(`${i}`, sessions)]));
          for (let moved = surplus(own, peers); moved > 0; moved -= 1) {
            const [first] = placesToGo(own, peers, random);
            const to = Number(/\d+/.exec(first ?? '')?.[0]);
            next[self] = (next[self] ?? 0) - 1;
            next[to] = (next[to] ?? 0) + 1;
          }
        });
        if (next.every((count, i) => count === counts[i])) break;
        counts = next;
      }
      expect(rounds, start.join()).toBeLessThan(60);
      for (const count of counts) expect(count).toBeLessThanOrEqual(average * 1.1 + 1);
    }
  });

  it('names every reachable control plane once, the emptier one first more often', () => {
    const random = new SeededRandom(1);
    const peers = [peer('full', 100), peer('empty', 0), { id: 'x', urls: [], sessions: 0 }];
    const places = Array.from({ length: 200 }, () => placesToGo(150, peers, random));
    for (const order of places) {
      expect(order.toSorted()).toEqual(['wss://empty.test', 'wss://full.test']);
    }
    const toEmpty = places.filter(([first]) => first === 'wss://empty.test').length;
    expect(toEmpty).toBeGreaterThan(130);
    expect(toEmpty).toBeLessThan(200);
  });

  it('tries ever more rarely when the nodes come back, and at once again when it helps', () => {
    const balancer = new Balancer();
    const others = [peer('a', 0)];
    const moves = Array.from({ length: 200 }, () => balancer.round(40, others));
    const tries = moves.filter((count) => count > 0).length;
    expect(tries).toBeGreaterThan(3);
    expect(tries).toBeLessThan(9);

    const helped = new Balancer();
    const counts = [40, 35, 30, 25].map((own) => helped.round(own, [peer('a', 40 - own)]));
    expect(counts.slice(0, 3).every((count) => count > 0)).toBe(true);
  });
});
