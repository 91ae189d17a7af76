/** What a listener has in flight, over all its connections and protocol versions. */
export class Flight {
  #count = 0;
  #isDraining = false;
  #onIdle: (() => void) | null = null;

  get count(): number {
    return this.#count;
  }

  /** Nothing new is taken: an answer is the last one of its connection. */
  get isDraining(): boolean {
    return this.#isDraining;
  }

  begin(): void {
    this.#count += 1;
  }

  end(): void {
    this.#count -= 1;
    if (this.#count === 0) this.#onIdle?.();
  }

  drain(): void {
    this.#isDraining = true;
  }

  /** Waits until nothing is in flight any more, or for so long. */
  landed(deadlineMs: number): Promise<void> {
    if (this.#count === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, deadlineMs);
      this.#onIdle = () => {
        clearTimeout(timer);
        // The last response's bytes are still on their way out of the socket's buffer.
        setImmediate(resolve);
      };
    });
  }
}
