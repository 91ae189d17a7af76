/**
 * Entity ↔ row: secrets leave the document as ciphertext and come back as what they were, those that
 * stand inside a record as well. A vault reference in a secret's place is kept like a secret: what
 * looks like one need not be one.
 */
import { assert } from '#shared/base/assert.ts';
import type { JsonObject, JsonValue } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import type { Registry } from '#shared/schema/plugin-definition.ts';
import { putSecrets, takeSecrets } from '#shared/schema/secret-leaves.ts';
import { shapeOf } from '#shared/schema/subschema.ts';
import { fieldOf } from '#shared/schema/validate.ts';
import type { RowKeys } from '../keys/row-keys.ts';
import type { Param } from './db.ts';
import { cacheKeyOf, foreignId, type SecretColumns, type TablePlan } from './sql.ts';

/** Member of a stored entity with a time to live: epoch seconds, or null. */
const EXPIRES_AT = 'expires_at';

export interface EncodedEntity {
  /** For the plan's `columns`, in their order. */
  readonly params: readonly Param[];
  /** The entity without its secrets. */
  readonly doc: JsonObject;
  /** Ciphertexts by field, base64; null when there are none. */
  readonly secrets: JsonObject | null;
}

/** @param registry  where the shape of an abstract field is found (`plugins.config`) */
export function encodeEntity(
  plan: TablePlan,
  entity: AnyEntity,
  keys: RowKeys,
  registry: Registry,
): EncodedEntity {
  const doc: Record<string, JsonValue> = {};
  for (const [field, value] of Object.entries(entity)) {
    const isKnown = Object.hasOwn(plan.definition.fields, field);
    assert(isKnown || (plan.hasExpiry && field === EXPIRES_AT), `${plan.table} have no ${field}`);
    // What is only shown is kept with the entities that it is about.
    if (plan.definition.fields[field]?.transient !== true) doc[field] = value;
  }
  const values = new Map<string, Param>();
  for (const { field, column, isBlind } of plan.uniques) {
    if (!isBlind) values.set(column, scalarOf(entity[field]));
  }
  for (const { field, column } of plan.foreigns) values.set(column, foreignId(entity[field]));
  const secrets: Record<string, string> = {};
  for (const column of plan.secrets) {
    const { field, cipher, index } = column;
    const text = takeSecret(plan, column, doc, registry);
    const bytes = text === null ? null : keys.encrypt(plan.table, field, entity.id, text);
    values.set(cipher, bytes);
    if (bytes !== null) secrets[field] = Buffer.from(bytes).toString('base64');
    if (index === null) continue;
    values.set(index, text === null ? null : keys.blindIndex(plan.table, field, text));
  }
  if (plan.hasTags) values.set('tags', tagsOf(entity));
  if (plan.hasExpiry) values.set(EXPIRES_AT, expiryOf(entity));
  if (plan.cacheKey !== null) values.set('cache_key', cacheKeyOf(plan.cacheKey, entity));
  values.set('doc', JSON.stringify(doc));
  return {
    params: plan.columns.map((column) => values.get(column) ?? null),
    doc,
    secrets: Object.keys(secrets).length === 0 ? null : secrets,
  };
}

/** Takes what is secret of a field out of `doc`. @returns the text to encrypt; null: nothing */
function takeSecret(
  { definition }: TablePlan,
  { field, isTree }: SecretColumns,
  doc: Record<string, JsonValue>,
  registry: Registry,
): string | null {
  const value = doc[field] ?? null;
  if (!isTree) {
    assert(value === null || typeof value === 'string', `${field} is not a text`);
    delete doc[field];
    return value;
  }
  const shape = fieldOf(shapeOf(definition, doc, registry), field);
  const { rest, secrets } = takeSecrets(shape, value);
  doc[field] = rest;
  return Object.keys(secrets).length === 0 ? null : JSON.stringify(secrets);
}

export type EntityRow = { readonly id: string; readonly doc: JsonObject } & Record<string, unknown>;

/** Every field of the definition, in its order; one that is newer than the row gets its default. */
export function decodeEntity(plan: TablePlan, row: EntityRow, keys: RowKeys): AnyEntity {
  const { doc } = row;
  const entity: Record<string, JsonValue> = {};
  const columns = new Map(plan.secrets.map((column) => [column.field, column]));
  for (const [field, attributes] of Object.entries(plan.definition.fields)) {
    const column = columns.get(field);
    const stored = doc[field];
    if (attributes.transient === true && stored === undefined) continue;
    const bytes = column === undefined ? null : row[column.cipher];
    const text =
      bytes instanceof Uint8Array ? keys.decrypt(plan.table, field, row.id, bytes) : null;
    if (column?.isTree === false) entity[field] = text;
    else if (text === null)
      entity[field] = stored === undefined ? (attributes.default ?? null) : stored;
    // The text was made by `takeSecret`, and is authentic.
    else entity[field] = putSecrets(stored ?? null, JSON.parse(text) as JsonObject);
  }
  if (plan.hasExpiry) entity[EXPIRES_AT] = doc[EXPIRES_AT] ?? null;
  return { ...entity, id: row.id };
}

/** `bytea` as Postgres writes it. */
export function bytesText(bytes: Uint8Array): string {
  return `\\x${Buffer.from(bytes).toString('hex')}`;
}

function scalarOf(value: JsonValue | undefined): Param {
  if (value === null || value === undefined) return null;
  assert(typeof value === 'string', 'a unique field is a text');
  return value;
}

function tagsOf(entity: AnyEntity): readonly string[] | null {
  const tags = entity['tags'];
  if (!Array.isArray(tags)) return null;
  return tags.filter((tag) => typeof tag === 'string');
}

function expiryOf(entity: AnyEntity): Date | null {
  const seconds = entity[EXPIRES_AT] ?? null;
  assert(seconds === null || typeof seconds === 'number', 'expires_at is a number of seconds');
  return seconds === null ? null : new Date(seconds * 1000);
}
