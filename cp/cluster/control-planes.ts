/**
 * Which control planes there are: each keeps a lease in the database and reads those of the others.
 * Times are the database's, so clocks need not agree.
 */
import { HEADGATE_VERSION } from '#shared/base/product.ts';
import { ADDRESSES_COUNT_MAX } from '#shared/sync/address.ts';
import type { Clock, Logger } from '#shared/platform/platform.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import type { Db } from '../store/db.ts';

/** How often a lease is renewed. */
export const BEAT_MS = 5_000;
/** Renewals that may fail before others count it out. */
const BEATS_MISSED_MAX = 3;
/** Longest wait for the database while stopping. */
const FAREWELL_MS_MAX = 2_000;
/** Control planes looked at. */
const PEERS_MAX = 100;

/** Another control plane that is alive. */
export interface Peer {
  readonly id: string;
  /** Where nodes reach it; none when it does not say. */
  readonly urls: readonly string[];
  /** Nodes connected to it. */
  readonly sessions: number;
}

export interface ControlPlanesOptions {
  readonly db: Db;
  /** `NodeRegistry.self` */
  readonly self: string;
  /** `HEADGATE_CLUSTER_URLS` */
  readonly urls: readonly string[];
  readonly hostname: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Milliseconds between two renewals; default `BEAT_MS`. Asked before each. */
  readonly beatMs?: () => number;
}

/** An SQL array, what the manifest of every group lists: whoever was there within a day, alive or not. */
export const KNOWN_ADDRESSES = `ARRAY(
  SELECT DISTINCT unnest(urls) COLLATE "C" AS url FROM control_planes
  WHERE seen_at > now() - interval '1 day' ORDER BY url LIMIT ${ADDRESSES_COUNT_MAX})`;

export class ControlPlanes {
  readonly #options: ControlPlanesOptions;
  readonly #listeners = new Set<(peers: readonly Peer[]) => void>();
  #peers: readonly Peer[] = [];
  #sessions: () => number = () => 0;
  #cancelTimer: () => void = () => {};
  #beating: Promise<void> = Promise.resolve();
  #isClosed = false;
  #beatenMs = Number.NEGATIVE_INFINITY;

  constructor(options: ControlPlanesOptions) {
    this.#options = options;
  }

  /** Takes the lease, then keeps it. Resolves when the others are known, or cannot be. */
  async start(): Promise<void> {
    await this.beat();
    this.#schedule();
  }

  /** Where the number of connected nodes comes from. */
  counting(sessions: () => number): void {
    this.#sessions = sessions;
  }

  /** Calls `fn` after each look at the others. */
  onBeat(fn: (peers: readonly Peer[]) => void): () => void {
    this.#listeners.add(fn);
    return () => this.#listeners.delete(fn);
  }

  /** The others that were alive at the last look. */
  get peers(): readonly Peer[] {
    return this.#peers;
  }

  /** Addresses of all that are alive, this one first. */
  get addresses(): readonly string[] {
    return [...new Set([...this.#options.urls, ...this.#peers.flatMap(({ urls }) => urls)])];
  }

  /** All with a lease, this one too, as the Admin API shows them. */
  async list(): Promise<JsonObject[]> {
    const { rows } = await this.#options.db.query<JsonObject>(
      `SELECT id::text, urls, hostname, version, sessions,
         floor(extract(epoch FROM started_at))::bigint AS started_at,
         floor(extract(epoch FROM seen_at))::bigint AS last_seen
       FROM control_planes
       WHERE stopped_at IS NULL AND seen_at > now() - make_interval(secs => ttl_seconds)
       ORDER BY id LIMIT ${PEERS_MAX}`,
    );
    return rows;
  }

  /** The database is awake anyway: a good time to look, unless it was just done. */
  nudge(): void {
    if (this.#isClosed || this.#options.clock.monotonic() - this.#beatenMs < BEAT_MS) return;
    void this.beat();
  }

  /** Renews the lease and looks at the others, now. Never rejects. */
  beat(): Promise<void> {
    this.#beating = this.#beating.then(() => this.#beat());
    return this.#beating;
  }

  /** Gives the lease up; the others, as they are now, stay known. */
  async stop(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#cancelTimer();
    const { clock } = this.#options;
    let cancel: () => void = () => {};
    const late = new Promise<void>((resolve) => {
      cancel = clock.setTimer(FAREWELL_MS_MAX, resolve);
    });
    await Promise.race([this.#beating.then(() => this.#farewell()), late]);
    cancel();
  }

  #schedule(): void {
    if (this.#isClosed) return;
    const { clock } = this.#options;
    this.#cancelTimer = clock.setTimer(this.#beatMs(), () => {
      void this.beat().then(() => this.#schedule());
    });
  }

  #beatMs(): number {
    return this.#options.beatMs?.() ?? BEAT_MS;
  }

  async #beat(): Promise<void> {
    if (this.#isClosed) return;
    const { self, urls, hostname, clock } = this.#options;
    this.#beatenMs = clock.monotonic();
    const ttlSeconds = Math.ceil((this.#beatMs() * BEATS_MISSED_MAX) / 1000);
    await this.#look(
      `WITH renewed AS (
         INSERT INTO control_planes (id, urls, hostname, version, sessions, ttl_seconds)
         VALUES ($1, $2::text[], $3, $4, $5, $6)
         ON CONFLICT (id) DO UPDATE SET urls = excluded.urls, sessions = excluded.sessions,
           ttl_seconds = excluded.ttl_seconds, seen_at = now(), stopped_at = NULL),
       forgotten AS (DELETE FROM control_planes WHERE seen_at < now() - interval '1 day' AND id <> $1)`,
      [self, urls, hostname, HEADGATE_VERSION, this.#sessions(), ttlSeconds],
    );
  }

  async #farewell(): Promise<void> {
    await this.#look(
      `WITH stopped AS (
         UPDATE control_planes SET stopped_at = now(), sessions = 0 WHERE id = $1)`,
      [this.#options.self],
    );
  }

  /** @param first  statements that come before the look, and use `$1` for this one's id */
  async #look(first: string, params: (string | number | readonly string[])[]): Promise<void> {
    const { db, logger } = this.#options;
    try {
      const { rows } = await db.query<Peer>(
        `${first}
         SELECT id, urls, sessions FROM control_planes
         WHERE id <> $1 AND stopped_at IS NULL
           AND seen_at > now() - make_interval(secs => ttl_seconds)
         ORDER BY id LIMIT ${PEERS_MAX}`,
        params,
      );
      this.#peers = rows;
    } catch (error) {
      // The others stay as they were: whether they are alive is not known.
      logger.log('warn', 'the lease was not renewed', {
        error: error instanceof Error ? error.message : String(error),
      });
      return;
    }
    for (const listener of this.#listeners) listener(this.#peers);
  }
}
