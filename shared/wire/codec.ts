/** Text to frame and back: the border where what a peer sent becomes a type. */
import type { Fields } from '../schema/field.ts';
import { parseRecord } from '../schema/parse.ts';
import { DOWN_FRAMES, UP_FRAMES, type DownFrame, type UpFrame } from './frames.ts';
import { FRAME_LENGTH_MAX, UP_FRAME_LENGTH_MAX } from './protocol.ts';

/** Why a text is no frame; the words name fields and never repeat what the peer wrote. */
export interface ProtocolError {
  readonly ok: false;
  readonly error: string;
}

export type Decoded<F> = { readonly ok: true; readonly frame: F } | ProtocolError;

/** What a node sent. Never throws. */
export function decodeUpFrame(text: string): Decoded<UpFrame> {
  // `decode` has checked the value against the definition that its `type` names.
  return decode(UP_DEFINITIONS, text, UP_FRAME_LENGTH_MAX) as Decoded<UpFrame>;
}

/** What a control plane sent. Never throws. */
export function decodeDownFrame(text: string): Decoded<DownFrame> {
  // As above.
  return decode(DOWN_DEFINITIONS, text, FRAME_LENGTH_MAX) as Decoded<DownFrame>;
}

export function encodeFrame(frame: UpFrame | DownFrame): string {
  return JSON.stringify(frame);
}

// Maps, because a peer chooses the name that is looked up.
const UP_DEFINITIONS: ReadonlyMap<string, Fields> = new Map(Object.entries(UP_FRAMES));
const DOWN_DEFINITIONS: ReadonlyMap<string, Fields> = new Map(Object.entries(DOWN_FRAMES));

function decode(
  definitions: ReadonlyMap<string, Fields>,
  text: string,
  lengthMax: number,
): Decoded<unknown> {
  if (text.length > lengthMax) return fail(`longer than ${lengthMax}`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return fail('not JSON');
  }
  if (typeof value !== 'object' || value === null || !('type' in value)) return fail('no type');
  const fields = typeof value.type === 'string' ? definitions.get(value.type) : undefined;
  if (fields === undefined) return fail('unknown type');
  const parsed = parseRecord(fields, value);
  if (parsed.ok) return { ok: true, frame: parsed.value };
  const known = Object.keys(parsed.violations).filter((name) => Object.hasOwn(fields, name));
  return fail(`wrong fields: ${known.length > 0 ? known.join(', ') : 'unknown ones'}`);
}

function fail(error: string): ProtocolError {
  return { ok: false, error };
}
