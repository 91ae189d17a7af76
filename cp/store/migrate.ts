/**
 * Brings the schema up to date: numbered steps, forward only, each in one transaction with its
 * bookkeeping row, under an advisory lock, so that any number of control planes may start at once.
 *
 * Expand, then contract: a step must leave the schema usable by the previous release (add, do not
 * rename or drop). A later step that takes something away raises `floor` to the newest step that the
 * oldest still able release knows; older releases then refuse to run.
 */
import type { Logger } from '#shared/platform/platform.ts';
import type { Db } from './db.ts';
import { init } from './migrations/0001-init.ts';
import { entities } from './migrations/0002-entities.ts';
import { secrets } from './migrations/0003-secrets.ts';
import { access } from './migrations/0004-access.ts';
import { transactions } from './migrations/0005-transactions.ts';
import { health } from './migrations/0006-health.ts';
import { controlPlanes } from './migrations/0007-control-planes.ts';
import { groups } from './migrations/0008-groups.ts';
import { identity } from './migrations/0009-identity.ts';
import { serverNames } from './migrations/0010-server-names.ts';
import { epochs } from './migrations/0011-epochs.ts';
import { levels } from './migrations/0012-levels.ts';
import { handedJoins } from './migrations/0013-handed-joins.ts';
import { acks } from './migrations/0014-acks.ts';
import { certificates } from './migrations/0015-certificates.ts';
import { previousKeys } from './migrations/0016-previous-keys.ts';

export interface Migration {
  /** 1, 2, 3 … without a gap. */
  readonly number: number;
  readonly name: string;
  /** Code that knows fewer steps than this cannot work with the schema after this step. */
  readonly floor: number;
  /** One statement each: the drivers' common ground takes no scripts. */
  readonly statements: readonly string[];
}

export const MIGRATIONS: readonly Migration[] = [
  init,
  entities,
  secrets,
  access,
  transactions,
  health,
  controlPlanes,
  groups,
  identity,
  serverNames,
  epochs,
  levels,
  handedJoins,
  acks,
  certificates,
  previousKeys,
];

/** Key of the advisory lock that migrations and everything made once at the first start take. */
export const START_LOCK = 4_801_720_313;

/** The database cannot be used by this release, or at all. */
export class MigrationError extends Error {
  override readonly name = 'MigrationError';
}

/**
 * @returns how many steps ran
 * @throws MigrationError, DbError
 */
export async function migrate(
  db: Db,
  logger: Logger,
  migrations: readonly Migration[] = MIGRATIONS,
): Promise<number> {
  let count = 0;
  for (const migration of migrations) {
    const ran = await db.tx(async (tx) => {
      await tx.query('SELECT pg_advisory_xact_lock($1::bigint)', [START_LOCK]);
      await prepare(tx, migrations.length);
      if (await isApplied(tx, migration.number)) return false;
      for (const statement of migration.statements) await tx.query(statement);
      await tx.query('INSERT INTO schema_migrations (number, name, floor) VALUES ($1, $2, $3)', [
        migration.number,
        migration.name,
        migration.floor,
      ]);
      return true;
    });
    if (!ran) continue;
    count += 1;
    logger.log('info', 'database migrated', { number: migration.number, name: migration.name });
  }
  return count;
}

async function prepare(tx: Db, known: number): Promise<void> {
  const encoding = await tx.query<{ server_encoding: string }>('SHOW server_encoding');
  if (encoding.rows[0]?.server_encoding !== 'UTF8') {
    throw new MigrationError('the database must be created with ENCODING UTF8');
  }
  await tx.query(
    `CREATE TABLE IF NOT EXISTS schema_migrations (
      number integer PRIMARY KEY,
      name text NOT NULL,
      floor integer NOT NULL,
      applied_at timestamptz NOT NULL DEFAULT now())`,
  );
  const newest = await tx.query<{ floor: number | null }>(
    'SELECT max(floor) AS floor FROM schema_migrations',
  );
  const floor = newest.rows[0]?.floor ?? 0;
  if (floor > known) {
    throw new MigrationError(
      `the database needs a release that knows migration ${floor}; this one knows ${known}`,
    );
  }
}

async function isApplied(tx: Db, number: number): Promise<boolean> {
  const found = await tx.query('SELECT 1 FROM schema_migrations WHERE number = $1', [number]);
  return found.count > 0;
}
