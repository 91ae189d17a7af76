/**
 * The one way a write becomes an entity: shorthands, generated fields, defaults, checks, then the
 * normal form in which it is stored. Pure: time and randomness come in.
 *
 * Source of the order: Kong `kong/db/dao/init.lua`, check_insert, check_update, check_upsert.
 */
import type { EntityDefinition, Field, JsonObject, JsonValue, RecordField } from './field.ts';
import type { AnyEntity } from './infer.ts';
import { mergeRecord } from './merge.ts';
import type { Registry } from './plugin-definition.ts';
import { expandShorthands } from './shorthand.ts';
import { shapeOf, subschemaViolations } from './subschema.ts';
import { expiryOf, isExpiry, withoutExpiry, type Expiry } from './ttl.ts';
import {
  fieldOf,
  isPlainObject,
  isRequired,
  readRecord,
  REQUIRED,
  type RecordShape,
} from './validate.ts';
import type { Violations } from './violations.ts';

export type { Registry } from './plugin-definition.ts';
export { violationMessage, type Violations } from './violations.ts';
export { completeEntity, showEntity } from './show.ts';
export { secondsLeft, ttlError } from './ttl.ts';

export interface ProcessDeps {
  /** Epoch seconds; fractional, for timestamps of type `number`. */
  readonly nowSeconds: number;
  uuid(): string;
  /** That many random letters and digits. */
  randomText(length: number): string;
}

export type Processed =
  | { readonly ok: true; readonly entity: AnyEntity }
  | { readonly ok: false; readonly violations: Violations };

type Table = Readonly<Record<string, unknown>>;

/** Length of a generated key. */
const RANDOM_TEXT_LENGTH = 32;

/** POST: what is missing is generated or takes its default. A given id is kept. */
export function processInsert(
  def: EntityDefinition,
  input: JsonObject,
  registry: Registry,
  deps: ProcessDeps,
): Processed {
  return processUpsert(def, input, null, registry, deps);
}

/** PUT: like POST, nothing of `current` stays but its id and secrets that were made up for it. */
export function processUpsert(
  def: EntityDefinition,
  input: JsonObject,
  current: AnyEntity | null,
  registry: Registry,
  deps: ProcessDeps,
): Processed {
  const expanded = expand(def, input, null, registry);
  if (!expanded.ok) return expanded;
  const given = current === null ? expanded.input : { ...expanded.input, id: current.id };
  const complete = withGenerated(def, given, current, registry, deps);
  return finishEntity(def, complete, expiryOf(def, input, null, deps.nowSeconds), registry, false);
}

/** PATCH: records are merged, everything else that was sent replaces what was there. */
export function processUpdate(
  def: EntityDefinition,
  input: JsonObject,
  current: AnyEntity,
  registry: Registry,
  deps: ProcessDeps,
): Processed {
  const expanded = expand(def, input, current, registry);
  if (!expanded.ok) return expanded;
  const stored = withoutExpiry(def, current);
  const shape = shapeOf(def, { ...stored, ...expanded.input }, registry);
  const merged = generateIn(shape, mergeRecord(shape, expanded.input, stored), stored, (field) =>
    randomDefault(field, deps),
  );
  const updated = withTimestamps(def, { ...merged, id: current.id }, current, deps);
  const expiry = expiryOf(def, input, current, deps.nowSeconds);
  const processed = finishEntity(def, updated, expiry, registry, true);
  return processed.ok ? withImmutable(def, processed.entity, current) : processed;
}

/** Checks a complete entity; fills nothing in. Null when it is fine. */
export function validateEntity(
  def: EntityDefinition,
  entity: JsonObject,
  registry: Registry,
): Violations | null {
  const given = withoutExpiry(def, entity);
  const missing = Object.entries(def.fields).filter(
    ([name, field]) => field.auto === true && (given[name] ?? null) === null,
  );
  const shape = shapeOf(def, given, registry);
  const unknown = subschemaViolations(def, given, shape);
  if (unknown !== null) return unknown;
  const { errors } = readRecord(shape, given, { fill: false, lua: false, updating: false });
  const more: [string, string][] = missing.map(([name]) => [name, REQUIRED]);
  if (def.ttl === true && !isExpiry(entity['expires_at'])) {
    more.push(['expires_at', 'expected a number']);
  }
  return more.length === 0 ? errors : { ...errors, ...Object.fromEntries(more) };
}

function expand(
  def: EntityDefinition,
  input: JsonObject,
  current: AnyEntity | null,
  registry: Registry,
): ReturnType<typeof expandShorthands> {
  const { ttl: _, ...rest } = input;
  const given = def.ttl === true ? rest : input;
  const shape = shapeOf(def, { ...current, ...given }, registry);
  return expandShorthands(shape, def.shorthand_fields, given);
}

function withGenerated(
  def: EntityDefinition,
  input: Table,
  current: AnyEntity | null,
  registry: Registry,
  deps: ProcessDeps,
): Table {
  const shape = shapeOf(def, input, registry);
  const complete = generateIn(shape, input, current, (field) => generate(field, deps));
  return withTimestamps(def, complete, null, deps);
}

/**
 * The record with what is generated in it and in records inside. What once took the place of a
 * missing default stays (`current`) until something else is sent.
 */
function generateIn(
  shape: RecordShape,
  input: Table,
  current: Table | null,
  make: (field: Field) => unknown,
): Table {
  const complete = new Map(Object.entries(input));
  for (const name of Object.keys(shape.fields)) {
    const field = fieldOf(shape, name);
    const value = complete.get(name);
    const below = current !== null && Object.hasOwn(current, name) ? current[name] : null;
    if (field?.type === 'record' && field.abstract !== true) {
      const given = recordToFill(field, value);
      if (given === null) continue;
      const inner = { fields: field.fields };
      const made = generateIn(inner, given, isPlainObject(below) ? below : null, make);
      if (value !== undefined || Object.keys(made).length > 0) complete.set(name, made);
    } else if (field !== undefined && (value ?? null) === null) {
      const kept = field.type === 'string' && field.random_default !== undefined ? below : null;
      const made = kept ?? make(field);
      if (made !== undefined) complete.set(name, made);
    }
  }
  return Object.fromEntries(complete);
}

/** A record that is there, or will be; null for none, and for what is not one. */
function recordToFill(field: RecordField, value: unknown): Table | null {
  if (isPlainObject(value)) return value;
  // An empty list is an empty record to clients in Lua.
  if (Array.isArray(value)) return value.length === 0 ? {} : null;
  return value === undefined && field.default === undefined && isRequired(field) ? {} : null;
}

function randomDefault(field: Field, deps: ProcessDeps): JsonValue | undefined {
  if (field.type !== 'string' || field.random_default === undefined) return undefined;
  return deps.randomText(field.random_default);
}

function generate(field: Field, deps: ProcessDeps): JsonValue | undefined {
  if (field.auto !== true) return randomDefault(field, deps);
  if (field.type === 'string') {
    return field.uuid === true ? deps.uuid() : deps.randomText(RANDOM_TEXT_LENGTH);
  }
  const isTime = (field.type === 'integer' || field.type === 'number') && field.timestamp === true;
  return isTime ? timestamp(field, deps) : undefined;
}

function timestamp(field: Field, deps: ProcessDeps): number {
  return field.type === 'integer'
    ? Math.floor(deps.nowSeconds)
    : Math.round(deps.nowSeconds * 1000) / 1000;
}

/** `updated_at` is now, whatever was sent. Generated fields sent as null keep their value. */
function withTimestamps(
  def: EntityDefinition,
  input: Table,
  current: AnyEntity | null,
  deps: ProcessDeps,
): Table {
  const complete = new Map(Object.entries(input));
  for (const [name, field] of Object.entries(def.fields)) {
    if (field.auto !== true) continue;
    if (name === 'updated_at') complete.set(name, timestamp(field, deps));
    else if ((complete.get(name) ?? null) === null) complete.set(name, current?.[name] ?? null);
  }
  return Object.fromEntries(complete);
}

/** The entity, unless it changes what must stay as it was written first. */
function withImmutable(def: EntityDefinition, entity: AnyEntity, current: AnyEntity): Processed {
  const changed = Object.entries(def.fields).filter(
    ([name, field]) =>
      field.immutable === true && JSON.stringify(entity[name]) !== JSON.stringify(current[name]),
  );
  if (changed.length === 0) return { ok: true, entity };
  const texts = changed.map(([name]) => [name, 'immutable field cannot be updated'] as const);
  return { ok: false, violations: Object.fromEntries(texts) };
}

function finishEntity(
  def: EntityDefinition,
  input: Table,
  expiry: Expiry,
  registry: Registry,
  updating: boolean,
): Processed {
  const shape = shapeOf(def, input, registry);
  const violations = subschemaViolations(def, input, shape);
  if (violations !== null) return { ok: false, violations };
  const { value, errors } = readRecord(shape, input, { fill: true, lua: true, updating });
  if (errors !== null) return { ok: false, violations: errors };
  if (!expiry.ok) return expiry;
  // The definition's author wrote `normalize` for entities of this kind, which this now is.
  const normal = def.normalize?.(value as never) ?? {};
  const ends = def.ttl === true ? { expires_at: expiry.expiresAt } : {};
  // Every definition has an `id`, generated when absent.
  return { ok: true, entity: { ...value, ...normal, ...ends } as unknown as AnyEntity };
}
