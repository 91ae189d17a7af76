/** A client's HTTP/2 connection: its streams, and what they may cost. */
import { constants, performServerHandshake, type ServerHttp2Session } from 'node:http2';
import type { ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import type { ConnectionFacts } from '../connection-facts.ts';
import { type EngineOptions, HEAD_BYTES_MAX } from '../engine.ts';
import { type ExchangeHost, H2Exchange } from './exchange.ts';
import {
  CONNECTION_WINDOW_BYTES,
  HEADER_LIST_BYTES_MAX,
  HEADER_PAIRS_MAX,
  type H2Limits,
  INVALID_FRAMES_MAX,
  SESSION_MEMORY_MB,
  STREAM_WINDOW_BYTES,
  STREAMS_MAX,
} from './limits.ts';
import { TokenBucket } from './token-bucket.ts';

const SESSION_OPTIONS = {
  settings: {
    maxConcurrentStreams: STREAMS_MAX,
    initialWindowSize: STREAM_WINDOW_BYTES,
    maxHeaderListSize: HEADER_LIST_BYTES_MAX,
    // RFC 8441 is not spoken: a request with `:protocol` is reset as malformed.
    enableConnectProtocol: false,
  },
  maxSessionMemory: SESSION_MEMORY_MB,
  maxHeaderListPairs: HEADER_PAIRS_MAX,
  maxSessionInvalidFrames: INVALID_FRAMES_MAX,
  maxSessionRejectedStreams: INVALID_FRAMES_MAX,
} as const;

/** Bytes received that one byte of payload may cost, as nginx has it. */
const OVERHEAD_RATIO_MAX = 8;
const END_STREAM = constants.NGHTTP2_FLAG_END_STREAM;

export interface SessionDeps {
  readonly facts: ConnectionFacts;
  readonly options: EngineOptions;
  readonly limits: H2Limits;
  readonly nowMs: number;
  closed(session: H2Session): void;
}

export class H2Session implements ExchangeHost {
  readonly facts: ConnectionFacts;
  readonly options: EngineOptions;
  readonly #limits: H2Limits;
  readonly #socket: Socket;
  readonly #session: ServerHttp2Session;
  readonly #exchanges = new Set<H2Exchange>();
  readonly #broken: TokenBucket;
  readonly #overhead: TokenBucket;
  #hasBegun = false;
  #lastUsedMs: number;
  #payloadBytes = 0;
  #explainedBytes = 0;
  #bytesWritten = 0;
  #writtenAtMs: number;

  constructor(socket: Socket, deps: SessionDeps) {
    const { limits, nowMs } = deps;
    this.facts = deps.facts;
    this.options = deps.options;
    this.#limits = limits;
    this.#socket = socket;
    this.#lastUsedMs = nowMs;
    this.#writtenAtMs = nowMs;
    this.#broken = new TokenBucket(limits.brokenStreamsBurst, limits.brokenStreamsPerSecond, nowMs);
    this.#overhead = new TokenBucket(limits.overheadBurst, limits.overheadPerSecond, nowMs);
    // What one side has ended is no use to HTTP/2.
    socket.allowHalfOpen = false;
    socket.on('error', ignore);
    this.#session = performServerHandshake(socket, {
      ...SESSION_OPTIONS,
      streamResetBurst: limits.brokenStreamsBurst,
      streamResetRate: limits.brokenStreamsPerSecond,
    });
    this.#session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
    this.#session.on('error', ignore);
    this.#session.on('close', () => deps.closed(this));
    this.#session.on(
      'stream',
      (stream: ServerHttp2Stream, _headers: unknown, flags: number, raw: string[]) =>
        this.#stream(stream, flags, raw),
    );
  }

  /** Says that no further stream will be carried out; ends when those that run are over. */
  close(): void {
    this.#session.close();
  }

  over(exchange: H2Exchange, isBroken: boolean): void {
    this.#exchanges.delete(exchange);
    // What was on its way to an answered request is no fault of the client's.
    this.#payloadBytes += exchange.payloadBytes + STREAM_WINDOW_BYTES / OVERHEAD_RATIO_MAX;
    this.options.flight.end();
    if (isBroken) this.#spendBroken();
  }

  /** Called about once a second: everything that has a time limit. */
  look(nowMs: number): void {
    const { limits, sinceMs } = this.#idleness(nowMs);
    if (this.#exchanges.size === 0 && sinceMs > limits) {
      this.#session.close();
      // Bytes of half a frame would keep it open.
      setImmediate(() => this.#session.destroy());
      return;
    }
    if (!this.#overhead.take(this.#unexplainedBytes(), nowMs)) {
      this.#end(constants.NGHTTP2_ENHANCE_YOUR_CALM);
      return;
    }
    this.#lookAtAnswers(nowMs);
  }

  #idleness(nowMs: number): { limits: number; sinceMs: number } {
    const { firstRequestMs, keepAliveMs } = this.#limits;
    const limits = this.#hasBegun ? keepAliveMs : firstRequestMs;
    if (this.#exchanges.size > 0) this.#lastUsedMs = nowMs;
    return { limits, sinceMs: nowMs - this.#lastUsedMs };
  }

  #lookAtAnswers(nowMs: number): void {
    const { bytesWritten } = this.#socket;
    if (bytesWritten !== this.#bytesWritten) this.#writtenAtMs = nowMs;
    this.#bytesWritten = bytesWritten;
    const isMoving = nowMs - this.#writtenAtMs <= this.options.sendIdleMs;
    for (const exchange of this.#exchanges) {
      if (!exchange.isStalled(nowMs, isMoving)) continue;
      if (isMoving) exchange.cancel();
      else return this.#end(constants.NGHTTP2_CANCEL);
    }
  }

  /** Bytes received since the last look that no head, body or answer explains. */
  #unexplainedBytes(): number {
    let payload = this.#payloadBytes;
    for (const exchange of this.#exchanges) payload += exchange.payloadBytes;
    const unexplained = this.#socket.bytesRead - payload * OVERHEAD_RATIO_MAX;
    const more = unexplained - this.#explainedBytes;
    this.#explainedBytes = Math.max(this.#explainedBytes, unexplained);
    return Math.max(0, more);
  }

  #stream(stream: ServerHttp2Stream, flags: number, raw: readonly string[]): void {
    this.#hasBegun = true;
    this.#lastUsedMs = performance.now();
    const headBytes = lengthOf(raw);
    this.#payloadBytes += headBytes;
    // Reset in the same breath: nothing to do but to count it.
    if (stream.destroyed || stream.closed) {
      stream.on('error', ignore);
      this.#spendBroken();
      return;
    }
    const { flight, inFlightMax } = this.options;
    if (flight.count >= inFlightMax) {
      stream.on('error', ignore);
      stream.close(constants.NGHTTP2_REFUSED_STREAM);
      return;
    }
    flight.begin();
    const exchange = new H2Exchange(stream, this);
    this.#exchanges.add(exchange);
    if (headBytes <= HEAD_BYTES_MAX) {
      exchange.start(raw, (flags & END_STREAM) === 0);
      return;
    }
    // Before it has agreed to our settings a client may send more. It has had its answer then.
    exchange.refuse({ status: 494, reason: 'head too large' });
    this.#session.close();
  }

  /** A stream that ended early: a client that does little else is shown out. */
  #spendBroken(): void {
    if (this.#session.destroyed || this.#broken.take(1, performance.now())) return;
    this.#end(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  }

  #end(code: number): void {
    // With GOAWAY, as far as the client takes it.
    this.#session.destroy(new Error('the connection is ended'), code);
    this.#socket.destroySoon();
    setTimeout(() => this.#socket.destroy(), FAREWELL_MS).unref();
  }
}

/** How long a client may take to hear why its connection ends. */
const FAREWELL_MS = 1000;

/** One character is one byte. */
function lengthOf(raw: readonly string[]): number {
  let length = 0;
  for (const part of raw) length += part.length;
  return length;
}

function ignore(): void {}
