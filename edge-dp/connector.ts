/**
 * The Connector port in workerd: an outgoing WebSocket by `fetch`, for the hub.
 *
 * A peer that has frozen gives no event here, ever; the sync client's own pings find it out.
 */
import type { Connection, ConnectionEvents, Connector, Clock } from '#shared/platform/platform.ts';
import type { FetchJson } from '#shared/sync/pull-connection.ts';
import { FRAME_LENGTH_MAX } from '#shared/wire/protocol.ts';

/** A control plane that has not answered the upgrade by then is not there. */
export const CONNECT_MAX_MS = 10_000;
/** A whole exchange by pull. */
const EXCHANGE_MAX_MS = 15_000;
/** An answer holds a few frames. */
const ANSWER_LENGTH_MAX = 4 * FRAME_LENGTH_MAX;
const VANISHED = 1006;
const NORMAL = 1000;

export class FetchConnector implements Connector {
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  open(address: string, events: ConnectionEvents): Connection {
    const connection = new SocketConnection(events);
    void connection.dial(httpUrl(address), this.#clock);
    return connection;
  }
}

/** `fetch` upgrades http(s) addresses only. */
function httpUrl(address: string): string {
  return address.replace(/^ws/, 'http');
}

/** One exchange of a session by pull. */
export const fetchJson: FetchJson = async (method, url, body) => {
  const response = await fetch(url, {
    method,
    body,
    headers: { accept: 'application/json', 'content-type': 'application/json' },
    redirect: 'manual',
    signal: AbortSignal.timeout(EXCHANGE_MAX_MS),
  });
  const text = await response.text();
  if (text.length > ANSWER_LENGTH_MAX) throw new Error('the answer is too long');
  const retryAfter = response.headers.get('retry-after') ?? '';
  const retryAfterSeconds = /^\d{1,6}$/.test(retryAfter) ? Number(retryAfter) : null;
  return { status: response.status, text, retryAfterSeconds };
};

class SocketConnection implements Connection {
  readonly #events: ConnectionEvents;
  readonly #dialling = new AbortController();
  #socket: WebSocket | null = null;
  #isClosed = false;

  constructor(events: ConnectionEvents) {
    this.#events = events;
  }

  /** The runtime tells of no backlog; frames to the control plane are small and few. */
  get bufferedBytes(): number {
    return 0;
  }

  send(text: string): void {
    if (this.#isClosed || this.#socket === null) return;
    try {
      this.#socket.send(text);
    } catch {
      this.#closed(VANISHED, '');
    }
  }

  close(code: number, reason: string): void {
    if (this.#isClosed) return;
    if (this.#socket === null) this.#dialling.abort();
    else this.#hangUp(code, reason);
    // The peer may be frozen: its answer is not waited for.
    this.#closed(code, reason);
  }

  async dial(url: string, clock: Clock): Promise<void> {
    const stop = clock.setTimer(CONNECT_MAX_MS, () => this.#dialling.abort());
    try {
      const response = await fetch(url, {
        headers: { upgrade: 'websocket' },
        signal: this.#dialling.signal,
      });
      const socket = response.webSocket;
      if (socket === null) {
        await response.body?.cancel();
        this.#closed(VANISHED, `status ${response.status}`);
        return;
      }
      this.#take(socket);
    } catch (error) {
      this.#closed(VANISHED, error instanceof Error ? error.message : '');
    } finally {
      stop();
    }
  }

  #take(socket: WebSocket): void {
    socket.accept();
    this.#socket = socket;
    if (this.#isClosed) {
      this.#hangUp(NORMAL, '');
      return;
    }
    socket.addEventListener('message', ({ data }) => {
      if (this.#isClosed) return;
      // The protocol is text; whatever else it is, it is no frame.
      this.#events.message(typeof data === 'string' ? data : '');
    });
    socket.addEventListener('close', ({ code, reason }) => {
      // Answers the peer's close frame: without it the socket stays half open.
      this.#hangUp(NORMAL, '');
      this.#closed(code, reason);
    });
    socket.addEventListener('error', () => this.#closed(VANISHED, ''));
    this.#events.open();
  }

  #hangUp(code: number, reason: string): void {
    try {
      // Only these may be sent by an application.
      const isAllowed = code === NORMAL || (code >= 3000 && code < 5000);
      this.#socket?.close(isAllowed ? code : NORMAL, reason);
    } catch {
      // It was closed already.
    }
  }

  #closed(code: number, reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#events.close(code, reason);
  }
}
