/**
 * The Connector port over plain exchanges, for places where no connection can be kept. It makes the
 * same session of frames out of them: `GET` brings a challenge; the answer to it, and whatever else
 * waits to be said, goes up in one `POST`, whose answer holds the frames that come down. What is said
 * later needs a new challenge, so the session is challenged again. When nothing more is said the
 * connection closes normally, and the machine comes back after the poll interval.
 */
import { parseJson } from '../config/signed-text.ts';
import type { Clock, Connection, ConnectionEvents, Connector } from '../platform/platform.ts';
import { CLOSE } from '../wire/close-codes.ts';

/** What an exchange came to. */
export interface FetchedJson {
  readonly status: number;
  readonly text: string;
  /** `Retry-After` in seconds; null when it is not given. */
  readonly retryAfterSeconds?: number | null;
}

/** One HTTPS exchange; rejects when there was no answer. Bodies are JSON. */
export type FetchJson = (
  method: 'GET' | 'POST',
  url: string,
  body: string | null,
) => Promise<FetchedJson>;

/** Silence after which there is nothing more to say. */
export const QUIET_MS = 1_000;
/** Time for several frames to go up together. */
const GATHER_MS = 10;
/** Frames in one exchange, and frames kept for later ones. */
const FRAMES_COUNT_MAX = 16;
const OUTBOX_COUNT_MAX = 64;

const VANISHED = 1006;

export class PullConnector implements Connector {
  readonly #fetchJson: FetchJson;
  readonly #clock: Clock;

  constructor(fetchJson: FetchJson, clock: Clock) {
    this.#fetchJson = fetchJson;
    this.#clock = clock;
  }

  open(address: string, events: ConnectionEvents): Connection {
    const connection = new PullConnection(address, events, this.#fetchJson, this.#clock);
    connection.begin();
    return connection;
  }
}

/** Chooses by the address: `https://` (and `http://`) pulls, everything else is a socket. */
export function connectorByScheme(socket: Connector, pull: Connector): Connector {
  return {
    open: (address, events) => (/^https?:/.test(address) ? pull : socket).open(address, events),
  };
}

/** As long as the reason of a close. */
const MESSAGE_LENGTH_MAX = 123;

class PullConnection implements Connection {
  readonly bufferedBytes = 0;
  readonly #url: string;
  readonly #events: ConnectionEvents;
  readonly #fetchJson: FetchJson;
  readonly #clock: Clock;
  readonly #outbox: string[] = [];
  #isBusy = false;
  #isClosed = false;
  #cancelTimer: () => void = () => {};

  constructor(url: string, events: ConnectionEvents, fetchJson: FetchJson, clock: Clock) {
    this.#url = url;
    this.#events = events;
    this.#fetchJson = fetchJson;
    this.#clock = clock;
  }

  begin(): void {
    void this.#challenge().then((isThere) => isThere && this.#closeIfQuiet());
  }

  send(text: string): void {
    if (this.#isClosed) return;
    const frame = parseJson(text);
    const type = typeof frame === 'object' && frame !== null && 'type' in frame ? frame.type : '';
    if (type === 'hello' || type === 'enrol') {
      void this.#exchange(text);
      return;
    }
    if (this.#outbox.length >= OUTBOX_COUNT_MAX) return this.#end(VANISHED, 'too much to say');
    this.#outbox.push(text);
    if (!this.#isBusy) this.#later(GATHER_MS, () => void this.#challenge());
  }

  close(code: number, reason: string): void {
    this.#end(code, reason);
  }

  /** Asks for a challenge and passes it on; the answer comes through `send`. */
  async #challenge(): Promise<boolean> {
    this.#isBusy = true;
    const fetched = await this.#fetch('GET', null);
    if (fetched === null) return false;
    this.#events.open();
    this.#events.message(fetched);
    return true;
  }

  async #exchange(hello: string): Promise<void> {
    this.#isBusy = true;
    this.#cancelTimer();
    const frames = this.#outbox.splice(0, FRAMES_COUNT_MAX);
    const fetched = await this.#fetch('POST', `{"hello":${hello},"frames":[${frames.join(',')}]}`);
    if (fetched === null) return;
    const answer = parseJson(fetched);
    const isAnswer = typeof answer === 'object' && answer !== null && 'frames' in answer;
    if (!isAnswer || !Array.isArray(answer.frames)) return this.#end(VANISHED, 'not an answer');
    for (const frame of answer.frames) {
      if (this.#isClosed) return;
      this.#events.message(JSON.stringify(frame));
    }
    this.#isBusy = false;
    if (this.#outbox.length > 0) this.#later(GATHER_MS, () => void this.#challenge());
    else this.#closeIfQuiet();
  }

  #closeIfQuiet(): void {
    this.#later(QUIET_MS, () => this.#end(CLOSE.normal, ''));
  }

  /** The answer's text; null when there is none, and then the connection is over. */
  async #fetch(method: 'GET' | 'POST', body: string | null): Promise<string | null> {
    let fetched: FetchedJson;
    try {
      fetched = await this.#fetchJson(method, this.#url, body);
    } catch (error) {
      this.#end(VANISHED, error instanceof Error ? error.message : String(error));
      return null;
    }
    if (this.#isClosed) return null;
    if (fetched.status === 200) return fetched.text;
    const { status, retryAfterSeconds } = fetched;
    const wait = retryAfterSeconds ? ` retry_after_ms=${retryAfterSeconds * 1000}` : '';
    const said = status === 401 ? messageIn(fetched.text) : '';
    this.#end(closeCodeOf(status), `status ${status}${wait}${said}`);
    return null;
  }

  #later(delayMs: number, fn: () => void): void {
    this.#cancelTimer();
    if (!this.#isClosed) this.#cancelTimer = this.#clock.setTimer(delayMs, fn);
  }

  #end(code: number, reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#cancelTimer();
    this.#events.close(code, reason);
  }
}

/** What a refusal says, in its first characters. */
function messageIn(text: string): string {
  const value = parseJson(text);
  const message =
    typeof value === 'object' && value !== null && 'message' in value && value.message;
  return typeof message === 'string' ? ` ${message.slice(0, MESSAGE_LENGTH_MAX)}` : '';
}

function closeCodeOf(status: number): number {
  if (status === 401) return CLOSE.unauthorized;
  if (status === 403) return CLOSE.revoked;
  if (status === 429 || status === 503) return CLOSE.overloaded;
  return VANISHED;
}
