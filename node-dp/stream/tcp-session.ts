/** One client connection of a stream listener, from its acceptance until it is joined or closed. */
import type { Socket } from 'node:net';
import { type SecureContext, TLSSocket } from 'node:tls';
import type { Abort } from '#shared/platform/platform.ts';
import type { StreamSession } from '#shared/proxy/stream-context.ts';
import type { Addresses } from '../connection-facts.ts';

/** How long a TLS client may take to say what it wants, and then to agree on it. */
export const TLS_HANDSHAKE_MS = 10_000;

/** The certificate for a server name; null for none: the handshake fails. */
export type ContextFor = (serverName: string | null) => SecureContext | null;

export interface SessionOptions {
  readonly addresses: Addresses;
  /** Null: the client speaks no TLS to us. Otherwise what its first message named. */
  readonly hello: { readonly serverName: string | null } | null;
  readonly contextFor: ContextFor;
  readonly handshakeMs: number;
}

export class TcpSession implements StreamSession, Abort {
  readonly protocol: 'tcp' | 'tls';
  readonly serverName: string | null;
  readonly peerAddress: string;
  readonly peerPort: number;
  readonly localAddress: string;
  readonly localPort: number;
  readonly #options: SessionOptions;
  #socket: Socket;
  #isAborted = false;
  readonly #onAbort = new Set<() => void>();

  constructor(socket: Socket, options: SessionOptions) {
    const { addresses, hello } = options;
    this.protocol = hello === null ? 'tcp' : 'tls';
    this.serverName = hello === null ? null : hello.serverName;
    this.peerAddress = addresses.peerAddress;
    this.peerPort = addresses.peerPort;
    this.localAddress = addresses.localAddress;
    this.localPort = addresses.localPort;
    this.#options = options;
    this.#socket = socket;
    socket.once('close', () => this.#abort());
    // Reads into the socket's own buffer and no further: a reset is noticed, nothing is taken, and an
    // end waits for its turn behind what came before it.
    socket.on('readable', ignore);
  }

  get abort(): Abort {
    return this;
  }

  get aborted(): boolean {
    return this.#isAborted;
  }

  onAbort(fn: () => void): () => void {
    if (this.#isAborted) fn();
    else this.#onAbort.add(fn);
    return () => this.#onAbort.delete(fn);
  }

  terminateTls(): Promise<void> {
    const raw = this.#release();
    const { handshakeMs, contextFor } = this.#options;
    const context = contextFor(this.serverName);
    if (context === null) return Promise.reject(new Error('no certificate for the name'));
    return new Promise((resolve, reject) => {
      const socket = new TLSSocket(raw, { isServer: true, secureContext: context });
      socket.allowHalfOpen = true;
      const timer = setTimeout(() => socket.destroy(new Error('too slow')), handshakeMs);
      const done = (error: Error | null): void => {
        clearTimeout(timer);
        if (error === null) resolve();
        else reject(error);
      };
      socket.on('error', done);
      socket.once('close', () => {
        done(new Error('closed'));
        raw.destroy();
        this.#abort();
      });
      socket.once('secure', () => {
        socket.on('readable', ignore);
        done(null);
      });
      this.#socket = socket;
    });
  }

  /** Gives the connection to whoever joins it; all that came is still in it. */
  take(): Socket {
    this.#onAbort.clear();
    return this.#release();
  }

  close(): void {
    this.#socket.destroy();
  }

  #release(): Socket {
    this.#socket.off('readable', ignore);
    return this.#socket;
  }

  #abort(): void {
    if (this.#isAborted) return;
    this.#isAborted = true;
    for (const fn of this.#onAbort) fn();
    this.#onAbort.clear();
  }
}

function ignore(): void {}
