/** PATCH: what was sent over what is stored. */
import { fieldOf, isPlainObject, type RecordShape } from './validate.ts';

type Table = Readonly<Record<string, unknown>>;

/**
 * Records merge field by field, also inside records; everything else that was sent replaces what was
 * there. Names that no definition knows are kept, for the check that follows to refuse.
 *
 * Source: Kong `kong/db/schema/init.lua`, merge_values
 */
export function mergeRecord(shape: RecordShape, top: Table, bottom: Table): Table {
  const merged = new Map(Object.entries(bottom));
  for (const [name, value] of Object.entries(top)) {
    const field = fieldOf(shape, name);
    const isRecord = field?.type === 'record' && field.abstract !== true;
    if (!isRecord || !isPlainObject(value)) {
      merged.set(name, value);
      continue;
    }
    const below = merged.get(name);
    const shapeBelow = { fields: field.fields };
    merged.set(name, mergeRecord(shapeBelow, value, isPlainObject(below) ? below : {}));
  }
  return Object.fromEntries(merged);
}
