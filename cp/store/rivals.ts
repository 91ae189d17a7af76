/** Rows that stand in the way of others and that no unique constraint would find, or should. */
import type { AnyEntity } from '#shared/schema/infer.ts';
import type { RowKeys } from '../keys/row-keys.ts';
import type { Db, Param } from './db.ts';
import { bytesText, type EncodedEntity } from './entity-codec.ts';
import { StoreError } from './errors.ts';
import { quoted, type TablePlan, typeOf, type UniqueColumn } from './sql.ts';

/** An entity on its way into its table. */
export interface Item {
  readonly entity: AnyEntity;
  readonly encoded: EncodedEntity;
}

/**
 * Locks the rows that no reader sees any more and that would collide with these.
 *
 * @param isNew  whether their ids must be free as well
 * @returns their ids
 */
export async function lockExpiredRivals(
  db: Db,
  plan: TablePlan,
  ws: string,
  items: readonly Item[],
  { keys, isNew }: { readonly keys: RowKeys; readonly isNew: boolean },
): Promise<string[]> {
  const params: (string | readonly string[])[] = [ws];
  const rivals: string[] = [];
  if (isNew) rivals.push(`id = ANY($${params.push(items.map(({ entity }) => entity.id))}::uuid[])`);
  for (const unique of plan.uniques) {
    const { column } = unique;
    const values = items.flatMap((item) => [
      ...keyText(item.encoded.params[plan.columns.indexOf(column)] ?? null),
      ...olderIndexes(plan, unique, item.entity, keys),
    ]);
    if (values.length === 0) continue;
    const cast = typeOf(plan, column) === 'text' ? '' : `::${typeOf(plan, column)}[]`;
    rivals.push(`${quoted(column)} = ANY($${params.push(values)}::text[]${cast})`);
  }
  if (rivals.length === 0) return [];
  const { rows } = await db.query<{ id: string }>(
    `SELECT id FROM ${quoted(plan.table)} WHERE ws_id = $1 AND expires_at <= now() ` +
      `AND (${rivals.join(' OR ')}) ORDER BY id FOR UPDATE`,
    params,
  );
  return rows.map(({ id }) => id);
}

/**
 * While the pepper is rotated, equal values have different indexes in rows of different generations, so
 * that the constraint alone does not keep them apart. Rows of an older generation were all committed
 * before anyone wrote the newer one, so what is looked for here is there, or found by the constraint.
 *
 * @throws StoreError `unique`
 */
export async function refuseOlderRivals(
  db: Db,
  plan: TablePlan,
  ws: string,
  items: readonly Item[],
  keys: RowKeys,
): Promise<void> {
  for (const unique of plan.uniques) {
    const owners = new Map<string, AnyEntity>();
    for (const { entity } of items) {
      for (const index of olderIndexes(plan, unique, entity, keys)) owners.set(index, entity);
    }
    if (owners.size === 0) continue;
    const { column, field, acrossWorkspaces } = unique;
    const { rows } = await db.query<{ id: string; index: Uint8Array }>(
      `SELECT id, ${quoted(column)} AS index FROM ${quoted(plan.table)} ` +
        `WHERE ${acrossWorkspaces ? '$1::uuid IS NOT NULL' : 'ws_id = $1'} ` +
        `AND ${quoted(column)} = ANY($2::text[]::bytea[]) ORDER BY id FOR UPDATE`,
      [ws, [...owners.keys()]],
    );
    for (const { id, index } of rows) {
      const entity = owners.get(bytesText(index));
      if (entity === undefined || entity.id.toLowerCase() === id) continue;
      const failure = { code: 'unique', fields: { [field]: entity[field] ?? null } } as const;
      throw new StoreError(failure, { entityId: entity.id });
    }
  }
}

function olderIndexes(
  plan: TablePlan,
  { field, isBlind }: UniqueColumn,
  entity: AnyEntity,
  keys: RowKeys,
): string[] {
  const value = entity[field];
  if (!isBlind || typeof value !== 'string') return [];
  return keys.blindIndexes(plan.table, field, value).slice(1).map(bytesText);
}

/** A unique value as text; nothing for null, which collides with nothing. */
function keyText(value: Param): string[] {
  if (value instanceof Uint8Array) return [bytesText(value)];
  return typeof value === 'string' ? [value] : [];
}
