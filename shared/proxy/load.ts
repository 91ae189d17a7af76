/** The requests that a data plane has under way. */

/** What is counted: something that began and will say when it is over. */
export interface Counted {
  /** On the monotonic clock, ms. */
  readonly startedMonotonic: number;
  leave(): void;
}

export class Load {
  #active = 0;
  readonly #open: Set<Counted> | null;

  /** @param remembers  which they are, for `forget` */
  constructor(remembers: boolean) {
    this.#open = remembers ? new Set() : null;
  }

  get active(): number {
    return this.#active;
  }

  entered(counted: Counted): void {
    this.#active += 1;
    this.#open?.add(counted);
  }

  left(counted: Counted): void {
    this.#active -= 1;
    this.#open?.delete(counted);
  }

  /** Lets those leave that began before then: nobody is going to say of them that they are over. */
  forget(beforeMs: number): void {
    for (const counted of this.#open ?? NONE) {
      // In the order in which they began.
      if (counted.startedMonotonic >= beforeMs) return;
      counted.leave();
    }
  }
}

const NONE: readonly Counted[] = [];
