/** Entity ↔ row: secrets leave the document as ciphertext and come back as what they were. */
import { assert } from '#shared/base/assert.ts';
import type { JsonObject, JsonValue } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import type { Keyring } from '../keys/keyring.ts';
import type { Param } from './db.ts';
import { cacheKeyOf, foreignId, type TablePlan } from './sql.ts';

/** The part of the keyring that rows need. */
export type RowKeys = Pick<Keyring, 'encrypt' | 'decrypt' | 'blindIndex'>;

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

export function encodeEntity(plan: TablePlan, entity: AnyEntity, keys: RowKeys): EncodedEntity {
  const doc: Record<string, JsonValue> = {};
  const secretFields = new Set(plan.secrets.map(({ field }) => field));
  for (const [field, value] of Object.entries(entity)) {
    const isKnown = Object.hasOwn(plan.definition.fields, field);
    assert(isKnown || (plan.hasExpiry && field === EXPIRES_AT), `${plan.table} have no ${field}`);
    if (!secretFields.has(field)) doc[field] = value;
  }
  const values = new Map<string, Param>([['doc', JSON.stringify(doc)]]);
  for (const { field, column, isBlind } of plan.uniques) {
    if (!isBlind) values.set(column, scalarOf(entity[field]));
  }
  for (const { field, column } of plan.foreigns) values.set(column, foreignId(entity[field]));
  const secrets: Record<string, string> = {};
  for (const { field, cipher, index } of plan.secrets) {
    const value = entity[field] ?? null;
    assert(value === null || typeof value === 'string', `${field} is not a text`);
    const bytes = value === null ? null : keys.encrypt(plan.table, field, entity.id, value);
    values.set(cipher, bytes);
    if (bytes !== null) secrets[field] = Buffer.from(bytes).toString('base64');
    if (index === null) continue;
    values.set(index, value === null ? null : keys.blindIndex(plan.table, field, value));
  }
  if (plan.hasTags) values.set('tags', tagsOf(entity));
  if (plan.hasExpiry) values.set(EXPIRES_AT, expiryOf(entity));
  if (plan.cacheKey !== null) values.set('cache_key', cacheKeyOf(plan.cacheKey, entity));
  return {
    params: plan.columns.map((column) => values.get(column) ?? null),
    doc,
    secrets: Object.keys(secrets).length === 0 ? null : secrets,
  };
}

export type EntityRow = { readonly id: string; readonly doc: JsonObject } & Record<string, unknown>;

/** Every field of the definition, in its order; one that is newer than the row gets its default. */
export function decodeEntity(plan: TablePlan, row: EntityRow, keys: RowKeys): AnyEntity {
  const { doc } = row;
  const entity: Record<string, JsonValue> = {};
  const ciphers = new Map(plan.secrets.map(({ field, cipher }) => [field, cipher]));
  for (const [field, attributes] of Object.entries(plan.definition.fields)) {
    if (attributes.transient === true && doc[field] === undefined) continue;
    const cipher = ciphers.get(field);
    if (cipher === undefined) {
      const stored = doc[field];
      entity[field] = stored === undefined ? (attributes.default ?? null) : stored;
      continue;
    }
    const bytes = row[cipher];
    entity[field] =
      bytes instanceof Uint8Array ? keys.decrypt(plan.table, field, row.id, bytes) : null;
  }
  if (plan.hasExpiry) entity[EXPIRES_AT] = doc[EXPIRES_AT] ?? null;
  return { ...entity, id: row.id };
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
