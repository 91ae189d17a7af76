/**
 * Secrets inside a value: which parts of it a field's shape calls secret, taken out and put back. Where
 * the shape says nothing (an unknown plugin's configuration, a key that no field names) everything is
 * taken for a secret: what cannot be judged must not be stored or sent in the clear.
 */
import { assert } from '../base/assert.ts';
import type { Field, JsonObject, JsonValue } from './field.ts';
import { isPlainObject } from './validate.ts';

export type SecretKind = 'lookup' | 'sealed';

/** How the field itself is kept; null: it is no secret. Kong's `encrypted` says `sealed`. */
export function secretKind(field: Field): SecretKind | null {
  return field.secret ?? (field.encrypted === true ? 'sealed' : null);
}

// Definitions are few and never change.
const known = new WeakMap<Field, boolean>();

/** Whether a value of this field is a secret or may hold one. */
export function holdsSecrets(field: Field): boolean {
  const seen = known.get(field);
  if (seen !== undefined) return seen;
  const holds = secretKind(field) !== null || partsOf(field).some(holdsSecrets);
  const isAbstract = field.type === 'record' && field.abstract === true;
  known.set(field, holds || isAbstract);
  return holds || isAbstract;
}

function partsOf(field: Field): readonly Field[] {
  switch (field.type) {
    case 'record':
      return Object.values(field.fields);
    case 'array':
    case 'set':
      return [field.elements];
    case 'map':
      return [field.values];
    default:
      return [];
  }
}

/** What stands in a secret's place; `pointer` (RFC 6901) says where that is. */
export type ReplaceSecret = (value: JsonValue, kind: SecretKind, pointer: string) => JsonValue;

/**
 * The value with each of its secrets replaced. A null is no secret.
 *
 * @param field  its shape; undefined when nothing is known of it
 */
export function replaceSecrets(
  field: Field | undefined,
  value: JsonValue,
  replace: ReplaceSecret,
  pointer = '',
): JsonValue {
  if (value === null) return null;
  const kind = field === undefined ? 'sealed' : secretKind(field);
  if (field === undefined || kind !== null) return replace(value, kind ?? 'sealed', pointer);
  if (!holdsSecrets(field)) return value;
  const part = (of: Field | undefined, name: string | number, item: JsonValue): JsonValue =>
    replaceSecrets(of, item, replace, `${pointer}/${escaped(String(name))}`);
  if ((field.type === 'array' || field.type === 'set') && isList(value)) {
    return value.map((item, index) => part(field.elements, index, item));
  }
  if (field.type === 'map' && isObject(value)) {
    return mapped(value, (name, item) => part(field.values, name, item));
  }
  if (field.type === 'record' && field.abstract !== true && isObject(value)) {
    const { fields } = field;
    const fieldOf = (name: string) => (Object.hasOwn(fields, name) ? fields[name] : undefined);
    return mapped(value, (name, item) => part(fieldOf(name), name, item));
  }
  return replace(value, 'sealed', pointer);
}

/** Secrets by where they stand. */
export interface TakenSecrets {
  /** The value with null in each secret's place. */
  readonly rest: JsonValue;
  /** JSON pointer → secret; empty when there are none. */
  readonly secrets: JsonObject;
}

export function takeSecrets(field: Field | undefined, value: JsonValue): TakenSecrets {
  const secrets: [string, JsonValue][] = [];
  const rest = replaceSecrets(field, value, (secret, _kind, pointer) => {
    secrets.push([pointer, secret]);
    return null;
  });
  return { rest, secrets: Object.fromEntries(secrets) };
}

/** The value as it was before `takeSecrets`. The shape is not asked: it may have changed since. */
export function putSecrets(rest: JsonValue, secrets: JsonObject): JsonValue {
  return Object.entries(secrets).reduce((value, [pointer, secret]) => {
    const path = pointer.split('/').slice(1).map(unescaped);
    return putAt(value, path, secret);
  }, rest);
}

function putAt(value: JsonValue, path: readonly string[], secret: JsonValue): JsonValue {
  const [head, ...tail] = path;
  if (head === undefined) return secret;
  if (isList(value)) {
    const index = Number(head);
    return value.with(index, putAt(value[index] ?? null, tail, secret));
  }
  assert(isObject(value) && Object.hasOwn(value, head), 'a secret has no place to go');
  return { ...value, [head]: putAt(value[head] ?? null, tail, secret) };
}

function mapped(value: JsonObject, part: (name: string, item: JsonValue) => JsonValue): JsonObject {
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, part(name, item)]));
}

function isList(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value);
}

function isObject(value: JsonValue): value is JsonObject {
  return isPlainObject(value);
}

function escaped(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1');
}

function unescaped(segment: string): string {
  return segment.replaceAll('~1', '/').replaceAll('~0', '~');
}
