/**
 * Bodies of the Admin API: JSON, or a form whose dotted and bracketed keys nest. Parsed strictly and
 * once; what a field means is the schema's business, not ours.
 */
import type { EntityDefinition, Field, JsonObject, JsonValue } from '#shared/schema/field.ts';
import { AdminError } from './errors.ts';

/** Nesting beyond it cannot be meant: no entity comes near. */
export const DEPTH_MAX = 64;
const ARGUMENT_COUNT_MAX = 1000;

/**
 * Reads the body of a request.
 *
 * @param lengthMax  in bytes; a longer body is refused as soon as that is known
 * @param fieldOf    finds the field behind a form key, which gives its value a type
 */
export async function readArguments(
  request: Request,
  lengthMax: number,
  fieldOf: (path: readonly string[], args: JsonObject) => Field | null,
): Promise<JsonObject> {
  const type = request.headers.get('content-type');
  const bytes = await readBody(request, lengthMax);
  if (type === null) {
    if (bytes.length === 0) return {};
    throw new AdminError(415, null);
  }
  if (type.startsWith('application/json')) return bytes.length === 0 ? {} : parseJson(bytes);
  if (type.startsWith('application/x-www-form-urlencoded')) {
    return parseForm(decode(bytes) ?? '', fieldOf);
  }
  throw new AdminError(415, null);
}

async function readBody(request: Request, lengthMax: number): Promise<Uint8Array> {
  const tooLong = () => new AdminError(413, { message: 'Payload too large' });
  if (Number(request.headers.get('content-length') ?? 0) > lengthMax) throw tooLong();
  if (request.body === null) return new Uint8Array();
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of request.body) {
    length += chunk.length;
    if (length > lengthMax) throw tooLong();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function decode(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

const badJson = () => new AdminError(400, { message: 'Cannot parse JSON body' });

function parseJson(bytes: Uint8Array): JsonObject {
  const text = decode(bytes);
  if (text === null || depthOf(text) > DEPTH_MAX) throw badJson();
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw badJson();
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw badJson();
  // JSON.parse yields JSON values only.
  return value as JsonObject;
}

/** Deepest nesting of brackets outside strings; exact for valid JSON, an upper bound otherwise. */
function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (inString) {
      if (code === 0x5c) i++;
      else if (code === 0x22) inString = false;
    } else if (code === 0x22) inString = true;
    else if (code === 0x7b || code === 0x5b) deepest = Math.max(deepest, ++depth);
    else if (code === 0x7d || code === 0x5d) depth--;
  }
  return deepest;
}

type Mutable = Map<string, Mutable | JsonValue[] | JsonValue>;

/** `config.minute=5`, `hosts[]=a`, `hosts[1]=a`, `headers[x-a]=1`: Kong's form notation. */
function parseForm(
  text: string,
  fieldOf: (path: readonly string[], args: JsonObject) => Field | null,
): JsonObject {
  const pairs = [...new URLSearchParams(text)];
  if (pairs.length > ARGUMENT_COUNT_MAX) {
    throw new AdminError(400, { message: 'Too many arguments' });
  }
  const plain = Object.fromEntries(pairs.filter(([key]) => /^[a-z_]+$/.test(key)));
  const root: Mutable = new Map();
  for (const [key, raw] of pairs) {
    const path = keyPath(key);
    const isElement = /^\d*$/.test(path.at(-1) ?? 'x') && path.length > 1;
    const names = isElement ? path.slice(0, -1) : path;
    const field = fieldOf(names, plain);
    const isList = isElement || field?.type === 'array' || field?.type === 'set';
    const element = field !== null && 'elements' in field ? field.elements : field;
    put(root, names, typed(raw, element), isList);
  }
  return toObject(root);
}

function keyPath(key: string): string[] {
  const path: string[] = [];
  for (const match of key.matchAll(/\[([^\]]*)\]|([^.[\]]+)/g)) {
    path.push(match[1] ?? match[2] ?? '');
  }
  return path.slice(0, DEPTH_MAX);
}

function put(root: Mutable, path: readonly string[], value: JsonValue, isList: boolean): void {
  let node = root;
  for (const name of path.slice(0, -1)) {
    const next = node.get(name);
    if (next instanceof Map) node = next;
    else {
      const made: Mutable = new Map();
      node.set(name, made);
      node = made;
    }
  }
  const last = path.at(-1) ?? '';
  const present = node.get(last);
  if (Array.isArray(present)) (present as JsonValue[]).push(value);
  else if (isList) node.set(last, value === null ? null : [value]);
  else node.set(last, value);
}

/** A form has only text: the schema says what it stands for. */
function typed(raw: string, field: Field | null): JsonValue {
  if (raw === '') return null;
  if (field?.type === 'integer' || field?.type === 'number') {
    const number = Number(raw);
    return Number.isFinite(number) ? number : raw;
  }
  if (field?.type === 'boolean') return raw === 'true' ? true : raw === 'false' ? false : raw;
  return raw;
}

/** Own properties only, whatever the keys are called. */
function toObject(map: Mutable): JsonObject {
  const entries: [string, JsonValue][] = [];
  for (const [key, value] of map) {
    entries.push([key, value instanceof Map ? toObject(value) : value]);
  }
  return Object.fromEntries(entries);
}

/** Follows a form key's path through a definition, and through a plugin's configuration. */
export function fieldAt(
  definition: EntityDefinition,
  subschema: { readonly fields: EntityDefinition['fields'] } | null,
  path: readonly string[],
): Field | null {
  const [first = '', ...rest] = path;
  let field: Field | undefined =
    (subschema === null ? undefined : own(subschema.fields, first)) ??
    own(definition.fields, first);
  for (const name of rest) {
    if (field?.type === 'record') field = own(field.fields, name);
    else if (field?.type === 'map') field = field.values;
    else return null;
  }
  return field ?? null;
}

function own<T>(object: { readonly [key: string]: T }, key: string): T | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}
