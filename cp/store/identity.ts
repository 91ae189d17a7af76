/**
 * Which history a database belongs to. A restored, promoted or branched one would count on from
 * numbers that data planes have already seen with other content, so it starts a new epoch (design 4.4).
 */
import { must } from '#shared/base/assert.ts';
import type { Db } from './db.ts';

/**
 * Neon's timeline, or Postgres' system identifier and timeline. The timeline is that of the log being
 * written: what the last checkpoint says is out of date for a while after a promotion.
 */
const IDENTITY = `
  CASE WHEN coalesce(current_setting('neon.timeline_id', true), '') <> ''
    THEN 'neon/' || current_setting('neon.timeline_id', true)
    ELSE (SELECT system_identifier FROM pg_control_system())
      || '/' || ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer
  END`;

const DATABASE_OID = `
  (SELECT oid::bigint FROM pg_database WHERE datname = current_database())`;

/** The transaction as a row's \`xmin\` shows it. */
const OWN_XID = '(pg_current_xact_id()::text::numeric % 4294967296)::bigint';

/** True when this is the database it was; for a statement of any transaction. Null: never marked. */
export const IS_SAME_DATABASE = `
  (SELECT c.database_identity = ${IDENTITY} AND m.database_oid = ${DATABASE_OID}
     AND m.xid = m.xmin::text::bigint
   FROM cluster c LEFT JOIN database_marker m ON true)`;

export async function databaseIdentity(tx: Db): Promise<string> {
  const { rows } = await tx.query<{ identity: string }>(`SELECT ${IDENTITY} AS identity`);
  return must(rows[0], 'a database has an identity').identity;
}

/** What became of a database since it was last looked at. */
export type Fate =
  | { readonly type: 'same'; readonly isRestarted: boolean }
  /** A standby took over, or it was recovered to a point in time: the same server's history, forked. */
  | { readonly type: 'promoted' }
  /** Its rows were written anew, in the same place. */
  | { readonly type: 'restored' }
  /** Another server, another database of it, another branch: the old one may be alive. */
  | { readonly type: 'moved' };

export interface Examined {
  readonly fate: Fate;
  readonly before: string;
  readonly now: string;
}

interface Facts {
  readonly before: string;
  readonly now: string;
  readonly is_marked: boolean;
  readonly is_same_oid: boolean;
  readonly is_same_row: boolean;
  readonly is_restarted: boolean;
}

export async function examine(tx: Db): Promise<Examined> {
  const { rows } = await tx.query<Facts>(
    `SELECT c.database_identity AS before, ${IDENTITY} AS now, m.single IS NOT NULL AS is_marked,
       coalesce(m.database_oid = ${DATABASE_OID}, true) AS is_same_oid,
       coalesce(m.xid = m.xmin::text::bigint, true) AS is_same_row,
       coalesce(m.server_started <> pg_postmaster_start_time(), true) AS is_restarted
     FROM cluster c LEFT JOIN database_marker m ON true`,
  );
  const facts = must(rows[0], 'a cluster');
  return { fate: fateOf(facts), before: facts.before, now: facts.now };
}

function fateOf(facts: Facts): Fate {
  const { before, now } = facts;
  if (before !== now && !isSuccessor(before, now)) return { type: 'moved' };
  if (!facts.is_same_oid) return { type: 'moved' };
  if (!facts.is_same_row) return { type: 'restored' };
  if (before !== now) return { type: 'promoted' };
  return { type: 'same', isRestarted: facts.is_marked && facts.is_restarted };
}

/** Of the same system, on a later timeline. */
function isSuccessor(before: string, now: string): boolean {
  const [systemBefore = '', timelineBefore = ''] = before.split('/');
  const [system = '', timeline = ''] = now.split('/');
  return system !== 'neon' && system === systemBefore && Number(timeline) > Number(timelineBefore);
}

/** Leaves in the database what it is to be known by from here on. */
export async function markDatabase(tx: Db): Promise<void> {
  await tx.query(`UPDATE cluster SET database_identity = ${IDENTITY}
    WHERE database_identity <> ${IDENTITY}`);
  await tx.query(
    `INSERT INTO database_marker (database_oid, xid, server_started)
     VALUES (${DATABASE_OID}, ${OWN_XID}, pg_postmaster_start_time())
     ON CONFLICT (single) DO UPDATE SET database_oid = excluded.database_oid,
       xid = excluded.xid, server_started = excluded.server_started`,
  );
}
