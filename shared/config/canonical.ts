/**
 * The one text of a JSON value, so that equal values have equal hashes wherever they are made.
 * Source: RFC 8785 (JSON Canonicalization Scheme), with two of its warnings made errors: integers that
 * a double cannot hold exactly, and lone surrogates.
 */
import type { JsonObject, JsonValue } from '../schema/field.ts';

/** Deepest nesting of objects and arrays; beyond it a value is hostile or a bug. */
export const CANONICAL_DEPTH_MAX = 128;

/** A value that has no canonical text. */
export class CanonicalError extends Error {
  override readonly name = 'CanonicalError';
}

/**
 * @returns keys in order of UTF-16 code units, no white space, numbers and strings as ECMAScript
 * @throws CanonicalError for non-finite numbers, numbers beyond 2^53 - 1, lone surrogates, too deep
 *   nesting, and anything that is not JSON (`undefined`)
 */
export function canonicalJson(value: JsonValue): string {
  return write(value, 0);
}

function write(value: JsonValue, depth: number): string {
  if (typeof value === 'string') return writeString(value);
  if (typeof value === 'number') return writeNumber(value);
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value !== 'object') throw new CanonicalError(`not a JSON value: ${typeof value}`);
  if (depth >= CANONICAL_DEPTH_MAX) {
    throw new CanonicalError(`nested deeper than ${CANONICAL_DEPTH_MAX}`);
  }
  return isList(value) ? writeList(value, depth + 1) : writeObject(value, depth + 1);
}

// `Array.isArray` does not narrow readonly arrays.
function isList(value: JsonObject | readonly JsonValue[]): value is readonly JsonValue[] {
  return Array.isArray(value);
}

function writeList(list: readonly JsonValue[], depth: number): string {
  let text = '[';
  for (let i = 0; i < list.length; i++) {
    if (i > 0) text += ',';
    // A hole reads as undefined and is refused like it.
    text += write(list[i] as JsonValue, depth);
  }
  return `${text}]`;
}

function writeObject(object: JsonObject, depth: number): string {
  // The default order of `toSorted` is that of UTF-16 code units, which is what the RFC asks for.
  const names = Object.keys(object).toSorted();
  let text = '{';
  for (const name of names) {
    if (text.length > 1) text += ',';
    text += `${writeString(name)}:${write(object[name] as JsonValue, depth)}`;
  }
  return `${text}}`;
}

function writeString(text: string): string {
  if (!text.isWellFormed()) throw new CanonicalError('a string has a lone surrogate');
  return JSON.stringify(text);
}

function writeNumber(value: number): string {
  if (!Number.isFinite(value)) throw new CanonicalError(`not a finite number: ${value}`);
  if (Math.abs(value) > Number.MAX_SAFE_INTEGER) {
    throw new CanonicalError(`a number beyond 2^53 - 1: ${value}`);
  }
  return Object.is(value, -0) ? '0' : String(value);
}
