/**
 * Shorthand fields: what they stand for, before anything is checked; and deprecated ones shown again
 * on read.
 *
 * Source: Kong `kong/db/schema/init.lua`, process_auto_fields
 */
import type { Field, JsonValue, ShorthandField } from './field.ts';
import { fieldOf, isPlainObject, readField, type RecordShape } from './validate.ts';
import { finish, newViolations, type Violations } from './violations.ts';

type Shorthands = Readonly<Record<string, ShorthandField>>;
type Table = Readonly<Record<string, unknown>>;

export type Expanded =
  | { readonly ok: true; readonly input: Table }
  | { readonly ok: false; readonly violations: Violations };

/**
 * The input with every shorthand replaced by the fields it stands for, records inside included.
 *
 * A shorthand's values win over the fields' own, a deprecated one's lose; one that contradicts the
 * field that replaced it is an error. Errors of a record inside are not prefixed with its name, as
 * in Kong.
 */
export function expandShorthands(
  shape: RecordShape,
  shorthands: Shorthands | undefined,
  input: Table,
): Expanded {
  const data = new Map(Object.entries(input));
  const errors = newViolations();
  for (const [name, shorthand] of Object.entries(shorthands ?? {})) {
    const value = data.get(name);
    if (value === undefined) continue;
    const error = valueError(shorthand, value) ?? mismatchError(name, shorthand, value, data);
    if (error !== null) {
      errors[name] = error;
      continue;
    }
    data.delete(name);
    // Its type has just been checked; null is every translation's business.
    const produced = shorthand.translate(value as never);
    if (typeof produced === 'string') errors[name] = produced;
    else mergeProduced(data, produced, shorthand.deprecation !== undefined);
  }
  const violations = finish(errors);
  if (violations !== null) return { ok: false, violations };
  return expandRecords(shape, data);
}

function expandRecords(shape: RecordShape, data: Map<string, unknown>): Expanded {
  for (const [name, value] of data) {
    const field = fieldOf(shape, name);
    if (field?.type !== 'record' || field.abstract === true || !isPlainObject(value)) continue;
    const expanded = expandShorthands({ fields: field.fields }, field.shorthand_fields, value);
    if (!expanded.ok) return expanded;
    data.set(name, expanded.input);
  }
  return { ok: true, input: Object.fromEntries(data) };
}

function valueError(shorthand: ShorthandField, value: unknown): JsonValue {
  const { translate: _, translate_backwards: __, deprecation: ___, ...attributes } = shorthand;
  // A shorthand is a field with a translation.
  const field = attributes as Field;
  return readField(field, value, { fill: false, lua: true, updating: false }).error;
}

function mismatchError(
  name: string,
  shorthand: ShorthandField,
  value: unknown,
  data: ReadonlyMap<string, unknown>,
): string | null {
  if (value === null) return null;
  for (const { path } of shorthand.deprecation?.replaced_with ?? []) {
    const other = lookUp(Object.fromEntries(data), path);
    // What is no scalar is not looked into: its own field will say that it has the wrong type.
    if (other === undefined || other === value || typeof other === 'object') continue;
    return (
      'both deprecated and new field are used but their values mismatch: ' +
      `${name} = ${String(value)} vs ${path.join('.')} = ${String(other)}`
    );
  }
  return null;
}

function lookUp(table: unknown, path: readonly string[]): unknown {
  let value = table;
  for (const name of path) {
    if (!isPlainObject(value) || !Object.hasOwn(value, name)) return undefined;
    value = value[name];
  }
  return value;
}

function mergeProduced(
  data: Map<string, unknown>,
  produced: Readonly<Record<string, JsonValue>>,
  isDeprecated: boolean,
): void {
  for (const [name, value] of Object.entries(produced)) {
    const own = data.get(name);
    if (isPlainObject(value)) {
      // What is there but is no record stays, for the check that follows to name.
      if (own !== undefined && own !== null && !isPlainObject(own)) continue;
      const source = isPlainObject(own) ? own : {};
      data.set(name, isDeprecated ? mergeUnder(value, source) : { ...source, ...value });
    } else if (!isDeprecated || own === undefined || own === null) {
      data.set(name, value);
    }
  }
}

/** `top` over `bottom`, except that a null on top does not hide a value below. */
function mergeUnder(bottom: Table, top: Table): Table {
  const merged = new Map(Object.entries(bottom));
  for (const [name, value] of Object.entries(top)) {
    if (value !== null || !merged.has(name)) merged.set(name, value);
  }
  return Object.fromEntries(merged);
}

/** A record as shown: deprecated shorthands with the value of the field that replaced them. */
export function showShorthands(
  shorthands: Shorthands | undefined,
  record: { readonly [name: string]: JsonValue },
): { readonly [name: string]: JsonValue } {
  if (shorthands === undefined) return record;
  const shown: [string, JsonValue][] = Object.entries(record);
  for (const [name, shorthand] of Object.entries(shorthands)) {
    const path = shorthand.translate_backwards ?? shorthand.deprecation?.replaced_with?.[0]?.path;
    if (path === undefined) continue;
    // Looked up in a record of JSON values.
    shown.push([name, (lookUp(record, path) ?? null) as JsonValue]);
  }
  return Object.fromEntries(shown);
}
