/** The nodes as `/clustering/data-planes` lists them: rows, and what this process knows better. */
import type { JsonObject } from '#shared/schema/field.ts';
import type { Db, Param } from '../store/db.ts';
import { isAlive } from './liveness.ts';
import { FORGET_SECONDS } from './node-sweep.ts';
import { actualOf, nodeView, publishedKey, type NodeRow, type Published } from './node-view.ts';
import type { NodeRegistry } from './registry.ts';

/** Nodes in one page. */
export const PAGE_MAX = 1_000;

export interface NodeQuery {
  readonly size: number;
  /** Id that the one before ended with; null for the first page. */
  readonly after: string | null;
  /** Name or id. */
  readonly group?: string | null;
  readonly isConnected?: boolean | null;
  /** All of which a node must have. */
  readonly labels?: Readonly<Record<string, string>>;
  readonly id?: string;
}

/** In order of id. Costs what the page holds, however many nodes there are. */
export async function listNodes(
  db: Db,
  registry: Pick<NodeRegistry, 'self' | 'live' | 'leaving'>,
  query: NodeQuery,
): Promise<JsonObject[]> {
  const { size, after, group = null, isConnected = null, labels = {}, id = null } = query;
  const params: Param[] = [registry.self, registry.leaving, after, size, group, isConnected];
  params.push(JSON.stringify(labels), id);
  const { rows } = await db.query<NodeRow>(PAGE, params);
  const published = await readPublished(db, rows, registry);
  return rows.map((row) => nodeView(row, registry.live(row.id), registry.self, published));
}

// A node is where its row says, unless it has just left here. Not there: neither listed nor counted
// is who has been away for longer than its group remembers. What nodes of other control planes serve stands in
// their summary: the newest it counts, unless the node is named as a laggard.
const PAGE = `
  WITH n AS (
    SELECT n.*, g.name AS group_name, g.epoch AS desired_epoch, g.revision AS desired_revision,
      ${FORGET_SECONDS} AS forget_seconds,
      n.connected_to IS NOT NULL AND CASE WHEN n.connected_to = $1::uuid
        THEN n.id <> ALL ($2::uuid[]) ELSE ${isAlive('n.connected_to')} END AS connected
    FROM nodes n JOIN groups g ON g.id = n.group_id
    WHERE n.revoked_at IS NULL AND ($3::uuid IS NULL OR n.id > $3::uuid)
      AND ($5::text IS NULL OR g.name = $5 OR g.id::text = $5)
      AND n.labels @> $7::jsonb AND ($8::uuid IS NULL OR n.id = $8::uuid)
  )
  SELECT n.id, n.group_id, n.group_name, n.hostname, n.version, n.runtime, n.labels, n.features,
    n.ip, n.level, n.alert, n.locked_at IS NOT NULL AS is_locked, n.epoch, n.revision, n.hash,
    n.persisted, n.last_error, n.quarantined, n.cert_expiry, n.sync_status, n.connected,
    CASE WHEN n.connected THEN n.connected_to END AS control_plane,
    floor(extract(epoch FROM n.created_at))::bigint AS created_at,
    floor(extract(epoch FROM greatest(n.last_seen, c.seen_at)))::bigint AS last_seen,
    coalesce((SELECT min(m.level) FROM manifests m WHERE m.group_id = n.group_id
      AND m.epoch = n.desired_epoch AND m.revision = n.desired_revision) <= n.level, true)
      AS is_served,
    n.desired_epoch, n.desired_revision, n.forget_seconds,
    floor(extract(epoch FROM now()))::bigint AS now,
    a.lagging, a.counts -> 0 AS newest,
    (SELECT l FROM jsonb_array_elements(a.laggards) l WHERE l ->> 'node' = n.id::text LIMIT 1) AS laggard
  FROM n LEFT JOIN control_planes c ON c.id = n.connected_to
    LEFT JOIN group_acks a
      ON n.connected AND a.control_plane = n.connected_to AND a.group_id = n.group_id
  WHERE ($6::boolean IS NULL OR n.connected = $6)
    AND (n.connected OR greatest(n.last_seen, c.seen_at, n.created_at)
      > now() - make_interval(secs => n.forget_seconds))
  ORDER BY n.id LIMIT $4`;

/** What is known of the revisions that the nodes of a page serve. */
async function readPublished(
  db: Db,
  rows: readonly NodeRow[],
  registry: Pick<NodeRegistry, 'live'>,
): Promise<ReadonlyMap<string, Published>> {
  const wanted = new Map<string, JsonObject>();
  for (const row of rows) {
    const { epoch, revision } = actualOf(row, registry.live(row.id));
    const key = publishedKey(row, { epoch, revision });
    wanted.set(key, { key, group_id: row.group_id, level: row.level, epoch, revision });
  }
  if (wanted.size === 0) return new Map();
  const found = await db.query<Published & { readonly key: string }>(
    `SELECT p.key,
       (SELECT m.hash FROM manifests m WHERE m.group_id = p.group_id AND m.epoch = p.epoch
          AND m.revision = p.revision AND m.level = p.level) AS hash,
       (SELECT floor(extract(epoch FROM now() - m.created_at))::bigint FROM manifests m
        WHERE m.group_id = p.group_id AND m.level = p.level AND (m.epoch, m.revision) > (p.epoch, p.revision)
        ORDER BY m.epoch, m.revision LIMIT 1) AS behind_seconds
     FROM jsonb_to_recordset($1::jsonb) AS p(key text, group_id uuid, level integer,
       epoch bigint, revision bigint)`,
    [JSON.stringify([...wanted.values()])],
  );
  return new Map(found.rows.map((row) => [row.key, row]));
}
