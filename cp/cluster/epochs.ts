/**
 * When numbers may not be counted on. A version number must never mean two things, so whenever the
 * database may have forgotten what it published, all groups begin a new epoch:
 *
 * - it is another database than it was (`store/identity.ts`)
 * - it lacks what this control plane has seen (`witness.ts`)
 * - a node holds what it never published
 * - it restarted, and nobody is here who knows what it held before
 *
 * The number of an epoch is drawn, not counted: two copies of a database, or one that lost its last
 * epoch, would count to the same one.
 */
import { must } from '#shared/base/assert.ts';
import { epochsOf } from '#shared/config/key-list.ts';
import type { Logger } from '#shared/platform/platform.ts';
import type { Position } from '#shared/wire/frames.ts';
import { keyListOf, readCluster } from '../keys/cluster-keys.ts';
import type { Db } from '../store/db.ts';
import { examine, type Examined, markDatabase } from '../store/identity.ts';
import { START_LOCK } from '../store/migrate.ts';
import { Witness } from './witness.ts';

/** What to do with a database that is a copy: `HEADGATE_DATABASE_MOVED`. */
export type MovedPolicy = 'stop' | 'take-over';

/** Low bits of an epoch's number are chance; what is above them, the second when it began. */
const CHANCE_BITS = 20;
/** Databases of one cluster, one after the other, are believed to agree on the time to a day. */
const CLOCKS_DIFFER_S_MAX = 24 * 3600;
/** Groups looked at. */
const GROUPS_MAX = 10_000;
/** Epochs that nodes can bring about in an hour: a one that keeps what was lost gets no further. */
export const CLAIMED_EPOCHS_PER_HOUR_MAX = 3;

/** The database is a copy of this cluster's, and nobody said what to do. */
export class DatabaseMovedError extends Error {
  override readonly name = 'DatabaseMovedError';
}

export interface Epoch {
  readonly epoch: number;
  readonly reason: string;
  readonly detail: string;
  /** Epoch seconds. */
  readonly at: number;
}

export interface EpochsOptions {
  readonly db: Db;
  readonly clusterId: string;
  /** `HEADGATE_DATA_DIR`; null: what is seen is kept in memory only. */
  readonly dataDir: string | null;
  readonly policy: MovedPolicy;
  readonly logger: Logger;
}

interface Doubt {
  readonly reason: string;
  readonly detail: string;
}

export class Epochs {
  readonly witness: Witness;
  readonly #options: EpochsOptions;
  readonly #listeners = new Set<() => void>();

  constructor(options: EpochsOptions) {
    this.#options = options;
    this.witness = new Witness(options.dataDir, options.clusterId, options.logger);
  }

  /** Calls `fn` after an epoch was begun here. */
  onBegun(fn: () => void): () => void {
    this.#listeners.add(fn);
    return () => this.#listeners.delete(fn);
  }

  /**
   * Looks at the database, and begins an epoch if it must.
   *
   * @throws DatabaseMovedError; DbError
   */
  async settle(): Promise<void> {
    const { db } = this.#options;
    const begun = await db.tx(async (tx) => {
      await tx.query('SELECT pg_advisory_xact_lock($1::bigint)', [START_LOCK]);
      const examined = await examine(tx);
      const doubt = (await this.#doubt(tx, examined)) ?? (await this.#lost(tx));
      if (doubt !== null) return beginEpoch(tx, doubt, examined, this.#newestSeen());
      if (examined.fate.type !== 'same' || examined.fate.isRestarted) await markDatabase(tx);
      else await tx.query(MARK_FIRST);
      await this.#look(tx);
      return null;
    });
    if (begun !== null) this.#announce(begun);
  }

  /** Whether an epoch would begin if a node proved that it holds this. */
  async doubts(groupId: string, position: Position): Promise<boolean> {
    return (await claim(this.#options.db, groupId, position, null)) !== null;
  }

  /**
   * A node has proven that it holds this (`sync/claims.ts`). If the database knows better, or never heard of it, numbers have
   * been given twice, or will be.
   */
  async claimed(groupId: string, position: Position, node: string): Promise<void> {
    const { db, logger } = this.#options;
    const begun = await db.tx(async (tx) => {
      await tx.query('SELECT pg_advisory_xact_lock($1::bigint)', [START_LOCK]);
      const doubt = await claim(tx, groupId, position, node);
      if (doubt === null) return null;
      const { rows } = await tx.query<{ count: number }>(
        `SELECT count(*)::int AS count FROM epochs
         WHERE reason = 'node' AND at > now() - interval '1 hour'`,
      );
      if ((rows[0]?.count ?? 0) >= CLAIMED_EPOCHS_PER_HOUR_MAX) {
        logger.log('error', 'a node claims too much: no epoch for it', { ...doubt });
        return null;
      }
      return beginEpoch(tx, doubt, await examine(tx), position.epoch);
    });
    if (begun !== null) this.#announce(begun);
  }

  /** By hand, after a restore that nothing shows. */
  async begin(actor: string): Promise<Epoch> {
    const begun = await this.#options.db.tx(async (tx) => {
      await tx.query('SELECT pg_advisory_xact_lock($1::bigint)', [START_LOCK]);
      return beginEpoch(tx, { reason: 'operator', detail: actor }, await examine(tx));
    });
    this.#announce(must(begun, 'an epoch'));
    return must(begun, 'an epoch');
  }

  /** Newest first. */
  async list(): Promise<Epoch[]> {
    const { rows } = await this.#options.db.query<Epoch>(
      `SELECT epoch, reason, detail, floor(extract(epoch FROM at))::bigint AS at FROM epochs
       ORDER BY at DESC, epoch DESC LIMIT 100`,
    );
    return rows;
  }

  async close(): Promise<void> {
    this.#listeners.clear();
    await this.witness.save();
  }

  async #doubt(tx: Db, { fate, before, now }: Examined): Promise<Doubt | null> {
    const detail = `${before} is now ${now}`;
    switch (fate.type) {
      case 'promoted':
        return { reason: 'promoted', detail };
      case 'restored':
        return { reason: 'restored', detail: `the rows of ${now} were written anew` };
      case 'moved':
        if (this.#options.policy === 'take-over') return { reason: 'moved', detail };
        throw new DatabaseMovedError(movedText(detail));
      default:
        return fate.isRestarted ? this.#unwatched(tx) : null;
    }
  }

  /** What is there now is what must not be missing later. */
  async #look(tx: Db): Promise<void> {
    const { rows } = await tx.query<Position & { readonly group_id: string }>(
      `SELECT DISTINCT ON (group_id) group_id, epoch, revision, hash FROM manifests
       ORDER BY group_id, epoch DESC, revision DESC, level DESC LIMIT ${GROUPS_MAX}`,
    );
    for (const { group_id: groupId, ...position } of rows) this.witness.saw(groupId, position);
  }

  /** It may have been put back to an earlier state while it was down. */
  async #unwatched(tx: Db): Promise<Doubt | null> {
    // The embedded one restarts with this process, and its folder is the witness' too.
    if (!this.witness.isEmpty || this.#options.db.driver === 'pglite') return null;
    const { count } = await tx.query('SELECT 1 FROM manifests LIMIT 1');
    if (count === 0) return null;
    return {
      reason: 'unwatched',
      detail: 'the server restarted, and nobody here saw what it held',
    };
  }

  /** Epoch of the newest that was seen here, whatever became of it. */
  #newestSeen(): number {
    return Math.max(0, ...[...this.witness.all().values()].map(({ epoch }) => epoch));
  }

  async #lost(tx: Db): Promise<Doubt | null> {
    for (const [groupId, seen] of this.witness.all()) {
      const doubt = await claim(tx, groupId, seen, null);
      if (doubt !== null) return { ...doubt, reason: 'lost' };
    }
    return null;
  }

  #announce(epoch: Epoch): void {
    this.#options.logger.log('warn', 'new epoch: the database is not what it was', { ...epoch });
    for (const listener of this.#listeners) listener();
  }
}

/** The first control plane of a release that marks databases. */
const MARK_FIRST = `
  INSERT INTO database_marker (database_oid, xid, server_started)
  SELECT oid::bigint, (pg_current_xact_id()::text::numeric % 4294967296)::bigint,
    pg_postmaster_start_time()
  FROM pg_database WHERE datname = current_database()
  ON CONFLICT (single) DO NOTHING`;

function movedText(detail: string): string {
  return (
    `the database is a copy of this cluster's (${detail}), and the other may be alive. ` +
    'To go on here instead of there, so that data planes follow in a new epoch, start once with ' +
    'HEADGATE_DATABASE_MOVED=take-over. For another cluster, start on an empty database and ' +
    'POST /config what GET /config of the old one exports.'
  );
}

/** @returns null when the database published this, or may have; a group that is gone says nothing */
async function claim(
  tx: Db,
  groupId: string,
  position: Position,
  node: string | null,
): Promise<Doubt | null> {
  if (position.revision === 0) return null;
  // A later epoch has begun since: then it does not matter any more.
  const { rows } = await tx.query<{ hash: string | null; same: string | null; is_ahead: boolean }>(
    `SELECT min(m.hash) FILTER (WHERE m.epoch = $2 AND m.revision = $3) AS hash,
       min(m.hash) FILTER (WHERE m.epoch = $2 AND m.revision = $3 AND m.hash = $4) AS same,
       coalesce(bool_and((m.epoch, m.revision) < ($2::bigint, $3::bigint)), true) AS is_ahead
     FROM groups g LEFT JOIN manifests m ON m.group_id = g.id
     WHERE g.id = $1 AND g.epoch <= $2 GROUP BY g.id`,
    [groupId, position.epoch, position.revision, position.hash],
  );
  const [row] = rows;
  if (row === undefined) return null;
  const name = `revision ${position.epoch}.${position.revision} of group ${groupId}`;
  const by = node === null ? 'this control plane has seen' : `node ${node} holds`;
  if (row.is_ahead) return { reason: 'node', detail: `${by} ${name}, which is not known` };
  // One revision has a manifest, and so a hash, for each schema level.
  if (row.hash === null || row.same !== null) return null;
  return { reason: 'node', detail: `${by} another ${name}` };
}

/**
 * @param above  an epoch that somebody claims to have seen
 * @returns null when the claim cannot be true
 */
export async function beginEpoch(
  tx: Db,
  { reason, detail }: Doubt,
  { before, now }: Examined,
  above = 0,
): Promise<Epoch | null> {
  const { first, end } = epochsOf(keyListOf(must(await readCluster(tx), 'a cluster')));
  const drawn = await tx.query<{ epoch: number; latest: number }>(
    `SELECT floor(random() * (1 << ${CHANCE_BITS}))::bigint + greatest(
         floor(extract(epoch FROM clock_timestamp()))::bigint << ${CHANCE_BITS}, $1::bigint,
         CASE WHEN $3::bigint < least(latest, $2::bigint - (1 << ${CHANCE_BITS}))
           THEN $3::bigint + 1 END,
         (SELECT max(epoch) + 1 FROM groups
          WHERE epoch < $2::bigint - (1 << ${CHANCE_BITS}))) AS epoch, latest
     FROM (SELECT floor(extract(epoch FROM now()) + ${CLOCKS_DIFFER_S_MAX})::bigint
       << ${CHANCE_BITS} AS latest) AS clock`,
    [first, end, above],
  );
  const { epoch, latest } = must(drawn.rows[0], 'a number');
  // Numbers grow with time, and clocks may differ; one that is so far ahead was never drawn.
  if (above > latest) return null;
  await markDatabase(tx);
  // Nothing counts as published any more: the new epoch begins with a manifest of its own.
  await tx.query("UPDATE groups SET epoch = $1, published = '{}', published_as = NULL", [epoch]);
  const { rows } = await tx.query<Epoch>(
    `INSERT INTO epochs (epoch, reason, detail, database_before, database_now)
     VALUES ($1, $2, $3, $4, $5)
     RETURNING epoch, reason, detail, floor(extract(epoch FROM at))::bigint AS at`,
    [epoch, reason, detail, before, now],
  );
  return must(rows[0], 'an epoch');
}
