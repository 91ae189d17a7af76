/**
 * The one way a write becomes an entity: shorthands, generated fields, defaults, checks, then the
 * normal form in which it is stored. Pure: time and randomness come in.
 *
 * Source of the order: Kong `kong/db/dao/init.lua`, check_insert, check_update, check_upsert.
 */
import type { PluginDefinition } from '../plugins/plugin.ts';
import type { EntityDefinition, Field, JsonObject, JsonValue, Subschema } from './field.ts';
import type { AnyEntity } from './infer.ts';
import { mergeRecord } from './merge.ts';
import { expandShorthands, showShorthands } from './shorthand.ts';
import { isPlainObject, readRecord, REQUIRED, type RecordShape } from './validate.ts';
import type { Violations } from './violations.ts';

export { violationMessage, type Violations } from './violations.ts';

export interface ProcessDeps {
  /** Epoch seconds; fractional, for timestamps of type `number`. */
  readonly nowSeconds: number;
  uuid(): string;
  /** That many random letters and digits. */
  randomText(length: number): string;
}

/** All kinds of entities and plugins. The subschemas of `plugins` are the plugins. */
export interface Registry {
  readonly entities: ReadonlyMap<string, EntityDefinition>;
  readonly plugins: ReadonlyMap<string, PluginDefinition>;
}

export type Processed =
  | { readonly ok: true; readonly entity: AnyEntity }
  | { readonly ok: false; readonly violations: Violations };

type Table = Readonly<Record<string, unknown>>;

/** Length of a generated key. */
const RANDOM_TEXT_LENGTH = 32;
/** Longest time to live, in seconds. */
export const TTL_MAX = 100_000_000;

/** POST: what is missing is generated or takes its default. A given id is kept. */
export function processInsert(
  def: EntityDefinition,
  input: JsonObject,
  registry: Registry,
  deps: ProcessDeps,
): Processed {
  return processUpsert(def, input, null, registry, deps);
}

/** PUT: like POST, nothing of `current` stays but its id. */
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
  const complete = withGenerated(def, given, deps);
  return finishEntity(def, complete, expiryOf(def, input, null, deps), registry, false);
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
  const immutable = immutableViolations(def, expanded.input, current);
  if (immutable !== null) return { ok: false, violations: immutable };
  const stored = withoutExpiry(def, current);
  const shape = shapeOf(def, { ...stored, ...expanded.input }, registry);
  const merged = mergeRecord(shape, expanded.input, stored);
  const updated = withTimestamps(def, { ...merged, id: current.id }, current, deps);
  return finishEntity(def, updated, expiryOf(def, input, current, deps), registry, true);
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
  if (missing.length === 0) return errors;
  return { ...errors, ...Object.fromEntries(missing.map(([name]) => [name, REQUIRED])) };
}

/**
 * An entity as the Admin API shows it: deprecated fields beside those that replaced them, and the
 * time to live in place of its end. Fields that the definition gained since it was stored are there
 * with their defaults.
 */
export function showEntity(
  def: EntityDefinition,
  entity: AnyEntity,
  registry: Registry,
  nowSeconds: number,
): JsonObject {
  const stored = withoutExpiry(def, entity);
  const shape = shapeOf(def, stored, registry);
  const filled = readRecord(
    { fields: shape.fields, overrides: shape.overrides },
    Object.fromEntries(
      Object.entries(stored).filter(([name]) => Object.hasOwn(shape.fields, name)),
    ),
    { fill: true, lua: false, updating: false },
  ).value;
  const shown: [string, JsonValue][] = Object.entries(filled).map(([name, value]) => {
    const field = shape.overrides?.[name] ?? shape.fields[name];
    const isRecord = field?.type === 'record' && isPlainObject(value);
    return [name, isRecord ? showShorthands(field.shorthand_fields, value as JsonObject) : value];
  });
  if (def.ttl === true) shown.push(['ttl', secondsLeft(entity['expires_at'] ?? null, nowSeconds)]);
  return Object.fromEntries(shown);
}

/**
 * Whole seconds an entity has left, never negative; null when it lives for ever. Always below the
 * `ttl` it was written with, as clients of Kong expect (they see 9 right after writing 10).
 */
export function secondsLeft(expiresAt: JsonValue, nowSeconds: number): number | null {
  if (typeof expiresAt !== 'number') return null;
  return Math.max(0, Math.ceil(expiresAt - nowSeconds) - 1);
}

/** Why a `ttl` is refused (Kong: code 11, `invalid option (ttl: …)`); null when it is fine. */
export function ttlError(ttl: unknown): string | null {
  if (ttl === null || ttl === undefined) return null;
  const isFine = Number.isInteger(ttl) && Number(ttl) >= 0 && Number(ttl) <= TTL_MAX;
  return isFine ? null : `must be an integer between 0 and ${TTL_MAX}`;
}

type Expiry =
  | { readonly ok: true; readonly expiresAt: number | null }
  | { readonly ok: false; readonly violations: Violations };

function expiryOf(
  def: EntityDefinition,
  input: JsonObject,
  current: AnyEntity | null,
  deps: ProcessDeps,
): Expiry {
  if (def.ttl !== true) return { ok: true, expiresAt: null };
  const ttl = input['ttl'] ?? null;
  const error = ttlError(ttl);
  if (error !== null) return { ok: false, violations: { ttl: error } };
  if (ttl === null) {
    const kept = current?.['expires_at'];
    return { ok: true, expiresAt: typeof kept === 'number' ? kept : null };
  }
  // Milliseconds are enough, and keep the number short.
  const expiresAt = ttl === 0 ? null : Math.round((deps.nowSeconds + Number(ttl)) * 1000) / 1000;
  return { ok: true, expiresAt };
}

function withoutExpiry(def: EntityDefinition, entity: JsonObject): JsonObject {
  if (def.ttl !== true) return entity;
  const { expires_at: _, ...rest } = entity;
  return rest;
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

/** The definition's fields with the subschema that the entity's own key field chooses. */
export function shapeOf(def: EntityDefinition, entity: Table, registry: Registry): RecordShape {
  const subschema = subschemaOf(def, entity, registry);
  return {
    fields: def.fields,
    overrides: subschema?.fields,
    checks: def.entity_checks,
    overrideChecks: subschema?.entity_checks,
  };
}

function subschemaOf(
  def: EntityDefinition,
  entity: Table,
  registry: Registry,
): Subschema | undefined {
  const { subschema_key: name, subschemas } = def;
  if (name === undefined) return undefined;
  const find = (key: unknown): Subschema | undefined => {
    if (typeof key !== 'string') return undefined;
    if (subschemas === undefined) return registry.plugins.get(key);
    return Object.hasOwn(subschemas, key) ? subschemas[key] : undefined;
  };
  const key = subschemaKey(def, name, entity);
  if (!Array.isArray(key)) return find(key);
  for (const item of key) {
    const found = find(item);
    if (found !== undefined) return found;
  }
  return undefined;
}

function subschemaKey(def: EntityDefinition, name: string, entity: Table): unknown {
  return Object.hasOwn(entity, name) ? entity[name] : def.fields[name]?.default;
}

/** Without a subschema nothing else can be said of an entity. */
function subschemaViolations(
  def: EntityDefinition,
  entity: Table,
  shape: RecordShape,
): Violations | null {
  const name = def.subschema_key;
  if (name === undefined || shape.overrides !== undefined) return null;
  const key = subschemaKey(def, name, entity);
  if (key === undefined || key === null) return { [name]: REQUIRED };
  const first: unknown = Array.isArray(key) ? key[0] : key;
  if (typeof first !== 'string' && first !== undefined) return { [name]: 'expected a string' };
  const text = def.subschema_error ?? 'unknown type: %s';
  return { [name]: text.replaceAll('%s', () => first ?? 'nil') };
}

function withGenerated(def: EntityDefinition, input: Table, deps: ProcessDeps): Table {
  const complete = new Map(Object.entries(input));
  for (const [name, field] of Object.entries(def.fields)) {
    if (field.auto !== true || (complete.get(name) ?? null) !== null) continue;
    const value = generate(field, deps);
    if (value !== undefined) complete.set(name, value);
  }
  return withTimestamps(def, Object.fromEntries(complete), null, deps);
}

function generate(field: Field, deps: ProcessDeps): JsonValue | undefined {
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

function immutableViolations(
  def: EntityDefinition,
  input: Table,
  current: AnyEntity,
): Violations | null {
  const changed = Object.entries(def.fields).filter(
    ([name, field]) =>
      field.immutable === true &&
      Object.hasOwn(input, name) &&
      JSON.stringify(input[name]) !== JSON.stringify(current[name]),
  );
  if (changed.length === 0) return null;
  return Object.fromEntries(changed.map(([name]) => [name, 'immutable field cannot be updated']));
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
