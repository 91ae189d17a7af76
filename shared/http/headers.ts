/**
 * A flat list of header fields: order, spelling and repetition kept, look-up by lower-case name.
 *
 * Names and values alternate in one array, as `node:http` hands them over, so that a request's list
 * costs no object per field. Names in `lower` stand at the same indexes and are made once.
 */
export class HeaderList {
  /** name, value, name, value … in their original spelling. */
  readonly #raw: string[];
  /** Lower-case names, one per field. */
  readonly #lower: string[];

  /** @param lower  lower-case names of `raw`, where they are known already */
  constructor(raw: string[] = [], lower: string[] = lowerNamesOf(raw)) {
    this.#raw = raw;
    this.#lower = lower;
  }

  /** Number of fields. */
  get size(): number {
    return this.#lower.length;
  }

  /** The flat array itself, for adapters; not to be changed. */
  get raw(): readonly string[] {
    return this.#raw;
  }

  nameAt(index: number): string {
    return this.#raw[index << 1] as string;
  }

  lowerNameAt(index: number): string {
    return this.#lower[index] as string;
  }

  valueAt(index: number): string {
    return this.#raw[(index << 1) + 1] as string;
  }

  /** First value of a field; null when absent. `name` in lower case. */
  get(name: string): string | null {
    const index = this.#lower.indexOf(name);
    return index < 0 ? null : (this.#raw[(index << 1) + 1] as string);
  }

  /** All values of a field in order; empty when absent. */
  getAll(name: string): string[] {
    const values: string[] = [];
    for (let i = this.#lower.indexOf(name); i >= 0; i = this.#lower.indexOf(name, i + 1)) {
      values.push(this.#raw[(i << 1) + 1] as string);
    }
    return values;
  }

  has(name: string): boolean {
    return this.#lower.includes(name);
  }

  /** Adds a field at the end. */
  append(name: string, value: string): void {
    this.#raw.push(name, value);
    this.#lower.push(name.toLowerCase());
  }

  /** Replaces the first field of that name (and drops the others), or adds it. */
  set(name: string, value: string): void {
    const lower = name.toLowerCase();
    const first = this.#lower.indexOf(lower);
    if (first < 0) {
      this.#raw.push(name, value);
      this.#lower.push(lower);
      return;
    }
    this.#raw[first << 1] = name;
    this.#raw[(first << 1) + 1] = value;
    for (let i = this.#lower.lastIndexOf(lower); i > first; i = this.#lower.lastIndexOf(lower)) {
      this.#removeAt(i);
    }
  }

  /** Removes every field of that name (lower case). Answers whether there was one. */
  remove(name: string): boolean {
    let index = this.#lower.indexOf(name);
    if (index < 0) return false;
    for (; index >= 0; index = this.#lower.indexOf(name, index)) this.#removeAt(index);
    return true;
  }

  clone(): HeaderList {
    return new HeaderList(this.#raw.slice(), this.#lower.slice());
  }

  /** A copy without the fields whose lower-case name is dropped. */
  cloneWithout(isDropped: (lowerName: string) => boolean): HeaderList {
    const raw: string[] = [];
    const lower: string[] = [];
    for (let i = 0; i < this.#lower.length; i += 1) {
      const name = this.#lower[i] as string;
      if (isDropped(name)) continue;
      raw.push(this.#raw[i << 1] as string, this.#raw[(i << 1) + 1] as string);
      lower.push(name);
    }
    return new HeaderList(raw, lower);
  }

  #removeAt(index: number): void {
    this.#lower.splice(index, 1);
    this.#raw.splice(index << 1, 2);
  }
}

function lowerNamesOf(raw: readonly string[]): string[] {
  const lower: string[] = Array.from({ length: raw.length >> 1 });
  for (let i = 0; i < raw.length; i += 2) lower[i >> 1] = (raw[i] as string).toLowerCase();
  return lower;
}
