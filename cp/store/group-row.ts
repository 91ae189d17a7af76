/**
 * The row that publishing and joining go by (`groups`), beside the entity that the Admin API shows
 * (`clustering_groups`): it holds what was published, and may be locked for as long as that takes.
 */
import type { Db } from './db.ts';

const OBJECT_OF = (field: string) =>
  `CASE WHEN jsonb_typeof(doc -> '${field}') = 'object' THEN doc -> '${field}' ELSE '{}' END`;

/** Follows the entity, in the transaction that wrote it. */
export async function saveGroupRow(tx: Db, id: string): Promise<void> {
  await tx.query(
    `INSERT INTO groups (id, name, serves_all, workspaces, tags, labels, policy)
     SELECT id, name, listed IS NULL,
       CASE WHEN listed IS NULL THEN ARRAY(SELECT w.id FROM workspaces w ORDER BY w.id)
         ELSE ARRAY(SELECT jsonb_array_elements_text(listed)::uuid) END,
       tags, ${OBJECT_OF('labels')}, ${OBJECT_OF('settings')}
     FROM clustering_groups, LATERAL (
       SELECT CASE WHEN jsonb_typeof(doc -> 'workspaces') = 'array' THEN doc -> 'workspaces' END AS listed
     ) AS l
     WHERE id = $1
     ON CONFLICT (id) DO UPDATE SET serves_all = excluded.serves_all,
       workspaces = excluded.workspaces, tags = excluded.tags, labels = excluded.labels,
       policy = excluded.policy`,
    [id],
  );
}

/** What a group left behind, in the order of foreign keys. */
const LEFT_BEHIND = [
  'DELETE FROM node_health h USING nodes n WHERE n.id = h.node_id AND n.group_id = $1',
  'DELETE FROM nodes WHERE group_id = $1',
  'DELETE FROM join_tokens WHERE group_id = $1',
  'DELETE FROM group_needs WHERE group_id = $1',
  'DELETE FROM group_records WHERE group_id = $1',
  'DELETE FROM group_nodes WHERE group_id = $1',
  'DELETE FROM manifests WHERE group_id = $1',
  'DELETE FROM groups WHERE id = $1',
];

/**
 * Removes it with everything that was published for it, unless it has nodes that may connect.
 *
 * @returns how many it has
 */
export async function removeGroupRow(tx: Db, id: string): Promise<number> {
  // Nobody joins, and nobody publishes, until the transaction ends.
  await tx.query('SELECT 1 FROM groups WHERE id = $1 FOR UPDATE', [id]);
  const { rows } = await tx.query<{ count: number }>(
    'SELECT count(*)::int AS count FROM nodes WHERE group_id = $1 AND revoked_at IS NULL',
    [id],
  );
  const count = rows[0]?.count ?? 0;
  if (count > 0) return count;
  for (const statement of LEFT_BEHIND) await tx.query(statement, [id]);
  return 0;
}
