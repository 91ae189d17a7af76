/**
 * The port to the database: what the store, the publisher and the node registry need of Postgres, the
 * same over three drivers. One suite (`store.suite.ts`) runs against all of them.
 *
 * Normalised here, because the drivers differ: `int8` is a number, `bytea` a `Uint8Array`,
 * `timestamptz` a `Date`, `jsonb` the parsed value, every failure a `DbError`.
 */

/** What a statement may be given. `jsonb` parameters are passed as JSON text. */
export type Param =
  | string
  | number
  | boolean
  | null
  | Date
  | Uint8Array
  | readonly string[]
  | readonly number[];

export type Row = Record<string, unknown>;

export interface Result<R> {
  readonly rows: R[];
  /** Rows returned, or changed by a statement without `RETURNING`. */
  readonly count: number;
}

export interface TxOptions {
  /** Default `read committed`; publishing reads `repeatable read` (decision 1). */
  readonly isolation?: 'read committed' | 'repeatable read';
}

export type DriverName = 'pglite' | 'postgres' | 'neon';

export interface Db {
  readonly driver: DriverName;
  /** False behind a transaction pooler: `listen` then never calls, and only polling finds changes. */
  readonly canListen: boolean;
  /** @throws DbError */
  query<R = Row>(text: string, params?: readonly Param[]): Promise<Result<R>>;
  /**
   * Runs `fn` in one transaction on one connection, and commits when it resolves. Inside, only the
   * handle that `fn` gets may be used; the outer one throws an `AssertionError`.
   *
   * @throws DbError; with `outcomeUnknown` when the connection was lost while committing
   */
  tx<T>(fn: (db: Db) => Promise<T>, options?: TxOptions): Promise<T>;
  /**
   * Calls `fn` with the payload of each notification; also once with `''` after a lost connection
   * came back, because notifications may have been missed. A hint: polling stays the truth.
   */
  listen(channel: string, fn: (payload: string) => void): Promise<() => Promise<void>>;
  notify(channel: string, payload: string): Promise<void>;
  close(): Promise<void>;
}

interface DbErrorFacts {
  /** SQLSTATE; null when it was the connection that failed. */
  readonly sqlState: string | null;
  readonly constraint?: string | null;
  readonly outcomeUnknown?: boolean;
  readonly cause?: unknown;
}

/** Every failure of a driver. */
export class DbError extends Error {
  override readonly name = 'DbError';
  readonly sqlState: string | null;
  readonly constraint: string | null;
  /** The connection broke at COMMIT: the transaction may or may not have happened. */
  readonly outcomeUnknown: boolean;
  constructor(message: string, facts: DbErrorFacts) {
    super(message, { cause: facts.cause });
    this.sqlState = facts.sqlState;
    this.constraint = facts.constraint ?? null;
    this.outcomeUnknown = facts.outcomeUnknown ?? false;
  }
}

/**
 * A driver's own error as a `DbError`. What the server said beyond code, message and constraint is
 * dropped: drivers hang the statement's parameters on their errors, and those reach logs.
 */
export function toDbError(error: unknown): DbError {
  if (error instanceof DbError) return error;
  const message = error instanceof Error ? error.message : String(error);
  // Only errors that the server sent have a severity; `code` alone could be Node's (EPIPE).
  if (error instanceof Error && 'severity' in error && 'code' in error) {
    const constraint = 'constraint' in error ? error.constraint : null;
    return new DbError(message, {
      sqlState: String(error.code),
      constraint: typeof constraint === 'string' ? constraint : null,
    });
  }
  return new DbError(message === '' ? 'connection failed' : message, {
    sqlState: null,
    cause: error,
  });
}
