/**
 * The role by which the cluster endpoint reaches the database, when it has one of its own: what it may
 * do is what follows here, granted anew at every start, so that no release runs with the rights of another.
 * Nothing of it leads to entities, their history, or who may use the Admin API.
 */
import { must } from '#shared/base/assert.ts';
import type { Logger } from '#shared/platform/platform.ts';
import type { Db } from './db.ts';
import { START_LOCK } from './migrate.ts';
import { type DatabaseSettings, DatabaseSettingsError, openDatabase } from './open-database.ts';

/** By table; a list of columns where not all may be changed. */
const GRANTS: Readonly<Record<string, readonly string[]>> = {
  // What was published, as it was signed.
  groups: ['SELECT'],
  manifests: ['SELECT'],
  group_nodes: ['SELECT'],
  // The nodes' own rows. Revocations, groups and ids are not for whoever talks to nodes to change.
  nodes: ['SELECT', 'INSERT', 'UPDATE (*)'],
  node_health: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'],
  // What they serve, count and answer, together.
  group_acks: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'],
  node_call_answers: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'],
  shared_counters: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'],
  join_tokens: ['SELECT', 'UPDATE (uses)'],
  // What they did is written down, and not theirs to read.
  audit: ['INSERT'],
  control_planes: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'],
  // Keys, wrapped: join tokens are kept encrypted.
  cluster: ['SELECT'],
  cluster_keys: ['SELECT'],
};

/** Of `nodes`. */
const KEPT_COLUMNS = ['id', 'group_id', 'revoked_at', 'created_at', 'join_token'];

export const CLUSTER_ROLE_TABLES: readonly string[] = Object.keys(GRANTS);

/** @throws DatabaseSettingsError  the role is not there, or would have more rights than these anyway */
export async function grantClusterRole(db: Db, role: string): Promise<void> {
  await db.tx(async (tx) => {
    await tx.query('SELECT pg_advisory_xact_lock($1::bigint)', [START_LOCK]);
    const { rows } = await tx.query<{ quoted: string; is_too_mighty: boolean }>(
      `SELECT quote_ident(rolname) AS quoted,
         rolsuper OR pg_has_role(rolname, current_user, 'MEMBER') AS is_too_mighty
       FROM pg_roles WHERE rolname = $1`,
      [role],
    );
    const [found] = rows;
    if (found === undefined || found.is_too_mighty) {
      throw new DatabaseSettingsError(
        `HEADGATE_CLUSTER_DATABASE_URL: the role must be one with no rights of its own (CREATE ROLE ${role} LOGIN PASSWORD '…'), not the owner of the tables and no superuser`,
      );
    }
    const { quoted } = found;
    await tx.query(`REVOKE ALL ON ALL TABLES IN SCHEMA public FROM ${quoted}`);
    await tx.query(`GRANT USAGE ON SCHEMA public TO ${quoted}`);
    const columns = await changeable(tx);
    for (const [table, rights] of Object.entries(GRANTS)) {
      const list = rights.map((right) => right.replace('(*)', `(${columns.join(', ')})`));
      await tx.query(`GRANT ${list.join(', ')} ON ${table} TO ${quoted}`);
    }
  });
}

async function changeable(tx: Db): Promise<string[]> {
  const { rows } = await tx.query<{ name: string }>(
    `SELECT quote_ident(column_name) AS name FROM information_schema.columns
     WHERE table_schema = 'public' AND table_name = 'nodes' AND column_name <> ALL($1::text[])`,
    [KEPT_COLUMNS],
  );
  return rows.map(({ name }) => name);
}

/** `HEADGATE_CLUSTER_DATABASE_URL`: the same database by a role of its own; null: there is none. */
export async function openClusterDatabase(
  db: Db,
  settings: DatabaseSettings,
  logger: Logger,
): Promise<Db | null> {
  if (settings.url === null) return null;
  const role = decodeURIComponent(must(URL.parse(settings.url), 'a checked URL').username);
  await grantClusterRole(db, role);
  return openDatabase(settings, logger);
}
