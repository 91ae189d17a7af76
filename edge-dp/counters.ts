/**
 * Counters of one isolate, for the `local` policy of rate limits. Cloudflare runs many isolates, so
 * a limit counted here is per isolate; the parity table says so.
 */
import type { Clock, CounterStore } from '#shared/platform/platform.ts';

/** An isolate has 128 MB for everything; a counter takes some 150 bytes. */
export const COUNTERS_MAX = 50_000;

interface Counter {
  value: number;
  readonly expiresAtMs: number;
}

/** Bounded: when full, what has expired goes, and then what was made first. */
export class IsolateCounters implements CounterStore {
  readonly #counters = new Map<string, Counter>();
  readonly #clock: Clock;
  readonly #countersMax: number;

  constructor(clock: Clock, countersMax: number = COUNTERS_MAX) {
    this.#clock = clock;
    this.#countersMax = countersMax;
  }

  get size(): number {
    return this.#counters.size;
  }

  read(key: string): number {
    return this.#live(key)?.value ?? 0;
  }

  increment(key: string, amount: number, expiresAtMs: number): number {
    const known = this.#live(key);
    if (known !== null) {
      known.value += amount;
      return known.value;
    }
    if (this.#counters.size >= this.#countersMax) this.#makeRoom();
    this.#counters.set(key, { value: amount, expiresAtMs });
    return amount;
  }

  #live(key: string): Counter | null {
    const counter = this.#counters.get(key);
    if (counter === undefined) return null;
    if (counter.expiresAtMs > this.#clock.now()) return counter;
    this.#counters.delete(key);
    return null;
  }

  /** Looks at no more than it must drop at a time, so that no request pays for a whole sweep. */
  #makeRoom(): void {
    const now = this.#clock.now();
    const batch = Math.max(1, this.#countersMax >> 6);
    let looked = 0;
    let dropped = 0;
    for (const [key, counter] of this.#counters) {
      if (looked++ >= batch) break;
      if (counter.expiresAtMs > now) continue;
      this.#counters.delete(key);
      dropped++;
    }
    if (dropped > 0) return;
    const oldest = this.#counters.keys().next();
    if (!oldest.done) this.#counters.delete(oldest.value);
  }
}
