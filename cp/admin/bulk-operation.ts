/** Operations of `POST /headgate/bulk`: what each is about, and doing it inside the transaction. */
import { unreachable } from '#shared/base/assert.ts';
import type { EntityDefinition, JsonObject, JsonValue } from '#shared/schema/field.ts';
import { defineFields, type AnyEntity, type RecordOf } from '#shared/schema/infer.ts';
import { parseRecord } from '#shared/schema/parse.ts';
import { isPlainObject } from '#shared/schema/validate.ts';
import { AdminError, notFound, schemaViolation } from './errors.ts';
import { find, keyOf } from './lookup.ts';
import { Operations } from './operations.ts';
import { apiName, hasCollection, nestedName } from './routes.ts';
import type { EntityWriter, Parent } from './writer.ts';

type Entities = ReadonlyMap<string, EntityDefinition>;

export const OPERATION = defineFields({
  op: { type: 'string', required: true, one_of: ['create', 'upsert', 'update', 'delete'] },
  path: { type: 'string', description: 'As in the Admin API: `/services/my-service/routes`.' },
  kind: { type: 'string', description: 'Instead of a path: `services`.' },
  key: { type: 'string', description: 'Id or name of the entity.' },
  parent: {
    type: 'record',
    required: false,
    fields: { kind: { type: 'string', required: true }, key: { type: 'string', required: true } },
    description: 'The entity above, when the key is looked for under it.',
  },
  if_match: { type: 'string', description: 'Entity tag that it must still have, or *.' },
  if_none_match: { type: 'string', description: '*: it must not be there.' },
});

type Parsed = RecordOf<typeof OPERATION>;

/** Which entity, in words of the client. */
export interface Address {
  readonly definition: EntityDefinition;
  /** Id or endpoint key; null for a collection. */
  readonly key: string | null;
  readonly parent: {
    readonly definition: EntityDefinition;
    readonly field: string;
    readonly key: string;
  } | null;
}

export interface BulkOperation {
  readonly op: Parsed['op'];
  readonly address: Address;
  readonly body: JsonObject;
  readonly conditions: { readonly ifMatch: string | null; readonly ifNoneMatch: string | null };
}

export interface BulkResult {
  readonly status: number;
  readonly definition: EntityDefinition;
  /** Null after a delete. */
  readonly entity: AnyEntity | null;
}

/** @throws AdminError 400 */
export function parseOperation(value: JsonValue, entities: Entities): BulkOperation {
  const { body = null, ...rest } = isPlainObject(value) ? value : { value };
  const parsed = parseRecord(OPERATION, isPlainObject(value) ? rest : value);
  if (!parsed.ok) throw schemaViolation(parsed.violations);
  const { op, if_match: ifMatch, if_none_match: ifNoneMatch } = parsed.value;
  if (body !== null && !isPlainObject(body)) throw schemaViolation({ body: 'expected a record' });
  const address = addressOf(parsed.value, entities);
  if (op === 'create' && address.key !== null) {
    throw schemaViolation({ op: "'create' takes a collection; 'upsert' takes an entity" });
  }
  if (op !== 'create' && address.key === null) {
    const member = parsed.value.path === null ? 'key' : 'path';
    throw schemaViolation({ [member]: `'${op}' needs the entity's id or name` });
  }
  // What JSON holds is JSON.
  return { op, address, body: (body ?? {}) as JsonObject, conditions: { ifMatch, ifNoneMatch } };
}

/** What an error says of an operation, however broken it is. */
export function labelOf(value: JsonValue, index: number, entities: Entities): JsonObject {
  const text = (member: unknown) => (typeof member === 'string' ? member.slice(0, 500) : null);
  const { path = null, kind = null, key = null } = isPlainObject(value) ? value : {};
  const address = typeof path === 'string' ? addressOfPath(path, entities) : null;
  return address === null
    ? { index, kind: text(kind), key: text(key) }
    : { index, kind: address.definition.name, key: address.key };
}

function addressOf(given: Parsed, entities: Entities): Address {
  const { path, kind, key, parent } = given;
  if ((path === null) === (kind === null)) {
    throw schemaViolation({
      '@entity': ["exactly one of these fields must be set: 'path', 'kind'"],
    });
  }
  if (path !== null) {
    if (key !== null || parent !== null)
      throw schemaViolation({ path: "says it all; 'key' and 'parent' go with 'kind'" });
    const address = addressOfPath(path, entities);
    if (address === null)
      throw schemaViolation({ path: `no entities have the path ${path.slice(0, 500)}` });
    return address;
  }
  const definition = writable(entities, kind);
  if (definition === null)
    throw schemaViolation({ kind: `no kind of entities named '${kind?.slice(0, 500)}'` });
  if (parent === null) return { definition, key, parent: null };
  const above = writable(entities, parent.kind);
  const field = above === null ? null : fieldTo(definition, above);
  if (above === null || field === null) {
    throw schemaViolation({ parent: { kind: `${definition.name} have no ${parent.kind} above` } });
  }
  return { definition, key, parent: { definition: above, field, key: parent.key } };
}

function writable(entities: Entities, kind: string | null): EntityDefinition | null {
  const definition = kind === null ? undefined : entities.get(kind);
  if (definition === undefined || definition.stored === false) return null;
  const isNested = [...entities.values()].some((above) => fieldTo(definition, above) !== null);
  return hasCollection(definition) || isNested ? definition : null;
}

/** The foreign field of `child` that leads to such a parent. */
function fieldTo(child: EntityDefinition, parent: EntityDefinition): string | null {
  const found = Object.entries(child.fields).find(
    ([, field]) => field.type === 'foreign' && field.reference === parent.name,
  );
  return found?.[0] ?? null;
}

/** `/services`, `/services/{s}`, `/services/{s}/routes`, `/services/{s}/routes/{r}`. */
function addressOfPath(path: string, entities: Entities): Address | null {
  const segments = decoded(path);
  if (segments === null || segments.length > 4) return null;
  const [first, key = null, nested, nestedKey = null] = segments;
  const all = [...entities.values()];
  const top = all.find((one) => hasCollection(one) && apiName(one) === first);
  if (top === undefined) return null;
  if (nested === undefined) return { definition: top, key, parent: null };
  const child = all.find(
    (one) => one.stored !== false && nestedName(one) === nested && fieldTo(one, top) !== null,
  );
  const field = child === undefined ? null : fieldTo(child, top);
  if (child === undefined || field === null || key === null) return null;
  return { definition: child, key: nestedKey, parent: { definition: top, field, key } };
}

function decoded(path: string): string[] | null {
  if (!path.startsWith('/')) return null;
  try {
    const segments = path.slice(1).split('/').map(decodeURIComponent);
    return segments.some((segment) => segment === '' || segment.includes('\0')) ? null : segments;
  } catch {
    return null; // Not percent-encoded UTF-8: no path at all.
  }
}

/** @throws AdminError, StoreError */
export async function perform(
  operation: BulkOperation,
  writer: EntityWriter,
  tagKey: Uint8Array,
): Promise<BulkResult> {
  const { op, address, body, conditions } = operation;
  const { definition } = address;
  // Before anything is looked up: conditions and missing rows would tell what there is.
  writer.refuseShared(definition);
  const parent = await parentOf(address, writer);
  if (op === 'create') {
    return { status: 201, definition, entity: await writer.insert(definition, body, parent) };
  }
  const place = { definition, key: keyOf(definition, address.key ?? ''), parent };
  const operations = new Operations(writer, tagKey);
  switch (op) {
    case 'upsert':
      return { status: 200, definition, entity: await operations.upsert(place, body, conditions) };
    case 'update':
      return { status: 200, definition, entity: await operations.update(place, body, conditions) };
    case 'delete':
      await operations.remove(place, conditions);
      return { status: 204, definition, entity: null };
    default:
      return unreachable(op);
  }
}

async function parentOf({ parent }: Address, writer: EntityWriter): Promise<Parent | null> {
  if (parent === null) return null;
  const key = keyOf(parent.definition, parent.key);
  const found = await find(writer.tx, parent.definition, writer.ws, key);
  if (found === null) throw notFound();
  return { field: parent.field, id: found.id };
}

/** The same error, saying which operation it is about. */
export function withOperation(error: AdminError, label: JsonObject): AdminError {
  return new AdminError(error.status, { ...error.body, operation: label });
}
