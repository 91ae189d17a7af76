/** The Transport port: undici's client for HTTP/1.1, `node:http2` for HTTP/2. */
import {
  UpstreamError,
  type Transport,
  type UpstreamRequest,
  type UpstreamResponse,
} from '#shared/platform/platform.ts';
import { BodyMemory } from '#shared/http/body-memory.ts';
import { ConnectionPool, dialer } from './connections.ts';
import { Exchange } from './exchange.ts';
import { fieldValue } from './field-value.ts';
import { H2Pool } from './h2-upstream/pool.ts';
import { UpstreamTlsContexts } from './tls/upstream-tls.ts';
import { Upload } from './upload.ts';

export interface TransportLimits {
  /** Targets with a pool at a time; the one unused for longest makes room. */
  readonly poolsMax: number;
  /** Requests in flight per target, connecting included. */
  readonly inFlightMax: number;
  /** A pool without a request for this long is closed. */
  readonly poolIdleMs: number;
}

export const TRANSPORT_LIMITS: TransportLimits = {
  poolsMax: 8192,
  inFlightMax: 8192,
  poolIdleMs: 120_000,
};

/** Bytes of responses read ahead of slow clients: of one, and of all. */
const AHEAD_BODY_BYTES_MAX = 1024 * 1024;
const AHEAD_BYTES_MAX = 128 * 1024 * 1024;

const SWEEP_INTERVAL_MS = 30_000;

interface Entry {
  readonly key: string;
  readonly pool: ConnectionPool | H2Pool;
  lastUsedMs: number;
}

export class NodeTransport implements Transport {
  readonly #entries = new Map<string, Entry>();
  readonly #limits: TransportLimits;
  readonly #memory = new BodyMemory(AHEAD_BYTES_MAX, AHEAD_BODY_BYTES_MAX);
  readonly #tls: UpstreamTlsContexts;
  readonly #sweeper: NodeJS.Timeout;
  #isClosed = false;

  /** @param tls  whom we trust where no entity says whom */
  constructor(
    limits: TransportLimits = TRANSPORT_LIMITS,
    tls: UpstreamTlsContexts = new UpstreamTlsContexts(),
  ) {
    this.#limits = limits;
    this.#tls = tls;
    this.#sweeper = setInterval(() => this.sweep(), SWEEP_INTERVAL_MS);
    this.#sweeper.unref();
  }

  send(request: UpstreamRequest): Promise<UpstreamResponse> {
    return new Promise((resolve, reject) => {
      if (request.abort.aborted) {
        reject(new UpstreamError('aborted', false));
        return;
      }
      const entry = this.#entryFor(request);
      if (entry === null || entry.pool.busyCount >= this.#limits.inFlightMax) {
        reject(new UpstreamError('connect', false, new Error('too many requests in flight')));
        return;
      }
      const memory = request.readsAhead === true ? this.#memory : null;
      exchange(entry, request, memory, { resolve, reject });
    });
  }

  get poolCount(): number {
    return this.#entries.size;
  }

  /** Ends all connections; requests in flight fail. */
  close(): void {
    this.#isClosed = true;
    clearInterval(this.#sweeper);
    for (const entry of this.#entries.values()) entry.pool.close();
    this.#entries.clear();
  }

  /** Closes the pools that nothing was sent through for a while. */
  sweep(): void {
    const before = performance.now() - this.#limits.poolIdleMs;
    for (const entry of this.#entries.values()) {
      if (entry.pool.busyCount === 0 && entry.lastUsedMs < before) this.#drop(entry);
    }
  }

  #entryFor(request: UpstreamRequest): Entry | null {
    const key = keyOf(request, this.#tls);
    const known = this.#entries.get(key);
    if (known !== undefined) return known;
    const isFull = this.#entries.size >= this.#limits.poolsMax;
    if (this.#isClosed || (isFull && !this.#evictIdlest())) return null;
    const entry = { key, pool: poolFor(request, this.#tls), lastUsedMs: performance.now() };
    this.#entries.set(key, entry);
    return entry;
  }

  #evictIdlest(): boolean {
    let idlest: Entry | null = null;
    for (const entry of this.#entries.values()) {
      if (entry.pool.busyCount > 0) continue;
      if (idlest === null || entry.lastUsedMs < idlest.lastUsedMs) idlest = entry;
    }
    if (idlest !== null) this.#drop(idlest);
    return idlest !== null;
  }

  #drop(entry: Entry): void {
    this.#entries.delete(entry.key);
    entry.pool.close();
  }
}

interface Settle {
  resolve(response: UpstreamResponse): void;
  reject(error: UpstreamError): void;
}

function poolFor(request: UpstreamRequest, contexts: UpstreamTlsContexts): ConnectionPool | H2Pool {
  if (request.httpVersion === '1.1') return new ConnectionPool(request, contexts);
  return new H2Pool(dialer(request, 'h2', contexts), request.connectTimeoutMs);
}

function exchange(
  entry: Entry,
  request: UpstreamRequest,
  memory: BodyMemory | null,
  settle: Settle,
): void {
  const { pool } = entry;
  if (pool instanceof H2Pool) {
    const over = (): void => {
      if (pool.busyCount === 0) entry.lastUsedMs = performance.now();
    };
    pool.send(request, { ...settle, over });
    return;
  }
  const client = pool.take();
  const { body } = request;
  const isStream = body !== null && !(body instanceof Uint8Array);
  const handler = new Exchange(request, memory, {
    ...settle,
    over: (isSound) => {
      pool.giveBack(client, isSound);
      if (pool.busyCount === 0) entry.lastUsedMs = performance.now();
    },
  });
  client.dispatch(
    {
      path: request.target,
      method: request.method,
      headers: outgoingHeaders(request),
      body: isStream ? new Upload(body, request.writeTimeoutMs) : body,
      headersTimeout: request.readTimeoutMs,
      bodyTimeout: request.readTimeoutMs,
      upgrade: request.upgrade,
      ...SAME_SERVER_NAME,
    },
    handler,
  );
}

/** undici reconnects when the name changes, which it takes from the Host header unless told. */
const SAME_SERVER_NAME: object = { servername: 'upstream' };

function keyOf(request: UpstreamRequest, contexts: UpstreamTlsContexts): string {
  const { httpVersion, scheme, host, address, port, connectTimeoutMs, tls } = request;
  const at = `${httpVersion}|${scheme}|${host}|${address ?? ''}|${port}|${connectTimeoutMs}`;
  return tls === null ? at : `${at}|${contexts.keyOf(tls)}`;
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
    flat.push(headers.nameAt(i), fieldValue(headers.valueAt(i)));
  }
  if (body !== null && !(body instanceof Uint8Array) && body.length !== null) {
    flat.push('content-length', String(body.length));
  }
  return flat;
}
