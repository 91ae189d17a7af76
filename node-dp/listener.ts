/**
 * One listening port of the data plane: sockets, PROXY headers, TLS, and which version of HTTP is spoken
 * on them. What follows is an engine's.
 */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { MaybePromise } from '#shared/base/maybe-promise.ts';
import type { GatewayRequest, GatewayResponse } from '#shared/http/message.ts';
import type { Random } from '#shared/platform/platform.ts';
import type { Listen } from '#shared/settings/listen.ts';
import { type Addresses, addressesOf, factsOf } from './connection-facts.ts';
import { BODY_IDLE_MS, type EngineOptions, HEAD_TIMEOUT_MS, SEND_IDLE_MS } from './engine.ts';
import { Flight } from './flight.ts';
import { H2Engine } from './h2/engine.ts';
import type { H2Limits } from './h2/limits.ts';
import { judgePreface } from './h2/preface.ts';
import { Http1Engine } from './http1/engine.ts';
import { peek } from './peek.ts';
import { judgeProxyHeader } from './proxy-protocol.ts';
import { TlsAcceptor } from './tls/acceptor.ts';
import type { TlsTermination } from './tls/termination.ts';

const BACKLOG = 4096;

export interface ListenerOptions {
  readonly listen: Listen;
  /** Needed where `listen.tls`. */
  readonly tls: TlsTermination | null;
  readonly connectionsMax: number;
  readonly random: Random;
  /** Longest silence of a client in the middle of a body. Default 30 s. */
  readonly bodyIdleMs?: number;
  /** Longest time a client may take nothing of a response. Default 60 s, as nginx' `send_timeout`. */
  readonly sendIdleMs?: number;
  /** Longest time a connection may take to say what it is. Default 10 s. */
  readonly headTimeoutMs?: number;
  /** Default: those of the product. */
  readonly h2Limits?: H2Limits;
  /** Whether a peer's PROXY header is believed, where `listen.proxyProtocol`. Default: nobody's is. */
  readonly believesPeer?: (address: string) => boolean;
  handle(request: GatewayRequest): MaybePromise<GatewayResponse>;
  /** Hears of every answer, refusals included. */
  onResponse?: ((status: number) => void) | undefined;
}

export interface ListenerAddress {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
}

export class Listener {
  readonly #options: ListenerOptions;
  readonly #server: Server;
  readonly #tls: TlsAcceptor | null;
  readonly #http1: Http1Engine;
  readonly #h2: H2Engine | null;
  readonly #flight = new Flight();
  readonly #sockets = new Set<Socket>();
  /** What PROXY headers said, by connection, until TLS is through. */
  readonly #told = new Map<string, Addresses>();

  constructor(options: ListenerOptions) {
    this.#options = options;
    const { tls } = options.listen;
    if (tls && options.tls === null) throw new TypeError('a TLS listener needs a certificate');
    const engine: EngineOptions = {
      random: options.random,
      bodyIdleMs: options.bodyIdleMs ?? BODY_IDLE_MS,
      sendIdleMs: options.sendIdleMs ?? SEND_IDLE_MS,
      inFlightMax: options.connectionsMax,
      flight: this.#flight,
      handle: (request) => options.handle(request),
      onResponse: (status) => options.onResponse?.(status),
    };
    this.#http1 = new Http1Engine(engine);
    const speaksH2 = options.listen.http2 ?? tls;
    this.#h2 = speaksH2 ? new H2Engine(engine, options.h2Limits) : null;
    this.#tls =
      options.tls !== null && tls
        ? new TlsAcceptor(options.tls, {
            alpn: speaksH2 ? ['h2', 'http/1.1'] : ['http/1.1'],
            secured: (socket) => this.#secured(socket),
          })
        : null;
    this.#server = createServer({ allowHalfOpen: !tls, noDelay: true });
    this.#server.maxConnections = options.connectionsMax;
    this.#server.on('connection', (socket) => this.#accept(socket));
  }

  /**
   * Binds the port.
   * @throws the system error (`EADDRINUSE`, `EACCES` …)
   */
  start(): Promise<ListenerAddress> {
    const { host, port, tls, backlog = BACKLOG } = this.#options.listen;
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host, port, backlog }, () => {
        this.#server.off('error', reject);
        // A listening TCP server's address is an object.
        const bound = this.#server.address() as AddressInfo;
        resolve({ host, port: bound.port, tls });
      });
    });
  }

  get connectionCount(): number {
    return this.#sockets.size;
  }

  get inFlight(): number {
    return this.#flight.count;
  }

  /** Connections that have switched protocols, or ask to; they count as in flight. */
  get tunnelCount(): number {
    return this.#http1.tunnelCount;
  }

  /** Stops accepting, lets what is in flight finish, and cuts what is left after `deadlineMs`. */
  async drain(deadlineMs: number): Promise<void> {
    this.#flight.drain();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#http1.drain();
    this.#h2?.drain();
    await this.#flight.landed(deadlineMs);
    for (const socket of this.#sockets) socket.destroy();
    this.#h2?.stop();
    this.#tls?.close();
    await closed;
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    if (this.#options.listen.proxyProtocol !== true) {
      this.#secure(socket, null);
      return;
    }
    const isBelieved = this.#options.believesPeer?.(addressesOf(socket).peerAddress) ?? false;
    peek(socket, this.#headTimeoutMs, judgeProxyHeader, (told) => {
      this.#secure(socket, isBelieved ? told : null);
    });
  }

  /** @param told  what a PROXY header says; null: nothing, or nothing that is believed */
  #secure(socket: Socket, told: Addresses | null): void {
    if (this.#tls === null) {
      this.#speak(socket, told);
      return;
    }
    if (told !== null) {
      const key = connectionKey(socket);
      this.#told.set(key, told);
      socket.once('close', () => this.#told.delete(key));
    }
    this.#tls.accept(socket);
  }

  /** In clear: whether it is HTTP/2, its first bytes say (RFC 9113 section 3.3). */
  #speak(socket: Socket, told: Addresses | null): void {
    const facts = factsOf(socket, told);
    const h2 = this.#h2;
    if (h2 === null) this.#http1.take(socket, facts);
    else {
      peek(socket, this.#headTimeoutMs, judgePreface, (isH2) => {
        (isH2 ? h2 : this.#http1).take(socket, facts);
      });
    }
  }

  #secured(socket: TLSSocket): void {
    const told = this.#told.size === 0 ? undefined : this.#told.get(connectionKey(socket));
    const facts = factsOf(socket, told ?? null);
    if (this.#h2 !== null && socket.alpnProtocol === 'h2') this.#h2.take(socket, facts);
    else this.#http1.take(socket, facts);
  }

  get #headTimeoutMs(): number {
    return this.#options.headTimeoutMs ?? HEAD_TIMEOUT_MS;
  }
}

/** The same for a connection and for the TLS on it, while it is open. */
function connectionKey(socket: Socket): string {
  return `${socket.remoteAddress}|${socket.remotePort}|${socket.localAddress}`;
}
