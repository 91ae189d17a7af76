/** What is left of control planes that died, and of nodes that never came back. */
import type { Db } from '../store/db.ts';
import { isAlive } from './liveness.ts';

/** How long a node that is gone stays listed, unless its group says otherwise: Kong's two weeks. */
export const FORGET_S_DEFAULT = 14 * 24 * 3600;
/** How long after that it may still come back; then its identity is deleted, and it would have to join anew. */
export const IDENTITY_KEPT_S = 90 * 24 * 3600;
const SWEPT_ROWS_MAX = 1_000;
/** One that is being let in is in its row before it is in memory. */
const STRAY_S_MIN = 60;

/** SQL: seconds after which a node `n` of a group `g` is no longer listed. */
export const FORGET_SECONDS = `coalesce((g.policy ->> 'forget_seconds')::bigint, ${FORGET_S_DEFAULT})`;

export async function sweepNodes(db: Db, self: string): Promise<void> {
  await db.query('DELETE FROM shared_counters WHERE expires_at < now()');
  // They were last seen when their control plane was.
  await db.query(
    `UPDATE nodes n SET connected_to = NULL, last_seen = greatest(n.last_seen, (
       SELECT c.seen_at FROM control_planes c WHERE c.id = n.connected_to))
     WHERE n.connected_to IS NOT NULL AND n.connected_to <> $1 AND NOT ${isAlive('n.connected_to')}`,
    [self],
  );
  await db.query(
    `DELETE FROM group_acks a WHERE a.control_plane <> $1 AND NOT ${isAlive('a.control_plane')}`,
    [self],
  );
  await db.query(
    `WITH old AS MATERIALIZED (
       SELECT n.id FROM nodes n JOIN groups g ON g.id = n.group_id
       WHERE n.connected_to IS NULL
         AND greatest(n.last_seen, n.revoked_at, n.created_at)
           < now() - make_interval(secs => ${FORGET_SECONDS} + ${IDENTITY_KEPT_S})
       LIMIT ${SWEPT_ROWS_MAX})
     DELETE FROM nodes n USING old WHERE n.id = old.id
       AND NOT EXISTS (SELECT FROM node_health h WHERE h.node_id = n.id)`,
  );
}

/**
 * Rows of nodes that were let in here and went before they were heard of again. Counted first, so that an
 * idle control plane reads a number and not its nodes.
 */
export async function forgetStrays(
  db: Db,
  self: string,
  known: { readonly count: number; has(id: string): boolean },
): Promise<void> {
  const { rows } = await db.query<{ count: number }>(
    'SELECT count(*)::int AS count FROM nodes WHERE connected_to = $1',
    [self],
  );
  if ((rows[0]?.count ?? 0) <= known.count) return;
  const found = await db.query<{ id: string }>(
    `SELECT id FROM nodes WHERE connected_to = $1
       AND last_seen < now() - make_interval(secs => ${STRAY_S_MIN})`,
    [self],
  );
  const strays = found.rows.map(({ id }) => id).filter((id) => !known.has(id));
  if (strays.length === 0) return;
  await db.query(
    'UPDATE nodes SET connected_to = NULL WHERE connected_to = $1 AND id = ANY($2::uuid[])',
    [self, strays],
  );
}
