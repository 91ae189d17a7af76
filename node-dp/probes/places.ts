/** Places for what may be under way at a time; others wait in the order in which they came. */
export class Places {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /** A promise where all are taken. */
  take(): Promise<void> | null {
    if (this.#free > 0) {
      this.#free -= 1;
      return null;
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  giveBack(): void {
    const next = this.#waiting.shift();
    // It goes straight to whoever waits, so that nobody else takes it in between.
    if (next === undefined) this.#free += 1;
    else next();
  }
}
