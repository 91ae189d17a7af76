/**
 * The keys that session tickets are encrypted with: the same on every listener, so that a client may
 * come back to any of them, in memory only, and replaced now and then, because whoever has them can
 * read what was resumed with them. Node holds one at a time: what it replaces is of no use any more,
 * and such clients shake hands anew.
 */
import { randomBytes } from 'node:crypto';

/** Name, HMAC key and AES key. */
const BYTES = 48;
const LIFETIME_MS = 12 * 3600 * 1000;

export class TicketKeys {
  readonly #followers = new Set<(keys: Buffer) => void>();
  readonly #timer: NodeJS.Timeout;
  #current = randomBytes(BYTES);

  constructor(lifetimeMs: number = LIFETIME_MS) {
    this.#timer = setInterval(() => this.rotate(), lifetimeMs);
    this.#timer.unref();
  }

  get current(): Buffer {
    return this.#current;
  }

  /** Tells of each new key, until what it answers is called. */
  follow(fn: (keys: Buffer) => void): () => void {
    this.#followers.add(fn);
    return () => this.#followers.delete(fn);
  }

  rotate(): void {
    this.#current = randomBytes(BYTES);
    for (const follower of this.#followers) follower(this.#current);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#followers.clear();
  }
}
