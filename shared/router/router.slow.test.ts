import { describe, expect, it } from 'vitest';
import { asksOf, entriesOf, MIXES } from './mixes.suite.ts';
import type { Mix } from './mixes.suite.ts';
import { routeEntry } from './route-entry.suite.ts';
import { buildRouter } from './router.ts';
import { Seeded } from './seeded.suite.ts';

/**
 * Costs grow with the depth of trees and with what no longer fits into the processor's caches, both a
 * fraction of these; a list that is walked, or a part that is copied, costs a hundred times as much.
 */
const GROWTH_MAX = 10;
/** Of building ten times as many: ten for a linear one, a hundred for a quadratic one. */
const BUILD_GROWTH_MAX = 60;
const UPDATE_MAX_MS = 1;
const ATTEMPTS = 3;

const BATCH = 50;
const BATCHES = 300;

function median(costs: readonly number[]): number {
  return costs.toSorted((a, b) => a - b)[costs.length >> 1] ?? 0;
}

function measured(run: () => void): number {
  const beganAt = performance.now();
  run();
  return performance.now() - beganAt;
}

function costsOf(mix: Mix, count: number) {
  const random = new Seeded(1);
  const entries = entriesOf(mix, count, random);
  let { router } = buildRouter([], mix.flavor);
  const builds = [1, 2].map(() =>
    measured(() => {
      router = buildRouter(entries, mix.flavor).router;
    }),
  );
  const asks = asksOf(mix, count, random);
  let at = 0;
  let matched = 0;
  const batch = (): void => {
    for (let i = 0; i < BATCH; i += 1) {
      const ask = asks[at];
      at = (at + 1) % asks.length;
      if (ask !== undefined && ask(router) !== null) matched += 1;
    }
  };
  for (let i = 0; i < 100; i += 1) batch();
  const match = median(Array.from({ length: BATCHES }, () => measured(batch)));
  const replace = median(
    Array.from({ length: BATCHES }, () => {
      const index = random.below(count);
      const old = entries[index];
      const fresh = routeEntry(mix.route(index), random);
      entries[index] = fresh;
      return measured(() => {
        router = router.update(old === undefined ? [] : [old], [fresh]).router;
      });
    }),
  );
  return { build: Math.min(...builds), match, replace, matched };
}

/** What 100,000 routes cost in terms of 1,000, and in building of 10,000. */
function growth(mix: Mix) {
  const few = costsOf(mix, 1_000);
  const some = costsOf(mix, 10_000);
  const many = costsOf(mix, 100_000);
  return {
    match: many.match / few.match,
    replace: many.replace / few.replace,
    replaceMs: many.replace,
    build: many.build / some.build,
    matched: many.matched,
  };
}

function isCheap({ match, replace, replaceMs, build }: ReturnType<typeof growth>): boolean {
  const isQuick = match < GROWTH_MAX && replace < GROWTH_MAX && replaceMs < UPDATE_MAX_MS;
  return isQuick && build < BUILD_GROWTH_MAX;
}

describe.each(MIXES)('with $name', (mix) => {
  it('100,000 routes cost about what 1,000 do', { timeout: 120_000 }, () => {
    // Before anything counts, for the compiler.
    costsOf(mix, 10_000);
    let found = growth(mix);
    // A machine that others use has bad moments; what is slow by itself is slow every time.
    for (let again = 1; again < ATTEMPTS && !isCheap(found); again += 1) {
      found = growth(mix);
    }

    expect(found.matched > 0).toBe(mix.name !== 'no match');
    expect(found.match, 'a match').toBeLessThan(GROWTH_MAX);
    expect(found.replace, 'a replacement').toBeLessThan(GROWTH_MAX);
    expect(found.replaceMs, 'a replacement, ms').toBeLessThan(UPDATE_MAX_MS);
    expect(found.build, 'building').toBeLessThan(BUILD_GROWTH_MAX);
  });
});
