import { describe, expect, it } from 'vitest';
import { SeededRandom } from '../../test/support/seeded-random.ts';
import { nameOf, TestPool, type Weights } from './balancer.suite.ts';

const MILLION = 1_000_000;

/** Share of each target in so many picks, by what `pick` does with each. */
function sharesOf(count: number, pick: () => string): Map<string, number> {
  const counts = new Map<string, number>();
  for (let i = 0; i < count; i += 1) {
    const name = pick();
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  for (const [name, picked] of counts) counts.set(name, picked / count);
  return counts;
}

/** The furthest that a share is from what the weights say, relative to that. */
function worstError(shares: ReadonlyMap<string, number>, weights: Weights): number {
  const total = Object.values(weights).reduce((sum, weight) => sum + weight, 0);
  return Math.max(
    ...Object.entries(weights).map(([name, weight]) =>
      Math.abs((shares.get(name) ?? 0) / (weight / total) - 1),
    ),
  );
}

const UNEVEN = { a: 100, b: 50, c: 1, d: 1000, e: 7, f: 333 };

function many(count: number, weightOf: (i: number) => number): Weights {
  return Object.fromEntries(Array.from({ length: count }, (_, i) => [`${i}`, weightOf(i)]));
}

describe('over a million picks', () => {
  it.each([
    ['equal weights', { a: 1, b: 1, c: 1 }],
    ['uneven weights', UNEVEN],
    ['1,000 targets', many(1000, (i) => 1 + (i % 10))],
  ])('round robin gives %s their share within 1 %%', (_name, weights) => {
    const pool = new TestPool(weights);
    const names = new Map(Object.keys(weights).map((name) => [pool.peer(name), name]));
    const choice = pool.choice();

    const shares = sharesOf(MILLION, () => {
      const peer = pool.balancer.pick(choice);
      return (peer === null ? undefined : names.get(peer)) ?? '-';
    });

    expect(worstError(shares, weights)).toBeLessThan(0.01);
  });

  it('least connections gives uneven weights their share of what is under way', () => {
    const pool = new TestPool(UNEVEN, { algorithm: 'least-connections' });
    const choice = pool.choice();
    const shares = sharesOf(MILLION, () => {
      const peer = pool.balancer.pick(choice);
      if (peer !== null) pool.state.began(peer);
      return nameOf(peer);
    });

    expect(worstError(shares, UNEVEN)).toBeLessThan(0.01);
  });

  it('least connections gives equal weights equal shares, however long requests take', () => {
    const seed = Date.now() >>> 0;
    const random = new SeededRandom(seed);
    const weights = { a: 1, b: 1, c: 1, d: 1 };
    const pool = new TestPool(weights, { algorithm: 'least-connections' });
    const choice = pool.choice();
    const underWay: Parameters<typeof pool.state.ended>[0][] = [];
    const shares = sharesOf(MILLION, () => {
      const peer = pool.balancer.pick(choice);
      if (peer === null) return '-';
      pool.state.began(peer);
      underWay.push(peer);
      if (underWay.length < 40) return nameOf(peer);
      const index = random.below(underWay.length);
      const over = underWay[index] ?? peer;
      underWay[index] = underWay.at(-1) ?? peer;
      underWay.pop();
      pool.state.ended(over);
      return nameOf(peer);
    });

    expect(worstError(shares, weights), `seed ${seed}`).toBeLessThan(0.01);
  });

  it('latency gives peers that answer alike their share by weight', () => {
    const weights = { a: 1, b: 1, c: 2 };
    const pool = new TestPool(weights, { algorithm: 'latency' });
    const choice = pool.choice();
    const shares = sharesOf(MILLION, () => {
      const peer = pool.balancer.pick(choice);
      if (peer !== null) pool.state.began(peer);
      return nameOf(peer);
    });

    expect(worstError(shares, weights)).toBeLessThan(0.01);
  });
});

describe('consistent hashing', () => {
  const HASHED = { hash_on: 'ip', slots: 10_000 };

  function owners(pool: TestPool, count: number): string[] {
    return Array.from({ length: count }, (_, i) => pool.pick({ hashValue: `10.1.${i}` }));
  }

  it.each([
    // targets, worst share (relative to the weight) that is allowed
    ['3 equal targets', many(3, () => 100), 0.05],
    ['10 equal targets', many(10, () => 100), 0.1],
    ['100 equal targets', many(100, () => 100), 0.4],
    ['uneven weights', { a: 100, b: 50, d: 1000, f: 333 }, 0.1],
  ])('shares keys by weight among %s', (_name, weights, most) => {
    const pool = new TestPool(weights, HASHED);
    const names = new Map(Object.keys(weights).map((name) => [pool.peer(name), name]));
    let i = 0;
    const shares = sharesOf(MILLION / 4, () => {
      const peer = pool.balancer.pick(pool.choice({ hashValue: `key ${(i += 1)}` }));
      return (peer === null ? undefined : names.get(peer)) ?? '-';
    });

    expect(worstError(shares, weights)).toBeLessThan(most);
  });

  it.each([
    ['of equal weight', many(10, () => 100), '4'],
    ['that weighs most', { a: 100, b: 50, c: 1000, d: 7 }, 'c'],
    ['that weighs little', { a: 100, b: 50, c: 1000, d: 7 }, 'd'],
    ['among a hundred', many(100, (i) => 1 + (i % 7)), '57'],
  ])(
    'moves just the keys of a target %s when it leaves, and back when it returns',
    (_name, weights, leaving) => {
      const pool = new TestPool(weights, HASHED);
      const name = nameOf(pool.peer(leaving));
      const before = owners(pool, 40_000);

      pool.change(Object.fromEntries(Object.entries(weights).filter(([key]) => key !== leaving)));
      const after = owners(pool, 40_000);
      pool.change(weights);

      const least = before.filter((owner) => owner === name).length;
      const moved = after.filter((owner, i) => owner !== before[i]).length;
      expect(least).toBeGreaterThan(0);
      expect(moved).toBeLessThanOrEqual(1.2 * least);
      expect(moved).toBe(least);
      expect(owners(pool, 40_000)).toEqual(before);
    },
  );

  it('has the same owners whatever came before, on every node', () => {
    const grown = new TestPool({ a: 1, b: 2 }, HASHED);
    owners(grown, 20_000);
    grown.change({ a: 1, b: 2, c: 3 });
    owners(grown, 500);
    grown.change({ b: 2, c: 3, d: 4 });
    const fresh = new TestPool({ d: 4, c: 3, b: 2 }, HASHED);

    expect(owners(grown, 20_000)).toEqual(owners(fresh, 20_000));
  });

  it('has the same owners after any history', () => {
    const seed = Date.now() >>> 0;
    const random = new SeededRandom(seed);
    let weights: Record<string, number> = { 0: 1 };
    const pool = new TestPool(weights, HASHED);
    for (let step = 0; step < 40; step += 1) {
      const name = `${random.below(12)}`;
      const { [name]: known, ...others } = weights;
      weights =
        known !== undefined && random.chance(0.6)
          ? others
          : { ...weights, [name]: 1 + random.below(5) };
      pool.change(weights);
      owners(pool, random.below(3000));
    }
    if (Object.keys(weights).length === 0) weights = { 0: 1 };
    pool.change(weights);
    const fresh = new TestPool(weights, HASHED);
    expect(owners(pool, 5000), `seed ${seed}`).toEqual(owners(fresh, 5000));
  });

  it('moves no more to a target that joins than its share', () => {
    const pool = new TestPool({ a: 100, b: 100, c: 100 }, HASHED);
    const before = owners(pool, 40_000);
    pool.change({ a: 100, b: 100, c: 100, d: 100 });
    const after = owners(pool, 40_000);

    const moved = after.filter((owner, i) => owner !== before[i]);
    expect(new Set(moved)).toEqual(new Set(['d']));
    expect(moved.length / 40_000).toBeLessThan(0.25 * 1.1);
  });

  it('sends what has no value to one target', () => {
    const pool = new TestPool({ a: 1, b: 1, c: 1 }, HASHED);
    expect(new Set(pool.picks(50)).size).toBe(1);
  });

  it('spreads the keys of one that failed over all others, by weight', () => {
    const pool = new TestPool({ a: 1, b: 1, c: 2 }, HASHED);
    const tried = new Set([pool.peer('a')]);
    let i = 0;
    const shares = sharesOf(40_000, () => pool.pick({ tried, hashValue: `k${(i += 1)}` }));
    expect(worstError(shares, { b: 1, c: 2 })).toBeLessThan(0.1);
  });
});
