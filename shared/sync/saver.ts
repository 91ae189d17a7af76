/** Saves one at a time; while one is under way, only the newest value waits for its turn. */
export class Saver<T> {
  readonly #saveNow: (value: T) => Promise<boolean>;
  #waiting: { readonly value: T; readonly heard: ((ok: boolean) => void)[] } | null = null;
  #running: Promise<void> | null = null;

  /** @param saveNow  answers whether it was saved; never rejects */
  constructor(saveNow: (value: T) => Promise<boolean>) {
    this.#saveNow = saveNow;
  }

  /** Resolves when this value, or a newer one in its place, was saved (true) or could not be. */
  save(value: T): Promise<boolean> {
    return new Promise((resolve) => {
      const heard = this.#waiting?.heard ?? [];
      heard.push(resolve);
      this.#waiting = { value, heard };
      this.#running ??= this.#run();
    });
  }

  /** Whether something is being saved, or waits for its turn. */
  get isBusy(): boolean {
    return this.#running !== null;
  }

  /** Resolves when nothing is to be saved any more. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    for (let next = this.#waiting; next !== null; next = this.#waiting) {
      this.#waiting = null;
      // One after the other is what this is for.
      const ok = await this.#saveNow(next.value);
      for (const resolve of next.heard) resolve(ok);
    }
    this.#running = null;
  }
}
