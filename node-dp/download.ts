/** A response body on its way from an upstream, as the core sees it. */
import { assert } from '#shared/base/assert.ts';
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
  #sink: BodySink | null = null;
  /** What came before `pipe`. */
  #early: Uint8Array[] = [];
  #earlyBytes = 0;
  #outcome: { trailers: HeaderList | null; error: Error | null } | null = null;
  #cancelled = false;

  constructor(length: number | null, flow: Flow) {
    this.length = length;
    this.#flow = flow;
  }

  get consumed(): boolean {
    return this.#sink !== null;
  }

  pipe(sink: BodySink): void {
    assert(this.#sink === null, 'a body can be piped once');
    this.#sink = sink;
    let wantsMore = true;
    const wasFull = this.#earlyBytes >= DOWNLOAD_BUFFER_BYTES_MAX;
    for (const chunk of this.#early) wantsMore = sink.write(chunk);
    this.#early = [];
    this.#earlyBytes = 0;
    if (this.#outcome !== null) this.#finish(sink, this.#outcome);
    else if (!wantsMore) this.#flow.pause();
    else if (wasFull) this.#flow.resume();
  }

  resume(): void {
    if (this.#outcome === null && !this.#cancelled) this.#flow.resume();
  }

  cancel(error?: Error): void {
    if (this.#cancelled || this.#outcome !== null) return;
    this.#cancelled = true;
    this.#early = [];
    this.#flow.cancel(error ?? new Error('response body not wanted'));
  }

  /** From the connection: bytes. */
  push(chunk: Uint8Array): void {
    if (this.#cancelled) return;
    if (this.#sink !== null) {
      if (!this.#sink.write(chunk)) this.#flow.pause();
      return;
    }
    this.#early.push(chunk);
    this.#earlyBytes += chunk.length;
    if (this.#earlyBytes >= DOWNLOAD_BUFFER_BYTES_MAX) this.#flow.pause();
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
    const [first, ...rest] = this.#early;
    if (first === undefined) return EMPTY;
    return rest.length === 0 ? first : Buffer.concat(this.#early);
  }

  #settle(outcome: { trailers: HeaderList | null; error: Error | null }): void {
    if (this.#outcome !== null || this.#cancelled) return;
    this.#outcome = outcome;
    if (this.#sink !== null) this.#finish(this.#sink, outcome);
  }

  #finish(sink: BodySink, outcome: { trailers: HeaderList | null; error: Error | null }): void {
    if (outcome.error === null) sink.end(outcome.trailers);
    else sink.abort(outcome.error);
  }
}

const EMPTY = new Uint8Array(0);
