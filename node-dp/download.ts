/** A response body on its way from an upstream, as the core sees it. */
import { assert, must } from '#shared/base/assert.ts';
import { BodyMemory } from '#shared/http/body-memory.ts';
import type { BodySink, BodyStream } from '#shared/http/body.ts';
import type { HeaderList } from '#shared/http/headers.ts';

/** Bytes held while nobody takes them, before the upstream is told to wait. */
const DOWNLOAD_BUFFER_BYTES_MAX = 64 * 1024;

/** What a download can ask of the connection it comes from. */
export interface Flow {
  pause(): void;
  resume(): void;
  /** Ends the exchange; the connection is not used again. */
  cancel(error: Error): void;
}

export class Download implements BodyStream {
  readonly length: number | null;
  readonly #flow: Flow;
  /** For what is read ahead of a slow client; null: nothing is. */
  readonly #memory: BodyMemory | null;
  #borrowedBytes = 0;
  #sink: BodySink | null = null;
  /** What came and was not taken yet: before `pipe`, or after the sink said stop. */
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  #isBlocked = true;
  #outcome: { trailers: HeaderList | null; error: Error | null } | null = null;
  #isTold = false;
  #cancelled = false;

  constructor(length: number | null, flow: Flow, memory: BodyMemory | null = null) {
    this.length = length;
    this.#flow = flow;
    this.#memory = memory;
  }

  get consumed(): boolean {
    return this.#sink !== null;
  }

  pipe(sink: BodySink): void {
    assert(this.#sink === null, 'a body can be piped once');
    this.#sink = sink;
    this.resume();
  }

  resume(): void {
    const sink = this.#sink;
    if (sink === null || this.#cancelled) return;
    this.#isBlocked = false;
    while (this.#held.length > 0) {
      const chunk = must(this.#held.shift(), 'a held chunk');
      this.#heldBytes -= chunk.length;
      if (!sink.write(chunk)) {
        this.#isBlocked = true;
        return;
      }
    }
    this.#giveBack();
    if (this.#outcome === null) this.#flow.resume();
    else this.#tell(sink, this.#outcome);
  }

  cancel(error?: Error): void {
    if (this.#cancelled || this.#isTold) return;
    this.#cancelled = true;
    this.#held = [];
    this.#giveBack();
    if (this.#outcome === null) this.#flow.cancel(error ?? new Error('response body not wanted'));
  }

  /** From the connection: bytes. */
  push(chunk: Uint8Array): void {
    // An empty chunk is what undici says when it goes on after a pause. Pausing again because of it
    // would never end.
    if (this.#cancelled || chunk.length === 0) return;
    if (!this.#isBlocked && this.#sink !== null) {
      if (this.#sink.write(chunk)) return;
      this.#isBlocked = true;
      if (this.#memory === null) this.#flow.pause();
      return;
    }
    this.#held.push(chunk);
    this.#heldBytes += chunk.length;
    const isPlenty = this.#sink !== null || this.#heldBytes >= DOWNLOAD_BUFFER_BYTES_MAX;
    if (isPlenty && !this.#borrow(chunk.length)) this.#flow.pause();
  }

  /** From the connection: the clean end. */
  finish(trailers: HeaderList | null): void {
    this.#settle({ trailers, error: null });
  }

  /** From the connection: broken off. */
  fail(error: Error): void {
    this.#settle({ trailers: null, error });
  }

  /** The whole body, when it is complete, unread and without trailers; null otherwise. */
  takeWhole(): Uint8Array | null {
    if (this.#outcome === null || this.#outcome.error !== null || this.#sink !== null) return null;
    if (this.#outcome.trailers !== null || this.#cancelled) return null;
    if (this.#held.length === 1) return this.#held[0] ?? null;
    return this.#held.length === 0 ? EMPTY : Buffer.concat(this.#held);
  }

  /** Room for reading ahead. False: the upstream has to wait. */
  #borrow(bytes: number): boolean {
    const memory = this.#memory;
    const cost = bytes + BodyMemory.CHUNK_BYTES;
    if (memory === null || this.#borrowedBytes + cost > memory.perBodyMax) return false;
    if (!memory.take(cost)) return false;
    this.#borrowedBytes += cost;
    return true;
  }

  #giveBack(): void {
    if (this.#borrowedBytes > 0) this.#memory?.giveBack(this.#borrowedBytes);
    this.#borrowedBytes = 0;
  }

  #settle(outcome: { trailers: HeaderList | null; error: Error | null }): void {
    if (this.#outcome !== null || this.#cancelled) return;
    this.#outcome = outcome;
    if (this.#sink === null) return;
    // A clean end waits for its turn behind what is held. A failure does not: there is no whole any
    // more that the rest could complete.
    if (outcome.error !== null || this.#held.length === 0) this.#tell(this.#sink, outcome);
  }

  #tell(sink: BodySink, outcome: { trailers: HeaderList | null; error: Error | null }): void {
    if (this.#isTold) return;
    this.#isTold = true;
    this.#giveBack();
    if (outcome.error === null) sink.end(outcome.trailers);
    else sink.abort(outcome.error);
  }
}

const EMPTY = new Uint8Array(0);
