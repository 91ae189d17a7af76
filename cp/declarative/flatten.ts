/** From a table with entities in entities to a flat list of each kind. */
import { must } from '#shared/base/assert.ts';
import { isUuid } from '#shared/schema/attributes.ts';
import type { EntityDefinition, JsonObject, JsonValue } from '#shared/schema/field.ts';
import { isPlainObject } from '#shared/schema/validate.ts';
import { FORMAT_MEMBERS } from './format.ts';
import type { IdMaker } from './ids.ts';
import { type ImportErrors, invalidConfiguration, type Path } from './import-errors.ts';
import { childKinds, type ChildKind } from './kinds.ts';
import { Turns } from './turns.ts';

/** One entity of a configuration. */
export interface Item {
  readonly kind: string;
  readonly definition: EntityDefinition;
  readonly path: Path;
  /** As given, without entities nested in it. */
  readonly input: JsonObject;
  /** The entity that it is nested in. */
  readonly parent: { readonly item: Item; readonly field: string } | null;
  /** Whether the configuration itself says which id. */
  readonly hasId: boolean;
  /** Given, or made of its content. */
  readonly id: string;
}

/**
 * Entities of one configuration. Each costs a kilobyte and microseconds however short it was written,
 * so a body of ten million braces would end the process.
 */
export const ENTITIES_MAX = 1_000_000;

/** Beside an entity's own fields: remarks that are passed over. */
const REMARKS: ReadonlySet<string> = new Set(['_comment', '_ignore']);

export class Flattener {
  readonly #kinds: readonly EntityDefinition[];
  readonly #children: ReadonlyMap<string, ReadonlyMap<string, ChildKind>>;
  readonly #ids: IdMaker;
  readonly #errors: ImportErrors;
  readonly #items: ReadonlyMap<string, Item[]>;
  readonly #max: number;
  readonly #turns = new Turns();
  #count = 0;

  /** @param max  entities */
  constructor(
    kinds: readonly EntityDefinition[],
    ids: IdMaker,
    errors: ImportErrors,
    max: number = ENTITIES_MAX,
  ) {
    this.#max = max;
    this.#kinds = kinds;
    this.#children = new Map(kinds.map((kind) => [kind.name, childKinds(kind, kinds)]));
    this.#ids = ids;
    this.#errors = errors;
    this.#items = new Map(kinds.map(({ name }) => [name, []]));
  }

  /** By kind, in order of the kinds given. @throws AdminError 400 when there are too many */
  async flatten(table: JsonObject): Promise<ReadonlyMap<string, readonly Item[]>> {
    const names = new Map(this.#kinds.map((definition) => [definition.name, definition]));
    for (const [name, value] of Object.entries(table)) {
      if (FORMAT_MEMBERS.has(name)) continue;
      const definition = names.get(name);
      if (definition === undefined) this.#errors.addAt([name], 'unknown field');
      else await this.#addList(definition, value, [name], null);
    }
    return this.#items;
  }

  async #addList(
    definition: EntityDefinition,
    list: JsonValue,
    path: Path,
    parent: Item['parent'],
  ): Promise<void> {
    if (list === null) return;
    // An empty table of Lua is an empty list.
    if (isPlainObject(list) && Object.keys(list).length === 0) return;
    if (!Array.isArray(list)) {
      this.#errors.addAt(path, 'expected an array');
      return;
    }
    for (const [index, member] of list.entries()) {
      if (this.#errors.isFull) return;
      await this.#turns.step();
      const at = [...path, index];
      const entity = asEntity(definition, member, parent);
      if (entity === null) this.#errors.addAt(at, 'expected a record');
      else await this.#add(definition, entity, at, parent);
    }
  }

  async #add(
    definition: EntityDefinition,
    entity: JsonObject,
    path: Path,
    parent: Item['parent'],
  ): Promise<void> {
    this.#count += 1;
    if (this.#count > this.#max) {
      const error = `more than ${this.#max} entities`;
      throw invalidConfiguration({ error });
    }
    const children = must(this.#children.get(definition.name), 'a kind of ours');
    const own: [string, JsonValue][] = [];
    const nested: [ChildKind, JsonValue][] = [];
    for (const [name, value] of Object.entries(entity)) {
      const child = children.get(name);
      if (child !== undefined) nested.push([child, value]);
      else if (!REMARKS.has(name)) own.push([name, value]);
    }
    const input = Object.fromEntries(own);
    const { id } = input;
    const hasId = typeof id === 'string' && isUuid(id);
    const above = parent === null ? null : { field: parent.field, id: parent.item.id };
    const item: Item = {
      kind: definition.name,
      definition,
      path,
      input,
      parent,
      hasId,
      id: hasId ? id.toLowerCase() : this.#ids.make(definition, input, above),
    };
    must(this.#items.get(definition.name), 'a kind of ours').push(item);
    for (const [child, value] of nested) {
      const below = { item, field: child.field };
      await this.#addList(child.definition, value, [...path, child.definition.name], below);
    }
  }
}

/** A certificate's `snis` may also be names, as the Admin API shows them. */
function asEntity(
  definition: EntityDefinition,
  member: JsonValue,
  parent: Item['parent'],
): JsonObject | null {
  if (isPlainObject(member)) return member as JsonObject;
  const key = definition.endpoint_key;
  const isShown = parent?.item.definition.fields[definition.name]?.transient === true;
  return typeof member === 'string' && key !== undefined && isShown ? { [key]: member } : null;
}
