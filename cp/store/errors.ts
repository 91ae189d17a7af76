/** What can go wrong with a write or read, in the words of the Admin API. */
import { unreachable } from '#shared/base/assert.ts';
import type { JsonValue } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import { KeyringError } from '../keys/kek.ts';
import { StaleKeysError } from '../keys/row-keys.ts';
import { DbError } from './db.ts';
import { foreignId, type TablePlan } from './sql.ts';

export type StoreFailure =
  /** Another entity has these values; composite keys name all their fields, absent ones null. */
  | { readonly code: 'unique'; readonly fields: Record<string, JsonValue> }
  | { readonly code: 'primary_key'; readonly id: string }
  | {
      readonly code: 'foreign_missing';
      readonly field: string;
      readonly reference: string;
      readonly id: string;
    }
  /** An entity of `kind` cannot go while entities of `by` point to it. */
  | { readonly code: 'foreign_referenced'; readonly by: string; readonly kind: string }
  /** More than an index holds: some 2,700 bytes, or more of what compresses well. */
  | { readonly code: 'too_long'; readonly field: string }
  /** Postgres refuses a value that validation let through (bad text). */
  | { readonly code: 'invalid'; readonly detail: string }
  /** The connection broke at COMMIT: it may have happened. Read again before trying again. */
  | { readonly code: 'outcome_unknown' }
  /** The database cannot be reached or is too busy; nothing was changed. */
  | { readonly code: 'unavailable' };

export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly failure: StoreFailure;
  /** Id of the entity whose write failed: of one among many, which. Null when it is not about one. */
  readonly entityId: string | null;
  constructor(failure: StoreFailure, facts: { cause?: unknown; entityId?: string } = {}) {
    super(describe(failure), { cause: facts.cause });
    this.failure = failure;
    this.entityId = facts.entityId ?? null;
  }
}

/** Never shows a value: unique fields may be secrets. */
function describe(failure: StoreFailure): string {
  switch (failure.code) {
    case 'unique':
      return `unique violation on ${Object.keys(failure.fields).join(', ')}`;
    case 'primary_key':
      return `id ${failure.id} exists`;
    case 'foreign_missing':
      return `${failure.field}: no ${failure.reference} with id ${failure.id}`;
    case 'foreign_referenced':
      return `${failure.by} reference the ${failure.kind} entity`;
    case 'too_long':
      return `${failure.field} is too long for an index`;
    case 'invalid':
      return `value refused by the database: ${failure.detail}`;
    case 'outcome_unknown':
      return 'the outcome of the transaction is unknown';
    case 'unavailable':
      return 'the database is unavailable';
    default:
      return unreachable(failure);
  }
}

/** Serialization failure and deadlock: the same transaction may well succeed when run again. */
export function isRetryable(error: unknown): boolean {
  return error instanceof DbError && (error.sqlState === '40001' || error.sqlState === '40P01');
}

/** A failed statement about `entity`, by the name of the constraint it broke. */
export function toEntityError(error: unknown, plan: TablePlan, entity: AnyEntity): unknown {
  if (!(error instanceof DbError)) return error;
  if (error.sqlState === INDEX_ROW_TOO_LONG) return tooLong(error, plan, entity);
  if (error.constraint === null) return error;
  const { constraint } = error;
  if (error.sqlState === '23505') return uniqueError(error, plan, entity);
  if (error.sqlState !== '23503') return error;
  const foreign = plan.foreigns.find(({ field }) => `${plan.table}_${field}_fkey` === constraint);
  const id = foreign === undefined ? null : foreignId(entity[foreign.field]);
  if (foreign === undefined || id === null) return error;
  const { field, reference } = foreign;
  const facts = { cause: error, entityId: entity.id };
  return new StoreError({ code: 'foreign_missing', field, reference, id }, facts);
}

const INDEX_ROW_TOO_LONG = '54000';

/** Postgres does not always say which index; the longest text that has one is to blame. */
function tooLong(error: DbError, plan: TablePlan, entity: AnyEntity): StoreError {
  const lengthOf = (field: string) => JSON.stringify(entity[field] ?? null).length;
  const indexed = plan.uniques.filter(({ isBlind }) => !isBlind).map(({ field }) => field);
  const composite = plan.cacheKey ?? [];
  const tags = plan.hasTags ? ['tags'] : [];
  const [field = 'id'] = [...indexed, ...composite, ...tags].toSorted(
    (a, b) => lengthOf(b) - lengthOf(a),
  );
  return new StoreError({ code: 'too_long', field }, { cause: error });
}

function uniqueError(error: DbError, plan: TablePlan, entity: AnyEntity): unknown {
  const facts = { cause: error, entityId: entity.id };
  if (error.constraint === `${plan.table}_pkey`) {
    return new StoreError({ code: 'primary_key', id: entity.id }, facts);
  }
  const unique = plan.uniques.find(({ constraint }) => constraint === error.constraint);
  const fields =
    unique !== undefined
      ? [unique.field]
      : error.constraint === `${plan.table}_cache_key`
        ? plan.cacheKey
        : null;
  if (fields === null) return error;
  const values = Object.fromEntries(fields.map((field) => [field, entity[field] ?? null]));
  return new StoreError({ code: 'unique', fields: values }, facts);
}

/**
 * Any failure as callers of the store see it. What is neither the data's nor the connection's fault
 * stays what it is: a bug, or an error of the caller's own.
 */
export function toStoreError(error: unknown): unknown {
  if (error instanceof KeyringError || error instanceof StaleKeysError) {
    return new StoreError({ code: 'unavailable' }, { cause: error });
  }
  if (!(error instanceof DbError)) return error;
  if (error.outcomeUnknown) return new StoreError({ code: 'outcome_unknown' }, { cause: error });
  if (isUnavailable(error.sqlState))
    return new StoreError({ code: 'unavailable' }, { cause: error });
  if (isBadData(error.sqlState)) {
    return new StoreError({ code: 'invalid', detail: detailOf(error.sqlState) }, { cause: error });
  }
  return error;
}

/**
 * No connection; connection exceptions (08), exhausted retries (40), resources (53), waits and
 * cancellations (55P03, 57), idle timeout (25P03), system errors (58).
 */
function isUnavailable(sqlState: string | null): boolean {
  return sqlState === null || /^(08|40|53|57|58)|^55P03$|^25P03$/.test(sqlState);
}

/** Data exceptions (22) and program limits such as the longest index entry (54). */
function isBadData(sqlState: string | null): boolean {
  return sqlState !== null && /^(22|54)/.test(sqlState);
}

function detailOf(sqlState: string | null): string {
  return sqlState?.startsWith('54') === true ? 'too long' : 'not a text or number it can hold';
}
