/** One port of TCP routes: accepts, finds out who is meant, and joins what the core has connected. */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { StreamAnswer, StreamSession } from '#shared/proxy/stream-context.ts';
import type { Listen } from '#shared/settings/listen.ts';
import { addressesOf, type Addresses } from '../connection-facts.ts';
import { SEND_IDLE_MS } from '../engine.ts';
import { Flight } from '../flight.ts';
import { join } from '../join.ts';
import { SocketTunnel } from '../tunnel.ts';
import { peek } from '../peek.ts';
import { judgeProxyHeader } from '../proxy-protocol.ts';
import { judgeClientHello } from './client-hello.ts';
import { type ContextFor, TcpSession, TLS_HANDSHAKE_MS } from './tcp-session.ts';

const BACKLOG = 4096;

export interface StreamListenerOptions {
  readonly listen: Listen;
  /** Connections, or sessions, held at a time; further ones are closed, or not begun. */
  readonly sessionsMax: number;
  readonly contextFor: ContextFor;
  /** Whether a peer's PROXY header is believed, where `listen.proxyProtocol`. */
  believesPeer(address: string): boolean;
  /** Default 10 s each: for the PROXY header, for the client's first message, and for the rest of the handshake. */
  readonly handshakeMs?: number;
  /** Longest time a client may take nothing. Default 60 s. */
  readonly sendIdleMs?: number;
  handle(session: StreamSession): Promise<StreamAnswer | null>;
}

export interface StreamListener {
  readonly sessionCount: number;
  /** Accepted so far. */
  readonly acceptedCount: number;
  /** @throws the system error (`EADDRINUSE`, `EACCES` …) */
  start(): Promise<{ readonly host: string; readonly port: number }>;
  /** Takes nothing new, lets sessions end, and cuts what is left after `deadlineMs`. */
  drain(deadlineMs: number): Promise<void>;
}

export class TcpListener implements StreamListener {
  readonly #options: StreamListenerOptions;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #flight = new Flight();
  #accepted = 0;

  constructor(options: StreamListenerOptions) {
    this.#options = options;
    this.#server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true });
    this.#server.maxConnections = options.sessionsMax;
    this.#server.on('connection', (socket) => this.#accept(socket));
  }

  get sessionCount(): number {
    return this.#sockets.size;
  }

  get acceptedCount(): number {
    return this.#accepted;
  }

  start(): Promise<{ readonly host: string; readonly port: number }> {
    const { host, port, backlog = BACKLOG } = this.#options.listen;
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host, port, backlog }, () => {
        this.#server.off('error', reject);
        // A listening TCP server's address is an object.
        resolve({ host, port: (this.#server.address() as AddressInfo).port });
      });
    });
  }

  async drain(deadlineMs: number): Promise<void> {
    this.#flight.drain();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    await this.#flight.landed(deadlineMs);
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #accept(socket: Socket): void {
    this.#accepted += 1;
    this.#sockets.add(socket);
    this.#flight.begin();
    socket.on('error', ignore);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      this.#flight.end();
    });
    const own = addressesOf(socket);
    if (this.#options.listen.proxyProtocol !== true) {
      this.#greet(socket, own);
      return;
    }
    const isBelieved = this.#options.believesPeer(own.peerAddress);
    peek(socket, this.#handshakeMs, judgeProxyHeader, (told) => {
      // Who is behind the peer, and nothing else: routes go by the port that is ours (as in Kong).
      const client = isBelieved && told !== null ? told : own;
      const { peerAddress, peerPort } = client;
      this.#greet(socket, { ...own, peerAddress, peerPort });
    });
  }

  /** Finds out whom a TLS client means. */
  #greet(socket: Socket, addresses: Addresses): void {
    const serve = (hello: { readonly serverName: string | null } | null): void => {
      // The core never rejects; should anything here, the connection must not hang.
      this.#serve(socket, addresses, hello).catch(() => socket.destroy());
    };
    if (this.#options.listen.tls) peek(socket, this.#handshakeMs, judgeClientHello, serve);
    else serve(null);
  }

  async #serve(
    socket: Socket,
    addresses: Addresses,
    hello: { readonly serverName: string | null } | null,
  ): Promise<void> {
    const { contextFor, handle } = this.#options;
    const options = { addresses, hello, contextFor, handshakeMs: this.#handshakeMs };
    const session = new TcpSession(socket, options);
    const answer = await handle(session);
    if (answer === null) session.close();
    else this.#join(session, answer);
  }

  #join(session: TcpSession, { tunnel, onFinish }: StreamAnswer): void {
    if (!(tunnel instanceof SocketTunnel) || session.aborted) {
      tunnel.cancel();
      session.close();
      onFinish({ complete: false, end: 'client_reset', bytesFromClient: 0, bytesToClient: 0 });
      return;
    }
    const limits = {
      idleMs: tunnel.limits.idleMs,
      upstreamStallMs: tunnel.limits.stallMs,
      clientStallMs: this.#options.sendIdleMs ?? SEND_IDLE_MS,
    };
    join(session.take(), tunnel.socket, limits, ({ end, bytesToClient, bytesToUpstream }) => {
      const complete = end === 'ended';
      onFinish({ complete, end, bytesToClient, bytesFromClient: bytesToUpstream });
    });
  }

  get #handshakeMs(): number {
    return this.#options.handshakeMs ?? TLS_HANDSHAKE_MS;
  }
}

function ignore(): void {}
