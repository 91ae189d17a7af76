/**
 * LISTEN on a connection of its own, which is made again when it breaks. Notifications are hints:
 * after each reconnect every subscriber is called once, since something may have been missed.
 */
import type { Logger } from '#shared/platform/platform.ts';

const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 5_000;
const CHANNEL = /^[a-z_]{1,60}$/;

/** As much of node-postgres' `Client` as this needs. */
export interface ListenClient {
  connect(): Promise<unknown>;
  query(text: string): Promise<unknown>;
  end(): Promise<void>;
}

export interface ListenEvents {
  notification(channel: string, payload: string): void;
  /** Error or end; may come more than once. */
  lost(): void;
}

/** Makes a client, not yet connected, whose events go where they are told. */
export type MakeClient = (events: ListenEvents) => ListenClient;

type Subscriber = (payload: string) => void;

export class Listener {
  readonly #makeClient: MakeClient;
  readonly #logger: Logger;
  readonly #subscribers = new Map<string, Set<Subscriber>>();
  #client: ListenClient | null = null;
  #connecting: Promise<void> | null = null;
  #retry: NodeJS.Timeout | null = null;
  #retryMs = RETRY_MIN_MS;
  #isClosed = false;

  constructor(makeClient: MakeClient, logger: Logger) {
    this.#makeClient = makeClient;
    this.#logger = logger;
  }

  /** Resolves when the first attempt to listen is over, whether or not it succeeded. */
  async listen(channel: string, fn: Subscriber): Promise<() => Promise<void>> {
    if (!CHANNEL.test(channel)) throw new TypeError(`not a channel name: ${channel}`);
    let subscribers = this.#subscribers.get(channel);
    if (subscribers === undefined) {
      subscribers = new Set();
      this.#subscribers.set(channel, subscribers);
    }
    subscribers.add(fn);
    if (this.#client === null) {
      await this.#connect();
    } else {
      await this.#connecting;
      await this.#client?.query(`LISTEN ${channel}`).catch(() => {});
    }
    return async () => {
      subscribers.delete(fn);
    };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
    await this.#connecting;
    const client = this.#client;
    this.#client = null;
    await client?.end().catch(() => {});
  }

  #connect(): Promise<void> {
    this.#connecting ??= this.#open().finally(() => {
      this.#connecting = null;
    });
    return this.#connecting;
  }

  async #open(): Promise<void> {
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = null;
    const client = this.#makeClient({
      notification: (channel, payload) => this.#deliver(channel, payload),
      lost: () => this.#lost(client),
    });
    this.#client = client;
    try {
      await client.connect();
      for (const channel of this.#subscribers.keys()) await client.query(`LISTEN ${channel}`);
    } catch {
      this.#lost(client);
      return;
    }
    if (this.#retryMs !== RETRY_MIN_MS) {
      this.#logger.log('info', 'database notifications are back');
      for (const channel of this.#subscribers.keys()) this.#deliver(channel, '');
    }
    this.#retryMs = RETRY_MIN_MS;
  }

  #deliver(channel: string, payload: string): void {
    for (const subscriber of this.#subscribers.get(channel) ?? []) subscriber(payload);
  }

  #lost(client: ListenClient): void {
    if (this.#client !== client || this.#isClosed) return;
    this.#client = null;
    client.end().catch(() => {});
    if (this.#retryMs === RETRY_MIN_MS) {
      this.#logger.log('warn', 'database notifications lost: polling until they are back');
    }
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MAX_MS);
    this.#retry = setTimeout(() => void this.#connect(), Math.random() * this.#retryMs);
    this.#retry.unref();
  }
}
