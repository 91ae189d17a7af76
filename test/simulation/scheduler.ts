/** Virtual time: events in order, and everything that an event sets off before the next one. */
import { createHash, type Hash } from 'node:crypto';

interface Entry {
  readonly atMs: number;
  readonly order: number;
  fn: (() => void) | null;
}

export class Scheduler {
  #nowMs = 0;
  #order = 0;
  readonly #heap: Entry[] = [];
  readonly #hash: Hash = createHash('sha256');
  /** Lines of the trace, when they are wanted. */
  readonly lines: string[] | null;
  eventCount = 0;

  constructor(keepsLines = false) {
    this.lines = keepsLines ? [] : null;
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Part of what equal seeds have in common. */
  trace(text: string): void {
    const line = `${this.#nowMs.toFixed(3)} ${text}\n`;
    this.#hash.update(line);
    this.lines?.push(line);
  }

  digest(): string {
    return this.#hash.copy().digest('hex').slice(0, 16);
  }

  after(delayMs: number, fn: () => void): () => void {
    const atMs = this.#nowMs + Math.max(0, delayMs);
    const entry: Entry = { atMs, order: this.#order++, fn };
    this.#push(entry);
    return () => {
      entry.fn = null;
    };
  }

  delay(ms: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, resolve));
  }

  /** Moves on; `check` is called after every event. */
  async advance(ms: number, check: () => void = () => {}): Promise<void> {
    const untilMs = this.#nowMs + ms;
    await settle();
    for (
      let next = this.#heap[0];
      next !== undefined && next.atMs <= untilMs;
      next = this.#heap[0]
    ) {
      this.#pop();
      const { fn } = next;
      if (fn === null) continue;
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      this.eventCount += 1;
      fn();
      await settle();
      check();
    }
    this.#nowMs = untilMs;
  }

  /** One event, if there is any; time does not go by for what waits for the real world. */
  async step(): Promise<void> {
    const [next] = this.#heap;
    await (next === undefined ? settle() : this.advance(next.atMs - this.#nowMs));
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    let at = heap.push(entry) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || isBefore(above, entry)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = entry;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      const [left, right] = [heap[child], heap[child + 1]];
      if (left === undefined) break;
      let least = left;
      if (right !== undefined && isBefore(right, left)) {
        least = right;
        child += 1;
      }
      if (isBefore(last, least)) break;
      heap[at] = least;
      at = child;
    }
    heap[at] = last;
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

/** Lets all promises that can resolve do so: nothing here waits for anything but promises. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
