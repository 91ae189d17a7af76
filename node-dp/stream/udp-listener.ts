/**
 * One port of UDP routes. Datagrams of one client address and port are a session: it has an upstream
 * of its own, whose datagrams go back to that client, until it has been silent for long enough.
 */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import type { Abort } from '#shared/platform/platform.ts';
import type { StreamAnswer, StreamSession } from '#shared/proxy/stream-context.ts';
import { unmapped } from '../connection-facts.ts';
import { Flight } from '../flight.ts';
import type { StreamListener, StreamListenerOptions } from './tcp-listener.ts';
import { DatagramTunnel } from './transport.ts';

/** Held while the upstream is looked for; what comes beyond is dropped, as UDP may. */
export const EARLY_DATAGRAMS_MAX = 16;
/** The same of all sessions of a port: whoever sends need not say truly who it is. */
export const EARLY_BYTES_MAX = 16 * 1024 * 1024;
/** Waiting to leave a socket, after which datagrams are dropped. */
const QUEUED_BYTES_MAX = 1024 * 1024;

export type UdpListenerOptions = Pick<StreamListenerOptions, 'listen' | 'sessionsMax' | 'handle'>;

export class UdpListener implements StreamListener {
  readonly #options: UdpListenerOptions;
  readonly #socket: Socket;
  readonly #sessions = new Map<string, UdpSession>();
  readonly #flight = new Flight();
  #accepted = 0;
  #dropped = 0;
  #earlyBytes = 0;
  #local = { host: '', port: 0 };

  constructor(options: UdpListenerOptions) {
    this.#options = options;
    this.#socket = createSocket(options.listen.host.includes(':') ? 'udp6' : 'udp4');
    this.#socket.on('message', (datagram, from) => this.#receive(datagram, from));
  }

  get sessionCount(): number {
    return this.#sessions.size;
  }

  get acceptedCount(): number {
    return this.#accepted;
  }

  /** Datagrams that no session had room for, or that there was no room for a session for. */
  get droppedCount(): number {
    return this.#dropped;
  }

  start(): Promise<{ readonly host: string; readonly port: number }> {
    const { host, port } = this.#options.listen;
    return new Promise((resolve, reject) => {
      this.#socket.once('error', reject);
      this.#socket.bind({ port, address: host }, () => {
        this.#socket.off('error', reject);
        // A later failure to send concerns one datagram, which UDP may lose.
        this.#socket.on('error', ignore);
        // Where it listens on all addresses, nobody tells which of them was meant.
        const bound = this.#socket.address();
        const isAny = bound.address === '0.0.0.0' || bound.address === '::';
        this.#local = { host: isAny ? '' : bound.address, port: bound.port };
        resolve({ host, port: bound.port });
      });
    });
  }

  async drain(deadlineMs: number): Promise<void> {
    this.#flight.drain();
    await this.#flight.landed(deadlineMs);
    for (const session of this.#sessions.values()) session.end('cut');
    await new Promise<void>((resolve) => this.#socket.close(() => resolve()));
  }

  #receive(datagram: Buffer, from: RemoteInfo): void {
    const key = `${from.address}|${from.port}`;
    let session = this.#sessions.get(key);
    if (session === undefined) {
      if (this.#flight.isDraining || this.#sessions.size >= this.#options.sessionsMax) {
        this.#dropped += 1;
        return;
      }
      session = this.#begin(key, from);
    }
    if (!session.take(datagram)) this.#dropped += 1;
  }

  #begin(key: string, from: RemoteInfo): UdpSession {
    const session = new UdpSession(from, this.#local, {
      reply: (datagram) => this.#reply(datagram, from),
      hold: (bytes) => {
        if (this.#earlyBytes + bytes > EARLY_BYTES_MAX) return false;
        this.#earlyBytes += bytes;
        return true;
      },
      over: () => {
        this.#sessions.delete(key);
        this.#flight.end();
      },
    });
    this.#accepted += 1;
    this.#flight.begin();
    this.#sessions.set(key, session);
    this.#options
      .handle(session)
      .then((answer) => session.answered(answer))
      // The core never rejects; should anything here, the session must not stay.
      .catch(() => session.end('crash'));
    return session;
  }

  #reply(datagram: Buffer, { address, port }: RemoteInfo): boolean {
    if (this.#socket.getSendQueueSize() > QUEUED_BYTES_MAX) {
      this.#dropped += 1;
      return false;
    }
    this.#socket.send(datagram, port, address);
    return true;
  }
}

interface SessionHooks {
  /** False: dropped. */
  reply(datagram: Buffer): boolean;
  /** So many bytes more wait for an upstream, or, negative, less. False: there is no room. */
  hold(bytes: number): boolean;
  /** Called once. */
  over(): void;
}

class UdpSession implements StreamSession, Abort {
  readonly protocol = 'udp';
  readonly serverName = null;
  readonly peerAddress: string;
  readonly peerPort: number;
  readonly localAddress: string;
  readonly localPort: number;
  readonly #hooks: SessionHooks;
  #early: Buffer[] = [];
  #tunnel: DatagramTunnel | null = null;
  #answer: StreamAnswer | null = null;
  #idleTimer: NodeJS.Timeout | null = null;
  #received = 0;
  #sent = 0;
  #isOver = false;
  readonly #onAbort = new Set<() => void>();

  constructor(from: RemoteInfo, local: { host: string; port: number }, hooks: SessionHooks) {
    this.peerAddress = unmapped(from.address);
    this.peerPort = from.port;
    this.localAddress = local.host;
    this.localPort = local.port;
    this.#hooks = hooks;
  }

  get abort(): Abort {
    return this;
  }

  get aborted(): boolean {
    return this.#isOver;
  }

  onAbort(fn: () => void): () => void {
    if (this.#isOver) fn();
    else this.#onAbort.add(fn);
    return () => this.#onAbort.delete(fn);
  }

  terminateTls(): Promise<void> {
    return Promise.reject(new Error('no TLS over UDP'));
  }

  /** A datagram of the client's; false: dropped. */
  take(datagram: Buffer): boolean {
    if (this.#tunnel !== null) return this.#forward(this.#tunnel, datagram);
    if (this.#early.length >= EARLY_DATAGRAMS_MAX) return false;
    if (!this.#hooks.hold(datagram.length)) return false;
    this.#early.push(datagram);
    return true;
  }

  answered(answer: StreamAnswer | null): void {
    this.#answer = answer;
    const tunnel = answer === null ? null : answer.tunnel;
    if (this.#isOver || !(tunnel instanceof DatagramTunnel)) {
      tunnel?.cancel();
      answer?.onFinish(this.#outcome('cut'));
      this.end('cut');
      return;
    }
    this.#tunnel = tunnel;
    // The session ends by silence: that is how it is meant to.
    this.#idleTimer = setTimeout(() => this.end('ended'), tunnel.idleMs);
    tunnel.socket.on('message', (datagram) => {
      this.#idleTimer?.refresh();
      if (this.#hooks.reply(datagram)) this.#sent += datagram.length;
    });
    // Nobody listens there: the next datagram looks for another upstream.
    tunnel.socket.on('error', () => this.end('upstream_reset'));
    for (const datagram of this.#takeEarly()) this.#forward(tunnel, datagram);
  }

  end(end: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#idleTimer !== null) clearTimeout(this.#idleTimer);
    this.#takeEarly();
    for (const fn of this.#onAbort) fn();
    this.#onAbort.clear();
    if (this.#tunnel !== null) {
      this.#tunnel.cancel();
      this.#answer?.onFinish(this.#outcome(end));
    }
    this.#hooks.over();
  }

  #takeEarly(): readonly Buffer[] {
    const early = this.#early;
    this.#early = [];
    for (const { length } of early) this.#hooks.hold(-length);
    return early;
  }

  #forward({ socket }: DatagramTunnel, datagram: Buffer): boolean {
    this.#idleTimer?.refresh();
    if (socket.getSendQueueSize() > QUEUED_BYTES_MAX) return false;
    this.#received += datagram.length;
    socket.send(datagram);
    return true;
  }

  #outcome(end: string): Parameters<StreamAnswer['onFinish']>[0] {
    return {
      complete: end === 'ended',
      end,
      bytesFromClient: this.#received,
      bytesToClient: this.#sent,
    };
  }
}

function ignore(): void {}
