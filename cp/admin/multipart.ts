/** Bodies of type `multipart/form-data`: each part is one argument, as in a form. */
import { Busboy, type BusboyInstance } from '@fastify/busboy';
import type { JsonValue } from '#shared/schema/field.ts';
import { AdminError } from './errors.ts';
import { ARGUMENT_COUNT_MAX, tooManyArguments } from './form.ts';

export interface Part {
  readonly name: string;
  readonly type: string;
  readonly bytes: Uint8Array;
}

/** Header fields of one part. */
const PART_HEADERS_MAX = 20;

/** @throws AdminError 400 */
export function parseMultipart(bytes: Uint8Array, contentType: string): Promise<Part[]> {
  return new Promise((resolve, reject) => {
    const refuse = (error: AdminError) => reject(error);
    const broken = () => new AdminError(400, { message: 'Cannot parse multipart body' });
    let parser: BusboyInstance;
    try {
      parser = new Busboy({
        headers: { 'content-type': contentType },
        // The body as a whole is bounded, and so is what can be in it.
        limits: { parts: ARGUMENT_COUNT_MAX, headerPairs: PART_HEADERS_MAX, fieldNameSize: 1024 },
        // Everything comes as a file: bytes, with the type they were given.
        isPartAFile: () => true,
      });
    } catch {
      refuse(broken());
      return;
    }
    const parts: Part[] = [];
    parser.on('file', (name, stream, _fileName, _encoding, type) => {
      const chunks: Uint8Array[] = [];
      stream.on('data', (chunk: Uint8Array) => chunks.push(chunk));
      // A part that the body's end cuts off fails by itself, and unheard would end the process.
      stream.on('error', () => refuse(broken()));
      stream.on('end', () => parts.push({ name, type, bytes: Buffer.concat(chunks) }));
    });
    parser.on('partsLimit', () => {
      // Out of `end` below: the parser does not listen to the parts beyond, and one of them that is
      // cut off would end the process.
      throw tooManyArguments();
    });
    parser.on('error', () => refuse(broken()));
    parser.on('finish', () => resolve(parts));
    parser.end(bytes);
  });
}

/** A part of type JSON is what it says; anything else is text. Null: it is neither. */
export function partValue(part: Part, parseJson: (bytes: Uint8Array) => JsonValue): JsonValue {
  if (part.type.startsWith('application/json')) return parseJson(part.bytes);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(part.bytes);
  } catch {
    throw new AdminError(400, { message: `Part ${part.name} is not UTF-8` });
  }
}
