/** Bodies of the Admin API, parsed strictly and once; what a field means is the schema's business. */
import type { Fields, JsonObject } from '#shared/schema/field.ts';
import type { RecordOf } from '#shared/schema/infer.ts';
import { parseRecord } from '#shared/schema/parse.ts';
import { AdminError, schemaViolation } from './errors.ts';
import { type FieldOf, fromArguments, parseForm } from './form.ts';
import { parseMultipart, partValue } from './multipart.ts';

/** Nesting beyond it cannot be meant: no entity comes near. */
export const DEPTH_MAX = 64;
/** Members and elements, at all levels together, in the JSON of one entity. */
export const VALUES_MAX = 100_000;
/** Characters of a request's path and query together. */
export const TARGET_LENGTH_MAX = 8192;
/** First size of a body's buffer, which doubles as it fills. */
const BUFFER_SIZE = 16 * 1024;

const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** @throws AdminError 414 */
export function refuseLongTarget(url: URL): void {
  if (url.pathname.length + url.search.length <= TARGET_LENGTH_MAX) return;
  throw new AdminError(414, {
    message: `The path and query are longer than ${TARGET_LENGTH_MAX} characters`,
  });
}

/**
 * Reads the body of a request.
 *
 * @param lengthMax  in bytes; a longer body is refused as soon as that is known
 * @param fieldOf    finds the field behind a form key, which gives its value a type
 * @param valuesMax  members and elements that JSON may have at all levels together
 * @throws AdminError 400, 413, 415
 */
export async function readArguments(
  request: Request,
  lengthMax: number,
  fieldOf: FieldOf,
  valuesMax: number = VALUES_MAX,
): Promise<JsonObject> {
  refuseEncoded(request);
  const type = request.headers.get('content-type');
  const bytes = await readBody(request, lengthMax);
  if (type === null) {
    if (bytes.length === 0) return {};
    throw new AdminError(415, null);
  }
  if (type.startsWith('application/json'))
    return bytes.length === 0 ? {} : parseJsonBytes(bytes, valuesMax);
  if (type.startsWith('application/x-www-form-urlencoded')) {
    const text = decode(bytes);
    if (text === null) throw new AdminError(400, { message: 'Cannot parse form body' });
    return parseForm(text, fieldOf);
  }
  if (type.startsWith('multipart/form-data')) {
    const parts = await parseMultipart(bytes, type);
    const json = (part: Uint8Array) => parseJsonBytes(part, valuesMax);
    return fromArguments(
      parts.map((part) => [part.name, partValue(part, json)] as const),
      fieldOf,
    );
  }
  throw new AdminError(415, null);
}

/** The same for what is no entity. @throws AdminError 400, 413, 415 */
export async function readFields<const R extends Fields>(
  request: Request,
  lengthMax: number,
  fields: R,
): Promise<RecordOf<R>> {
  const fieldOf = (name: string) =>
    Object.entries(fields).find(([key]) => key === name)?.[1] ?? null;
  const parsed = parseRecord(fields, await readArguments(request, lengthMax, fieldOf));
  if (!parsed.ok) throw schemaViolation(parsed.violations);
  return parsed.value;
}

/** A small compressed body can be a huge one, so none is taken. @throws AdminError 415 */
export function refuseEncoded(request: Request): void {
  const encoding = request.headers.get('content-encoding');
  if (encoding === null || /^\s*(identity)?\s*$/i.test(encoding)) return;
  throw new AdminError(415, {
    message: `Content-Encoding ${encoding.slice(0, 100)} is not supported; send the body as it is`,
  });
}

/** @throws AdminError 400, 413 */
export async function readBody(request: Request, lengthMax: number): Promise<Uint8Array> {
  const tooLong = () => new AdminError(413, { message: 'Payload too large' });
  if (Number(request.headers.get('content-length') ?? 0) > lengthMax) throw tooLong();
  if (request.body === null) return new Uint8Array();
  // One buffer instead of a list of chunks: a million chunks of one byte cost no more than one.
  let bytes = new Uint8Array(BUFFER_SIZE);
  let length = 0;
  const reader = request.body.getReader();
  for (;;) {
    const { done, value } = await reader.read().catch(() => {
      throw new AdminError(400, { message: 'The body ended early' });
    });
    if (done) return bytes.subarray(0, length);
    if (length + value.length > lengthMax) throw tooLong();
    if (length + value.length > bytes.length) {
      const larger = new Uint8Array(Math.max(bytes.length * 2, length + value.length));
      larger.set(bytes.subarray(0, length));
      bytes = larger;
    }
    bytes.set(value, length);
    length += value.length;
  }
}

/** Null: it is not UTF-8. */
export function decode(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

const badJson = () => new AdminError(400, { message: 'Cannot parse JSON body' });

function parseJsonBytes(bytes: Uint8Array, valuesMax: number): JsonObject {
  const text = decode(bytes);
  if (text === null) throw badJson();
  return parseJson(text, valuesMax);
}

/** @throws AdminError 400 */
export function parseJson(text: string, valuesMax: number): JsonObject {
  const { depth, values } = measure(text);
  if (depth > DEPTH_MAX) throw badJson();
  if (values > valuesMax) {
    throw new AdminError(400, {
      message: `The JSON body has more than ${valuesMax} members and elements`,
    });
  }
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

/**
 * Deepest nesting of brackets, and members and elements at all levels, in one pass before anything
 * is made of the text. Exact for valid JSON; what is invalid fails in `JSON.parse`.
 */
function measure(text: string): { depth: number; values: number } {
  let depth = 0;
  let deepest = 0;
  let values = 0;
  /** Nothing but a bracket was seen of the list or object at hand. */
  let isEmpty = false;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code <= 0x20) continue;
    const isClosing = code === CLOSE_BRACE || code === CLOSE_BRACKET;
    // The first of them has no comma before it.
    if (code === COMMA || (isEmpty && !isClosing)) values++;
    isEmpty = code === OPEN_BRACE || code === OPEN_BRACKET;
    if (code === QUOTE) i = endOfString(text, i + 1);
    else if (isEmpty) deepest = Math.max(deepest, ++depth);
    else if (isClosing) depth--;
  }
  return { depth: deepest, values };
}

/** Of the closing quote, or of the text. */
function endOfString(text: string, start: number): number {
  for (let i = start; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === BACKSLASH) i++;
    else if (code === QUOTE) return i;
  }
  return text.length;
}
