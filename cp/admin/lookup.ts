/** From a path segment to an entity: by id, or by the definition's endpoint key. */
import type { EntityDefinition, JsonObject, JsonValue } from '#shared/schema/field.ts';
import { attributeError, isUuid } from '#shared/schema/attributes.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import type { Page, Reader } from '../store/store.ts';
import { foreignUnresolved, invalidPrimaryKey, invalidUnique } from './errors.ts';

const PAGE_SIZE = 1000;

/** How an entity is named in a path. */
export type Key = { readonly id: string } | { readonly field: string; readonly value: string };

/** @throws AdminError when the segment can be no key of this kind of entity */
export function keyOf(definition: EntityDefinition, segment: string): Key {
  if (isUuid(segment)) return { id: segment.toLowerCase() };
  const field = definition.endpoint_key;
  if (field === undefined) throw invalidPrimaryKey();
  const declared = definition.fields[field];
  const text = declared === undefined ? null : attributeError(declared, segment);
  if (text !== null) throw invalidUnique(field, text);
  return { field, value: segment };
}

/** The key as it is shown in error bodies. */
export function keyObject(key: Key): JsonObject {
  return 'id' in key ? { id: key.id } : { [key.field]: key.value };
}

/** @param parent  tells apart entities whose key is unique only under it (targets) */
export async function find(
  reader: Reader,
  definition: EntityDefinition,
  workspace: string,
  key: Key,
  parent: { readonly field: string; readonly id: string } | null = null,
): Promise<AnyEntity | null> {
  if ('id' in key) return reader.get(definition, workspace, key.id);
  const declared = definition.fields[key.field];
  if (declared?.unique === true || declared?.unique_across_ws === true) {
    return reader.getBy(definition, workspace, key.field, key.value);
  }
  if (parent === null) throw invalidPrimaryKey();
  return findUnder(reader, definition, workspace, key, parent);
}

async function findUnder(
  reader: Reader,
  definition: EntityDefinition,
  workspace: string,
  { field, value }: { readonly field: string; readonly value: string },
  parent: { readonly field: string; readonly id: string },
): Promise<AnyEntity | null> {
  // The author of the definition wrote `normalize` for its fields, of which this is one.
  const wanted = definition.normalize?.({ [field]: value } as never)[field] ?? value;
  let after: string | null = null;
  do {
    const query = { size: PAGE_SIZE, after, where: parent };
    const page: Page = await reader.list(definition, workspace, query);
    const found = page.rows.find((row) => row[field] === wanted);
    if (found !== undefined) return found;
    after = page.next;
  } while (after !== null);
  return null;
}

/**
 * Resolves foreign keys given by a unique field (`{"service":{"name":"x"}}`) to ids, and reduces
 * every foreign key to its id. Anything malformed is left for the schema to refuse.
 */
export async function resolveForeignKeys(
  reader: Reader,
  definition: EntityDefinition,
  entities: ReadonlyMap<string, EntityDefinition>,
  workspace: string,
  input: JsonObject,
): Promise<JsonObject> {
  const resolved = new Map<string, JsonValue>();
  for (const [name, field] of Object.entries(definition.fields)) {
    if (field.type !== 'foreign' || !Object.hasOwn(input, name)) continue;
    const value = input[name];
    if (typeof value !== 'object' || value === null || Array.isArray(value)) continue;
    const given = value as JsonObject;
    const parent = entities.get(field.reference);
    if (typeof given['id'] === 'string') {
      resolved.set(name, { id: given['id'].toLowerCase() });
      continue;
    }
    const key = parent && uniqueKey(parent, given);
    if (!parent || !key) continue;
    const [unique, text] = key;
    const found = await reader.getBy(parent, workspace, unique, text);
    if (found === null) throw foreignUnresolved(name, unique, text, parent.name);
    resolved.set(name, { id: found.id });
  }
  if (resolved.size === 0) return input;
  const entries = Object.entries(input).map(([name, value]): [string, JsonValue] => [
    name,
    resolved.get(name) ?? value,
  ]);
  return Object.fromEntries(entries);
}

function uniqueKey(parent: EntityDefinition, given: JsonObject): [string, string] | null {
  for (const [name, field] of Object.entries(parent.fields)) {
    if (!field.unique || !Object.hasOwn(given, name)) continue;
    const value = given[name];
    if (typeof value === 'string' && value !== '') return [name, value];
  }
  return null;
}
