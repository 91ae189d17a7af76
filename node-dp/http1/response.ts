/** Writes a gateway's response to a `node:http` response: framing, filters, backpressure, the end. */
import type { ServerResponse } from 'node:http';
import type { Body, BodySink, BodyStream } from '#shared/http/body.ts';
import type { HeaderList } from '#shared/http/headers.ts';
import type { GatewayRequest, GatewayResponse } from '#shared/http/message.ts';
import { runFilters } from '#shared/proxy/body-filter.ts';
import { fieldValue } from '../field-value.ts';

/** What the writer must know of the request. */
export interface WriteOptions {
  readonly method: string;
  readonly httpVersion: GatewayRequest['httpVersion'];
  /** The connection must not carry another request. */
  readonly mustClose: boolean;
  readonly requestHeaders: HeaderList;
}

export class ResponseWriter implements BodySink {
  readonly #response: ServerResponse;
  readonly #gateway: GatewayResponse;
  readonly #options: WriteOptions;
  #stream: BodyStream | null = null;
  #bytesSent = 0;
  #isComplete = false;
  #isClosed = false;

  constructor(response: ServerResponse, gateway: GatewayResponse, options: WriteOptions) {
    this.#response = response;
    this.#gateway = gateway;
    this.#options = options;
  }

  start(): void {
    const { status, body, filters } = this.#gateway;
    const isBodiless = this.#options.method === 'HEAD' || status === 204 || status === 304;
    if (isBodiless) {
      if (isStream(body)) body.cancel();
      this.#writeHead(this.#bodilessLength(body));
      this.#isComplete = true;
      this.#response.end();
      return;
    }
    if (isStream(body)) {
      this.#writeHead(filters.length === 0 ? body.length : null);
      this.#stream = body;
      this.#response.on('drain', () => body.resume());
      body.pipe(this);
      return;
    }
    const bytes = this.#filter(body ?? EMPTY, true);
    if (this.#response.destroyed) return;
    this.#writeHead(bytes?.length ?? 0);
    this.#isComplete = true;
    if (bytes === null || bytes.length === 0) {
      this.#response.end();
      return;
    }
    this.#bytesSent = bytes.length;
    if (bytes.length <= ONE_WRITE_BYTES_MAX) this.#response.end(latin1(bytes), 'latin1');
    else this.#response.end(bytes);
  }

  write(chunk: Uint8Array): boolean {
    const out = this.#filter(chunk, false);
    return out === null || this.#send(out);
  }

  end(trailers: HeaderList | null): void {
    const rest = this.#filter(EMPTY, true);
    if (rest !== null) this.#send(rest);
    if (this.#response.destroyed) return;
    this.#isComplete = true;
    if (trailers !== null && this.#takesTrailers()) this.#response.addTrailers(pairsOf(trailers));
    this.#response.end();
  }

  /** Broken off upstream: the client must see that it is not whole, so never a clean end. */
  abort(): void {
    this.#response.destroy();
  }

  /** The exchange is over, one way or the other. */
  closed(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const complete = this.#isComplete && this.#response.writableFinished;
    if (!complete) this.#stream?.cancel();
    this.#gateway.onFinish({ complete, bytesSent: this.#bytesSent });
  }

  #takesTrailers(): boolean {
    const te = this.#options.requestHeaders.get('te') ?? '';
    return this.#response.chunkedEncoding && /\btrailers\b/i.test(te);
  }

  #send(bytes: Uint8Array): boolean {
    if (this.#response.destroyed) return false;
    this.#bytesSent += bytes.length;
    return this.#response.write(bytes);
  }

  #filter(chunk: Uint8Array, last: boolean): Uint8Array | null {
    const { filters } = this.#gateway;
    if (filters.length === 0) return chunk.length === 0 ? null : chunk;
    try {
      return runFilters(filters, chunk, last);
    } catch {
      // What the filter was to take out must not get through: the response ends here, visibly.
      this.abort();
      return null;
    }
  }

  /** What `Content-Length` says where no body follows: `undefined` leaves the field as it stands. */
  #bodilessLength(body: Body): number | null | undefined {
    if (this.#gateway.status === 204 || this.#gateway.filters.length > 0) return null;
    return body instanceof Uint8Array ? body.length : undefined;
  }

  #writeHead(length: number | null | undefined): void {
    const { headers, status } = this.#gateway;
    const flat: string[] = [];
    for (let i = 0; i < headers.size; i += 1) {
      const name = headers.lowerNameAt(i);
      if (name === 'content-length') {
        if (length !== undefined) continue;
      } else if (CONNECTION_FIELDS.has(name)) continue;
      flat.push(headers.nameAt(i), fieldValue(headers.valueAt(i)));
    }
    if (typeof length === 'number') flat.push('Content-Length', String(length));
    if (this.#options.mustClose) flat.push('Connection', 'close');
    else if (this.#options.httpVersion === '1.1' && this.#response.shouldKeepAlive) {
      // Said outright, or Node adds a `Keep-Alive` field of its own.
      flat.push('Connection', 'keep-alive');
    }
    this.#response.writeHead(status, flat);
  }
}

/**
 * Up to this, a body is turned into a string of one character per byte: Node then writes head and
 * body at one go, where bytes would cost it a gathering write, a sixth of a small request's price.
 */
const ONE_WRITE_BYTES_MAX = 8 * 1024;

function latin1(bytes: Uint8Array): string {
  const { buffer, byteOffset, byteLength } = bytes;
  return Buffer.from(buffer, byteOffset, byteLength).toString('latin1');
}

const EMPTY = new Uint8Array(0);

const CONNECTION_FIELDS: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'transfer-encoding',
]);

function isStream(body: Body): body is BodyStream {
  return body !== null && !(body instanceof Uint8Array);
}

function pairsOf(trailers: HeaderList): [string, string][] {
  const pairs: [string, string][] = [];
  for (let i = 0; i < trailers.size; i += 1) pairs.push([trailers.nameAt(i), trailers.valueAt(i)]);
  return pairs;
}
