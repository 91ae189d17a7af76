/** HTTP/2 connections to one target: few of them, each with many requests at a time. */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { UpstreamRequest } from '#shared/platform/platform.ts';
import type { Dial } from '../connections.ts';
import { connectFailureOf, type Waiting } from '../exchange.ts';
import { UpstreamExchange } from './exchange.ts';
import { SESSIONS_MAX } from './limits.ts';
import { UpstreamSession } from './session.ts';

/** Streams that a connection is expected to take, until one has said how many. */
const STREAMS_EXPECTED = 100;

export class H2Pool {
  readonly #dial: Dial;
  readonly #connectTimeoutMs: number;
  /** Those that are ready. */
  readonly #sessions = new Set<UpstreamSession>();
  /** Those that take no more included. */
  readonly #open = new Set<UpstreamSession>();
  readonly #waiting = new Set<UpstreamExchange>();
  #streamsExpected = STREAMS_EXPECTED;
  #connecting = 0;
  #inFlight = 0;
  #isClosed = false;

  constructor(dial: Dial, connectTimeoutMs: number) {
    this.#dial = dial;
    this.#connectTimeoutMs = connectTimeoutMs;
  }

  get busyCount(): number {
    return this.#inFlight;
  }

  send(request: UpstreamRequest, waiting: Waiting): void {
    this.#inFlight += 1;
    const exchange: UpstreamExchange = new UpstreamExchange(request, {
      resolve: (response) => waiting.resolve(response),
      reject: (error) => waiting.reject(error),
      over: (isSound) => {
        this.#inFlight -= 1;
        this.#waiting.delete(exchange);
        waiting.over(isSound);
      },
    });
    const session = this.#roomiest();
    if (session === null) this.#wait(exchange);
    else exchange.begin(session);
  }

  close(): void {
    this.#isClosed = true;
    for (const session of this.#open) session.destroy();
    this.#failWaiting(new Error('the transport is closed'));
  }

  /** The one that takes most: load spreads, and a connection that dies takes fewer with it. */
  #roomiest(): UpstreamSession | null {
    let best: UpstreamSession | null = null;
    for (const session of this.#sessions) {
      if (session.room > 0 && (best === null || session.room > best.room)) best = session;
    }
    return best;
  }

  #wait(exchange: UpstreamExchange): void {
    this.#waiting.add(exchange);
    if (this.#connectTimeoutMs > 0) {
      const timer = setTimeout(() => {
        if (this.#waiting.delete(exchange))
          exchange.giveUp('connect_timeout', new Error('no place'));
      }, this.#connectTimeoutMs);
      timer.unref();
    }
    this.#grow();
  }

  /** As many connections as those who wait will need, within bounds. */
  #grow(): void {
    while (
      !this.#isClosed &&
      this.#waiting.size > this.#connecting * this.#streamsExpected &&
      this.#sessions.size + this.#connecting < SESSIONS_MAX
    ) {
      this.#connect();
    }
  }

  #connect(): void {
    this.#connecting += 1;
    this.#dial((error, socket) => {
      if (socket === null) {
        this.#connecting -= 1;
        this.#failWaiting(error ?? new Error('no connection'));
      } else this.#begin(socket);
    });
  }

  #begin(socket: Socket): void {
    if (socket instanceof TLSSocket && socket.alpnProtocol !== 'h2') {
      this.#connecting -= 1;
      socket.destroy();
      this.#failWaiting(new Error('the upstream does not speak HTTP/2'));
      return;
    }
    const session = new UpstreamSession(socket, {
      ready: () => {
        this.#connecting -= 1;
        if (this.#isClosed) session.destroy();
        else this.#sessions.add(session);
        this.#streamsExpected = Math.max(1, session.room);
        // One that takes nothing is no reason to open more.
        if (session.room === 0) return;
        this.#serve(session);
        this.#grow();
      },
      room: () => this.#serve(session),
      gone: (_session, cause) => {
        this.#sessions.delete(session);
        if (!session.isReady) this.#connecting -= 1;
        // A target that greets and leaves would be connected to over and over.
        if (session.hasServed) this.#grow();
        else this.#failWaiting(cause);
      },
      closed: () => this.#open.delete(session),
    });
    this.#open.add(session);
    // A peer that never sends its settings does not speak HTTP/2 either.
    const timer = setTimeout(() => {
      if (!session.isReady) session.destroy();
    }, this.#connectTimeoutMs || SETTINGS_MS);
    timer.unref();
  }

  #serve(session: UpstreamSession): void {
    for (const exchange of this.#waiting) {
      if (session.room === 0) return;
      this.#waiting.delete(exchange);
      if (!exchange.isOver) exchange.begin(session);
    }
  }

  /** Others that are connecting, or in use, may still take them. */
  #failWaiting(cause: Error): void {
    if (!this.#isClosed && (this.#connecting > 0 || this.#sessions.size > 0)) return;
    const code = 'code' in cause ? cause.code : null;
    const failure = connectFailureOf(cause, code);
    for (const exchange of this.#waiting) {
      this.#waiting.delete(exchange);
      exchange.giveUp(failure, cause);
    }
  }
}

const SETTINGS_MS = 10_000;
