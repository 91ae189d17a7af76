/** The CounterStore port in the process' own memory, bounded. */
import type { Clock, CounterStore } from '#shared/platform/platform.ts';

/** Counters held at a time. The one made first makes room: it is the likeliest to end soon. */
export const COUNTERS_MAX = 1_000_000;
const SWEEP_INTERVAL_MS = 1000;
/** Looked at per sweep, so that a sweep never holds requests up for long. */
const SWEEP_COUNT_MAX = 20_000;

interface Counter {
  value: number;
  readonly expiresAtMs: number;
}

export class MemoryCounters implements CounterStore {
  readonly #clock: Clock;
  readonly #countMax: number;
  readonly #counters = new Map<string, Counter>();
  #cursor: Iterator<[string, Counter]> | null = null;
  #stopSweep: (() => void) | null = null;

  constructor(clock: Clock, countMax: number = COUNTERS_MAX) {
    this.#clock = clock;
    this.#countMax = countMax;
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
    if (this.#counters.size >= this.#countMax) this.#evictFirst();
    this.#counters.set(key, { value: amount, expiresAtMs });
    return amount;
  }

  /** Starts to drop what has expired, a part of the counters at a time. */
  startSweeping(): void {
    this.#stopSweep ??= this.#clock.setTimer(SWEEP_INTERVAL_MS, () => {
      this.#stopSweep = null;
      this.sweep();
      this.startSweeping();
    });
  }

  stopSweeping(): void {
    this.#stopSweep?.();
    this.#stopSweep = null;
  }

  /** Looks at the next part of the counters and drops those that have expired. */
  sweep(): void {
    const now = this.#clock.now();
    // A Map's iterator stays valid while entries come and go.
    this.#cursor ??= this.#counters.entries();
    for (let i = 0; i < SWEEP_COUNT_MAX; i += 1) {
      const next = this.#cursor.next();
      if (next.done === true) {
        this.#cursor = null;
        return;
      }
      const [key, counter] = next.value;
      if (counter.expiresAtMs <= now) this.#counters.delete(key);
    }
  }

  #live(key: string): Counter | null {
    const counter = this.#counters.get(key);
    if (counter === undefined) return null;
    if (counter.expiresAtMs > this.#clock.now()) return counter;
    this.#counters.delete(key);
    return null;
  }

  #evictFirst(): void {
    const first = this.#counters.keys().next();
    if (first.done !== true) this.#counters.delete(first.value);
  }
}
