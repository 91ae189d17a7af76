/** One listening port of the data plane: sockets, TLS, and which version of HTTP is spoken on them. */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import {
  createServer as createTlsServer,
  type Server as TlsServer,
  type TLSSocket,
} from 'node:tls';
import type { MaybePromise } from '#shared/base/maybe-promise.ts';
import type { GatewayRequest, GatewayResponse } from '#shared/http/message.ts';
import type { Random } from '#shared/platform/platform.ts';
import type { Listen } from '#shared/settings/listen.ts';
import { factsOf } from './connection-facts.ts';
import { BODY_IDLE_MS, SEND_IDLE_MS } from './engine.ts';
import { Flight } from './flight.ts';
import { Http1Engine } from './http1/engine.ts';

const TLS_HANDSHAKE_MS = 10_000;
const BACKLOG = 4096;

export interface TlsFiles {
  readonly cert: string;
  readonly key: string;
}

export interface ListenerOptions {
  readonly listen: Listen;
  /** PEM texts; needed where `listen.tls`. */
  readonly tls: TlsFiles | null;
  readonly connectionsMax: number;
  readonly random: Random;
  /** Longest silence of a client in the middle of a body. Default 30 s. */
  readonly bodyIdleMs?: number;
  /** Longest time a client may take nothing of a response. Default 60 s, as nginx' `send_timeout`. */
  readonly sendIdleMs?: number;
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
  /** Never listens: connections are handed to it. */
  readonly #tls: TlsServer | null;
  readonly #http1: Http1Engine;
  readonly #flight = new Flight();
  readonly #sockets = new Set<Socket>();

  constructor(options: ListenerOptions) {
    this.#options = options;
    const { tls } = options.listen;
    if (tls && options.tls === null) throw new TypeError('a TLS listener needs a certificate');
    this.#http1 = new Http1Engine({
      random: options.random,
      bodyIdleMs: options.bodyIdleMs ?? BODY_IDLE_MS,
      sendIdleMs: options.sendIdleMs ?? SEND_IDLE_MS,
      flight: this.#flight,
      handle: (request) => options.handle(request),
      onResponse: (status) => options.onResponse?.(status),
    });
    this.#tls = options.tls !== null && tls ? this.#createTls(options.tls) : null;
    this.#server = createServer({ allowHalfOpen: !tls, noDelay: true });
    this.#server.maxConnections = options.connectionsMax;
    this.#server.on('connection', (socket) => this.#accept(socket));
  }

  /**
   * Binds the port.
   * @throws the system error (`EADDRINUSE`, `EACCES` …)
   */
  start(): Promise<ListenerAddress> {
    const { host, port, tls } = this.#options.listen;
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host, port, backlog: BACKLOG }, () => {
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
    await this.#flight.landed(deadlineMs);
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    if (this.#tls === null) this.#http1.take(socket, factsOf(socket, null));
    else this.#tls.emit('connection', socket);
  }

  #createTls({ cert, key }: TlsFiles): TlsServer {
    const server = createTlsServer({
      cert,
      key,
      minVersion: 'TLSv1.2',
      ALPNProtocols: ['http/1.1'],
      handshakeTimeout: TLS_HANDSHAKE_MS,
    });
    server.on('secureConnection', (socket) => this.#secured(socket));
    server.on('tlsClientError', (_error, socket) => socket.destroy());
    return server;
  }

  #secured(socket: TLSSocket): void {
    this.#http1.take(socket, factsOf(socket, null));
  }
}
