/**
 * What a group was published as, and what it should be: its row, the versions of its workspaces, and which
 * groups are behind. Finding those is one statement, however many groups there are.
 */
import type { JsonObject } from '#shared/schema/field.ts';
import type { Registry } from '#shared/schema/plugin-definition.ts';
import { KNOWN_ADDRESSES } from '../cluster/control-planes.ts';
import type { Db } from '../store/db.ts';
import { IS_SAME_DATABASE } from '../store/identity.ts';
import { LEVELS, publishedLevels, type Levels } from './levels.ts';
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

/**
 * What a revision depends on beside the workspaces' versions. Compared by what this release knows of: a
 * later one may write more, and two that looked for their own and nothing else would publish in turns
 * for ever.
 *
 * @param levels  placeholder of an object with the published levels as names
 */
const publishedAs = (
  revision: string,
  levels: string,
) => `jsonb_build_object('revision', ${revision},
  'levels', ${levels}::jsonb,
  'tags', to_jsonb(g.tags), 'policy', g.policy, 'generation', g.secret_generation,
  'control_planes', to_jsonb(${KNOWN_ADDRESSES}),
  'keys', (SELECT key_list_signature FROM cluster))`;
/** With the revision in it: an older release, which does not know of this, may have published since. */
const isPublishedAs = (levels: string) => `coalesce((
  SELECT bool_and(coalesce(CASE e.key
    WHEN 'levels' THEN g.published_as -> e.key @> e.value
    ELSE g.published_as -> e.key = e.value END, false))
  FROM jsonb_each(${publishedAs('g.revision', levels)}) AS e), false)`;

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
export async function findBehind(
  db: Db,
  registry: Registry,
  levels: Levels = LEVELS,
): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(
    `WITH v AS MATERIALIZED (${VERSIONS})
     SELECT g.id FROM groups g, LATERAL (
       SELECT coalesce(jsonb_object_agg(v.ws_id, v.version), '{}') AS versions FROM v
       WHERE g.serves_all OR v.ws_id = ANY(g.workspaces)
         OR (v.ws_id = '${SYSTEM_WORKSPACE}' AND cardinality(g.workspaces) > 0)
     ) AS due
     WHERE ${IS_SAME_DATABASE} IS FALSE
       OR g.published <> due.versions OR NOT ${isPublishedAs('$2')}
     ORDER BY g.id`,
    [unsentKinds(registry), levelNames(levels)],
  );
  return rows.map(({ id }) => id);
}

/** Null: another control plane is publishing it, or it is gone. */
export async function lockGroup(
  tx: Db,
  groupId: string,
  levels: Levels = LEVELS,
): Promise<GroupRow | null> {
  const { rows } = await tx.query<GroupRow>(
    `SELECT g.id, g.name, ${SUBSCRIBED} AS workspaces, g.tags, g.policy, g.secret_generation,
       g.epoch, g.revision, g.published, g.published_as,
       ${KNOWN_ADDRESSES} AS control_planes, ${IS_SAME_DATABASE} AS is_same_database,
       ${isPublishedAs('$2')} AS is_same,
       floor(extract(epoch FROM now()))::bigint AS now
     FROM groups g WHERE g.id = $1 FOR UPDATE SKIP LOCKED`,
    [groupId, levelNames(levels)],
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
  levels: Levels = LEVELS,
): Promise<void> {
  await tx.query(
    `UPDATE groups g SET revision = $2, published = $3::jsonb,
       published_as = ${publishedAs('$2::bigint', '$5')}, workspaces = $4::uuid[] WHERE id = $1`,
    [id, revision, JSON.stringify(versions), workspaces, levelNames(levels)],
  );
}

/** `{"1":true}` */
function levelNames(levels: Levels): string {
  return JSON.stringify(Object.fromEntries(publishedLevels(levels).map((level) => [level, true])));
}

function unsentKinds({ entities }: Registry): string[] {
  return [...entities.values()].filter(({ wire }) => wire === false).map(({ name }) => name);
}
