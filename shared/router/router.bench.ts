/**
 * What building, matching and updating cost as routes grow.
 * Run: node shared/router/router.bench.ts [part of a mix's name]
 */
import { asksOf, entriesOf, MIXES } from './mixes.suite.ts';
import type { Ask, Mix } from './mixes.suite.ts';
import { buildRouter } from './router.ts';
import type { Router } from './router.ts';
import { Seeded } from './seeded.suite.ts';
import { routeEntry } from './route-entry.suite.ts';

const BATCH = 100;
const BATCHES = 400;
const UPDATES = 200;

for (const mix of MIXES.filter(({ name }) => name.includes(process.argv[2] ?? ''))) {
  for (const count of [1_000, 10_000, 100_000]) measure(mix, count);
}

function measure(mix: Mix, count: number): void {
  const random = new Seeded(1);
  const entries = entriesOf(mix, count, random);
  const startedAt = performance.now();
  const { router } = buildRouter(entries, mix.flavor);
  const buildMs = performance.now() - startedAt;
  const asks = asksOf(mix, count, random);
  const { medianNs, matched } = matchCost(router, asks);
  const updateUs: number[] = [];
  let changing = router;
  for (let i = 0; i < UPDATES; i += 1) {
    const index = random.below(count);
    const old = entries[index];
    if (old === undefined) continue;
    const fresh = routeEntry(mix.route(index), random);
    const beganAt = performance.now();
    changing = changing.update([old], [fresh]).router;
    updateUs.push((performance.now() - beganAt) * 1e3);
    entries[index] = fresh;
  }
  updateUs.sort((a, b) => a - b);
  const columns = [
    mix.name.padEnd(34),
    `${count}`.padStart(7),
    `build ${buildMs.toFixed(0)} ms`.padStart(14),
    `match ${medianNs.toFixed(0)} ns`.padStart(15),
    `replace one ${updateUs[UPDATES >> 1]?.toFixed(1)} us`.padStart(22),
    `p99 ${updateUs[Math.floor(UPDATES * 0.99)]?.toFixed(0)} us`.padStart(12),
    matched === 0 ? 'misses' : '',
  ];
  console.log(columns.join(' '));
}

/** Median over batches: a collection of garbage falls into few of them. */
function matchCost(router: Router, asks: readonly Ask[]) {
  let matched = 0;
  let at = 0;
  const batch = (): number => {
    const beganAt = performance.now();
    for (let i = 0; i < BATCH; i += 1) {
      const ask = asks[at];
      at = (at + 1) % asks.length;
      if (ask !== undefined && ask(router) !== null) matched += 1;
    }
    return ((performance.now() - beganAt) * 1e6) / BATCH;
  };
  for (let i = 0; i < 100; i += 1) batch();
  const costs = Array.from({ length: BATCHES }, batch).toSorted((a, b) => a - b);
  return { medianNs: costs[BATCHES >> 1] ?? 0, matched };
}
