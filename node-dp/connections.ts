/** Connections to one target: one request at a time on each, the one used last is used next. */
import { connect as connectTcp, type Socket } from 'node:net';
import { Client, type buildConnector } from 'undici';
import type { UpstreamRequest } from '#shared/platform/platform.ts';
import type { UpstreamTlsContexts } from './tls/upstream-tls.ts';

/** As Kong: `upstream_keepalive_pool_size`, `_idle_timeout` and `_max_requests`. */
const IDLE_CONNECTIONS_MAX = 512;
const KEEP_ALIVE_MS = 60_000;
const REQUESTS_PER_CONNECTION_MAX = 10_000;
const RESPONSE_HEAD_BYTES_MAX = 64 * 1024;
const TCP_KEEP_ALIVE_DELAY_MS = 60_000;

/** What makes two requests able to share a connection. */
export type Target = Pick<
  UpstreamRequest,
  'scheme' | 'host' | 'address' | 'port' | 'connectTimeoutMs' | 'tls'
>;

/**
 * undici's own pool looks for a free client by walking all of them, opens a new connection for a
 * request that comes in the moment one is given back, and keeps a client for every connection there
 * ever was. A stack of the idle ones does none of that.
 */
export class ConnectionPool {
  readonly #origin: string;
  readonly #options: Client.Options;
  readonly #idle: Client[] = [];
  readonly #busy = new Set<Client>();

  constructor(target: Target, contexts: UpstreamTlsContexts) {
    // The connector knows where to go; a URL of the real host could only be misread.
    this.#origin = `${target.scheme}://upstream`;
    this.#options = {
      connect: createConnector(target, contexts),
      pipelining: 1,
      allowH2: false,
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: KEEP_ALIVE_MS,
      maxRequestsPerClient: REQUESTS_PER_CONNECTION_MAX,
      maxHeaderSize: RESPONSE_HEAD_BYTES_MAX,
    };
  }

  get busyCount(): number {
    return this.#busy.size;
  }

  /** A connection for one request, to be given back. */
  take(): Client {
    const client = this.#idle.pop() ?? this.#create();
    this.#busy.add(client);
    return client;
  }

  /** `isSound`: request and response both ended, and nothing is left on the connection. */
  giveBack(client: Client, isSound: boolean): void {
    this.#busy.delete(client);
    if (isSound && this.#idle.length < IDLE_CONNECTIONS_MAX) this.#idle.push(client);
    else discard(client);
  }

  close(): void {
    for (const client of this.#idle.splice(0)) discard(client);
    for (const client of this.#busy) discard(client);
  }

  #create(): Client {
    const client = new Client(this.#origin, this.#options);
    client.on('disconnect', () => {
      // While busy, its request learns of it and gives it back.
      const index = this.#idle.indexOf(client);
      if (index < 0) return;
      this.#idle.splice(index, 1);
      discard(client);
    });
    return client;
  }
}

function discard(client: Client): void {
  // Its requests, if any, are told; beyond that nobody can learn of a failure to close.
  client.destroy().catch(() => {});
}

function createConnector(target: Target, contexts: UpstreamTlsContexts): buildConnector.connector {
  const dial = dialer(target, 'http/1.1', contexts);
  return (_options, callback) => {
    dial((error, socket) => {
      if (socket === null) return callback(error ?? new Error('no connection'), null);
      callback(null, socket);
      tolerateContinue(socket);
    });
  };
}

/** Opens a connection within the target's time. `done` is called once, with one or the other. */
export type Dial = (done: (error: Error | null, socket: Socket | null) => void) => void;

export function dialer(
  target: Target,
  alpn: 'http/1.1' | 'h2',
  contexts: UpstreamTlsContexts,
): Dial {
  const { scheme, host, port, connectTimeoutMs } = target;
  const address = target.address ?? host;
  const readyEvent = scheme === 'https' ? 'secureConnect' : 'connect';
  const open =
    scheme === 'https'
      ? contexts.opener({ ...target, address, alpn: [alpn] })
      : () => connectTcp({ host: address, port });
  return (callback) => {
    const socket = open();
    socket.setKeepAlive(true, TCP_KEEP_ALIVE_DELAY_MS);
    socket.setNoDelay(true);
    const timer = setTimeout(() => socket.destroy(timeoutError()), connectTimeoutMs);
    let isDone = false;
    const done = (error: Error | null): void => {
      if (isDone) return;
      isDone = true;
      clearTimeout(timer);
      callback(error, error === null ? socket : null);
    };
    socket.once(readyEvent, () => done(null));
    socket.on('error', done);
    socket.once('close', () => done(new Error('closed while connecting')));
  };
}

/**
 * undici 8 breaks a connection off on a `100 Continue` it did not ask for. Some servers send one all
 * the same, and a proxy may have nothing against it (RFC 9110 section 15.2): the parser is told of
 * another interim response in its place. Without that parser, all stays as undici has it.
 */
function tolerateContinue(socket: Socket): void {
  const key = Object.getOwnPropertySymbols(socket).find(
    ({ description }) => description === 'parser',
  );
  const parser: unknown = key === undefined ? null : Reflect.get(socket, key);
  if (typeof parser !== 'object' || parser === null || !('onHeadersComplete' in parser)) return;
  const { onHeadersComplete } = parser;
  if (typeof onHeadersComplete !== 'function') return;
  parser.onHeadersComplete = (status: number, ...rest: unknown[]): unknown =>
    onHeadersComplete.call(parser, status === 100 ? 102 : status, ...rest);
}

function timeoutError(): Error {
  return Object.assign(new Error('connect timeout'), { code: 'ETIMEDOUT' });
}
