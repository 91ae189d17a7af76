/** One HTTP/2 connection to a target: how many streams it takes, and when it takes no more. */
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import {
  CONNECTION_WINDOW_BYTES,
  INVALID_FRAMES_MAX,
  KEEP_ALIVE_MS,
  REQUESTS_PER_SESSION_MAX,
  RESPONSE_FIELDS_MAX,
  RESPONSE_HEAD_BYTES_MAX,
  SESSION_MEMORY_MB,
  STREAM_WINDOW_BYTES,
  STREAMS_MAX,
} from './limits.ts';

const OPTIONS = {
  settings: {
    enablePush: false,
    initialWindowSize: STREAM_WINDOW_BYTES,
    maxHeaderListSize: RESPONSE_HEAD_BYTES_MAX,
  },
  maxSessionMemory: SESSION_MEMORY_MB,
  maxHeaderListPairs: RESPONSE_FIELDS_MAX,
  maxSessionInvalidFrames: INVALID_FRAMES_MAX,
  strictSingleValueFields: false,
} as const;

export interface SessionEvents {
  /** The peer speaks HTTP/2: its settings are here. Once. */
  ready(session: UpstreamSession): void;
  /** It takes a stream again. */
  room(session: UpstreamSession): void;
  /** Takes no more streams; those that run may go on. Once. */
  gone(session: UpstreamSession, cause: Error): void;
  /** Last of all. */
  closed(session: UpstreamSession): void;
}

export class UpstreamSession {
  readonly #session: ClientHttp2Session;
  readonly #events: SessionEvents;
  #isReady = false;
  #isGone = false;
  #streams = 0;
  #requests = 0;
  #streamsMax = STREAMS_MAX;
  #idleTimer: NodeJS.Timeout | null = null;

  /** @param socket  connected, and with TLS where that is spoken */
  constructor(socket: Socket, events: SessionEvents) {
    this.#events = events;
    // The connection is there; the URL only names what requests name themselves.
    const scheme = socket instanceof TLSSocket ? 'https' : 'http';
    this.#session = connect(`${scheme}://upstream`, { ...OPTIONS, createConnection: () => socket });
    this.#session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
    this.#session.on('remoteSettings', ({ maxConcurrentStreams }) => {
      this.#streamsMax = Math.min(STREAMS_MAX, maxConcurrentStreams ?? STREAMS_MAX);
      this.#ready();
    });
    socket.on('error', ignore);
    this.#session.on('error', (error: Error) => this.#leave(error));
    this.#session.on('goaway', () => this.#leave(new Error('the upstream closes the connection')));
    this.#session.on('close', () => {
      this.#leave(new Error('the upstream does not speak HTTP/2'));
      events.closed(this);
    });
  }

  /** Streams that it takes now. */
  get room(): number {
    if (!this.#isReady || this.#isGone) return 0;
    return Math.max(0, this.#streamsMax - this.#streams);
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  /** It has taken a request, at least. */
  get hasServed(): boolean {
    return this.#requests > 0;
  }

  /** To be followed by one `over`. @throws for a field that cannot be sent */
  request(
    fields: string[],
    options: { endStream: boolean; waitForTrailers: boolean },
  ): ClientHttp2Stream {
    const stream = this.#session.request(fields, options);
    this.#streams += 1;
    this.#requests += 1;
    if (this.#idleTimer !== null) clearTimeout(this.#idleTimer);
    this.#idleTimer = null;
    if (this.#requests >= REQUESTS_PER_SESSION_MAX) this.retire();
    return stream;
  }

  over(): void {
    const wasFull = this.room === 0;
    this.#streams -= 1;
    if (this.#streams === 0) this.#rest();
    if (wasFull && this.room > 0) this.#events.room(this);
  }

  /** No more requests on it: it has enough of them, or is not to be trusted. */
  retire(): void {
    this.#leave(new Error('retired'));
    this.#session.close();
  }

  destroy(): void {
    this.#leave(new Error('too slow, or not wanted'));
    this.#session.destroy();
  }

  #ready(): void {
    if (this.#isGone) return;
    if (!this.#isReady) {
      this.#isReady = true;
      this.#rest();
      this.#events.ready(this);
    } else if (this.room > 0) this.#events.room(this);
  }

  #rest(): void {
    if (this.#isGone) return;
    this.#idleTimer = setTimeout(() => this.retire(), KEEP_ALIVE_MS);
    this.#idleTimer.unref();
  }

  #leave(cause: Error): void {
    if (this.#isGone) return;
    this.#isGone = true;
    if (this.#idleTimer !== null) clearTimeout(this.#idleTimer);
    this.#events.gone(this, cause);
  }
}

function ignore(): void {}
