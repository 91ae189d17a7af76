/**
 * Forms in Kong's notation: `config.minute=5`, `headers[x-a]=1`, `hosts[]=a`, `hosts[1]=a`,
 * `sources[1].ip=1.2.3.4`. A form has only text; the schema says what each value stands for.
 */
import type { Field, JsonObject, JsonValue } from '#shared/schema/field.ts';
import { AdminError } from './errors.ts';

/** Arguments of one form or query. */
export const ARGUMENT_COUNT_MAX = 1000;
/** Names in one key: no entity comes near. */
const KEY_DEPTH_MAX = 16;
/** Characters of one key: most of a body can be a key, and each becomes several objects. */
export const KEY_LENGTH_MAX = 4096;

/** The field of a top-level key; `args` are the plain ones (a plugin's `name` decides its fields). */
export type FieldOf = (name: string, args: JsonObject) => Field | null;

interface Node {
  /** Texts of a form; what a part of a multipart body held may be any JSON. */
  readonly values: JsonValue[];
  readonly children: Map<string, Node>;
}

/** @throws AdminError 400 */
export function parseForm(text: string, fieldOf: FieldOf): JsonObject {
  return fromArguments(parsePairs(text), fieldOf);
}

/** @throws AdminError 400 */
export function fromArguments(
  pairs: readonly (readonly [key: string, value: JsonValue])[],
  fieldOf: FieldOf,
): JsonObject {
  const plain = Object.fromEntries(pairs.filter(([key]) => /^[a-z_]+$/.test(key)));
  const root = newNode();
  for (const [key, value] of pairs) {
    let node = root;
    for (const name of keyPath(key)) {
      const next = node.children.get(name) ?? newNode();
      node.children.set(name, next);
      node = next;
    }
    node.values.push(value);
  }
  return toObject(root, (name) => fieldOf(name, plain));
}

function newNode(): Node {
  return { values: [], children: new Map() };
}

function parsePairs(text: string): [key: string, value: string][] {
  return partsOf(text).map((part) => {
    const equals = part.indexOf('=');
    const key = equals === -1 ? part : part.slice(0, equals);
    return [unescape(key), equals === -1 ? '' : unescape(part.slice(equals + 1))];
  });
}

/** Counted on the way: a list of what a body of separators has between them can end the process. */
function partsOf(text: string): string[] {
  const parts: string[] = [];
  for (let start = 0; start < text.length;) {
    const found = text.indexOf('&', start);
    const end = found === -1 ? text.length : found;
    if (end > start && parts.push(text.slice(start, end)) > ARGUMENT_COUNT_MAX) {
      throw tooManyArguments();
    }
    start = end + 1;
  }
  return parts;
}

export function tooManyArguments(): AdminError {
  return new AdminError(400, { message: 'Too many arguments' });
}

/** Strict, where URLSearchParams puts replacement characters: they would end up in names. */
function unescape(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    throw new AdminError(400, { message: 'Cannot parse form body' });
  }
}

function keyPath(key: string): string[] {
  if (key.length > KEY_LENGTH_MAX) throw new AdminError(400, { message: 'Cannot parse form body' });
  // No bracket within brackets, or a key of opening ones would be searched to its end for each.
  const path = [...key.matchAll(/\[([^[\]]*)\]|([^.[\]]+)/g)].map((match) => match[1] ?? match[2]);
  if (path.length > KEY_DEPTH_MAX) throw new AdminError(400, { message: 'Cannot parse form body' });
  return path.map((name) => name ?? '');
}

/** Own properties only, whatever the keys are called. */
function toObject(node: Node, fieldOf: (name: string) => Field | null): JsonObject {
  const entries: [string, JsonValue][] = [];
  for (const [name, child] of node.children) entries.push([name, toValue(child, fieldOf(name))]);
  return Object.fromEntries(entries);
}

function toValue(node: Node, field: Field | null): JsonValue {
  const isList = field?.type === 'array' || field?.type === 'set';
  const names = [...node.children.keys()];
  if (isList && names.every((name) => /^\d{0,9}$/.test(name))) return toList(node, field.elements);
  if (names.length > 0) return toObject(node, (name) => memberOf(field, name));
  const values = node.values.map((value) => typed(value, field));
  // Several values of what is no list are left for the schema to refuse.
  return values.length === 1 ? (values[0] ?? null) : values;
}

/** Members without an index first, then by index; a single empty one stands for no list at all. */
function toList(node: Node, elements: Field): JsonValue {
  const list = node.values.map((value) => typed(value, elements));
  const indexed = [...node.children].toSorted(([a], [b]) => Number(a) - Number(b));
  for (const [index, child] of indexed) {
    if (index === '') list.push(...child.values.map((value) => typed(value, elements)));
    else list.push(toValue(child, elements));
  }
  return list.length === 1 && list[0] === null ? null : list;
}

function memberOf(field: Field | null, name: string): Field | null {
  if (field?.type === 'map') return field.values;
  if (field?.type !== 'record' || !Object.hasOwn(field.fields, name)) return null;
  return field.fields[name] ?? null;
}

function typed(raw: JsonValue, field: Field | null): JsonValue {
  if (typeof raw !== 'string') return raw;
  if (raw === '') return null;
  if (field?.type === 'integer' || field?.type === 'number') {
    const number = Number(raw);
    return raw.trim() !== '' && Number.isFinite(number) ? number : raw;
  }
  if (field?.type === 'boolean') return raw === 'true' ? true : raw === 'false' ? false : raw;
  return raw;
}
