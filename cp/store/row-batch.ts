/** Many rows in one statement: as one JSON parameter, bounded in rows and in bytes. */
import type { JsonValue } from '#shared/schema/field.ts';
import type { Param } from './db.ts';
import { bytesText, type EncodedEntity } from './entity-codec.ts';
import type { TablePlan } from './sql.ts';

/** Rows in one statement. */
export const BATCH_ROWS_MAX = 1_000;
/** Characters of JSON in one statement, unless one row alone is longer. */
export const BATCH_LENGTH_MAX = 4 * 1024 * 1024;

/** Texts gathered until the next one would be too much. */
export function* batchesOf<T>(
  items: Iterable<T>,
  textOf: (item: T) => string,
): Generator<{ readonly items: readonly T[]; readonly json: string }> {
  let batch: T[] = [];
  let texts: string[] = [];
  let length = 0;
  for (const item of items) {
    const text = textOf(item);
    if (
      batch.length > 0 &&
      (batch.length === BATCH_ROWS_MAX || length + text.length > BATCH_LENGTH_MAX)
    ) {
      yield { items: batch, json: `[${texts.join(',')}]` };
      batch = [];
      texts = [];
      length = 0;
    }
    batch.push(item);
    texts.push(text);
    length += text.length;
  }
  if (batch.length > 0) yield { items: batch, json: `[${texts.join(',')}]` };
}

export function* partsOf<T>(items: readonly T[], size: number): Iterable<readonly T[]> {
  for (let start = 0; start < items.length; start += size) yield items.slice(start, start + size);
}

/** A row as `insertMany` and `updateMany` of its plan read it. */
export function rowText(plan: TablePlan, id: string, { params, doc }: EncodedEntity): string {
  const row: Record<string, JsonValue> = { id };
  plan.columns.forEach((column, index) => {
    row[column] = column === 'doc' ? doc : jsonOf(params[index] ?? null);
  });
  return JSON.stringify(row);
}

/** As Postgres reads it back into the column's type. */
function jsonOf(param: Param): JsonValue {
  if (param instanceof Uint8Array) return bytesText(param);
  if (param instanceof Date) return param.toISOString();
  return param;
}
