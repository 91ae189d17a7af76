/** What every implementation of the CounterStore port must do. */
import { describe, expect, it } from 'vitest';
import type { CounterStore } from '#shared/platform/platform.ts';

export interface CounterStoreHarness {
  readonly counters: CounterStore;
  /** The store's clock, epoch milliseconds. */
  now(): number;
  /** Lets the store's clock pass. */
  advance(ms: number): void | Promise<void>;
}

/** `make` is called once per test. */
export function counterStoreSuite(
  name: string,
  make: () => CounterStoreHarness | Promise<CounterStoreHarness>,
): void {
  describe(`counter store port: ${name}`, () => {
    it('reads 0 where nothing was counted', async () => {
      const { counters } = await make();

      expect(await counters.read('a')).toBe(0);
    });

    it('adds, and answers the new value', async () => {
      const { counters, now } = await make();

      expect(await counters.increment('a', 1, now() + 60_000)).toBe(1);
      expect(await counters.increment('a', 5, now() + 60_000)).toBe(6);
      expect(await counters.read('a')).toBe(6);
    });

    it('keeps counters apart, whatever their names', async () => {
      const { counters, now } = await make();
      const names = ['a', 'A', '__proto__', 'constructor', 'a:b', ''];
      await Promise.all(names.map((key, i) => counters.increment(key, i + 1, now() + 60_000)));

      const values = await Promise.all(names.map((key) => counters.read(key)));

      expect(values).toEqual([1, 2, 3, 4, 5, 6]);
    });

    it('forgets a counter when its time is over, and starts it anew', async () => {
      const { counters, now, advance } = await make();
      await counters.increment('a', 3, now() + 1000);

      await advance(1001);

      expect(await counters.read('a')).toBe(0);
      expect(await counters.increment('a', 1, now() + 1000)).toBe(1);
    });

    it('takes the time to live from the first increment', async () => {
      const { counters, now, advance } = await make();
      await counters.increment('a', 1, now() + 1000);
      await counters.increment('a', 1, now() + 60_000);

      await advance(1001);

      expect(await counters.read('a')).toBe(0);
    });

    it('loses no increment of many at once', async () => {
      const { counters, now } = await make();
      const expiresAtMs = now() + 60_000;

      await Promise.all(
        Array.from({ length: 200 }, async () => counters.increment('a', 1, expiresAtMs)),
      );

      expect(await counters.read('a')).toBe(200);
    });
  });
}
