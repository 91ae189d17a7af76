/** A downstream request body: waits for who wants it, keeps to their pace, and gives up on silence. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { assert } from '#shared/base/assert.ts';
import type { BodySink, BodyStream } from '#shared/http/body.ts';

/** Bodies of a known length up to this are read before the gateway starts: they can be replayed. */
export const BUFFERED_BODY_BYTES_MAX = 64 * 1024;
/** What is read and thrown away after an early answer, so that the client gets to see it. */
const LINGER_BYTES_MAX = 1024 * 1024;
const LINGER_MS = 5000;

export class IdleBodyError extends Error {
  override readonly name = 'IdleBodyError';
}

export class ClientGoneError extends Error {
  override readonly name = 'ClientGoneError';
}

export interface RequestBodyOptions {
  readonly message: IncomingMessage;
  readonly response: ServerResponse;
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
    if (this.isFlowing) discard(this.#options.message);
  }

  /** The client was told to go on, or needs no telling. */
  get isFlowing(): boolean {
    return this.#sink !== null || !this.#options.expectsContinue;
  }

  pipe(sink: BodySink): void {
    assert(this.#sink === null, 'a body can be piped once');
    this.#sink = sink;
    if (this.#isCancelled) return;
    const { message, response } = this.#options;
    if (message.destroyed && !message.complete) {
      this.#fail(new ClientGoneError());
      return;
    }
    if (this.#options.expectsContinue && !response.headersSent) response.writeContinue();
    this.#idleTimer = setTimeout(() => this.#idle(), this.#options.idleMs);
    message.on('end', () => this.#end());
    message.on('error', () => this.#fail(new ClientGoneError()));
    message.on('close', () => this.#fail(new ClientGoneError()));
    message.on('data', (chunk: Uint8Array) => this.#data(chunk));
  }

  resume(): void {
    if (this.#isOver) return;
    this.#idleTimer?.refresh();
    this.#options.message.resume();
  }

  cancel(): void {
    if (this.#isOver || this.#isCancelled) return;
    this.#isCancelled = true;
    this.#stopIdle();
    if (this.#sink !== null) discard(this.#options.message);
  }

  #data(chunk: Uint8Array): void {
    if (this.#isCancelled || this.#isOver || this.#sink === null) return;
    this.#idleTimer?.refresh();
    if (!this.#sink.write(chunk)) this.#options.message.pause();
  }

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#stopIdle();
    if (!this.#isCancelled) this.#sink?.end(null);
  }

  #fail(error: Error): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#stopIdle();
    if (!this.#isCancelled) this.#sink?.abort(error);
  }

  #idle(): void {
    // Paused by the upstream: the silence is not the client's.
    if (this.#options.message.isPaused()) {
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

/**
 * Reads on and throws away, within bounds: closing at once would reset the connection, and the reset
 * may overtake the answer.
 */
export function discard(message: IncomingMessage): void {
  if (message.complete || message.destroyed) return;
  const socket = message.socket;
  let bytes = 0;
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  const stop = (): void => clearTimeout(timer);
  message.on('data', (chunk: Uint8Array) => {
    bytes += chunk.length;
    if (bytes > LINGER_BYTES_MAX) socket.destroy();
  });
  message.once('end', stop);
  message.once('close', stop);
  message.once('error', stop);
  message.resume();
}

/** Reads a short body whole; calls `done` with null when the client went away or fell silent. */
export function readWhole(
  message: IncomingMessage,
  expected: { readonly length: number; readonly idleMs: number },
  done: (body: Uint8Array | null, isIdle: boolean) => void,
): void {
  const chunks: Uint8Array[] = [];
  let isOver = false;
  const finish = (body: Uint8Array | null, isIdle: boolean): void => {
    if (isOver) return;
    isOver = true;
    clearTimeout(timer);
    done(body, isIdle);
  };
  const timer = setTimeout(() => finish(null, true), expected.idleMs);
  message.on('data', (chunk: Uint8Array) => {
    timer.refresh();
    chunks.push(chunk);
  });
  message.on('end', () => {
    const only = chunks.length === 1 ? chunks[0] : undefined;
    finish(only ?? Buffer.concat(chunks, expected.length), false);
  });
  message.on('error', () => finish(null, false));
  message.on('close', () => finish(null, false));
}
