/**
 * The audit: who wrote what, from where, and who was not let. Commits of entities write their row
 * themselves (`cp/store/audited-request.ts`); this is for all other requests, for reading, and for
 * what is too old to be kept.
 */
import type { BlockList } from 'node:net';
import type { Clock, Logger } from '#shared/platform/platform.ts';
import { opening } from '../keys/fresh-keys.ts';
import type { RowKeySource } from '../keys/row-keys.ts';
import { type Actor, insertAudit } from '../store/audited-request.ts';
import type { Db } from '../store/db.ts';

import { type AuditPage, type AuditQuery, readAudit } from './audit-log.ts';
import { auditedPath } from './audited-path.ts';
import { forwardedFor } from './forwarded.ts';
import { RequestTrail } from './request-trail.ts';

/** Refused requests of one actor written down per minute; strangers must not fill the database. */
export const REFUSALS_PER_MINUTE = 60;
export const SWEPT_ROWS_MAX = 1_000;
/** Such batches in one sweep; the rest waits for the next. */
const SWEEP_ROUNDS_MAX = 20;
const MINUTE_MS = 60_000;

export interface AuditOptions {
  readonly db: Db;
  /** Opens what the change log keeps sealed, to tell which secrets changed. */
  readonly keys: RowKeySource;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Days that rows are kept. */
  readonly days: number;
  /** Segments of a path that a secret may follow. */
  readonly secretSegments: ReadonlySet<string>;
  /** Terminators whose `X-Forwarded-For` is believed. */
  readonly trusted: BlockList;
}

export class Audit {
  readonly #options: AuditOptions;
  #minuteMs = Number.NEGATIVE_INFINITY;
  /** In this minute, by actor: there are no more of them than tokens, and strangers are one. */
  readonly #refusals = new Map<string, number>();

  constructor(options: AuditOptions) {
    this.#options = options;
  }

  /** Begins to follow a request. */
  trail(request: Request, peer: string): RequestTrail {
    const { secretSegments, trusted } = this.#options;
    return new RequestTrail(this, {
      method: request.method,
      path: auditedPath(new URL(request.url), secretSegments),
      source: peer,
      forwardedFor: forwardedFor(request.headers.get('x-forwarded-for'), peer, trusted),
    });
  }

  /** Writes the row of a request that wrote no entity. A failure is logged with what it would say. */
  async record(actor: Actor, status: number): Promise<void> {
    try {
      await insertAudit(this.#options.db, actor, status);
    } catch (error) {
      this.#failed(error, actor, status);
    }
  }

  /** As `record`, up to so many per minute; strangers take nothing from what is kept of others. */
  async recordRefusal(actor: Actor, status: number): Promise<void> {
    const nowMs = this.#options.clock.monotonic();
    if (nowMs - this.#minuteMs >= MINUTE_MS) {
      this.#reportOverflow();
      this.#minuteMs = nowMs;
      this.#refusals.clear();
    }
    const count = (this.#refusals.get(actor.name) ?? 0) + 1;
    this.#refusals.set(actor.name, count);
    if (count <= REFUSALS_PER_MINUTE) await this.record(actor, status);
  }

  /** For a request whose row was written before its answer was known to be another one. */
  async correct(actor: Actor, requestId: string, status: number): Promise<void> {
    try {
      await this.#options.db.query('UPDATE audit SET status = $2 WHERE request_id = $1', [
        requestId,
        status,
      ]);
    } catch (error) {
      this.#failed(error, actor, status);
    }
  }

  /** Newest first. @throws StoreError */
  read(query: AuditQuery): Promise<AuditPage> {
    const { db, keys } = this.#options;
    return opening(db, keys, (current) => readAudit(db, current, query));
  }

  /** Removes what is too old. @returns how many rows; more may wait for the next time @throws DbError */
  async sweep(): Promise<number> {
    const { db, days } = this.#options;
    let removed = 0;
    for (let round = 0; round < SWEEP_ROUNDS_MAX; round++) {
      const { count } = await db.query(
        `DELETE FROM audit WHERE id IN (
           SELECT id FROM audit WHERE at < now() - make_interval(days => $1) ORDER BY at LIMIT $2)`,
        [days, SWEPT_ROWS_MAX],
      );
      removed += count;
      if (count < SWEPT_ROWS_MAX) break;
    }
    return removed;
  }

  #reportOverflow(): void {
    for (const [actor, refused] of this.#refusals) {
      const count = refused - REFUSALS_PER_MINUTE;
      if (count <= 0) continue;
      this.#options.logger.log('warn', 'refused writes not audited one by one', { actor, count });
    }
  }

  #failed(error: unknown, actor: Actor, status: number): void {
    const { name, source, request } = actor;
    this.#options.logger.log('error', 'audit row not written', {
      actor: name,
      source,
      method: request?.method ?? null,
      path: request?.path ?? null,
      request: request?.id ?? null,
      status,
      error: error instanceof Error ? error.message : String(error),
    });
  }
}
