/** A request body as `node:http` brings it. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { HeaderList } from '#shared/http/headers.ts';
import type { BodySource } from '../request-body.ts';

/** What is read and thrown away after an early answer, so that the client gets to see it. */
const LINGER_BYTES_MAX = 1024 * 1024;
const LINGER_MS = 5000;

export class Http1BodySource implements BodySource {
  readonly readable: IncomingMessage;
  readonly #response: ServerResponse;

  constructor(message: IncomingMessage, response: ServerResponse) {
    this.readable = message;
    this.#response = response;
  }

  get isComplete(): boolean {
    return this.readable.complete;
  }

  get trailers(): HeaderList | null {
    const { rawTrailers } = this.readable;
    return rawTrailers.length === 0 ? null : new HeaderList(rawTrailers);
  }

  took(): void {}

  sendContinue(): void {
    if (!this.#response.headersSent) this.#response.writeContinue();
  }

  discard(): void {
    discard(this.readable);
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
