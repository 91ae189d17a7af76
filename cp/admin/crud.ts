/**
 * The generated handlers: what every kind of entity can do, read off its definition. Reads go to the
 * store as they are; a write is one transaction (`commit.ts`) in which the current row is locked, the
 * input becomes an entity, and rows and change are written (`writer.ts`).
 */
import type { EntityDefinition, Field, Fields, JsonObject } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import { showEntity } from '#shared/schema/process.ts';
import { rulesOf } from '../rules/rules.ts';
import { foreignId } from '../store/sql.ts';
import { type Reader, StoreError } from '../store/store.ts';
import { readArguments } from './arguments.ts';
import { commit } from './commit.ts';
import type { AdminContext, AdminRequest, AdminResponse } from './context.ts';
import { checkConditions, entityTag, isKnown } from './entity-tag.ts';
import { entityNotFound, notFound } from './errors.ts';
import { find, type Key, keyObject, keyOf } from './lookup.ts';
import { encodeOffset, pageQuery } from './pagination.ts';
import { type EntityWriter, type Parent, ruleContext } from './writer.ts';

export type { Parent } from './writer.ts';

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

  /** @param path  of the collection, percent-encoded, without the workspace, for `next` */
  async list(path: string, parent: Parent | null): Promise<AdminResponse> {
    const args = this.#request.query;
    // Kong takes a tag filter on nested collections and ignores it.
    const query = pageQuery(args, parent === null);
    const where = parent === null ? {} : { where: { field: parent.field, id: parent.id } };
    const page = await this.#context.store.list(this.#definition, this.#request.workspace, {
      ...query,
      ...where,
    });
    const data = await this.showAll(page.rows);
    if (page.next === null) return { status: 200, body: { data, next: null } };
    const offset = encodeOffset(page.next);
    const next = new URLSearchParams({ offset });
    if (parent === null) {
      for (const name of ['tags', 'size']) {
        const value = args.get(name);
        if (value !== null) next.set(name, value);
      }
    }
    const { pathPrefix } = this.#request;
    return { status: 200, body: { data, next: `${pathPrefix}${path}?${next}`, offset } };
  }

  async get(segment: string, parent: Parent | null): Promise<AdminResponse> {
    const { store, tagKey } = this.#context;
    const key = keyOf(this.#definition, segment);
    const entity = await find(store, this.#definition, this.#request.workspace, key);
    if (entity === null || !isChild(entity, parent)) throw notFound();
    if (isKnown(this.#request.raw.headers, entityTag(entity, tagKey))) {
      return { status: 304, body: null, headers: this.#tagOf(entity) };
    }
    return this.#answer(200, entity, store);
  }

  async create(parent: Parent | null): Promise<AdminResponse> {
    const input = await this.#input(null);
    return this.#commit(async (writer) => {
      const made = await writer.insert(this.#definition, input, parent);
      return this.#answer(201, made, writer.tx);
    });
  }

  /** PUT: creates or replaces. The path decides which entity it is. */
  async upsert(segment: string, parent: Parent | null): Promise<AdminResponse> {
    const key = keyOf(this.#definition, segment);
    const input = await this.#input(null);
    const put = () =>
      this.#commit(async (writer) => {
        const current = await find(writer.tx, this.#definition, writer.ws, key);
        this.#checkConditions(current);
        const made = await this.#replace(writer, input, key, current, parent);
        return this.#answer(200, made, writer.tx);
      });
    return put().catch((error: unknown) => {
      // Somebody else has just created it, so now there is something to replace.
      if (isCreatedMeanwhile(error, key)) return put();
      throw error;
    });
  }

  /**
   * PUT of the entity that a child's foreign field points to. When it points nowhere, a new entity
   * is made and the child pointed at it, in the same transaction.
   */
  async upsertOf(child: Child): Promise<AdminResponse> {
    const { definition, field } = child;
    const key = keyOf(definition, child.segment);
    const input = await this.#input(null);
    return this.#commit(async (writer) => {
      const owner = await find(writer.tx, definition, writer.ws, key);
      if (owner === null) throw notFound();
      const present = foreignId(owner[field]);
      if (present !== null) {
        const current = await writer.tx.get(this.#definition, writer.ws, present);
        this.#checkConditions(current);
        const made = await this.#replace(writer, input, { id: present }, current, null);
        return this.#answer(200, made, writer.tx);
      }
      const id = this.#context.processDeps().uuid();
      const made = await this.#replace(writer, input, { id }, null, null);
      await writer.update(definition, { [field]: { id: made.id } }, owner);
      return this.#answer(200, made, writer.tx);
    });
  }

  async update(segment: string, parent: Parent | null): Promise<AdminResponse> {
    const key = keyOf(this.#definition, segment);
    const stored = await find(this.#context.store, this.#definition, this.#request.workspace, key);
    const input = await this.#input(stored);
    return this.#commit(async (writer) => {
      const current = await find(writer.tx, this.#definition, writer.ws, key);
      if (current === null) throw parent === null ? entityNotFound(keyObject(key)) : notFound();
      if (!isChild(current, parent)) throw notFound();
      this.#checkConditions(current);
      const made = await writer.update(this.#definition, input, current);
      return this.#answer(200, made, writer.tx);
    });
  }

  /** 204 also when it was not there, but for nested paths. */
  async remove(segment: string, parent: Parent | null): Promise<AdminResponse> {
    const key = keyOf(this.#definition, segment);
    return this.#commit(async (writer) => {
      const current = await find(writer.tx, this.#definition, writer.ws, key);
      const isThere = current !== null && isChild(current, parent);
      if (!isThere && parent !== null) throw notFound();
      this.#checkConditions(isThere ? current : null);
      if (isThere) await writer.remove(this.#definition, current);
      return { status: 204, body: null };
    });
  }

  async #replace(
    writer: EntityWriter,
    input: JsonObject,
    key: Key,
    current: AnyEntity | null,
    parent: Parent | null,
  ): Promise<AnyEntity> {
    const fixed = current === null ? keyObject(key) : { ...keyObject(key), id: current.id };
    return writer.replace(this.#definition, { ...input, ...fixed }, current, parent);
  }

  #input(stored: AnyEntity | null): Promise<JsonObject> {
    return readEntity(this.#context, this.#request, this.#definition, stored);
  }

  #commit(work: (writer: EntityWriter) => Promise<AdminResponse>): Promise<AdminResponse> {
    return commit(this.#context, this.#request, work);
  }

  #checkConditions(current: AnyEntity | null): void {
    checkConditions(this.#request.raw.headers, current, this.#context.tagKey);
  }

  #tagOf(entity: AnyEntity): Readonly<Record<string, string>> {
    return { ETag: entityTag(entity, this.#context.tagKey) };
  }

  /** Entities as the API shows them, in order; what is stored elsewhere is read for all at once. */
  async showAll(entities: readonly AnyEntity[], reader?: Reader): Promise<JsonObject[]> {
    const { store, registry } = this.#context;
    const complete = rulesOf(this.#definition.name).complete;
    const context = ruleContext(this.#context, this.#request.workspace);
    const rows =
      complete === undefined ? entities : await complete(entities, reader ?? store, context);
    const { nowSeconds } = this.#context.processDeps();
    return rows.map((row) => showEntity(this.#definition, row, registry, nowSeconds));
  }

  async #answer(status: number, entity: AnyEntity, reader: Reader): Promise<AdminResponse> {
    const [body = {}] = await this.showAll([entity], reader);
    return { status, body, headers: this.#tagOf(entity) };
  }
}

/**
 * The body of a request as an entity of that kind: what a form's texts stand for, the fields say.
 *
 * @param stored  gives a form its subschema (a plugin's name) when the body does not
 * @throws AdminError 400, 413, 415
 */
export async function readEntity(
  context: AdminContext,
  request: AdminRequest,
  definition: EntityDefinition,
  stored: AnyEntity | null,
): Promise<JsonObject> {
  const { name: kind, fields, ttl: hasTtl } = definition;
  const fieldOf = (name: string, args: JsonObject): Field | null => {
    const plugin = kind === 'plugins' ? (args['name'] ?? stored?.['name']) : null;
    const subschema = typeof plugin === 'string' ? context.registry.plugins.get(plugin) : undefined;
    return own(subschema?.fields, name) ?? own(fields, name);
  };
  const input = await readArguments(request.raw, context.bodyMax, fieldOf);
  // No field of the entity, so a form cannot know its type; Kong takes a text in JSON too.
  const ttl = hasTtl === true ? input['ttl'] : null;
  return typeof ttl === 'string' && /^\d{1,15}$/.test(ttl) ? { ...input, ttl: Number(ttl) } : input;
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
