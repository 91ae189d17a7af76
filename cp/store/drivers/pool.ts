/** A `Db` over a connection pool that speaks node-postgres' interface: `pg`, and Neon's driver. */
import {
  type Db,
  DbError,
  type DriverName,
  type Param,
  type Result,
  type Row,
  type TxOptions,
  toDbError,
} from '../db.ts';
import type { Listener } from './listener.ts';
import { assertOutsideTx, runBody } from './session.ts';

export const POOL_SIZE_MAX = 10;
/** Longest wait for a connection: from the pool, or from the server. */
export const CONNECT_TIMEOUT_MS = 10_000;
/** Longest statement, waits for locks included. */
export const STATEMENT_TIMEOUT_MS = 30_000;
/** A transaction that its owner forgot must not hold locks for ever. */
export const IDLE_IN_TX_TIMEOUT_MS = 30_000;

interface Answer {
  readonly rows: unknown[];
  readonly rowCount: number | null;
}

export interface PoolConnection {
  query(text: string, params?: unknown[]): Promise<Answer>;
  release(destroy?: boolean): void;
}

export interface ConnectionPool {
  connect(): Promise<PoolConnection>;
  end(): Promise<void>;
}

interface PoolDbOptions {
  readonly driver: DriverName;
  readonly pool: ConnectionPool;
  /** Null behind a transaction pooler. */
  readonly listener: Listener | null;
}

export class PoolDb implements Db {
  readonly driver: DriverName;
  readonly canListen: boolean;
  readonly #pool: ConnectionPool;
  readonly #listener: Listener | null;
  #closing: Promise<void> | null = null;

  constructor(options: PoolDbOptions) {
    this.driver = options.driver;
    this.#pool = options.pool;
    this.#listener = options.listener;
    this.canListen = options.listener !== null;
  }

  async query<R = Row>(text: string, params: readonly Param[] = []): Promise<Result<R>> {
    assertOutsideTx(this);
    const connection = await this.#connect();
    try {
      const result = await run<R>(connection, text, params);
      connection.release();
      return result;
    } catch (error) {
      connection.release(isConnectionError(error));
      throw error;
    }
  }

  async tx<T>(fn: (db: Db) => Promise<T>, options: TxOptions = {}): Promise<T> {
    assertOutsideTx(this);
    const connection = await this.#connect();
    let value: T;
    try {
      await run(connection, begin(options), []);
      value = await runBody(this, (text, params) => run(connection, text, params), fn);
    } catch (error) {
      await abandon(connection, error);
      throw error;
    }
    await commit(connection);
    return value;
  }

  async listen(channel: string, fn: (payload: string) => void): Promise<() => Promise<void>> {
    if (this.#listener === null) return async () => {};
    return this.#listener.listen(channel, fn);
  }

  async notify(channel: string, payload: string): Promise<void> {
    await this.query('SELECT pg_notify($1, $2)', [channel, payload]);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#listener?.close();
    await this.#pool.end();
  }

  async #connect(): Promise<PoolConnection> {
    try {
      return await this.#pool.connect();
    } catch (error) {
      throw toDbError(error);
    }
  }
}

/** One round trip. `SET LOCAL` and not start-up parameters: a transaction pooler refuses those. */
function begin(options: TxOptions): string {
  return (
    `BEGIN ISOLATION LEVEL ${options.isolation ?? 'read committed'};` +
    `SET LOCAL statement_timeout = ${STATEMENT_TIMEOUT_MS};` +
    `SET LOCAL idle_in_transaction_session_timeout = ${IDLE_IN_TX_TIMEOUT_MS}`
  );
}

async function run<R>(
  connection: PoolConnection,
  text: string,
  params: readonly Param[],
): Promise<Result<R>> {
  try {
    // Without parameters the simple protocol is used, which takes several statements at once.
    const answer =
      params.length === 0
        ? await connection.query(text)
        : await connection.query(text, [...params]);
    // The driver's rows are untyped; the statement's author vouches for `R`.
    return { rows: answer.rows as R[], count: answer.rowCount ?? 0 };
  } catch (error) {
    throw toDbError(error);
  }
}

async function commit(connection: PoolConnection): Promise<void> {
  try {
    await run(connection, 'COMMIT', []);
  } catch (error) {
    connection.release(true);
    const failure = toDbError(error);
    if (isDefinitelyAborted(failure.sqlState)) throw failure;
    throw new DbError('the connection broke while committing', {
      sqlState: failure.sqlState,
      outcomeUnknown: true,
      cause: failure,
    });
  }
  connection.release();
}

/** Constraint (23) and rollback (40) classes say "not committed"; 40003 says "unknown". */
function isDefinitelyAborted(sqlState: string | null): boolean {
  if (sqlState === null || sqlState === '40003') return false;
  return sqlState.startsWith('23') || sqlState.startsWith('40');
}

async function abandon(connection: PoolConnection, cause: unknown): Promise<void> {
  if (isConnectionError(cause)) {
    connection.release(true);
    return;
  }
  try {
    await connection.query('ROLLBACK');
    connection.release();
  } catch {
    // A connection that cannot even roll back is thrown away; the server rolls back by itself.
    connection.release(true);
  }
}

function isConnectionError(error: unknown): boolean {
  return error instanceof DbError && error.sqlState === null;
}
