/** What turns a client's connection into requests: one engine per protocol version and listener. */
import type { Socket } from 'node:net';
import type { MaybePromise } from '#shared/base/maybe-promise.ts';
import type { GatewayRequest, GatewayResponse } from '#shared/http/message.ts';
import type { Random } from '#shared/platform/platform.ts';
import type { ConnectionFacts } from './connection-facts.ts';
import type { Flight } from './flight.ts';

/** Request line and header fields together. */
export const HEAD_BYTES_MAX = 16 * 1024;
export const HEAD_TIMEOUT_MS = 10_000;
export const KEEP_ALIVE_MS = 60_000;
/** Longest silence of a client that owes us bytes, unless a listener is told otherwise. */
export const BODY_IDLE_MS = 30_000;
/** Longest time a client may take nothing of a response, as nginx' `send_timeout`. */
export const SEND_IDLE_MS = 60_000;
export const CHECK_INTERVAL_MS = 1000;

export interface EngineOptions {
  readonly random: Random;
  readonly bodyIdleMs: number;
  readonly sendIdleMs: number;
  /** Requests that one listener carries out at a time, where a connection can have many. */
  readonly inFlightMax: number;
  readonly flight: Flight;
  handle(request: GatewayRequest): MaybePromise<GatewayResponse>;
  /** Hears of every answer, refusals included. */
  onResponse(status: number): void;
}

export interface Engine {
  /** A connection from its first byte on; TLS and PROXY headers are behind it. */
  take(socket: Socket, facts: ConnectionFacts): void;
  /** Closes what is idle; what is in flight is told that it is the last (`Flight.isDraining`). */
  drain(): void;
}
