/** Checks of single values: type, then the field's attributes in Kong's order. */
import { utf8 } from '../base/bytes.ts';
import { compileSearchRegex } from '../regex/regex.ts';
import type { BooleanField, Field, JsonValue, NumberField, StringField } from './field.ts';
import { compileLuaPattern } from './lua-pattern.ts';

type ScalarField = StringField | NumberField | BooleanField;

/** Why a value cannot be one of this type, apart from any attribute. */
export function scalarError(field: ScalarField, value: unknown): string | null {
  switch (field.type) {
    case 'string':
      return typeof value === 'string' ? textError(value) : 'expected a string';
    case 'boolean':
      return typeof value === 'boolean' ? null : 'expected a boolean';
    case 'integer':
      if (typeof value !== 'number' || !Number.isInteger(value)) return 'expected an integer';
      return sizeError(value);
    default:
      if (typeof value !== 'number' || !Number.isFinite(value)) return 'expected a number';
      return sizeError(value);
  }
}

/** Beyond 2^53 a number means something else in every other language (decision 5). */
function sizeError(value: number): string | null {
  const max = Number.MAX_SAFE_INTEGER;
  return Math.abs(value) <= max ? null : `value should be between ${-max} and ${max}`;
}

/** Postgres keeps neither NUL nor a lone surrogate, and a lone surrogate has no UTF-8. */
function textError(value: string): string | null {
  if (value.includes('\0')) return 'must not contain NUL bytes';
  if (value.isWellFormed()) return null;
  const before = value.slice(0, firstLoneSurrogate(value));
  return `invalid utf-8 character sequence detected at position ${utf8(before).length + 1}`;
}

function firstLoneSurrogate(value: string): number {
  let at = 0;
  for (const letter of value) {
    if (!letter.isWellFormed()) break;
    at += letter.length;
  }
  return at;
}

/** `{vault://…}`: a reference that is resolved where it is used. */
export function isReference(value: unknown): boolean {
  return typeof value === 'string' && /^\{vault:\/\/.+\}$/.test(value);
}

/**
 * The first attribute of `field` that `value` (of the right type, not null) does not satisfy.
 *
 * Source of order and texts: Kong `kong/db/schema/init.lua`, Schema.validators_order
 */
export function attributeError(field: Field, value: JsonValue): string | null {
  if (field.type === 'string' && field.referenceable === true && isReference(value)) return null;
  const error =
    equalityError(field, value) ??
    (typeof value === 'number' ? numberError(field, value) : null) ??
    (typeof value === 'string' && field.type === 'string' ? stringError(field, value) : null) ??
    (field.type === 'map' ? lengthError(field, Object.keys(value as object).length) : null) ??
    listError(field, value);
  return error === null ? customError(field, value) : (field.err ?? error);
}

function customError(field: Field, value: JsonValue): string | null {
  // The definition's author gave a function for values of the field's type, which this one has.
  const error = field.custom_validator?.(value as never) ?? null;
  return error === null ? null : (field.err ?? error);
}

function equalityError(field: Field, value: JsonValue): string | null {
  if (field.eq !== undefined && value !== field.eq) return `value must be ${String(field.eq)}`;
  if (field.ne !== undefined && value === field.ne) return `value must not be ${String(value)}`;
  if (!('one_of' in field || 'not_one_of' in field)) return null;
  const excluded: readonly JsonValue[] | undefined =
    field.type === 'string' ? field.not_one_of : undefined;
  if (excluded?.includes(value) === true) return `must not be one of: ${excluded.join(', ')}`;
  const allowed: readonly JsonValue[] | undefined = field.one_of;
  if (allowed?.includes(value) === false) return `expected one of: ${allowed.join(', ')}`;
  return null;
}

function numberError(field: Field, value: number): string | null {
  if (field.type !== 'number' && field.type !== 'integer') return null;
  if (field.gt !== undefined && value <= field.gt) return `value must be greater than ${field.gt}`;
  if (field.timestamp === true && value <= 0) return 'expected a valid timestamp';
  if (field.between !== undefined) {
    const [low, high] = field.between;
    if (value < low || value > high) return `value should be between ${low} and ${high}`;
  }
  return null;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

export function isUuid(text: string): boolean {
  return text.length === 36 && UUID.test(text);
}

function stringError(field: StringField, value: string): string | null {
  if (field.uuid === true && !isUuid(value)) return 'expected a valid UUID';
  const lengths = { ...field, len_min: field.len_min ?? 1 };
  return (
    (field.is_regex === true ? regexError(value) : null) ??
    lengthError(lengths, byteLength(field, value)) ??
    patternError(field, value)
  );
}

/** Kong's text, and why: what PCRE takes but no linear engine does is refused as well. */
export function regexError(source: string): string | null {
  const compiled = compileSearchRegex(source);
  return compiled.ok ? null : `not a valid regex: ${source} (${compiled.reason})`;
}

/** Lengths of text are in bytes, as in Kong. */
function byteLength(field: StringField, value: string): number {
  // Whether there is anything at all is the only question that most fields ask.
  const { len_min: min = 1, len_max: max, len_eq: exact } = field;
  return min <= 1 && max === undefined && exact === undefined ? value.length : utf8(value).length;
}

interface Lengths {
  readonly len_eq?: number | undefined;
  readonly len_min?: number | undefined;
  readonly len_max?: number | undefined;
}

function lengthError(field: Lengths, length: number): string | null {
  if (field.len_eq !== undefined && length !== field.len_eq) {
    return `length must be ${field.len_eq}`;
  }
  if (field.len_min !== undefined && length < field.len_min) {
    return `length must be at least ${field.len_min}`;
  }
  if (field.len_max !== undefined && length > field.len_max) {
    return `length must be at most ${field.len_max}`;
  }
  return null;
}

function patternError(field: StringField, value: string): string | null {
  const invalid = `invalid value: ${value}`;
  if (field.starts_with !== undefined && !value.startsWith(field.starts_with)) {
    return `should start with: ${field.starts_with}`;
  }
  if (field.not_match !== undefined && fits(field.not_match, value)) return invalid;
  const forbidden = field.match_none?.find(({ pattern }) => fits(pattern, value));
  if (forbidden !== undefined) return forbidden.err ?? invalid;
  if (field.match !== undefined && !fits(field.match, value)) return invalid;
  const missed = field.match_all?.find(({ pattern }) => !fits(pattern, value));
  if (missed !== undefined) return missed.err ?? invalid;
  const { match_any: any } = field;
  if (any !== undefined && !any.patterns.some((pattern) => fits(pattern, value))) {
    return any.err ?? invalid;
  }
  return null;
}

// Patterns stand in definitions, so there are only so many.
const compiled = new Map<string, (text: string) => boolean>();

function fits(pattern: string, value: string): boolean {
  let test = compiled.get(pattern);
  if (test === undefined) {
    test = compileLuaPattern(pattern);
    compiled.set(pattern, test);
  }
  return test(value);
}

function listError(field: Field, value: JsonValue): string | null {
  if ((field.type !== 'array' && field.type !== 'set') || !Array.isArray(value)) return null;
  const list: readonly JsonValue[] = value;
  const error = lengthError(field, list.length);
  if (error !== null) return error;
  if (field.contains !== undefined && !list.includes(field.contains)) {
    return `expected to contain: ${String(field.contains)}`;
  }
  const subsets = field.mutually_exclusive_subsets ?? [];
  const touched = new Set<readonly string[]>();
  for (const item of list) {
    const subset = subsets.find((members) => members.some((member) => member === item));
    if (subset !== undefined) touched.add(subset);
  }
  return touched.size > 1 ? `these sets are mutually exclusive: ${quotedList([...touched])}` : null;
}

/** `'a', 'b'`; lists among the words in parentheses. */
export function quotedList(words: readonly (string | readonly string[])[]): string {
  return words
    .map((word) => (typeof word === 'string' ? `'${word}'` : `(${quotedList(word)})`))
    .join(', ');
}
