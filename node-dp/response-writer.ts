/** From a gateway's response to a client: framing, filters, backpressure, the end. */
import type { Body, BodySink, BodyStream } from '#shared/http/body.ts';
import type { HeaderList } from '#shared/http/headers.ts';
import type { GatewayResponse } from '#shared/http/message.ts';
import { passableTrailers } from '#shared/http/trailers.ts';
import { runFilters } from '#shared/proxy/body-filter.ts';

/** What follows a head. */
export type Follows = 'nothing' | 'bytes' | 'stream';

/** `Content-Length`; null: not to be sent; `undefined`: as the response's headers say. */
export type Length = number | null | undefined;

export abstract class ResponseWriter implements BodySink {
  protected readonly gateway: GatewayResponse;
  readonly #method: string;
  #stream: BodyStream | null = null;
  #bytesSent = 0;
  #isComplete = false;
  #isClosed = false;

  constructor(gateway: GatewayResponse, method: string) {
    this.gateway = gateway;
    this.#method = method;
  }

  /** The client has left, or will get nothing more. */
  protected abstract get isGone(): boolean;
  /** All that was sent has been taken. */
  protected abstract get isFlushed(): boolean;
  /**
   * @throws for a field that cannot be sent
   */
  protected abstract writeHead(length: Length, follows: Follows): void;
  protected abstract onDrain(fn: () => void): void;
  /** False: full, until the drain. */
  protected abstract send(bytes: Uint8Array): boolean;
  /** The whole body, right behind the head. */
  protected abstract sendLast(bytes: Uint8Array | null): void;
  protected abstract finish(trailers: HeaderList | null): void;
  protected abstract breakOff(): void;

  /** All of it has been sent, and taken as far as that can be known. */
  get isWhole(): boolean {
    return this.#isComplete && this.isFlushed;
  }

  get bytesSent(): number {
    return this.#bytesSent;
  }

  start(): void {
    const { status, body, filters } = this.gateway;
    if (this.#method === 'HEAD' || status === 204 || status === 304) {
      if (isStream(body)) body.cancel();
      this.writeHead(this.#bodilessLength(body), 'nothing');
      this.#isComplete = true;
      this.sendLast(null);
      return;
    }
    if (isStream(body)) {
      this.writeHead(filters.length === 0 ? body.length : null, 'stream');
      this.#stream = body;
      this.onDrain(() => body.resume());
      body.pipe(this);
      return;
    }
    const bytes = this.#filter(body ?? EMPTY, true);
    if (this.isGone) return;
    const isEmpty = bytes === null || bytes.length === 0;
    this.writeHead(bytes?.length ?? 0, isEmpty ? 'nothing' : 'bytes');
    this.#isComplete = true;
    this.#bytesSent = bytes?.length ?? 0;
    this.sendLast(isEmpty ? null : bytes);
  }

  write(chunk: Uint8Array): boolean {
    const out = this.#filter(chunk, false);
    return out === null || this.#send(out);
  }

  end(trailers: HeaderList | null): void {
    const rest = this.#filter(EMPTY, true);
    if (rest !== null) this.#send(rest);
    if (this.isGone) return;
    this.#isComplete = true;
    this.finish(trailers === null ? null : passableTrailers(trailers));
  }

  /** Broken off upstream: the client must see that it is not whole, so never a clean end. */
  abort(): void {
    this.breakOff();
  }

  /** The exchange is over, one way or the other. */
  closed(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const complete = this.isWhole;
    if (!complete) this.#stream?.cancel();
    this.gateway.onFinish({ complete, bytesSent: this.#bytesSent });
  }

  #send(bytes: Uint8Array): boolean {
    if (this.isGone) return false;
    this.#bytesSent += bytes.length;
    return this.send(bytes);
  }

  #filter(chunk: Uint8Array, last: boolean): Uint8Array | null {
    const { filters } = this.gateway;
    if (filters.length === 0) return chunk.length === 0 ? null : chunk;
    try {
      return runFilters(filters, chunk, last);
    } catch {
      // What the filter was to take out must not get through: the response ends here, visibly.
      this.abort();
      return null;
    }
  }

  /** What `Content-Length` says where no body follows. */
  #bodilessLength(body: Body): Length {
    if (this.gateway.status === 204 || this.gateway.filters.length > 0) return null;
    return body instanceof Uint8Array ? body.length : undefined;
  }
}

const EMPTY = new Uint8Array(0);

function isStream(body: Body): body is BodyStream {
  return body !== null && !(body instanceof Uint8Array);
}
