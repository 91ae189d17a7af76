/** The Transport port over undici's connection pools. */
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { Pool, type buildConnector } from 'undici';
import {
  UpstreamError,
  type Transport,
  type UpstreamRequest,
  type UpstreamResponse,
} from '#shared/platform/platform.ts';
import { Exchange } from './exchange.ts';
import { Upload } from './upload.ts';

/** Pools kept at a time; the one unused for longest makes room. */
const POOLS_MAX = 1024;
/** Requests in flight per pool, waiting for a connection included. */
const IN_FLIGHT_MAX = 8192;
/** A pool without a request for this long is closed. */
const POOL_IDLE_MS = 120_000;
const SWEEP_INTERVAL_MS = 30_000;
/** As Kong: `upstream_keepalive_idle_timeout`. */
const KEEP_ALIVE_MS = 60_000;
/** As Kong: `upstream_keepalive_max_requests`. */
const REQUESTS_PER_CONNECTION_MAX = 10_000;
const RESPONSE_HEAD_BYTES_MAX = 64 * 1024;
const TCP_KEEP_ALIVE_DELAY_MS = 60_000;

interface Entry {
  readonly key: string;
  readonly pool: Pool;
  inFlight: number;
  lastUsedMs: number;
}

export class NodeTransport implements Transport {
  readonly #entries = new Map<string, Entry>();
  readonly #sweeper: NodeJS.Timeout;
  #isClosed = false;

  constructor() {
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_INTERVAL_MS);
    this.#sweeper.unref();
  }

  send(request: UpstreamRequest): Promise<UpstreamResponse> {
    return new Promise((resolve, reject) => {
      if (request.abort.aborted) {
        reject(new UpstreamError('aborted', false));
        return;
      }
      const entry = this.#entryFor(request);
      if (entry === null || entry.inFlight >= IN_FLIGHT_MAX) {
        reject(new UpstreamError('connect', false, new Error('too many requests in flight')));
        return;
      }
      entry.inFlight += 1;
      const exchange = new Exchange(request, resolve, reject, () => leave(entry));
      const body = request.body;
      entry.pool.dispatch(
        {
          path: request.target,
          method: request.method,
          headers: outgoingHeaders(request),
          body:
            body === null || body instanceof Uint8Array
              ? body
              : new Upload(body, request.writeTimeoutMs),
          headersTimeout: request.readTimeoutMs,
          bodyTimeout: request.readTimeoutMs,
          // One name per pool: undici would reconnect whenever the Host header changes.
          ...SAME_SERVER_NAME,
        },
        exchange,
      );
    });
  }

  /** Ends all connections; requests in flight fail. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#sweeper);
    const pools = [...this.#entries.values()].map((entry) => entry.pool.destroy());
    this.#entries.clear();
    await Promise.all(pools);
  }

  #entryFor(request: UpstreamRequest): Entry | null {
    const key = keyOf(request);
    const known = this.#entries.get(key);
    if (known !== undefined) return known;
    if (this.#isClosed || (this.#entries.size >= POOLS_MAX && !this.#evictIdlest())) return null;
    const entry = { key, pool: createPool(request), inFlight: 0, lastUsedMs: performance.now() };
    this.#entries.set(key, entry);
    return entry;
  }

  #evictIdlest(): boolean {
    let idlest: Entry | null = null;
    for (const entry of this.#entries.values()) {
      if (entry.inFlight > 0) continue;
      if (idlest === null || entry.lastUsedMs < idlest.lastUsedMs) idlest = entry;
    }
    if (idlest !== null) this.#drop(idlest);
    return idlest !== null;
  }

  #sweep(): void {
    const before = performance.now() - POOL_IDLE_MS;
    for (const entry of this.#entries.values()) {
      if (entry.inFlight === 0 && entry.lastUsedMs < before) this.#drop(entry);
    }
  }

  #drop(entry: Entry): void {
    this.#entries.delete(entry.key);
    // Nothing is in flight, so nobody can learn of a failure to close.
    entry.pool.destroy().catch(() => {});
  }
}

/** undici's type omits the option that its request reads. */
const SAME_SERVER_NAME: object = { servername: 'upstream' };

function leave(entry: Entry): void {
  entry.inFlight -= 1;
  if (entry.inFlight === 0) entry.lastUsedMs = performance.now();
}

function keyOf(request: UpstreamRequest): string {
  const at = `${request.scheme}|${request.host}|${request.port}|${request.connectTimeoutMs}`;
  if (request.tls === null) return at;
  return `${at}|${request.tls.verify ? 1 : 0}|${request.tls.serverName ?? ''}`;
}

function createPool(request: UpstreamRequest): Pool {
  // The connector below knows where to go; a URL of the real host could only be misread.
  return new Pool(`${request.scheme}://upstream`, {
    connect: createConnector(request),
    pipelining: 1,
    allowH2: false,
    keepAliveTimeout: KEEP_ALIVE_MS,
    keepAliveMaxTimeout: KEEP_ALIVE_MS,
    maxRequestsPerClient: REQUESTS_PER_CONNECTION_MAX,
    maxHeaderSize: RESPONSE_HEAD_BYTES_MAX,
  });
}

function createConnector(request: UpstreamRequest): buildConnector.connector {
  const { scheme, host, port, connectTimeoutMs, tls } = request;
  let session: Buffer | undefined;
  return (_options, callback) => {
    const isTls = scheme === 'https';
    let socket: Socket;
    if (isTls) {
      const name = tls?.serverName ?? (isIP(host) === 0 ? host : null);
      const secure = connectTls({
        host,
        port,
        ...(name === null ? {} : { servername: name }),
        rejectUnauthorized: tls?.verify ?? false,
        ALPNProtocols: ['http/1.1'],
        ...(session === undefined ? {} : { session }),
      });
      secure.on('session', (ticket) => (session = ticket));
      socket = secure;
    } else {
      socket = connectTcp({ host, port });
    }
    socket.setKeepAlive(true, TCP_KEEP_ALIVE_DELAY_MS);
    socket.setNoDelay(true);
    const timer = setTimeout(() => socket.destroy(timeoutError()), connectTimeoutMs);
    let isDone = false;
    const done = (error: Error | null): void => {
      if (isDone) return;
      isDone = true;
      clearTimeout(timer);
      if (error === null) callback(null, socket);
      else callback(error, null);
    };
    socket.once(isTls ? 'secureConnect' : 'connect', () => done(null));
    socket.on('error', done);
    socket.once('close', () => done(new Error('closed while connecting')));
  };
}

function timeoutError(): Error {
  return Object.assign(new Error('connect timeout'), { code: 'ETIMEDOUT' });
}

/** Fields that frame or belong to one connection: undici writes them itself. */
const CONNECTION_FIELDS: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'expect',
  'keep-alive',
  'transfer-encoding',
  'upgrade',
]);

function outgoingHeaders(request: UpstreamRequest): string[] {
  const { headers, body } = request;
  const flat: string[] = [];
  for (let i = 0; i < headers.size; i += 1) {
    if (CONNECTION_FIELDS.has(headers.lowerNameAt(i))) continue;
    flat.push(headers.nameAt(i), headers.valueAt(i));
  }
  if (body !== null && !(body instanceof Uint8Array) && body.length !== null) {
    flat.push('content-length', String(body.length));
  }
  return flat;
}
