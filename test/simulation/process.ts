/** A process of the simulated world: it can die, stand still, and have a clock of its own. */
import type { Clock } from '#shared/platform/platform.ts';
import { EPOCH_MS } from './determinism.ts';
import type { Scheduler } from './scheduler.ts';

export class SimProcess implements Clock {
  readonly name: string;
  readonly scheduler: Scheduler;
  readonly #startMs: number;
  readonly #waiting: (() => void)[] = [];
  readonly #deaths: (() => void)[] = [];
  /** What its wall clock is off by. */
  skewMs: number;
  isDead = false;
  #isPaused = false;
  timerCount = 0;

  constructor(name: string, scheduler: Scheduler, skewMs = 0) {
    this.name = name;
    this.scheduler = scheduler;
    this.skewMs = skewMs;
    this.#startMs = scheduler.nowMs;
  }

  now(): number {
    return EPOCH_MS + this.scheduler.nowMs + this.skewMs;
  }

  monotonic(): number {
    return this.scheduler.nowMs - this.#startMs;
  }

  setTimer(delayMs: number, fn: () => void): () => void {
    this.timerCount += 1;
    let isSet = true;
    const done = (): void => {
      if (isSet) this.timerCount -= 1;
      isSet = false;
    };
    const cancel = this.scheduler.after(delayMs, () => {
      this.run(() => {
        if (!isSet) return;
        done();
        fn();
      });
    });
    return () => {
      done();
      cancel();
    };
  }

  /** Whatever comes from outside: nothing once it is dead, later while it stands still. */
  run(fn: () => void): void {
    if (this.isDead) return;
    if (this.#isPaused) this.#waiting.push(fn);
    else fn();
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    // One event each, as a machine that wakes up works through what has piled up.
    for (const fn of this.#waiting.splice(0)) this.scheduler.after(0, () => this.run(fn));
  }

  onDeath(fn: () => void): void {
    this.#deaths.push(fn);
  }

  kill(): void {
    if (this.isDead) return;
    this.isDead = true;
    for (const fn of this.#deaths.splice(0)) fn();
  }

  /** Resolves after so long, if it lives. */
  delay(ms: number): Promise<void> {
    return new Promise((resolve) => this.scheduler.after(ms, () => this.run(resolve)));
  }
}
