/**
 * The CounterStore port in memory: a Node process's counters, and those of one isolate. Bounded: when
 * it is full, what has expired goes, and then what was made first, the likeliest to end soon.
 */
import type { Clock, CounterStore } from './platform.ts';

/** Looked at per sweep, so that no request and no timer holds others up for long. */
export const SWEEP_COUNT_MAX = 20_000;
/** Looked at when there is no room for one more. */
const ROOM_COUNT_MAX = 64;

interface Counter {
  value: number;
  readonly expiresAtMs: number;
}

export class MemoryCounters implements CounterStore {
  readonly #clock: Pick<Clock, 'now'>;
  readonly #countMax: number;
  readonly #counters = new Map<string, Counter>();
  #cursor: Iterator<[string, Counter]> | null = null;

  /** @param countMax  counters held at a time; one takes some 150 bytes */
  constructor(clock: Pick<Clock, 'now'>, countMax: number) {
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
    if (this.#counters.size >= this.#countMax) this.#makeRoom();
    this.#counters.set(key, { value: amount, expiresAtMs });
    return amount;
  }

  /** Looks at the next part of the counters and drops those that have expired. */
  sweep(countMax: number = SWEEP_COUNT_MAX): void {
    const now = this.#clock.now();
    // A Map's iterator stays valid while entries come and go.
    this.#cursor ??= this.#counters.entries();
    for (let i = 0; i < countMax; i += 1) {
      const next = this.#cursor.next();
      if (next.done === true) {
        this.#cursor = null;
        return;
      }
      const [key, counter] = next.value;
      if (counter.expiresAtMs <= now) this.#counters.delete(key);
    }
  }

  #makeRoom(): void {
    this.sweep(ROOM_COUNT_MAX);
    if (this.#counters.size < this.#countMax) return;
    const first = this.#counters.keys().next();
    if (first.done !== true) this.#counters.delete(first.value);
  }

  #live(key: string): Counter | null {
    const counter = this.#counters.get(key);
    if (counter === undefined) return null;
    if (counter.expiresAtMs > this.#clock.now()) return counter;
    this.#counters.delete(key);
    return null;
  }
}
