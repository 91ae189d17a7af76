/**
 * How often the database is asked when nothing says that there is news. Where it sleeps when left
 * alone, and is paid for while awake, one control plane by itself need hardly ask at all: what it
 * wrote, it knows.
 */

/** Milliseconds; a function where they change. */
export type Period = number | (() => number);

export function msOf(period: Period): number {
  return typeof period === 'number' ? period : period();
}

/** Longest time between two looks where others may have written. */
export const SHARED_POLL_MS_MAX = 5_000;

export interface PaceOptions {
  /** `HEADGATE_POLL_SECONDS` in milliseconds. */
  readonly pollMs: number;
  /** `HEADGATE_DATABASE_SLEEP_MINUTES` in milliseconds; null: never. */
  readonly sleepMs: number | null;
}

export class Pace {
  readonly #options: PaceOptions;
  #isShared = false;

  constructor(options: PaceOptions) {
    this.#options = options;
  }

  /** Whether there are other control planes: then nobody sleeps. */
  share(isShared: boolean): void {
    this.#isShared = isShared;
  }

  /** Milliseconds between two looks for what others wrote. */
  readonly pollMs = (): number => this.after(this.#options.pollMs);

  /** As often as `usualMs`, or as the database is to be left alone. */
  after(usualMs: number): number {
    const { sleepMs } = this.#options;
    if (this.#isShared) return Math.min(usualMs, SHARED_POLL_MS_MAX);
    return sleepMs === null ? usualMs : Math.max(usualMs, sleepMs);
  }

  /** What only wakes it for its own sake: as often as `usualMs`, but where it may sleep. */
  rarely(usualMs: number): number {
    return Math.max(usualMs, this.#options.sleepMs ?? 0);
  }
}
