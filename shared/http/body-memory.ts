/** Bytes of bodies that one process may hold at a time, over all requests, and for each of them. */
export class BodyMemory {
  /** What a chunk costs beside its bytes: a body of single bytes must not cost a hundred times as much. */
  static readonly CHUNK_BYTES = 128;

  /** Of one body. */
  readonly perBodyMax: number;
  #left: number;

  constructor(totalMax: number, perBodyMax: number) {
    this.#left = totalMax;
    this.perBodyMax = perBodyMax;
  }

  get left(): number {
    return this.#left;
  }

  /** False: there is not so much left; then nothing is taken. */
  take(bytes: number): boolean {
    if (bytes > this.#left) return false;
    this.#left -= bytes;
    return true;
  }

  giveBack(bytes: number): void {
    this.#left += bytes;
  }
}
