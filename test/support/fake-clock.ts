/** A clock that stands still until told to move. */
import type { Clock } from '#shared/platform/platform.ts';

interface Timer {
  readonly atMs: number;
  readonly order: number;
  readonly fn: () => void;
}

const EPOCH_MS = Date.UTC(2026, 10, 1);

export class FakeClock implements Clock {
  #nowMs = 0;
  #order = 0;
  readonly #timers = new Set<Timer>();

  now(): number {
    return EPOCH_MS + this.#nowMs;
  }

  monotonic(): number {
    return this.#nowMs;
  }

  setTimer(delayMs: number, fn: () => void): () => void {
    const timer = { atMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, fn };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Timers that are set. */
  get timerCount(): number {
    return this.#timers.size;
  }

  /** When the next timer is due; null when none is set. */
  get nextAtMs(): number | null {
    return this.#next()?.atMs ?? null;
  }

  /** Moves on, firing timers in order and letting everything settle after each. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    await settle();
    for (let timer = this.#next(); timer !== null && timer.atMs <= untilMs; timer = this.#next()) {
      this.#timers.delete(timer);
      this.#nowMs = Math.max(this.#nowMs, timer.atMs);
      timer.fn();
      // Timers fire one after the other: what one sets off comes before the next.
      await settle();
    }
    this.#nowMs = untilMs;
  }

  /** Moves on in steps of at most `stepMs` until it is so. @throws after `limitMs` */
  async until(isSo: () => boolean, limitMs = 120_000, stepMs = 50): Promise<void> {
    const deadlineMs = this.#nowMs + limitMs;
    await settle();
    while (!isSo()) {
      if (this.#nowMs >= deadlineMs) throw new Error(`still not so after ${limitMs} ms`);
      await this.advance(stepMs);
    }
  }

  #next(): Timer | null {
    let next: Timer | null = null;
    for (const timer of this.#timers) {
      if (next === null || timer.atMs < next.atMs) next = timer;
      else if (timer.atMs === next.atMs && timer.order < next.order) next = timer;
    }
    return next;
  }
}

/** Lets all promises that can resolve do so. */
export async function settle(): Promise<void> {
  for (let round = 0; round < 3; round++) {
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}
