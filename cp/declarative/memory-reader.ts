/**
 * Reads entities as they will be once a configuration is in place, so that rules which look at other
 * entities judge the whole, and ask the database nothing.
 */
import type { EntityDefinition, JsonObject } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import { cacheKeyOf, foreignId } from '../store/sql.ts';
import type { ListQuery, Page, Reader } from '../store/store.ts';

export class MemoryReader implements Reader {
  readonly #kinds: ReadonlyMap<string, ReadonlyMap<string, AnyEntity>>;
  /** For kinds that no configuration holds. */
  readonly #rest: Reader;
  readonly #indexes = new Map<string, Map<string, AnyEntity[]>>();

  /** @param kinds  entities by id, by kind */
  constructor(kinds: ReadonlyMap<string, ReadonlyMap<string, AnyEntity>>, rest: Reader) {
    this.#kinds = kinds;
    this.#rest = rest;
  }

  async get(definition: EntityDefinition, ws: string, id: string): Promise<AnyEntity | null> {
    const kind = this.#kinds.get(definition.name);
    return kind === undefined ? this.#rest.get(definition, ws, id) : (kind.get(id) ?? null);
  }

  async getBy(
    definition: EntityDefinition,
    ws: string,
    field: string,
    value: string,
  ): Promise<AnyEntity | null> {
    if (!this.#kinds.has(definition.name)) return this.#rest.getBy(definition, ws, field, value);
    return this.#index(definition.name, field).get(value)?.[0] ?? null;
  }

  async getMany(
    definition: EntityDefinition,
    ws: string,
    ids: readonly string[],
  ): Promise<Map<string, AnyEntity>> {
    const kind = this.#kinds.get(definition.name);
    if (kind === undefined) return this.#rest.getMany(definition, ws, ids);
    return new Map(
      ids.flatMap((id) => {
        const entity = kind.get(id.toLowerCase());
        return entity === undefined ? [] : [[entity.id, entity] as const];
      }),
    );
  }

  async getManyBy(
    definition: EntityDefinition,
    ws: string,
    field: string,
    values: readonly string[],
  ): Promise<Map<string, AnyEntity>> {
    if (!this.#kinds.has(definition.name)) {
      return this.#rest.getManyBy(definition, ws, field, values);
    }
    const index = this.#index(definition.name, field);
    return new Map(
      values.flatMap((value) => {
        const entity = index.get(value)?.[0];
        return entity === undefined ? [] : [[value, entity] as const];
      }),
    );
  }

  async list(definition: EntityDefinition, ws: string, query: ListQuery): Promise<Page> {
    const kind = this.#kinds.get(definition.name);
    if (kind === undefined || query.tags !== undefined) {
      return this.#rest.list(definition, ws, query);
    }
    const { where, after, size } = query;
    const found =
      where === undefined
        ? [...kind.values()]
        : [where.id].flat().flatMap((id) => this.#childrenOf(definition.name, where.field, id));
    const rows = found
      .filter(({ id }) => after === null || id > after)
      .toSorted((a, b) => (a.id < b.id ? -1 : 1));
    const page = rows.slice(0, size);
    return { rows: page, next: rows.length > size ? (page.at(-1)?.id ?? null) : null };
  }

  async getByKey(
    definition: EntityDefinition,
    ws: string,
    key: JsonObject,
  ): Promise<AnyEntity | null> {
    const kind = this.#kinds.get(definition.name);
    if (kind === undefined) return this.#rest.getByKey(definition, ws, key);
    const fields = definition.cache_key ?? [];
    const wanted = cacheKeyOf(fields, key);
    return [...kind.values()].find((entity) => cacheKeyOf(fields, entity) === wanted) ?? null;
  }

  /** Of all workspaces, so the database is the one to ask. */
  findHolder(
    definition: EntityDefinition,
    path: readonly string[],
    member: string,
  ): Promise<string | null> {
    return this.#rest.findHolder(definition, path, member);
  }

  #childrenOf(kind: string, field: string, id: string): readonly AnyEntity[] {
    return this.#index(kind, field).get(id) ?? [];
  }

  /** Entities by the text in a field, or by the id that it leads to. */
  #index(kind: string, field: string): ReadonlyMap<string, readonly AnyEntity[]> {
    const key = `${kind}.${field}`;
    const known = this.#indexes.get(key);
    if (known !== undefined) return known;
    const index = new Map<string, AnyEntity[]>();
    for (const entity of this.#kinds.get(kind)?.values() ?? []) {
      const value = entity[field];
      const text = typeof value === 'string' ? value : foreignId(value);
      if (text === null) continue;
      const entities = index.get(text) ?? [];
      entities.push(entity);
      index.set(text, entities);
    }
    this.#indexes.set(key, index);
    return index;
  }
}
