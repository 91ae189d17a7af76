/**
 * The generated handlers: what every kind of entity can do, read off its definition. Reads go to the
 * store as they are; a write is one transaction in which the current row is locked, the input becomes
 * an entity, and rows and change are written.
 */
import type { EntityDefinition, Field, JsonObject } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import {
  processInsert,
  processUpdate,
  processUpsert,
  type Processed,
  showEntity,
  ttlError,
} from '#shared/schema/process.ts';
import type { Reader, WriteTx } from '../store/store.ts';
import { fieldAt, readArguments } from './arguments.ts';
import type { AdminContext, AdminRequest, AdminResponse } from './context.ts';
import { entityNotFound, invalidOption, notFound, schemaViolation } from './errors.ts';
import { find, type Key, keyObject, keyOf, resolveForeignKeys } from './lookup.ts';
import { encodeOffset, pageQuery } from './pagination.ts';

/** The entity above in a nested path, already found. */
export interface Parent {
  /** The child's foreign field (`service`). */
  readonly field: string;
  readonly id: string;
}

/** One kind of entity in one request. */
export class Crud {
  readonly #context: AdminContext;
  readonly #request: AdminRequest;
  readonly #definition: EntityDefinition;

  constructor(context: AdminContext, request: AdminRequest, definition: EntityDefinition) {
    this.#context = context;
    this.#request = request;
    this.#definition = definition;
  }

  /** @param path  of the collection, as given, for `next` */
  async list(path: string, parent: Parent | null): Promise<AdminResponse> {
    const args = this.#request.query;
    // Kong takes a tag filter on nested collections and ignores it.
    const query = pageQuery(args, parent === null);
    const where = parent === null ? {} : { where: { field: parent.field, id: parent.id } };
    const page = await this.#context.store.list(this.#definition, this.#request.workspace, {
      ...query,
      ...where,
    });
    const data = page.rows.map((row) => this.#present(row));
    if (page.next === null) return { status: 200, body: { data, next: null } };
    const offset = encodeOffset(page.next);
    const next = new URLSearchParams({ offset });
    if (parent === null) {
      for (const name of ['tags', 'size']) {
        const value = args.get(name);
        if (value !== null) next.set(name, value);
      }
    }
    return { status: 200, body: { data, next: `${path}?${next}`, offset } };
  }

  async get(segment: string, parent: Parent | null): Promise<AdminResponse> {
    const { store } = this.#context;
    const key = keyOf(this.#definition, segment);
    const entity = await find(store, this.#definition, this.#request.workspace, key);
    if (entity === null || !isChild(entity, parent)) throw notFound();
    return this.#answer(200, entity);
  }

  async create(parent: Parent | null): Promise<AdminResponse> {
    const input = await this.#input(null);
    const entity = await this.#write(async (tx) => {
      const given = await this.#prepare(tx, input, parent);
      const made = accepted(
        processInsert(this.#definition, given, this.#context.registry, this.#context.processDeps()),
      );
      await tx.insert(this.#definition, this.#request.workspace, made);
      return made;
    });
    return this.#answer(201, entity);
  }

  /** PUT: creates or replaces. The path decides which entity it is. */
  async upsert(segment: string, parent: Parent | null): Promise<AdminResponse> {
    const key = keyOf(this.#definition, segment);
    const input = await this.#input(null);
    const entity = await this.#write(async (tx) => {
      const current = await find(tx, this.#definition, this.#request.workspace, key);
      if (current !== null && !isChild(current, parent)) throw notFound();
      return this.#replace(tx, input, key, current, parent);
    });
    return this.#answer(200, entity);
  }

  async update(segment: string, parent: Parent | null): Promise<AdminResponse> {
    const key = keyOf(this.#definition, segment);
    const stored = await find(this.#context.store, this.#definition, this.#request.workspace, key);
    const input = await this.#input(stored);
    const entity = await this.#write(async (tx) => {
      const current = await find(tx, this.#definition, this.#request.workspace, key);
      if (current === null) throw parent === null ? entityNotFound(keyObject(key)) : notFound();
      if (!isChild(current, parent)) throw notFound();
      const given = await this.#prepare(tx, input, null);
      const { registry } = this.#context;
      const deps = this.#context.processDeps();
      const made = accepted(processUpdate(this.#definition, given, current, registry, deps));
      await tx.update(this.#definition, this.#request.workspace, made);
      return made;
    });
    return this.#answer(200, entity);
  }

  /** 204 also when it was not there, but for nested paths. */
  async remove(segment: string, parent: Parent | null): Promise<AdminResponse> {
    const key = keyOf(this.#definition, segment);
    await this.#write(async (tx) => {
      const current = await find(tx, this.#definition, this.#request.workspace, key);
      if (current === null || !isChild(current, parent)) {
        if (parent !== null) throw notFound();
        return;
      }
      await tx.remove(this.#definition, this.#request.workspace, current.id);
    });
    return { status: 204, body: null };
  }

  async #replace(
    tx: WriteTx,
    input: JsonObject,
    key: Key,
    current: AnyEntity | null,
    parent: Parent | null,
  ): Promise<AnyEntity> {
    const fixed = current === null ? keyObject(key) : { ...keyObject(key), id: current.id };
    const given = await this.#prepare(tx, { ...input, ...fixed }, parent);
    const { registry } = this.#context;
    const deps = this.#context.processDeps();
    const made = accepted(processUpsert(this.#definition, given, current, registry, deps));
    if (current === null) await tx.insert(this.#definition, this.#request.workspace, made);
    else await tx.update(this.#definition, this.#request.workspace, made);
    return made;
  }

  /** Forces the parent of a nested path and resolves foreign keys given by name. */
  async #prepare(reader: Reader, input: JsonObject, parent: Parent | null): Promise<JsonObject> {
    const lifetime = this.#definition.ttl ? ttlError(input['ttl']) : null;
    if (lifetime !== null) throw invalidOption('ttl', lifetime);
    const given = parent === null ? input : { ...input, [parent.field]: { id: parent.id } };
    const { entities } = this.#context.registry;
    return resolveForeignKeys(reader, this.#definition, entities, this.#request.workspace, given);
  }

  /** @param stored  gives a form its subschema (a plugin's name) when the body does not */
  #input(stored: AnyEntity | null): Promise<JsonObject> {
    const definition = this.#definition;
    const plugins = this.#context.registry.plugins;
    const fieldOf = (path: readonly string[], args: JsonObject): Field | null => {
      const name = definition.name === 'plugins' ? (args['name'] ?? stored?.['name']) : null;
      const subschema = typeof name === 'string' ? (plugins.get(name) ?? null) : null;
      return fieldAt(definition, subschema, path);
    };
    return readArguments(this.#request.raw, this.#context.bodyMax, fieldOf);
  }

  async #write<T>(work: (tx: WriteTx) => Promise<T>): Promise<T> {
    const { workspace, actor } = this.#request;
    return (await this.#context.store.write(workspace, actor, work)).value;
  }

  #present(entity: AnyEntity): JsonObject {
    const { nowSeconds } = this.#context.processDeps();
    return showEntity(this.#definition, entity, this.#context.registry, nowSeconds);
  }

  #answer(status: number, entity: AnyEntity): AdminResponse {
    return { status, body: this.#present(entity) };
  }
}

/** True when the entity lies under that parent, or no parent was named. */
function isChild(entity: AnyEntity, parent: Parent | null): boolean {
  if (parent === null) return true;
  const foreign = entity[parent.field];
  return (
    typeof foreign === 'object' &&
    foreign !== null &&
    'id' in foreign &&
    foreign['id'] === parent.id
  );
}

function accepted(processed: Processed): AnyEntity {
  if (!processed.ok) throw schemaViolation(processed.violations);
  return processed.entity;
}
