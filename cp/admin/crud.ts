/**
 * The generated handlers: what every kind of entity can do, read off its definition. Reads go to the
 * store as they are; a write is one transaction in which the current row is locked, the input becomes
 * an entity, and rows and change are written.
 */
import type { EntityDefinition, Field, Fields, JsonObject } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import {
  processInsert,
  processUpdate,
  processUpsert,
  type Processed,
  showEntity,
  ttlError,
} from '#shared/schema/process.ts';
import { foreignId } from '../store/sql.ts';
import { type Reader, StoreError, type WriteTx } from '../store/store.ts';
import { readArguments } from './arguments.ts';
import type { AdminContext, AdminRequest, AdminResponse } from './context.ts';
import { entityNotFound, invalidOption, notFound, schemaViolation } from './errors.ts';
import { find, type Key, keyObject, keyOf, resolveForeignKeys } from './lookup.ts';
import { encodeOffset, pageQuery } from './pagination.ts';
import { protocolsError } from './plugin-protocols.ts';

/** The entity above in a nested path, already found. */
export interface Parent {
  /** The child's foreign field (`service`). */
  readonly field: string;
  readonly id: string;
}

/** The entity whose foreign field a path follows. */
export interface Child {
  readonly definition: EntityDefinition;
  readonly field: string;
  readonly segment: string;
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

  /** @param path  of the collection, percent-encoded, for `next` */
  async list(path: string, parent: Parent | null): Promise<AdminResponse> {
    const args = this.#request.query;
    // Kong takes a tag filter on nested collections and ignores it.
    const query = pageQuery(args, parent === null);
    const where = parent === null ? {} : { where: { field: parent.field, id: parent.id } };
    const page = await this.#context.store.list(this.#definition, this.#request.workspace, {
      ...query,
      ...where,
    });
    const data = page.rows.map((row) => this.show(row));
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
      await this.#check(tx, made, given);
      await tx.insert(this.#definition, this.#request.workspace, made);
      return made;
    });
    return this.#answer(201, entity);
  }

  /** PUT: creates or replaces. The path decides which entity it is. */
  async upsert(segment: string, parent: Parent | null): Promise<AdminResponse> {
    const key = keyOf(this.#definition, segment);
    const input = await this.#input(null);
    const put = () =>
      this.#write(async (tx) => {
        const current = await find(tx, this.#definition, this.#request.workspace, key);
        return this.#replace(tx, input, key, current, parent);
      });
    const entity = await put().catch((error: unknown) => {
      // Somebody else has just created it, so now there is something to replace.
      if (isCreatedMeanwhile(error, key)) return put();
      throw error;
    });
    return this.#answer(200, entity);
  }

  /**
   * PUT of the entity that a child's foreign field points to. When it points nowhere, a new entity
   * is made and the child pointed at it, in the same transaction.
   */
  async upsertOf(child: Child): Promise<AdminResponse> {
    const { definition, field } = child;
    const { workspace } = this.#request;
    const key = keyOf(definition, child.segment);
    const input = await this.#input(null);
    const entity = await this.#write(async (tx) => {
      const owner = await find(tx, definition, workspace, key);
      if (owner === null) throw notFound();
      const present = foreignId(owner[field]);
      if (present !== null) {
        const current = await tx.get(this.#definition, workspace, present);
        return this.#replace(tx, input, { id: present }, current, null);
      }
      const { registry } = this.#context;
      const deps = this.#context.processDeps();
      const made = await this.#replace(tx, input, { id: deps.uuid() }, null, null);
      const pointing = { [field]: { id: made.id } };
      await tx.update(
        definition,
        workspace,
        accepted(processUpdate(definition, pointing, owner, registry, deps)),
      );
      return made;
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
      await this.#check(tx, made, made);
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
    await this.#check(tx, made, given);
    if (current === null) await tx.insert(this.#definition, this.#request.workspace, made);
    else await tx.update(this.#definition, this.#request.workspace, made);
    return made;
  }

  /** What the schema cannot tell: what no data plane runs yet, and the rows of other entities. */
  async #check(tx: Reader, made: AnyEntity, given: JsonObject): Promise<void> {
    if (this.#definition.name !== 'plugins') return;
    const { entities, plugins } = this.#context.registry;
    const plugin = plugins.get(String(made['name']));
    // A valid entity holds a configuration of its plugin's own shape.
    const missing = plugin?.unsupported?.(made['config'] as never) ?? null;
    if (missing !== null) throw schemaViolation({ config: missing });
    // As in Kong: a default that does not fit says nothing.
    if ((given['protocols'] ?? null) === null) return;
    const error = await protocolsError(tx, entities, this.#request.workspace, made);
    if (error !== null) throw schemaViolation({ protocols: error });
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
  async #input(stored: AnyEntity | null): Promise<JsonObject> {
    const { name: kind, fields, ttl: hasTtl } = this.#definition;
    const { plugins } = this.#context.registry;
    const fieldOf = (name: string, args: JsonObject): Field | null => {
      const plugin = kind === 'plugins' ? (args['name'] ?? stored?.['name']) : null;
      const subschema = typeof plugin === 'string' ? plugins.get(plugin) : undefined;
      return own(subschema?.fields, name) ?? own(fields, name);
    };
    const input = await readArguments(this.#request.raw, this.#context.bodyMax, fieldOf);
    // No field of the entity, so a form cannot know its type; Kong takes a text in JSON too.
    const ttl = hasTtl === true ? input['ttl'] : null;
    return typeof ttl === 'string' && /^\d{1,15}$/.test(ttl)
      ? { ...input, ttl: Number(ttl) }
      : input;
  }

  async #write<T>(work: (tx: WriteTx) => Promise<T>): Promise<T> {
    const { workspace, actor } = this.#request;
    return (await this.#context.store.write(workspace, actor, work)).value;
  }

  show(entity: AnyEntity): JsonObject {
    const { nowSeconds } = this.#context.processDeps();
    return showEntity(this.#definition, entity, this.#context.registry, nowSeconds);
  }

  #answer(status: number, entity: AnyEntity): AdminResponse {
    return { status, body: this.show(entity) };
  }
}

/** True when the entity lies under that parent, or no parent was named. */
function isChild(entity: AnyEntity, parent: Parent | null): boolean {
  return parent === null || foreignId(entity[parent.field]) === parent.id;
}

/** Whether an insert under that key failed because the entity is there after all. */
function isCreatedMeanwhile(error: unknown, key: Key): boolean {
  if (!(error instanceof StoreError)) return false;
  const { failure } = error;
  if ('id' in key) return failure.code === 'primary_key' && failure.id === key.id;
  return failure.code === 'unique' && failure.fields[key.field] === key.value;
}

function own(fields: Fields | undefined, name: string): Field | null {
  return fields !== undefined && Object.hasOwn(fields, name) ? (fields[name] ?? null) : null;
}

function accepted(processed: Processed): AnyEntity {
  if (!processed.ok) throw schemaViolation(processed.violations);
  return processed.entity;
}
