/**
 * Which history a database belongs to. A restored or branched one would count on from numbers that
 * data planes have already seen with other content, so it starts a new epoch (design 4.4).
 */
import { must } from '#shared/base/assert.ts';
import type { Logger } from '#shared/platform/platform.ts';
import type { Db } from './db.ts';

/** Neon's timeline, or Postgres' system identifier and timeline. */
export async function databaseIdentity(tx: Db): Promise<string> {
  const neon = await tx.query<{ timeline: string | null }>(
    "SELECT current_setting('neon.timeline_id', true) AS timeline",
  );
  const timeline = neon.rows[0]?.timeline ?? '';
  if (timeline !== '') return `neon/${timeline}`;
  const { rows } = await tx.query<{ identity: string }>(
    `SELECT s.system_identifier || '/' || c.timeline_id AS identity
     FROM pg_control_system() s, pg_control_checkpoint() c`,
  );
  return must(rows[0], 'a database has an identity').identity;
}

/** Starts a new epoch for every group when the database is not the one it was. */
export async function adoptDatabase(tx: Db, known: string, logger: Logger): Promise<void> {
  const identity = await databaseIdentity(tx);
  if (identity === known) return;
  await tx.query('UPDATE cluster SET database_identity = $1', [identity]);
  // Nothing counts as published any more: the new epoch begins with a manifest of its own.
  await tx.query("UPDATE groups SET epoch = epoch + 1, published = '{}'");
  logger.log('warn', 'the database was restored, branched or promoted: new epoch', {
    before: known,
    now: identity,
  });
}
