/**
 * The generated handlers: what every kind of entity can do, read off its definition. Reads go to the
 * store as they are; a write is one transaction (`commit.ts`) in which the current row is locked
 * (`operations.ts`), the input becomes an entity, and rows and change are written (`writer.ts`).
 */
import type { EntityDefinition, Field, Fields, JsonObject } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import { foreignId } from '../store/sql.ts';
import { StoreError } from '../store/store.ts';
import { readArguments } from './arguments.ts';
import { commit } from './commit.ts';
import type { AdminContext, AdminRequest, AdminResponse } from './context.ts';
import { type Conditions, conditionsOf, entityTag, isKnown } from './entity-tag.ts';
import { invalidOption, notFound, type AdminError } from './errors.ts';
import { find, type Key, keyOf } from './lookup.ts';
import { isChild, Operations } from './operations.ts';
import { encodeOffset, pageQuery } from './pagination.ts';
import { showAll } from './show.ts';
import type { EntityWriter, Parent } from './writer.ts';

export type { Parent } from './writer.ts';

/** The entity whose foreign field a path follows. */
export interface Child {
  readonly definition: EntityDefinition;
  readonly field: string;
  readonly segment: string;
}

type Amend = (input: JsonObject) => JsonObject;

const asItIs: Amend = (input) => input;

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
    if (query.tags !== undefined && !Object.hasOwn(this.#definition.fields, 'tags')) {
      throw invalidOption('tags', `${this.#definition.name} have none`);
    }
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

  /** @param missing  what to throw when it is not there */
  async get(
    segment: string,
    parent: Parent | null,
    missing: () => AdminError = notFound,
  ): Promise<AdminResponse> {
    const { store, tagKey } = this.#context;
    const key = keyOf(this.#definition, segment);
    const entity = await find(store, this.#definition, this.#request.workspace, key);
    if (entity === null || !isChild(entity, parent)) throw missing();
    if (isKnown(this.#request.raw.headers, entityTag(entity, tagKey))) {
      return { status: 304, body: null, headers: this.#tagOf(entity) };
    }
    return this.#answer(200, entity, null);
  }

  async create(parent: Parent | null): Promise<AdminResponse> {
    const input = await this.#input(null);
    return this.#commit(async (writer) => {
      const made = await writer.insert(this.#definition, input, parent);
      return this.#answer(201, made, writer);
    });
  }

  /**
   * PUT: creates or replaces. The path decides which entity it is.
   *
   * @param amend  what the path adds to the body
   */
  async upsert(
    segment: string,
    parent: Parent | null,
    amend: Amend = asItIs,
  ): Promise<AdminResponse> {
    const key = keyOf(this.#definition, segment);
    const input = amend(await this.#input(null));
    const put = () =>
      this.#commit(async (writer) => {
        const place = { definition: this.#definition, key, parent };
        const made = await this.#on(writer).upsert(place, input, this.#conditions());
        return this.#answer(200, made, writer);
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
      const id = present ?? this.#context.processDeps().uuid();
      const place = { definition: this.#definition, key: { id }, parent: null };
      if (present !== null) {
        const made = await this.#on(writer).upsert(place, input, this.#conditions());
        return this.#answer(200, made, writer);
      }
      const made = await this.#on(writer).replace(place, input, null);
      await writer.update(definition, { [field]: { id: made.id } }, owner);
      return this.#answer(200, made, writer);
    });
  }

  async update(
    segment: string,
    parent: Parent | null,
    amend: Amend = asItIs,
  ): Promise<AdminResponse> {
    const key = keyOf(this.#definition, segment);
    const stored = await find(this.#context.store, this.#definition, this.#request.workspace, key);
    const input = amend(await this.#input(stored));
    return this.#commit(async (writer) => {
      const place = { definition: this.#definition, key, parent };
      const made = await this.#on(writer).update(place, input, this.#conditions());
      return this.#answer(200, made, writer);
    });
  }

  /** 204 also when it was not there, but for nested paths. */
  async remove(segment: string, parent: Parent | null): Promise<AdminResponse> {
    const key = keyOf(this.#definition, segment);
    return this.#commit(async (writer) => {
      const place = { definition: this.#definition, key, parent };
      await this.#on(writer).remove(place, this.#conditions());
      return { status: 204, body: null };
    });
  }

  #input(stored: AnyEntity | null): Promise<JsonObject> {
    return readEntity(this.#context, this.#request, this.#definition, stored);
  }

  #commit(work: (writer: EntityWriter) => Promise<AdminResponse>): Promise<AdminResponse> {
    return commit(this.#context, this.#request, work);
  }

  #on(writer: EntityWriter): Operations {
    return new Operations(writer, this.#context.tagKey);
  }

  #conditions(): Conditions {
    return conditionsOf(this.#request.raw.headers);
  }

  #tagOf(entity: AnyEntity): Readonly<Record<string, string>> {
    return { ETag: entityTag(entity, this.#context.tagKey) };
  }

  /** Entities as the API shows them, in order. */
  async showAll(
    entities: readonly AnyEntity[],
    writer: EntityWriter | null = null,
  ): Promise<JsonObject[]> {
    const { workspace } = this.#request;
    return showAll(this.#context, workspace, this.#definition, entities, writer);
  }

  async #answer(
    status: number,
    entity: AnyEntity,
    writer: EntityWriter | null,
  ): Promise<AdminResponse> {
    const [body = {}] = await this.showAll([entity], writer);
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
