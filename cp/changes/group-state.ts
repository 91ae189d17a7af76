/**
 * What a group was published as, and what it should be: its row, the versions of its workspaces, and which
 * groups are behind. Finding those is one statement, however many groups there are.
 */
import type { JsonObject } from '#shared/schema/field.ts';
import type { Registry } from '#shared/schema/plugin-definition.ts';
import { KNOWN_ADDRESSES } from '../cluster/control-planes.ts';
import type { Db } from '../store/db.ts';
import { IS_SAME_DATABASE } from '../store/identity.ts';
import { SYSTEM_WORKSPACE } from '../store/migrations/0001-init.ts';

export interface PublishedAs {
  readonly revision: number;
  readonly tags: readonly string[] | null;
}

export interface GroupRow {
  readonly id: string;
  readonly name: string;
  /** Ids of those that it subscribes to. */
  readonly workspaces: readonly string[];
  /** Null: all routes. */
  readonly tags: readonly string[] | null;
  readonly policy: JsonObject;
  readonly secret_generation: number;
  readonly epoch: number;
  readonly revision: number;
  /** Versions by workspace. */
  readonly published: Readonly<Record<string, number>>;
  /** Null: by a release that knew of no such thing, or never. */
  readonly published_as: PublishedAs | null;
  /** Addresses, for the manifest. */
  readonly control_planes: readonly string[];
  /** Whether it was published with what it is now, workspaces aside. */
  readonly is_same: boolean;
  /** Null: it was never marked. */
  readonly is_same_database: boolean | null;
  /** Epoch seconds, the database's clock. */
  readonly now: number;
}

/** What a revision depends on beside the workspaces' versions. */
const publishedAs = (revision: string) => `jsonb_build_object('revision', ${revision},
  'tags', to_jsonb(g.tags), 'policy', g.policy, 'generation', g.secret_generation,
  'control_planes', to_jsonb(${KNOWN_ADDRESSES}),
  'keys', (SELECT key_list_signature FROM cluster))`;
/** With the revision in it: an older release, which does not know of this, may have published since. */
const PUBLISHED_AS = publishedAs('g.revision');

const SUBSCRIBED = `CASE WHEN g.serves_all
  THEN ARRAY(SELECT ws_id FROM workspace_versions WHERE ws_id <> '${SYSTEM_WORKSPACE}' ORDER BY ws_id)
  ELSE g.workspaces END`;

/** `$1`: kinds that are never sent. What belongs to no workspace counts as long as it is sent. */
const VERSIONS = `
  SELECT v.ws_id, CASE WHEN v.ws_id <> '${SYSTEM_WORKSPACE}' THEN v.version ELSE coalesce((
    SELECT max(c.version) FROM changes c
    WHERE c.ws_id = v.ws_id AND c.kind <> ALL($1::text[])), 0) END AS version
  FROM workspace_versions v`;

/** Ids of the groups of which another revision is due. */
export async function findBehind(db: Db, registry: Registry): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(
    `WITH v AS MATERIALIZED (${VERSIONS})
     SELECT g.id FROM groups g, LATERAL (
       SELECT coalesce(jsonb_object_agg(v.ws_id, v.version), '{}') AS versions FROM v
       WHERE g.serves_all OR v.ws_id = ANY(g.workspaces)
         OR (v.ws_id = '${SYSTEM_WORKSPACE}' AND cardinality(g.workspaces) > 0)
     ) AS due
     WHERE ${IS_SAME_DATABASE} IS FALSE
       OR g.published <> due.versions OR g.published_as IS DISTINCT FROM ${PUBLISHED_AS}
     ORDER BY g.id`,
    [unsentKinds(registry)],
  );
  return rows.map(({ id }) => id);
}

/** Null: another control plane is publishing it, or it is gone. */
export async function lockGroup(tx: Db, groupId: string): Promise<GroupRow | null> {
  const { rows } = await tx.query<GroupRow>(
    `SELECT g.id, g.name, ${SUBSCRIBED} AS workspaces, g.tags, g.policy, g.secret_generation,
       g.epoch, g.revision, g.published, g.published_as,
       ${KNOWN_ADDRESSES} AS control_planes, ${IS_SAME_DATABASE} AS is_same_database,
       g.published_as IS NOT DISTINCT FROM ${PUBLISHED_AS} AS is_same,
       floor(extract(epoch FROM now()))::bigint AS now
     FROM groups g WHERE g.id = $1 FOR UPDATE SKIP LOCKED`,
    [groupId],
  );
  return rows[0] ?? null;
}

/** By workspace, of all that the group subscribes to; what belongs to no workspace comes with the first. */
export async function readVersions(
  tx: Db,
  { workspaces }: GroupRow,
  registry: Registry,
): Promise<Record<string, number>> {
  const wanted = workspaces.length === 0 ? [] : [SYSTEM_WORKSPACE, ...workspaces];
  const { rows } = await tx.query<{ ws_id: string; version: number }>(
    `${VERSIONS} WHERE v.ws_id = ANY($2::uuid[]) ORDER BY v.ws_id`,
    [unsentKinds(registry), wanted],
  );
  return Object.fromEntries(rows.map((row) => [row.ws_id, row.version]));
}

export async function savePublished(
  tx: Db,
  { id, workspaces }: GroupRow,
  revision: number,
  versions: Readonly<Record<string, number>>,
): Promise<void> {
  await tx.query(
    `UPDATE groups g SET revision = $2, published = $3::jsonb,
       published_as = ${publishedAs('$2::bigint')}, workspaces = $4::uuid[] WHERE id = $1`,
    [id, revision, JSON.stringify(versions), workspaces],
  );
}

function unsentKinds({ entities }: Registry): string[] {
  return [...entities.values()].filter(({ wire }) => wire === false).map(({ name }) => name);
}
