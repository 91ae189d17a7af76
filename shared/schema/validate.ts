/**
 * Reads a value against its field: fills what is missing, checks, normalises, in one pass that is
 * linear in the value. Nothing is thrown; what is wrong comes back beside the value.
 *
 * Texts and their order are Kong's (`kong/db/schema/init.lua`, validate_field).
 */
import { runEntityChecks } from './checks.ts';
import type { EntityCheck, Field, Fields, JsonValue, ListField, MapField } from './field.ts';
import { attributeError, scalarError } from './attributes.ts';
import { finish, newViolations, type Violations } from './violations.ts';

/** How far to trust and to help the one who sent the value. */
export interface ReadMode {
  /** Missing fields take their default; otherwise they count as null. */
  readonly fill: boolean;
  /** `{}` passes for an empty list and `[]` for an empty record: Lua clients cannot tell them apart. */
  readonly lua: boolean;
  /** Changes the wording of cross-field errors, as Kong does for PATCH. */
  readonly updating: boolean;
}

export interface Reading {
  /** Filled and normalised; with an error, whatever was given. */
  readonly value: JsonValue;
  /** A text, or nested texts; null when all is well. */
  readonly error: JsonValue;
}

/** A record's fields, with what a subschema changes in them. */
export interface RecordShape {
  readonly fields: Fields;
  readonly overrides?: Fields | undefined;
  readonly checks?: readonly EntityCheck[] | undefined;
  /** Of the subschema; they see its fields. */
  readonly overrideChecks?: readonly EntityCheck[] | undefined;
}

/** Deepest nesting of a value that no definition describes (`json`). */
export const JSON_DEPTH_MAX = 32;

/** Errors told of one list, and unknown names of one record: nobody reads half a million. */
export const ERRORS_MAX = 100;

export const REQUIRED = 'required field missing';
export const UNKNOWN = 'unknown field';

export function isPlainObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The field that holds for a name, subschema considered; undefined for an unknown name. */
export function fieldOf(shape: RecordShape, name: string): Field | undefined {
  if (!Object.hasOwn(shape.fields, name)) return undefined;
  const { overrides } = shape;
  return overrides !== undefined && Object.hasOwn(overrides, name)
    ? overrides[name]
    : shape.fields[name];
}

/** Records are there unless `required: false` says otherwise; everything else only if required. */
export function isRequired(field: Field): boolean {
  return field.type === 'record' ? field.required !== false : field.required === true;
}

export function readRecord(
  shape: RecordShape,
  given: Readonly<Record<string, unknown>>,
  mode: ReadMode,
): { readonly value: { readonly [name: string]: JsonValue }; readonly errors: Violations | null } {
  const errors = newViolations();
  const entries: [string, JsonValue][] = [];
  for (const name of Object.keys(shape.fields)) {
    const field = fieldOf(shape, name);
    if (field === undefined) continue;
    const reading = readField(field, Object.hasOwn(given, name) ? given[name] : undefined, mode);
    entries.push([name, reading.value]);
    if (reading.error !== null) errors[name] = reading.error;
  }
  const unknown = Object.keys(given).filter((name) => !Object.hasOwn(shape.fields, name));
  for (const name of unknown.slice(0, ERRORS_MAX)) errors[name] = UNKNOWN;
  const value = Object.fromEntries(entries);
  const context = { shape, entity: value, errors, updating: mode.updating, matches: matchError };
  runEntityChecks(shape.checks, context);
  runEntityChecks(shape.overrideChecks, context);
  return { value, errors: finish(errors) };
}

/** What `value` lacks to satisfy `field`, without filling anything in. */
function matchError(field: Field, value: JsonValue): JsonValue {
  return readField(field, value, { fill: false, lua: false, updating: false }).error;
}

export function readField(field: Field, given: unknown, mode: ReadMode): Reading {
  const value = given === undefined ? fillMissing(field, mode) : given;
  if (value === null) return { value: null, error: nullError(field) };
  if (field.eq === null) return failed(value, field.err ?? 'value must be null');
  if (field.type === 'record' && field.abstract === true) {
    return failed(value, 'error in schema definition: abstract field was not specialized');
  }
  const reading = readTyped(field, value, mode);
  if (reading.error !== null) return reading;
  return { value: reading.value, error: attributeError(field, reading.value) };
}

function failed(value: unknown, error: JsonValue): Reading {
  // Values come from JSON; one that failed is only looked at by cross-field checks.
  return { value: value as JsonValue, error };
}

function fillMissing(field: Field, mode: ReadMode): unknown {
  if (!mode.fill) return null;
  if (field.default !== undefined) return field.default;
  return field.type === 'record' && field.abstract !== true && isRequired(field) ? {} : null;
}

function nullError(field: Field): string | null {
  if (field.ne === null) return field.err ?? 'value must not be null';
  if (field.eq !== undefined && field.eq !== null) return `value must be ${String(field.eq)}`;
  return isRequired(field) && field.abstract !== true ? REQUIRED : null;
}

function readTyped(field: Field, value: unknown, mode: ReadMode): Reading {
  switch (field.type) {
    case 'array':
    case 'set':
      return readList(field, value, mode);
    case 'map':
      return readMap(field, value, mode);
    case 'record': {
      const given = mode.lua && isEmptyList(value) ? {} : value;
      if (!isPlainObject(given)) return failed(value, 'expected a record');
      const shape = { fields: field.fields, checks: field.entity_checks };
      const { value: record, errors } = readRecord(shape, given, mode);
      return { value: record, error: errors };
    }
    case 'foreign':
      return readForeign(value);
    case 'json': {
      const error = jsonError(value, JSON_DEPTH_MAX);
      return failed(value, error);
    }
    default: {
      const error = scalarError(field, value);
      if (error !== null) return failed(value, error);
      if (field.type === 'string' && field.uuid === true) {
        return { value: (value as string).toLowerCase(), error: null };
      }
      // Negative zero has no spelling of its own in the canonical text.
      return { value: value === 0 ? 0 : (value as JsonValue), error: null };
    }
  }
}

function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}

function readList(field: ListField, given: unknown, mode: ReadMode): Reading {
  const isEmptyTable = mode.lua && isPlainObject(given) && Object.keys(given).length === 0;
  const list: unknown = isEmptyTable ? [] : given;
  if (!Array.isArray(list)) {
    return failed(given, field.type === 'set' ? 'expected a set' : 'expected an array');
  }
  const excess = costlyError(field, list);
  if (excess !== null) return failed(given, excess);
  const items: readonly unknown[] = field.type === 'set' ? [...new Set<unknown>(list)] : list;
  const values: JsonValue[] = [];
  const errors: JsonValue[] = [];
  let told = 0;
  for (const [index, item] of items.entries()) {
    const reading = readMember(field.elements, item, mode);
    values.push(reading.value);
    if (reading.error === null) continue;
    while (errors.length < index) errors.push(null);
    errors.push(reading.error);
    told += 1;
    if (told === ERRORS_MAX) break;
  }
  return { value: values, error: errors.length === 0 ? null : errors };
}

/** Before any member is looked at: too many of those that are costly to check. */
function costlyError({ costly }: ListField, list: readonly unknown[]): string | null {
  if (costly === undefined) return null;
  const { starts_with: start, max } = costly;
  const count = list.filter((item) => typeof item === 'string' && item.startsWith(start)).length;
  if (count <= max) return null;
  return start === '' ? `length must be at most ${max}` : `at most ${max} may start with ${start}`;
}

/** Members of lists and maps are never null, whatever their field says. */
function readMember(field: Field, given: unknown, mode: ReadMode): Reading {
  if (given === null || given === undefined) return { value: null, error: REQUIRED };
  return readField(field, given, mode);
}

function readMap(field: MapField, given: unknown, mode: ReadMode): Reading {
  const table = mode.lua && isEmptyList(given) ? {} : given;
  if (!isPlainObject(table)) return failed(given, 'expected a map');
  const entries: [string, JsonValue][] = [];
  for (const [name, item] of Object.entries(table)) {
    // Nobody needs it as a key, and code that copies maps with `[key] =` would be fooled by it.
    if (name === '__proto__') return failed(given, 'invalid value: __proto__');
    const key = readMember(field.keys, name, mode);
    if (key.error !== null) return failed(given, key.error);
    const reading = readMember(field.values, item, mode);
    if (reading.error !== null) return failed(given, reading.error);
    entries.push([name, reading.value]);
  }
  return { value: Object.fromEntries(entries), error: null };
}

const FOREIGN_ID: Field = { type: 'string', uuid: true, required: true };

/** Only the id counts: what else is in the object was there to find it. */
function readForeign(given: unknown): Reading {
  if (!isPlainObject(given) || !Object.hasOwn(given, 'id')) {
    return failed(given, { id: 'missing primary key' });
  }
  const id = readMember(FOREIGN_ID, given['id'], { fill: false, lua: false, updating: false });
  if (id.error !== null) return failed(given, { id: id.error });
  return { value: { id: id.value }, error: null };
}

/** What keeps a value without a definition from being stored. */
function jsonError(value: unknown, depth: number): string | null {
  if (value === null || typeof value === 'boolean') return null;
  if (typeof value === 'string') return scalarError({ type: 'string' }, value);
  if (typeof value === 'number') return scalarError({ type: 'number' }, value);
  if (typeof value !== 'object') return 'expected a JSON value';
  if (depth === 0) return `nested deeper than ${JSON_DEPTH_MAX} levels`;
  for (const [name, item] of Object.entries(value)) {
    if (name === '__proto__') return 'invalid value: __proto__';
    const error = scalarError({ type: 'string' }, name) ?? jsonError(item, depth - 1);
    if (error !== null) return error;
  }
  return null;
}
