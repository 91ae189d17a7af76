/** Reads entities over any handle: the pool, or a transaction (with or without locking rows). */
import { must } from '#shared/base/assert.ts';
import { isUuid } from '#shared/schema/attributes.ts';
import type { EntityDefinition, JsonObject } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import { opening } from '../keys/fresh-keys.ts';
import { type RowKeys, type RowKeySource, StaleKeysError } from '../keys/row-keys.ts';
import type { Db, Param } from './db.ts';
import { bytesText, decodeEntity, type EntityRow } from './entity-codec.ts';
import { toStoreError } from './errors.ts';
import { SYSTEM_WORKSPACE } from './migrations/0001-init.ts';
import { partsOf } from './row-batch.ts';
import { cacheKeyOf, quoted, type TablePlan, type UniqueColumn } from './sql.ts';

/** Ids or values in one statement. */
const LOOK_UP_MAX = 5_000;

export interface ListQuery {
  /** Rows per page, at least 1. */
  readonly size: number;
  /** `next` of the page before; null for the first. */
  readonly after: string | null;
  /** Children of one parent, or of any of several, by the foreign field's name. */
  readonly where?: { readonly field: string; readonly id: string | readonly string[] };
  readonly tags?: { readonly all: readonly string[] } | { readonly any: readonly string[] };
}

export interface Page {
  readonly rows: AnyEntity[];
  /** Key of the next page; null on the last. */
  readonly next: string | null;
}

export interface Reader {
  /** Null also for an id that is not a UUID, and for what has expired. */
  get(definition: EntityDefinition, ws: string, id: string): Promise<AnyEntity | null>;
  /** By a unique field; look-up secrets go through their blind index. */
  getBy(
    definition: EntityDefinition,
    ws: string,
    field: string,
    value: string,
  ): Promise<AnyEntity | null>;
  /** Those of the ids that are there, by id (lower case). */
  getMany(
    definition: EntityDefinition,
    ws: string,
    ids: readonly string[],
  ): Promise<Map<string, AnyEntity>>;
  /** Those that have one of the values in a unique field, by value. */
  getManyBy(
    definition: EntityDefinition,
    ws: string,
    field: string,
    values: readonly string[],
  ): Promise<Map<string, AnyEntity>>;
  /** By all fields of the definition's composite key; what is absent of them counts as null. */
  getByKey(definition: EntityDefinition, ws: string, key: JsonObject): Promise<AnyEntity | null>;
  /**
   * Looks through all workspaces for an entity whose list at a path of its document has a member.
   *
   * @returns the first one's id
   */
  findHolder(
    definition: EntityDefinition,
    path: readonly string[],
    member: string,
  ): Promise<string | null>;
  /** In order of id. */
  list(definition: EntityDefinition, ws: string, query: ListQuery): Promise<Page>;
}

/** Table plans by definition name. */
export type Plans = ReadonlyMap<string, TablePlan>;

export interface ReaderOptions {
  readonly db: Db;
  readonly plans: Plans;
  /** In a transaction that writes, `fixedKeys`. */
  readonly keys: RowKeySource;
  /** Lock what is read, in a transaction that is going to write. */
  readonly forUpdate: boolean;
}

export class EntityReader implements Reader {
  readonly #db: Db;
  readonly #plans: Plans;
  readonly #keys: RowKeySource;
  readonly #lock: string;

  constructor(options: ReaderOptions) {
    this.#db = options.db;
    this.#plans = options.plans;
    this.#keys = options.keys;
    this.#lock = options.forUpdate ? ' FOR UPDATE' : '';
  }

  async get(definition: EntityDefinition, ws: string, id: string): Promise<AnyEntity | null> {
    if (!isUuid(id)) return null;
    const plan = planFor(this.#plans, definition);
    const params = [workspaceOf(plan, ws), id];
    const [entity] = await this.#all(plan, `${plan.select} AND id = $2`, params);
    return entity ?? null;
  }

  async getBy(
    definition: EntityDefinition,
    ws: string,
    field: string,
    value: string,
  ): Promise<AnyEntity | null> {
    const found = await this.getManyBy(definition, ws, field, [value]);
    return found.get(value) ?? null;
  }

  async getMany(
    definition: EntityDefinition,
    ws: string,
    ids: readonly string[],
  ): Promise<Map<string, AnyEntity>> {
    const plan = planFor(this.#plans, definition);
    const text = `${plan.select} AND id = ANY($2::uuid[]) ORDER BY id`;
    const found = new Map<string, AnyEntity>();
    for (const batch of partsOf(ids.filter(isUuid), LOOK_UP_MAX)) {
      for (const entity of await this.#all(plan, text, [workspaceOf(plan, ws), batch])) {
        found.set(entity.id, entity);
      }
    }
    return found;
  }

  async getManyBy(
    definition: EntityDefinition,
    ws: string,
    field: string,
    values: readonly string[],
  ): Promise<Map<string, AnyEntity>> {
    const plan = planFor(this.#plans, definition);
    const unique = must(
      plan.uniques.find((candidate) => candidate.field === field),
      `${plan.table}.${field} is not unique`,
    );
    const found = new Map<string, AnyEntity>();
    // Postgres has no text with a NUL, so no entity has it either.
    const possible = values.filter((value) => !value.includes('\0'));
    for (const batch of partsOf(possible, LOOK_UP_MAX)) {
      const entities = unique.isBlind
        ? await this.#byBlindIndex(plan, ws, unique, batch)
        : await this.#all(
            plan,
            `${plan.select} AND ${quoted(unique.column)} = ANY($2::text[]) ORDER BY id`,
            [workspaceOf(plan, ws), batch],
          );
      for (const entity of entities) {
        const value = entity[field];
        if (typeof value === 'string') found.set(value, entity);
      }
    }
    return found;
  }

  async getByKey(
    definition: EntityDefinition,
    ws: string,
    key: JsonObject,
  ): Promise<AnyEntity | null> {
    const plan = planFor(this.#plans, definition);
    const fields = must(plan.cacheKey, `${plan.table} have no composite key`);
    const text = `${plan.select} AND cache_key = $2`;
    const params = [workspaceOf(plan, ws), cacheKeyOf(fields, key)];
    const [entity] = await this.#all(plan, text, params);
    return entity ?? null;
  }

  async findHolder(
    definition: EntityDefinition,
    path: readonly string[],
    member: string,
  ): Promise<string | null> {
    const { table } = planFor(this.#plans, definition);
    const text =
      `SELECT id FROM ${quoted(table)} ` +
      `WHERE doc #> $1::text[] @> to_jsonb($2::text) ORDER BY id LIMIT 1`;
    const [row] = await this.#rows<{ id: string }>(text, [path, member]);
    return row?.id ?? null;
  }

  async list(definition: EntityDefinition, ws: string, query: ListQuery): Promise<Page> {
    const plan = planFor(this.#plans, definition);
    const { text, params } = listStatement(plan, ws, query);
    const rows = await this.#all(plan, text, params);
    const page = rows.slice(0, query.size);
    const last = page.at(-1);
    return { rows: page, next: rows.length > query.size && last !== undefined ? last.id : null };
  }

  #all(plan: TablePlan, text: string, params: readonly Param[]): Promise<AnyEntity[]> {
    return this.#opening((keys) => this.#decoded(plan, text, params, keys));
  }

  /** Under the indexes of every pepper alive: rows of the older ones may not have been done yet. */
  #byBlindIndex(
    plan: TablePlan,
    ws: string,
    { field, column }: UniqueColumn,
    values: readonly string[],
  ): Promise<AnyEntity[]> {
    const text = `${plan.select} AND ${quoted(column)} = ANY($2::text[]::bytea[]) ORDER BY id`;
    return this.#opening(async (keys) => {
      const indexes = values.flatMap((value) => keys.blindIndexes(plan.table, field, value));
      const params = [workspaceOf(plan, ws), indexes.map(bytesText)];
      const found = await this.#decoded(plan, text, params, keys);
      // What is not there may be there under a pepper that is not known here yet.
      if (found.length < values.length) await this.#assertFresh(keys);
      return found;
    });
  }

  /** @throws StaleKeysError */
  async #assertFresh({ revision }: RowKeys): Promise<void> {
    const rows = await this.#rows<{ keys_revision: number }>(
      'SELECT keys_revision FROM cluster',
      [],
    );
    if (rows[0]?.keys_revision !== revision) throw new StaleKeysError();
  }

  async #decoded(
    plan: TablePlan,
    text: string,
    params: readonly Param[],
    keys: RowKeys,
  ): Promise<AnyEntity[]> {
    const rows = await this.#rows<EntityRow>(`${text}${this.#lock}`, params);
    return rows.map((row) => decodeEntity(plan, row, keys));
  }

  async #rows<R>(text: string, params: readonly Param[]): Promise<R[]> {
    const { rows } = await this.#db.query<R>(text, params);
    return rows;
  }

  async #opening(read: (keys: RowKeys) => Promise<AnyEntity[]>): Promise<AnyEntity[]> {
    try {
      return await opening(this.#db, this.#keys, read);
    } catch (error) {
      // Inside a transaction the driver's error must pass: the transaction may be run again.
      throw this.#lock === '' ? toStoreError(error) : error;
    }
  }
}

/** One row more than a page holds is read, to know whether there is another page. */
function listStatement(
  plan: TablePlan,
  ws: string,
  query: ListQuery,
): { text: string; params: Param[] } {
  const params: Param[] = [workspaceOf(plan, ws)];
  let text = plan.select;
  const add = (condition: string, param: Param): void => {
    params.push(param);
    text += ` AND ${condition.replace('$', `$${params.length}`)}`;
  };
  if (query.where !== undefined) {
    const { field, id } = query.where;
    const found = plan.foreigns.find((foreign) => foreign.field === field);
    const { column } = must(found, `${plan.table}.${field} is not a foreign field`);
    if (typeof id === 'string') add(`${quoted(column)} = $`, id);
    else add(`${quoted(column)} = ANY($::uuid[])`, id);
  }
  if (query.tags !== undefined) {
    if ('all' in query.tags) add('tags @> $::text[]', query.tags.all);
    else add('tags && $::text[]', query.tags.any);
  }
  if (query.after !== null) add('id > $', query.after);
  params.push(query.size + 1);
  return { text: `${text} ORDER BY id LIMIT $${params.length}`, params };
}

export function planFor(plans: Plans, definition: EntityDefinition): TablePlan {
  return must(plans.get(definition.name), `${definition.name} is not stored`);
}

/** The workspace a definition's rows are under. */
export function workspaceOf(plan: TablePlan, ws: string): string {
  return plan.definition.workspaceable ? ws : SYSTEM_WORKSPACE;
}
