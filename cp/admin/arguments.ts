/** Bodies of the Admin API, parsed strictly and once; what a field means is the schema's business. */
import type { JsonObject } from '#shared/schema/field.ts';
import { AdminError } from './errors.ts';
import { type FieldOf, parseForm } from './form.ts';

/** Nesting beyond it cannot be meant: no entity comes near. */
const DEPTH_MAX = 64;
/** First size of a body's buffer, which doubles as it fills. */
const BUFFER_SIZE = 16 * 1024;

/**
 * Reads the body of a request.
 *
 * @param lengthMax  in bytes; a longer body is refused as soon as that is known
 * @param fieldOf    finds the field behind a form key, which gives its value a type
 * @throws AdminError 400, 413, 415
 */
export async function readArguments(
  request: Request,
  lengthMax: number,
  fieldOf: FieldOf,
): Promise<JsonObject> {
  const type = request.headers.get('content-type');
  const bytes = await readBody(request, lengthMax);
  if (type === null) {
    if (bytes.length === 0) return {};
    throw new AdminError(415, null);
  }
  if (type.startsWith('application/json')) return bytes.length === 0 ? {} : parseJson(bytes);
  if (type.startsWith('application/x-www-form-urlencoded')) {
    const text = decode(bytes);
    if (text === null) throw new AdminError(400, { message: 'Cannot parse form body' });
    return parseForm(text, fieldOf);
  }
  throw new AdminError(415, null);
}

async function readBody(request: Request, lengthMax: number): Promise<Uint8Array> {
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
