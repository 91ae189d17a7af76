/** Tags of all kinds of entities, page by page. */
import type { EntityDefinition, JsonObject } from '#shared/schema/field.ts';
import type { Db, Param } from './db.ts';
import { workspaceOf } from './entity-reader.ts';
import { toStoreError } from './errors.ts';
import { plansOf, quoted } from './sql.ts';

/** Where a page ended: an entity's id and kind, and the position among its tags, from 1. */
export interface TagPosition {
  readonly id: string;
  readonly kind: string;
  readonly index: number;
}

export interface TagQuery {
  /** Rows per page, at least 1. */
  readonly size: number;
  readonly after: TagPosition | null;
  /** Only this one; null for all. */
  readonly tag: string | null;
}

export interface TagPage {
  readonly rows: JsonObject[];
  readonly next: TagPosition | null;
}

interface Row {
  readonly entity_id: string;
  readonly entity_name: string;
  readonly tag: string;
  readonly index: number;
}

/**
 * In order of entity, one row for each tag. From each table come no more entities than the page has
 * rows, because each has at least one tag.
 */
export async function listTags(
  db: Db,
  entities: ReadonlyMap<string, EntityDefinition>,
  ws: string,
  query: TagQuery,
): Promise<TagPage> {
  const params: Param[] = [query.size + 1];
  const parameter = (value: Param): string => `$${params.push(value)}`;
  const { after, tag } = query;
  const from = after === null ? '' : ` AND id >= ${parameter(after.id)}::uuid`;
  const having = tag === null ? 'cardinality(tags) > 0' : `tags @> ARRAY[${parameter(tag)}::text]`;
  // A group's are no tags of its own: it looks for routes by them.
  const tables = [...plansOf(entities).values()].filter(
    ({ hasTags, definition }) => hasTags && definition.wire !== false,
  );
  const parts = tables.map(
    (plan) =>
      `(SELECT id, ${parameter(plan.table)}::text AS kind, tags FROM ${quoted(plan.table)} ` +
      `WHERE ws_id = ${parameter(workspaceOf(plan, ws))} AND ${having}${from} ORDER BY id LIMIT $1)`,
  );
  const conditions = [
    ...(tag === null ? [] : [`t.tag = ${parameter(tag)}`]),
    ...(after === null
      ? []
      : [
          `(e.id, e.kind COLLATE "C", t.index) > (${parameter(after.id)}::uuid, ` +
            `${parameter(after.kind)}::text, ${parameter(after.index)}::bigint)`,
        ]),
  ];
  const text =
    `SELECT e.id AS entity_id, e.kind AS entity_name, t.tag, t.index::int AS index ` +
    `FROM (${parts.join(' UNION ALL ')}) e, unnest(e.tags) WITH ORDINALITY AS t (tag, index) ` +
    (conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')} `) +
    `ORDER BY e.id, e.kind COLLATE "C", t.index LIMIT $1`;
  return pageOf(await rowsOf(db, text, params), query.size);
}

async function rowsOf(db: Db, text: string, params: readonly Param[]): Promise<readonly Row[]> {
  try {
    return (await db.query<Row>(text, params)).rows;
  } catch (error) {
    throw toStoreError(error);
  }
}

function pageOf(found: readonly Row[], size: number): TagPage {
  const page = found.slice(0, size);
  const last = page.at(-1);
  const rows = page.map(({ tag, entity_name: name, entity_id: id }) => ({
    tag,
    entity_name: name,
    entity_id: id,
  }));
  if (last === undefined || found.length <= size) return { rows, next: null };
  return { rows, next: { id: last.entity_id, kind: last.entity_name, index: last.index } };
}
