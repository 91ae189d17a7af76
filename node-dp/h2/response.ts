/** Writes a gateway's response to a stream of HTTP/2. */
import { constants, type ServerHttp2Stream } from 'node:http2';
import type { HeaderList } from '#shared/http/headers.ts';
import type { GatewayResponse } from '#shared/http/message.ts';
import { asksForTrailers } from '#shared/http/upstream-headers.ts';
import { fieldValue } from '../field-value.ts';
import type { NodeRequest } from '../request.ts';
import { type Follows, type Length, ResponseWriter } from '../response-writer.ts';

export class H2ResponseWriter extends ResponseWriter {
  readonly #stream: ServerHttp2Stream;
  readonly #takesTrailers: boolean;

  constructor(stream: ServerHttp2Stream, gateway: GatewayResponse, request: NodeRequest) {
    super(gateway, request.method);
    this.#stream = stream;
    this.#takesTrailers = asksForTrailers(request.headers);
  }

  protected override get isGone(): boolean {
    return this.#stream.destroyed || this.#stream.closed;
  }

  /** A stream whose last frame is out is over before Node tells of its bytes; one broken off has a code. */
  protected override get isFlushed(): boolean {
    return this.#stream.rstCode === constants.NGHTTP2_NO_ERROR;
  }

  protected override writeHead(length: Length, follows: Follows): void {
    const { headers, status } = this.gateway;
    const flat: string[] = [':status', String(status)];
    for (let i = 0; i < headers.size; i += 1) {
      const name = headers.lowerNameAt(i);
      if (name === 'content-length') {
        if (length !== undefined) continue;
      } else if (CONNECTION_FIELDS.has(name)) continue;
      flat.push(name, fieldValue(headers.valueAt(i)));
    }
    if (typeof length === 'number') flat.push('content-length', String(length));
    const waitForTrailers = follows === 'stream' && this.#takesTrailers;
    this.#stream.respond(flat, { endStream: follows === 'nothing', waitForTrailers });
  }

  protected override onDrain(fn: () => void): void {
    this.#stream.on('drain', fn);
  }

  protected override send(bytes: Uint8Array): boolean {
    return this.#stream.write(bytes);
  }

  protected override sendLast(bytes: Uint8Array | null): void {
    if (bytes !== null) this.#stream.end(bytes);
  }

  protected override finish(trailers: HeaderList | null): void {
    const stream = this.#stream;
    if (trailers !== null && this.#takesTrailers) {
      const fields = trailerFields(trailers);
      stream.once('wantTrailers', () => stream.sendTrailers(fields));
    }
    stream.end();
  }

  protected override breakOff(): void {
    this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  }
}

/** Node takes trailers as an object only. */
export function trailerFields(trailers: HeaderList): Record<string, string | string[]> {
  const fields: Record<string, string | string[]> = Object.create(null) as Record<string, never>;
  for (let i = 0; i < trailers.size; i += 1) {
    const name = trailers.lowerNameAt(i);
    const value = fieldValue(trailers.valueAt(i));
    const known = fields[name];
    if (known === undefined) fields[name] = value;
    else fields[name] = typeof known === 'string' ? [known, value] : [...known, value];
  }
  return fields;
}

/** Not to be sent over HTTP/2 (RFC 9113 section 8.2.2). */
const CONNECTION_FIELDS: ReadonlySet<string> = new Set([
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
]);
