/** A binary heap whose entries know their place, so that one that has changed is moved in O(log n). */

export interface HeapEntry {
  /** Where it lies; the heap's own. */
  index: number;
}

export class MinHeap<E extends HeapEntry> {
  readonly #isBefore: (a: E, b: E) => boolean;
  #entries: E[] = [];

  constructor(isBefore: (a: E, b: E) => boolean) {
    this.#isBefore = isBefore;
  }

  get size(): number {
    return this.#entries.length;
  }

  /** In no order but the first one's. */
  get entries(): readonly E[] {
    return this.#entries;
  }

  /** The least entry; undefined when there is none. */
  top(): E | undefined {
    return this.#entries[0];
  }

  /** Holds these from now on. O(n). */
  reset(entries: E[]): void {
    this.#entries = entries;
    for (const [index, entry] of entries.entries()) entry.index = index;
    for (let i = (entries.length >> 1) - 1; i >= 0; i -= 1) this.#sink(i);
  }

  push(entry: E): void {
    entry.index = this.#entries.length;
    this.#entries.push(entry);
    this.#rise(entry.index);
  }

  pop(): E | undefined {
    const first = this.#entries[0];
    const last = this.#entries.pop();
    if (first === undefined || last === undefined || first === last) return first;
    this.#place(last, 0);
    this.#sink(0);
    return first;
  }

  /** The entry compares otherwise than before. */
  moved(entry: E): void {
    this.#rise(entry.index);
    this.#sink(entry.index);
  }

  #place(entry: E, index: number): void {
    this.#entries[index] = entry;
    entry.index = index;
  }

  #rise(from: number): void {
    const entry = this.#entries[from];
    if (entry === undefined) return;
    let at = from;
    while (at > 0) {
      const parentAt = (at - 1) >> 1;
      const parent = this.#entries[parentAt];
      if (parent === undefined || !this.#isBefore(entry, parent)) break;
      this.#place(parent, at);
      at = parentAt;
    }
    this.#place(entry, at);
  }

  #sink(from: number): void {
    const entries = this.#entries;
    const entry = entries[from];
    if (entry === undefined) return;
    let at = from;
    for (;;) {
      const leftAt = 2 * at + 1;
      const left = entries[leftAt];
      if (left === undefined) break;
      const right = entries[leftAt + 1];
      const isRight = right !== undefined && this.#isBefore(right, left);
      const child = isRight ? right : left;
      if (!this.#isBefore(child, entry)) break;
      this.#place(child, at);
      at = isRight ? leftAt + 1 : leftAt;
    }
    this.#place(entry, at);
  }
}
