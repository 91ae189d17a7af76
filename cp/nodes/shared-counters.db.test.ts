import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { REGISTRY } from '#shared/registry.ts';
import { openTestStore, silent, type TestStore } from '../../test/support/pglite.ts';
import { FakeClock } from '../../test/support/fake-clock.ts';
import { COUNTERS_HELD_MAX, FLUSH_MS, SharedCounters } from './shared-counters.ts';

let db: TestStore;
beforeAll(async () => {
  db = await openTestStore(REGISTRY.entities);
}, 60_000);
afterAll(() => db.close());

const GROUP = randomUUID();
let clock: FakeClock;
let a: SharedCounters;
let b: SharedCounters;
let window: number;
beforeEach(async () => {
  await db.store.db.query('TRUNCATE shared_counters');
  clock = new FakeClock();
  window = Math.floor(clock.now() / 1000);
  const open = () => new SharedCounters({ db: db.store.db, clock, logger: silent });
  [a, b] = [open(), open()];
});

const by = (amount: number, name = 'n', more = {}) => ({
  increments: [{ name, window, seconds: 60, by: amount, ...more }],
});
const total = (of: SharedCounters, amount = 0, name = 'n', group = GROUP) =>
  of.add(group, by(amount, name)).totals[0];

describe('shared counters', () => {
  it('agree between control planes once both have told the database', async () => {
    expect([total(a, 3), total(b, 4), total(a, 1)]).toEqual([3, 4, 4]);
    await a.flush();
    await b.flush();
    expect(total(b)).toBe(8);
    expect(total(a)).toBe(4);
    await a.flush();
    expect(total(a)).toBe(8);
  });

  it('are told by themselves, within a second', async () => {
    total(a, 5);
    await clock.advance(FLUSH_MS);
    await a.flush();
    total(b);
    await b.flush();
    expect(total(b)).toBe(5);
  });

  it('are of one group, name and window each, in the order asked', async () => {
    const increments = [
      { name: 'x', window, seconds: 60, by: 1 },
      { name: 'y', window, seconds: 60, by: 2 },
      { name: 'x', window, seconds: 60, by: 4 },
      { name: 'x', window: window + 1, seconds: 60, by: 8 },
      { name: 'x', window, seconds: 1, by: 16 },
    ];
    expect(a.add(GROUP, { increments })).toEqual({ totals: [1, 2, 5, 8, 16] });
    expect(total(a, 0, 'x', randomUUID())).toBe(0);
  });

  it('lose nothing while the database cannot be reached', async () => {
    total(a, 5);
    await db.store.db.query('ALTER TABLE shared_counters RENAME TO elsewhere');
    await a.flush();
    total(a, 1);
    await db.store.db.query('ALTER TABLE elsewhere RENAME TO shared_counters');
    await a.flush();
    await a.flush();
    expect(total(a)).toBe(6);
    total(b);
    await b.flush();
    expect(total(b)).toBe(6);
  });

  it('are bounded in number, and room is made by what is over', async () => {
    const many = (from: number, count: number) =>
      Array.from({ length: count }, (_, i) => total(a, 1, `c${from + i}`));
    expect(new Set(many(0, COUNTERS_HELD_MAX))).toEqual(new Set([1]));
    expect(total(a, 1, 'one more')).toBe(-1);
    expect(a.size).toBe(COUNTERS_HELD_MAX);
    await a.flush();
    await clock.advance(200_000);
    await a.flush();
    window = Math.floor(clock.now() / 1000);
    expect(total(a, 1, 'one more')).toBe(1);
  });

  it('are not kept of windows that are long over, or far ahead, or named beyond text', () => {
    expect(a.add(GROUP, by(1, 'n', { window: window - 1_000 })).totals).toEqual([-1]);
    expect(a.add(GROUP, by(1, 'n', { window: window + 1_000 })).totals).toEqual([-1]);
    expect(total(a, 1, 'a\0')).toBe(-1);
  });
});
