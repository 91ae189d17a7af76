/**
 * This release and the one after it, side by side, in any order, and back again. `UPGRADE_ORDERS` for more
 * orders (24 are all of them), `UPGRADE_SEED` for the choices of a run.
 */
import { randomInt } from 'node:crypto';
import { afterAll, describe, expect, it } from 'vitest';
import { check, summary } from '../chaos/history.ts';
import { skipWithoutPostgres } from '../support/missing-postgres.ts';
import { startPostgres } from '../support/postgres.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { NAMES, Rolling, type Name, type Order } from './rolling.ts';

const SEED = Number(process.env['UPGRADE_SEED'] ?? randomInt(2 ** 31));
const COUNT = Number(process.env['UPGRADE_ORDERS'] ?? 2);
const CONVERGENCE_MS_MAX = 20_000;
const ORDER_MS_MAX = 180_000;

/** There and back. The first two are those that hurt most; then all the others, in any order. */
const FIRST: readonly (readonly [Order, Order])[] = [
  [
    ['1', 'a', '2', 'b'],
    ['a', '1', 'b', '2'],
  ],
  [
    ['a', 'b', '1', '2'],
    ['b', '2', '1', 'a'],
  ],
];

function permutations(names: readonly Name[]): Order[] {
  if (names.length < 2) return [names];
  return names.flatMap((name) =>
    permutations(names.filter((other) => other !== name)).map((rest) => [name].concat(rest)),
  );
}

function ordersOf(count: number): (readonly [Order, Order])[] {
  const random = new SeededRandom(SEED);
  const all = permutations(NAMES);
  const isNew = (order: Order): boolean => !FIRST.some(([first]) => first.join() === order.join());
  const others = all
    .filter(isNew)
    .map((order) => ({ order, at: random.next() }))
    .toSorted((one, other) => one.at - other.at)
    .map(({ order }) => [order, all[random.below(all.length)] ?? order] as const);
  return [...FIRST, ...others].slice(0, count);
}

const postgres = await startPostgres();

if ('missing' in postgres) {
  skipWithoutPostgres(postgres);
} else {
  describe('an upgrade to the next release, one process after the other, and back', () => {
    afterAll(() => postgres.stop());

    it(
      `in ${COUNT} orders fails no request, loses no write, begins no epoch, and comes to rest`,
      async () => {
        const startedMs = performance.now();
        const run = await Rolling.start(postgres, SEED);
        let published = 0;
        try {
          for (const [there, back] of ordersOf(COUNT)) {
            await run.bring(there, 'next');
            await run.bring(back, 'this');
          }
          // Of each release one: neither may publish what the other did, again and again.
          await run.step('a', 'next');
          await run.step('1', 'next');
          published = await run.rest();
          expect(await run.epochs()).toBe(0);
        } finally {
          await run.close();
        }
        const counts = summary(run.history);
        const seconds = Math.round((performance.now() - startedMs) / 1_000);
        const spent = Object.entries(run.seconds)
          .map(([what, s]) => `${what} ${Math.round(s)} s`)
          .join(', ');
        console.log(
          `seed ${SEED}: ${COUNT} orders in ${seconds} s, ${JSON.stringify(counts)}, ` +
            `${run.requests} requests answered; ${spent}`,
        );
        expect(check(run.history, { convergenceMs: CONVERGENCE_MS_MAX })).toEqual([]);
        expect(published, 'revisions while nothing was changed').toBe(0);
        expect(run.errors).toEqual([]);
        expect(counts['unknown'] ?? 0).toBe(0);
        expect(counts['acked']).toBeGreaterThan(COUNT * 50);
        expect(run.requests).toBeGreaterThan(COUNT * 300);
      },
      (COUNT + 1) * ORDER_MS_MAX,
    );
  });
}
