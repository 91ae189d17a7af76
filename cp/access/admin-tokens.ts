/**
 * The named tokens of the Admin API. All of them are kept in memory (there are few, by a written
 * bound), so that whoever sends nonsense costs no query; the copy is at most `CACHE_MS` old, and a
 * notification makes it sooner. A token that was revoked elsewhere is refused after that at the latest.
 */
import type { Clock, Logger } from '#shared/platform/platform.ts';
import { type Actor, insertAudit } from '../store/audited-request.ts';
import type { Db } from '../store/db.ts';
import { StoreError, toStoreError } from '../store/errors.ts';
import type { Scopes } from './scopes.ts';
import {
  digestOf,
  formatToken,
  isSameDigest,
  newTokenId,
  newTokenSecret,
  parseToken,
} from './token-text.ts';

/** Channel on which control planes learn that a token was made, rotated or revoked. */
const TOKENS_CHANNEL = 'headgate_admin_tokens';

/** Named tokens in one cluster. */
export const TOKENS_MAX = 1_000;
/** A token revoked on another control plane works no longer than this, plus one query. */
export const CACHE_MS = 2_000;
/**
 * A secret that the copy does not know may be newer than it, so the copy is read anew before it is
 * refused; so often at most.
 */
export const RELOAD_MS = 250;
/** Requests that wait for that; further ones are refused at once. */
export const WAITING_MAX = 1_000;
/** When a token was last used is known to this grain. */
const USE_GRAIN_S = 600;
const UNKNOWN_DIGEST = new Uint8Array(32);

/** A token as the API shows it. Times in epoch seconds. */
export interface TokenView {
  readonly id: string;
  readonly name: string;
  readonly scopes: Scopes;
  /** Null: it does not expire. */
  readonly expires_at: number | null;
  readonly created_at: number;
  readonly created_by: string;
  readonly rotated_at: number | null;
  /** Until when the secret before the last rotation works too. */
  readonly previous_until: number | null;
  /** To ten minutes; null: never. */
  readonly last_used_at: number | null;
}

/** A view, and what its holder has to send: shown this once. */
export type NewToken = TokenView & { readonly token: string };

export interface VerifiedToken {
  readonly id: string;
  readonly name: string;
  readonly scopes: Scopes;
}

export interface TokenRequest {
  readonly name: string;
  readonly scopes: Scopes;
  /** Epoch seconds; null: never. */
  readonly expiresAt: number | null;
}

export interface TokensOptions {
  readonly db: Db;
  readonly clock: Clock;
  readonly logger: Logger;
}

interface Row {
  readonly id: string;
  readonly name: string;
  readonly scopes: Scopes;
  readonly digest: Uint8Array;
  readonly previous_digest: Uint8Array | null;
  /** From now, by the database's clock: those of control planes differ. */
  readonly seconds_left: number | null;
  readonly previous_seconds_left: number | null;
}

interface Known extends VerifiedToken {
  readonly digest: Uint8Array;
  readonly previousDigest: Uint8Array | null;
  /** By the monotonic clock. */
  readonly untilMs: number;
  readonly previousUntilMs: number;
}

interface Copy {
  readonly startedMs: number;
  readonly generation: number;
  readonly tokens: ReadonlyMap<string, Known>;
}

const epoch = (column: string) => `floor(extract(epoch FROM ${column}))::bigint AS ${column}`;
const VIEW = `id, name, scopes, ${epoch('expires_at')}, ${epoch('created_at')}, created_by,
  ${epoch('rotated_at')}, ${epoch('last_used_at')},
  CASE WHEN previous_until > now() THEN floor(extract(epoch FROM previous_until))::bigint END
    AS previous_until`;

export class AdminTokens {
  readonly #options: TokensOptions;
  #copy: Copy | null = null;
  #loading: { readonly generation: number; readonly copy: Promise<Copy> } | null = null;
  /** Raised when the table has changed: a copy begun before is worth nothing. */
  #generation = 0;
  /** Id → when its use was last written, by the monotonic clock. */
  #usedMs = new Map<string, number>();
  /** Requests with a token that is not known yet. */
  #waiting = 0;
  #stopListening: () => Promise<void> = async () => {};

  constructor(options: TokensOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    this.#stopListening = await this.#options.db.listen(TOKENS_CHANNEL, () => this.#forget());
  }

  async close(): Promise<void> {
    await this.#stopListening();
  }

  /**
   * @param text  as it was sent
   * @returns null for one that does not exist, has expired or was revoked
   * @throws StoreError `unavailable`: nobody is let in on an old copy
   */
  async verify(text: string): Promise<VerifiedToken | null> {
    const given = parseToken(text);
    if (given === null) return null;
    const digest = digestOf(given.secret);
    const { clock } = this.#options;
    const askedMs = clock.monotonic();
    let known = (await this.#fresh(CACHE_MS)).get(given.id);
    if (!this.#isRight(known, digest)) {
      // It may have been made at another control plane a moment ago, and the copy be older.
      if ((this.#copy?.startedMs ?? 0) >= askedMs || !(await this.#mayReload())) return null;
      known = (await this.#fresh(clock.monotonic() - askedMs)).get(given.id);
      if (!this.#isRight(known, digest)) return null;
    }
    this.#used(known.id);
    const { id, name, scopes } = known;
    return { id, name, scopes };
  }

  /**
   * Waits until the copy may be read anew: nonsense must not cost a query each.
   *
   * @returns false when too many wait already
   */
  async #mayReload(): Promise<boolean> {
    const { clock } = this.#options;
    const waitMs = (this.#copy?.startedMs ?? 0) + RELOAD_MS - clock.monotonic();
    if (waitMs <= 0) return true;
    if (this.#waiting >= WAITING_MAX) return false;
    this.#waiting += 1;
    await new Promise<void>((resolve) => {
      clock.setTimer(waitMs, resolve);
    });
    this.#waiting -= 1;
    return true;
  }

  /** Whether there is a token by which somebody could come in. @throws StoreError */
  async hasValid(): Promise<boolean> {
    const nowMs = this.#options.clock.monotonic();
    const tokens = await this.#fresh(CACHE_MS);
    return [...tokens.values()].some(({ untilMs }) => untilMs > nowMs);
  }

  /** By name, or by the id that a token shows of itself. @throws StoreError */
  async list(): Promise<TokenView[]> {
    const { rows } = await this.#query<TokenView>(
      `SELECT ${VIEW} FROM admin_tokens ORDER BY name LIMIT $1`,
      [TOKENS_MAX],
    );
    return rows;
  }

  /** @throws StoreError */
  async get(name: string): Promise<TokenView | null> {
    const { rows } = await this.#query<TokenView>(
      `SELECT ${VIEW} FROM admin_tokens WHERE $1 IN (name, id)`,
      [name],
    );
    return rows[0] ?? null;
  }

  /**
   * @returns null when there are `TOKENS_MAX` already
   * @throws StoreError `unique` by name
   */
  async create(request: TokenRequest, actor: Actor): Promise<NewToken | null> {
    const { name, scopes, expiresAt } = request;
    const id = newTokenId();
    const secret = newTokenSecret();
    const row = await this.#change(name, actor, async (tx) => {
      // Or two at once could exceed the bound together.
      await tx.query('LOCK TABLE admin_tokens IN SHARE ROW EXCLUSIVE MODE');
      return tx.query<TokenView>(
        `INSERT INTO admin_tokens (id, name, digest, scopes, expires_at, created_by)
         SELECT $1, $2, $3, $4::jsonb, to_timestamp($5::bigint), $6
         WHERE (SELECT count(*) FROM admin_tokens) < $7
         RETURNING ${VIEW}`,
        [id, name, digestOf(secret), JSON.stringify(scopes), expiresAt, actor.name, TOKENS_MAX],
      );
    });
    return row === null ? null : { ...row, token: formatToken({ id, secret }) };
  }

  /**
   * Gives a token a new secret. The one it had works `overlapSeconds` longer; the one before that, no
   * longer.
   *
   * @returns null when there is no such token, or it has expired
   * @throws StoreError
   */
  async rotate(name: string, overlapSeconds: number, actor: Actor): Promise<NewToken | null> {
    const secret = newTokenSecret();
    const row = await this.#change(name, actor, (tx) =>
      tx.query<TokenView>(
        `UPDATE admin_tokens SET digest = $2, rotated_at = now(),
           previous_digest = CASE WHEN $3::integer > 0 THEN digest END,
           previous_until = CASE WHEN $3::integer > 0 THEN now() + make_interval(secs => $3) END
         WHERE $1 IN (name, id) AND (expires_at IS NULL OR expires_at > now())
         RETURNING ${VIEW}`,
        [name, digestOf(secret), overlapSeconds],
      ),
    );
    return row === null ? null : { ...row, token: formatToken({ id: row.id, secret }) };
  }

  /** Revokes a token for good. @returns false when there is none @throws StoreError */
  async remove(name: string, actor: Actor): Promise<boolean> {
    const row = await this.#change(name, actor, (tx) =>
      tx.query<TokenView>(`DELETE FROM admin_tokens WHERE $1 IN (name, id) RETURNING ${VIEW}`, [
        name,
      ]),
    );
    return row !== null;
  }

  /** One transaction: the row, that of the audit, and the word to the other control planes. */
  async #change(
    name: string,
    actor: Actor,
    change: (tx: Db) => Promise<{ readonly rows: TokenView[] }>,
  ): Promise<TokenView | null> {
    try {
      const changed = await this.#options.db.tx(async (tx) => {
        const [row = null] = (await change(tx)).rows;
        if (row === null) return null;
        await insertAudit(tx, actor);
        await tx.query(`SELECT pg_notify('${TOKENS_CHANNEL}', $1)`, [row.id]);
        return row;
      });
      if (changed !== null) actor.request?.recorded();
      return changed;
    } catch (error) {
      throw nameTaken(error, name);
    } finally {
      // Also when it failed: what became of the commit may be unknown.
      this.#forget();
    }
  }

  #forget(): void {
    this.#generation++;
  }

  #isRight(known: Known | undefined, digest: Uint8Array): known is Known {
    const nowMs = this.#options.clock.monotonic();
    // As long for an id that does not exist.
    const isCurrent = isSameDigest(known?.digest ?? UNKNOWN_DIGEST, digest);
    const isPrevious = isSameDigest(known?.previousDigest ?? UNKNOWN_DIGEST, digest);
    if (known === undefined || known.untilMs <= nowMs) return false;
    return isCurrent || (isPrevious && known.previousUntilMs > nowMs);
  }

  /** A copy that is no older than that and has seen all that this process knows to have changed. */
  async #fresh(ageMs: number): Promise<ReadonlyMap<string, Known>> {
    const wanted = this.#generation;
    const oldestMs = this.#options.clock.monotonic() - ageMs;
    for (;;) {
      const copy = this.#copy;
      if (copy !== null && copy.generation >= wanted && copy.startedMs >= oldestMs) {
        return copy.tokens;
      }
      // At most one that was under way is waited for in vain.
      this.#loading ??= { generation: this.#generation, copy: this.#load() };
      const { copy: loading } = this.#loading;
      await loading;
    }
  }

  async #load(): Promise<Copy> {
    const generation = this.#generation;
    const startedMs = this.#options.clock.monotonic();
    try {
      const { rows } = await this.#query<Row>(
        `SELECT id, name, scopes, digest, previous_digest,
           extract(epoch FROM expires_at - now())::float8 AS seconds_left,
           extract(epoch FROM previous_until - now())::float8 AS previous_seconds_left
         FROM admin_tokens ORDER BY created_at LIMIT $1`,
        [TOKENS_MAX],
      );
      const tokens = new Map(rows.map((row) => [row.id, toKnown(row, startedMs)]));
      this.#usedMs = new Map([...this.#usedMs].filter(([id]) => tokens.has(id)));
      this.#copy = { generation, startedMs, tokens };
      return this.#copy;
    } finally {
      this.#loading = null;
    }
  }

  #used(id: string): void {
    const { clock, db, logger } = this.#options;
    const nowMs = clock.monotonic();
    const writtenMs = this.#usedMs.get(id);
    if (writtenMs !== undefined && nowMs - writtenMs < USE_GRAIN_S * 1000) return;
    this.#usedMs.set(id, nowMs);
    // Nobody waits for it: several control planes write it once per grain together.
    db.query(
      `UPDATE admin_tokens SET last_used_at = now() WHERE id = $1
         AND (last_used_at IS NULL OR last_used_at < now() - make_interval(secs => $2))`,
      [id, USE_GRAIN_S],
    ).catch((error: unknown) => {
      logger.log('warn', 'use of a token not written', { token: id, error: String(error) });
    });
  }

  async #query<R>(text: string, params: (string | number)[]): Promise<{ rows: R[] }> {
    try {
      return await this.#options.db.query<R>(text, params);
    } catch (error) {
      throw toStoreError(error);
    }
  }
}

function toKnown(row: Row, nowMs: number): Known {
  const deadline = (seconds: number | null) =>
    seconds === null ? Number.POSITIVE_INFINITY : nowMs + seconds * 1000;
  return {
    id: row.id,
    name: row.name,
    scopes: row.scopes,
    digest: row.digest,
    previousDigest: row.previous_digest,
    untilMs: deadline(row.seconds_left),
    previousUntilMs: deadline(row.previous_seconds_left),
  };
}

function nameTaken(error: unknown, name: string): unknown {
  const failure = toStoreError(error);
  const isTaken =
    error instanceof Error && 'constraint' in error && error.constraint === 'admin_tokens_name_key';
  return isTaken ? new StoreError({ code: 'unique', fields: { name } }) : failure;
}
