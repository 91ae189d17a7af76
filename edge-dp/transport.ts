/**
 * The Transport port over `fetch`.
 *
 * What it cannot do, the parity table says: the Host header is the URL's, name resolution and TLS
 * are the platform's, and a connection that was refused looks like one that broke.
 */
import type { Body } from '#shared/http/body.ts';
import type { HeaderList } from '#shared/http/headers.ts';
import {
  UpstreamError,
  type Clock,
  type Transport,
  type UpstreamFailure,
  type UpstreamRequest,
  type UpstreamResponse,
} from '#shared/platform/platform.ts';
import { headersOf } from './request.ts';
import { contentLength, toReadable, WebBody } from './web-body.ts';
import { WebTunnel } from './web-tunnel.ts';

/** A request body up to here is kept, so that another target can be tried with it. */
export const BODY_KEPT_BYTES_MAX = 64 * 1024;

/** What Cloudflare answers itself, in the place of a target that it could not talk to. */
const PLATFORM_FAILURES: ReadonlyMap<number, { failure: UpstreamFailure; sent: boolean }> = new Map(
  [
    [520, { failure: 'invalid_response', sent: true }],
    [521, { failure: 'connect', sent: false }],
    [522, { failure: 'connect_timeout', sent: false }],
    [523, { failure: 'connect', sent: false }],
    [524, { failure: 'read_timeout', sent: true }],
    [525, { failure: 'connect', sent: false }],
    [526, { failure: 'connect', sent: false }],
    [530, { failure: 'resolve', sent: false }],
  ],
);

export class FetchTransport implements Transport {
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async send(request: UpstreamRequest): Promise<UpstreamResponse> {
    if (request.abort.aborted) throw new UpstreamError('aborted', false);
    const watch = new Watch(this.#clock, request);
    try {
      const message = await toMessage(request, watch);
      const response = await fetch(message);
      return fromResponse(response, request.upgrade !== null);
    } catch (error) {
      throw watch.explain(error);
    } finally {
      watch.stop();
    }
  }
}

/** Ends a try that has been silent for too long, or whose client has gone. */
class Watch {
  readonly #clock: Clock;
  readonly #limitMs: number;
  readonly #controller = new AbortController();
  readonly #unsubscribe: () => void;
  #quietSince: number;
  #cancel: () => void;
  #reason: UpstreamFailure | null = null;

  constructor(clock: Clock, request: UpstreamRequest) {
    this.#clock = clock;
    // The platform does not tell when connecting ends, so the limit for silence covers it too.
    const isUpload = request.body !== null;
    this.#limitMs = isUpload
      ? Math.max(request.writeTimeoutMs, request.readTimeoutMs)
      : request.readTimeoutMs;
    this.#quietSince = clock.monotonic();
    this.#cancel = clock.setTimer(this.#limitMs, () => this.#due());
    this.#unsubscribe = request.abort.onAbort(() => this.#end('aborted'));
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Bytes of the request have moved. */
  progress(): void {
    this.#quietSince = this.#clock.monotonic();
  }

  /** The request broke off on the client's side: no target is to blame for it. */
  brokeOff(): void {
    this.#end('aborted');
  }

  stop(): void {
    this.#cancel();
    this.#unsubscribe();
  }

  explain(error: unknown): UpstreamError {
    if (error instanceof UpstreamError) return error;
    if (this.#reason !== null) return new UpstreamError(this.#reason, true, error);
    return new UpstreamError('reset', true, error);
  }

  #due(): void {
    const restMs = this.#quietSince + this.#limitMs - this.#clock.monotonic();
    if (restMs <= 1) this.#end('read_timeout');
    else this.#cancel = this.#clock.setTimer(restMs, () => this.#due());
  }

  #end(reason: UpstreamFailure): void {
    this.#reason ??= reason;
    this.#controller.abort();
  }
}

async function toMessage(request: UpstreamRequest, watch: Watch): Promise<Request> {
  const url = urlOf(request);
  const headers = webHeaders(request.headers);
  const init = {
    method: request.method,
    headers,
    redirect: 'manual',
    signal: watch.signal,
  } as const;
  const { body } = request;
  if (request.method === 'GET' || request.method === 'HEAD') {
    if (!(body instanceof WebBody) || body.request === null) return new Request(url, init);
    // The constructor refuses a body here, but lets that of a message pass which came with one.
    const forwarded = new Request(url, body.takeRequest(body.request));
    return new Request(forwarded, { headers, redirect: 'manual', signal: watch.signal });
  }
  return new Request(url, { ...init, body: await bodyInit(body, watch) });
}

async function bodyInit(
  body: Body,
  watch: Watch,
): Promise<Uint8Array | ReadableStream<Uint8Array> | null> {
  if (body === null || body instanceof Uint8Array) return body;
  if (body instanceof WebBody && body.length !== null && body.length <= BODY_KEPT_BYTES_MAX) {
    try {
      return await body.bytes();
    } catch (error) {
      throw new UpstreamError('aborted', false, error);
    }
  }
  const wire =
    body.length === null ? new IdentityTransformStream() : new FixedLengthStream(body.length);
  void copy(toReadable(body), wire.writable, watch);
  return wire.readable;
}

/** Like `pipeTo`, but tells that bytes move: a long upload is not a silent target. */
async function copy(
  from: ReadableStream<Uint8Array>,
  to: WritableStream<Uint8Array>,
  watch: Watch,
): Promise<void> {
  const reader = from.getReader();
  const writer = to.getWriter();
  const read = () =>
    reader.read().catch((error: unknown) => {
      watch.brokeOff();
      throw error;
    });
  try {
    for (;;) {
      const { done, value } = await read();
      watch.progress();
      if (done) break;
      await writer.write(value);
      watch.progress();
    }
    await writer.close();
  } catch (error) {
    // Whichever end broke, `fetch` learns it by the stream and reports it.
    await Promise.allSettled([writer.abort(error), reader.cancel(error)]);
  }
}

function urlOf(request: UpstreamRequest): string {
  const host = request.host.includes(':') ? `[${request.host}]` : request.host;
  return `${request.scheme}://${host}:${request.port}${request.target}`;
}

function webHeaders(list: HeaderList): Headers {
  const headers = new Headers();
  for (let i = 0; i < list.size; i++) {
    const name = list.lowerNameAt(i);
    // Both are the runtime's: it takes the host from the URL and the length from the body.
    if (name === 'host' || name === 'content-length') continue;
    headers.append(list.nameAt(i), list.valueAt(i));
  }
  return headers;
}

function fromResponse(response: Response, maySwitch: boolean): UpstreamResponse {
  const headers = headersOf(response.headers);
  if (maySwitch) {
    const { status, webSocket } = response;
    if (webSocket !== null)
      return { status, headers, body: null, tunnel: new WebTunnel(webSocket) };
    if (isFailedHandshake(response, headers)) {
      void response.body?.cancel();
      throw new UpstreamError('invalid_response', true);
    }
  }
  const known = PLATFORM_FAILURES.get(response.status);
  if (known !== undefined && headers.get('server')?.toLowerCase() === 'cloudflare') {
    void response.body?.cancel();
    throw new UpstreamError(known.failure, known.sent);
  }
  if (response.status < 200 || response.status > 599) {
    void response.body?.cancel();
    throw new UpstreamError('invalid_response', true);
  }
  const body =
    response.body === null ? null : new WebBody(response.body, contentLength(headers), null);
  return { status: response.status, headers, body, tunnel: null };
}

/** A wrong 101 comes as a 502 of the runtime's own, and nothing but its text says so. */
function isFailedHandshake(response: Response, headers: HeaderList): boolean {
  return response.status === 502 && headers.size === 0;
}
