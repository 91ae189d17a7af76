/** A downstream request body: waits for who wants it, keeps to their pace, and gives up on silence. */
import type { Readable } from 'node:stream';
import { assert } from '#shared/base/assert.ts';
import type { BodySink, BodyStream } from '#shared/http/body.ts';
import type { HeaderList } from '#shared/http/headers.ts';

/** Bodies of a known length up to this are read before the gateway starts: they can be replayed. */
export const BUFFERED_BODY_BYTES_MAX = 64 * 1024;

export class IdleBodyError extends Error {
  override readonly name = 'IdleBodyError';
}

export class ClientGoneError extends Error {
  override readonly name = 'ClientGoneError';
}

/** Where a body's bytes come from. */
export interface BodySource {
  readonly readable: Readable;
  /** The last byte is in. */
  readonly isComplete: boolean;
  /** Fields behind the body, once it is complete; null for none. */
  readonly trailers: HeaderList | null;
  /** So many bytes were taken. */
  took(bytes: number): void;
  /** Tells a client that waits for `100 Continue`. */
  sendContinue(): void;
  /** Nobody wants the rest: lets the client see its answer all the same, within bounds. */
  discard(): void;
}

export interface RequestBodyOptions {
  readonly source: BodySource;
  readonly length: number | null;
  /** The client waits for `100 Continue` before it sends. */
  readonly expectsContinue: boolean;
  readonly idleMs: number;
  /** The client fell silent for too long. */
  readonly onIdle: () => void;
}

export class RequestBody implements BodyStream {
  readonly length: number | null;
  readonly #options: RequestBodyOptions;
  #sink: BodySink | null = null;
  #isOver = false;
  #isCancelled = false;
  #idleTimer: NodeJS.Timeout | null = null;

  constructor(options: RequestBodyOptions) {
    this.#options = options;
    this.length = options.length;
  }

  get consumed(): boolean {
    return this.#sink !== null;
  }

  /** The answer is made and nobody asked for the body: lets the client see it out. */
  abandon(): void {
    if (this.#sink !== null || this.#isCancelled) return;
    this.#isCancelled = true;
    // Before the response ends: Node would take over by itself then, and read on without bounds.
    if (this.isFlowing) this.#options.source.discard();
  }

  /** The client was told to go on, or needs no telling. */
  get isFlowing(): boolean {
    return this.#sink !== null || !this.#options.expectsContinue;
  }

  pipe(sink: BodySink): void {
    assert(this.#sink === null, 'a body can be piped once');
    this.#sink = sink;
    if (this.#isCancelled) return;
    const { source, expectsContinue } = this.#options;
    const { readable } = source;
    if (readable.destroyed && !source.isComplete) {
      this.#fail(new ClientGoneError());
      return;
    }
    if (expectsContinue) source.sendContinue();
    this.#idleTimer = setTimeout(() => this.#idle(), this.#options.idleMs);
    readable.on('end', () => this.#end());
    readable.on('error', () => this.#fail(new ClientGoneError()));
    readable.on('close', () => this.#fail(new ClientGoneError()));
    readable.on('data', (chunk: Uint8Array) => this.#data(chunk));
  }

  resume(): void {
    if (this.#isOver) return;
    this.#idleTimer?.refresh();
    this.#options.source.readable.resume();
  }

  cancel(): void {
    if (this.#isOver || this.#isCancelled) return;
    this.#isCancelled = true;
    this.#stopIdle();
    if (this.#sink !== null) this.#options.source.discard();
  }

  #data(chunk: Uint8Array): void {
    if (this.#isCancelled || this.#isOver || this.#sink === null) return;
    this.#idleTimer?.refresh();
    this.#options.source.took(chunk.length);
    if (!this.#sink.write(chunk)) this.#options.source.readable.pause();
  }

  #end(): void {
    if (this.#isOver) return;
    const { source } = this.#options;
    if (!source.isComplete) {
      this.#fail(new ClientGoneError());
      return;
    }
    this.#isOver = true;
    this.#stopIdle();
    if (!this.#isCancelled) this.#sink?.end(source.trailers);
  }

  #fail(error: Error): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#stopIdle();
    if (!this.#isCancelled) this.#sink?.abort(error);
  }

  #idle(): void {
    // Paused by the upstream: the silence is not the client's.
    if (this.#options.source.readable.isPaused()) {
      this.#idleTimer?.refresh();
      return;
    }
    const error = new IdleBodyError();
    this.#options.onIdle();
    this.#fail(error);
  }

  #stopIdle(): void {
    if (this.#idleTimer !== null) clearTimeout(this.#idleTimer);
    this.#idleTimer = null;
  }
}

/** Reads a short body whole; calls `done` with null when the client went away or fell silent. */
export function readWhole(
  source: BodySource,
  expected: { readonly length: number; readonly idleMs: number },
  done: (body: Uint8Array | null, isIdle: boolean) => void,
): void {
  const { readable } = source;
  const chunks: Uint8Array[] = [];
  let isOver = false;
  const finish = (body: Uint8Array | null, isIdle: boolean): void => {
    if (isOver) return;
    isOver = true;
    clearTimeout(timer);
    done(body, isIdle);
  };
  const timer = setTimeout(() => finish(null, true), expected.idleMs);
  readable.on('data', (chunk: Uint8Array) => {
    timer.refresh();
    source.took(chunk.length);
    chunks.push(chunk);
  });
  readable.on('end', () => {
    if (!source.isComplete) return finish(null, false);
    const only = chunks.length === 1 ? chunks[0] : undefined;
    finish(only ?? Buffer.concat(chunks, expected.length), false);
  });
  readable.on('error', () => finish(null, false));
  readable.on('close', () => finish(null, false));
}
