/**
 * One transaction as its body sees it, the same for all drivers, and the guards that keep a mistake
 * from becoming a hang or a silent rollback.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { assert, AssertionError } from '#shared/base/assert.ts';
import { type Db, type DriverName, type Param, type Result, toDbError } from '../db.ts';

/** Runs one statement on the transaction's connection. */
export type Runner = <R>(text: string, params: readonly Param[]) => Promise<Result<R>>;

interface Scope {
  readonly owner: Db;
  open: boolean;
}

const scopes = new AsyncLocalStorage<Scope>();

/**
 * A statement on the outer handle from inside a transaction would wait for itself on PGlite (one
 * connection) and silently be another transaction elsewhere.
 */
export function assertOutsideTx(owner: Db): void {
  const scope = scopes.getStore();
  assert(
    scope === undefined || !scope.open || scope.owner !== owner,
    'inside a transaction only its own handle may be used',
  );
}

/** Runs the body of a transaction of `owner`; resolves only if every statement in it succeeded. */
export async function runBody<T>(
  owner: Db,
  runner: Runner,
  fn: (db: Db) => Promise<T>,
): Promise<T> {
  const scope: Scope = { owner, open: true };
  const session = new Session(owner.driver, runner);
  try {
    const value = await scopes.run(scope, () => fn(session));
    // COMMIT of an aborted transaction answers ROLLBACK without an error, so a body that swallowed
    // a failed statement must not be told that it committed.
    if (session.failure !== null) throw session.failure;
    return value;
  } finally {
    scope.open = false;
    session.end();
  }
}

class Session implements Db {
  readonly driver: DriverName;
  readonly canListen = false;
  readonly #runner: Runner;
  #isOpen = true;
  failure: Error | null = null;

  constructor(driver: DriverName, runner: Runner) {
    this.driver = driver;
    this.#runner = runner;
  }

  end(): void {
    this.#isOpen = false;
  }

  async query<R>(text: string, params: readonly Param[] = []): Promise<Result<R>> {
    assert(this.#isOpen, 'the transaction is over');
    try {
      return await this.#runner<R>(text, params);
    } catch (error) {
      const failure = toDbError(error);
      this.failure ??= failure;
      throw failure;
    }
  }

  async notify(channel: string, payload: string): Promise<void> {
    await this.query('SELECT pg_notify($1, $2)', [channel, payload]);
  }

  async tx<T>(): Promise<T> {
    throw new AssertionError('a transaction inside a transaction');
  }

  async listen(): Promise<() => Promise<void>> {
    throw new AssertionError('listen inside a transaction');
  }

  async close(): Promise<void> {
    throw new AssertionError('close inside a transaction');
  }
}
