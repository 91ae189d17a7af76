/** A request body as a stream of HTTP/2 brings it. */
import { constants, type ServerHttp2Stream } from 'node:http2';
import { HeaderList } from '#shared/http/headers.ts';
import type { BodySource } from '../request-body.ts';

export class H2BodySource implements BodySource {
  readonly readable: ServerHttp2Stream;
  #trailers: HeaderList | null = null;
  #takenBytes = 0;
  #isDiscarded = false;

  constructor(stream: ServerHttp2Stream) {
    this.readable = stream;
    stream.once('trailers', (_headers, _flags, raw?: string[]) => {
      if (raw !== undefined && raw.length > 0) this.#trailers = new HeaderList(raw);
    });
  }

  /** A reset ends the reading as a last byte does, even one without a complaint. */
  get isComplete(): boolean {
    return this.readable.readableEnded && !this.readable.closed;
  }

  get trailers(): HeaderList | null {
    return this.#trailers;
  }

  /** Bytes that came and were asked for. */
  get takenBytes(): number {
    return this.#takenBytes;
  }

  took(bytes: number): void {
    this.#takenBytes += bytes;
  }

  sendContinue(): void {
    const stream = this.readable;
    if (stream.headersSent || stream.closed || stream.destroyed) return;
    stream.additionalHeaders({ [constants.HTTP2_HEADER_STATUS]: 100 });
  }

  discard(): void {
    if (this.#isDiscarded) return;
    this.#isDiscarded = true;
    discard(this.readable);
  }
}

/**
 * Reads on and throws away, within bounds: beyond them the client waits, until the answer's end resets
 * the stream (RFC 9113 section 8.1). A stream that nobody reads of, Node closes by itself, and too early:
 * its reset may overtake the last frame of the answer.
 */
export function discard(stream: ServerHttp2Stream): void {
  if (stream.destroyed || stream.readableEnded) return;
  let bytesLeft = DISCARDED_BYTES_MAX;
  stream.on('data', (chunk: Uint8Array) => {
    bytesLeft -= chunk.length;
    if (bytesLeft <= 0) stream.pause();
  });
  stream.resume();
}

const DISCARDED_BYTES_MAX = 1024 * 1024;
