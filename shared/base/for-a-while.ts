/** A value that somebody changes by hand, and that is as usual again after a while. */
import type { Clock } from '../platform/platform.ts';

export class ForAWhile<T> {
  readonly #usual: T;
  readonly #clock: Clock;
  readonly #apply: (value: T) => void;
  #current: T;
  #cancelTimer: () => void = () => {};

  /** @param apply  called when it becomes another */
  constructor(usual: T, clock: Clock, apply: (value: T) => void) {
    this.#usual = usual;
    this.#current = usual;
    this.#clock = clock;
    this.#apply = apply;
  }

  get current(): T {
    return this.#current;
  }

  /** @param seconds  until it is as usual; 0: until it is set again */
  set(value: T, seconds: number): void {
    this.#cancelTimer();
    this.#change(value);
    if (seconds <= 0 || value === this.#usual) return;
    this.#cancelTimer = this.#clock.setTimer(seconds * 1000, () => this.#change(this.#usual));
  }

  /** It stays as it is. */
  close(): void {
    this.#cancelTimer();
  }

  #change(value: T): void {
    if (value === this.#current) return;
    this.#current = value;
    this.#apply(value);
  }
}
