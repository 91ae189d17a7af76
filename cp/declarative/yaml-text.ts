/**
 * JSON values as YAML in block style. Texts that could be read as anything else are quoted as in
 * JSON, so that every parser of YAML 1.1 or 1.2 reads back what was written.
 */
import type { JsonObject, JsonValue } from '#shared/schema/field.ts';
import { isPlainObject } from '#shared/schema/validate.ts';

const PLAIN = /^[A-Za-z_/][A-Za-z0-9_./-]*$/;
const RESERVED = /^(?:null|true|false|yes|no|on|off|y|n|nan|inf)$/i;
/** Line breaks to YAML 1.1, and what is not printable there, but stands as it is in JSON. */
const UNPRINTABLE = /[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g;

/** Members of a mapping, one per line or more, each at that depth. */
export function yamlMembers(members: JsonObject, depth: number): string {
  return Object.entries(members)
    .map(([name, value]) => `${'  '.repeat(depth)}${scalar(name)}:${below(value, depth)}`)
    .join('');
}

/** Members of a sequence under a key at that depth. */
export function yamlItems(items: readonly JsonValue[], depth: number): string {
  const indent = '  '.repeat(depth);
  return items
    .map((item) => {
      if (isPlainObject(item) && Object.keys(item).length > 0) {
        // The first member stands behind the dash, the others under it.
        return `${indent}- ${yamlMembers(item as JsonObject, depth + 1).trimStart()}`;
      }
      return `${indent}-${below(item, depth)}`;
    })
    .join('');
}

/** What stands behind a colon or a dash, to the end of its last line. */
function below(value: JsonValue, depth: number): string {
  if (Array.isArray(value)) {
    const items: readonly JsonValue[] = value;
    return items.length === 0 ? ' []\n' : `\n${yamlItems(items, depth + 1)}`;
  }
  if (isPlainObject(value)) {
    const isEmpty = Object.keys(value).length === 0;
    return isEmpty ? ' {}\n' : `\n${yamlMembers(value as JsonObject, depth + 1)}`;
  }
  return ` ${scalar(value)}\n`;
}

function scalar(value: JsonValue): string {
  if (typeof value === 'number') return numberText(value);
  if (typeof value !== 'string') return String(value);
  if (PLAIN.test(value) && !RESERVED.test(value)) return value;
  return JSON.stringify(value).replaceAll(
    UNPRINTABLE,
    (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** YAML 1.1 wants a dot in a number with an exponent. */
function numberText(value: number): string {
  const text = String(value);
  return /^-?\d+e/.test(text) ? text.replace('e', '.0e') : text;
}
