/** Plain records (frames, settings) against their fields: the border where JSON becomes a type. */
import type { Fields } from './field.ts';
import type { RecordOf } from './infer.ts';
import { isPlainObject, readRecord } from './validate.ts';
import type { Violations } from './violations.ts';

export type Parsed<R extends Fields> =
  | { readonly ok: true; readonly value: RecordOf<R> }
  | { readonly ok: false; readonly violations: Violations };

/**
 * Strict: an unknown field is an error. Missing fields take their default; without one they are
 * null, or an error when required. Linear in the size of the value.
 *
 * @param value  what `JSON.parse` answered; anything that is not an object is refused
 */
export function parseRecord<const R extends Fields>(fields: R, value: unknown): Parsed<R> {
  if (!isPlainObject(value)) return { ok: false, violations: { '@entity': ['expected a record'] } };
  const mode = { fill: true, lua: false, updating: false };
  const reading = readRecord({ fields }, value, mode);
  if (reading.errors !== null) return { ok: false, violations: reading.errors };
  // Every field has just been checked against the definition that the type is inferred from.
  return { ok: true, value: reading.value as RecordOf<R> };
}
