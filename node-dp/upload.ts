/** A request body on its way to an upstream: a `BodyStream` as the Readable that undici wants. */
import { Readable } from 'node:stream';
import type { BodyStream } from '#shared/http/body.ts';
import type { HeaderList } from '#shared/http/headers.ts';
import { UpstreamError } from '#shared/platform/platform.ts';

/** Bytes held between the two sockets before the downstream one is told to wait. */
const UPLOAD_BUFFER_BYTES_MAX = 64 * 1024;

/** The upstream took nothing for longer than the write timeout. */
export class WriteStalledError extends Error {
  override readonly name = 'WriteStalledError';
}

export class Upload extends Readable {
  readonly #source: BodyStream;
  readonly #stallMs: number;
  #started = false;
  #ended = false;
  #trailers: HeaderList | null = null;
  #stallTimer: NodeJS.Timeout | null = null;

  /** `stallMs`: longest time the upstream may refuse to take more; 0 for no limit. */
  constructor(source: BodyStream, stallMs: number) {
    super({ highWaterMark: UPLOAD_BUFFER_BYTES_MAX });
    this.#source = source;
    this.#stallMs = stallMs;
  }

  /** Once it has ended. undici has no use for them. */
  get trailers(): HeaderList | null {
    return this.#trailers;
  }

  override _read(): void {
    this.#clearStall();
    if (this.#started) {
      this.#source.resume();
      return;
    }
    this.#started = true;
    this.#source.pipe({
      write: (chunk) => this.#take(chunk),
      end: (trailers) => {
        this.#ended = true;
        this.#trailers = trailers;
        this.#clearStall();
        this.push(null);
      },
      // The client's doing: no target is to blame for it.
      abort: (error) => this.destroy(new UpstreamError('aborted', true, error)),
    });
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#clearStall();
    // The rest has no taker. The listener decides what that means for the client's connection.
    if (this.#started && !this.#ended) this.#source.cancel(error ?? undefined);
    done(error);
  }

  #take(chunk: Uint8Array): boolean {
    if (this.destroyed) return false;
    const wantsMore = this.push(chunk);
    if (!wantsMore && this.#stallMs > 0 && this.#stallTimer === null) {
      this.#stallTimer = setTimeout(() => this.destroy(new WriteStalledError()), this.#stallMs);
      this.#stallTimer.unref();
    }
    return wantsMore;
  }

  #clearStall(): void {
    if (this.#stallTimer === null) return;
    clearTimeout(this.#stallTimer);
    this.#stallTimer = null;
  }
}
