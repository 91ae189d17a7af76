/**
 * Two databases behind one port: every statement goes to both, and what the model answers must be what
 * Postgres does. One at a time, so that both see them in the same order.
 */
import { type Db, DbError, type Param, type Result, type TxOptions } from '../../../cp/store/db.ts';
import { stable } from './sql-values.ts';

export class ShadowDb implements Db {
  readonly driver: Db['driver'];
  readonly canListen: boolean;
  readonly #real: Db;
  readonly #model: Db;
  readonly #seen: Set<string>;
  #last: Promise<unknown> = Promise.resolve();
  readonly #isInTx: boolean;

  constructor(real: Db, model: Db, seen: Set<string> = new Set(), isInTx = false) {
    this.#real = real;
    this.#model = model;
    this.#seen = seen;
    this.#isInTx = isInTx;
    this.driver = real.driver;
    this.canListen = real.canListen;
  }

  /** Statements that were compared. */
  get seen(): ReadonlySet<string> {
    return this.#seen;
  }

  query<R>(text: string, params: readonly Param[] = []): Promise<Result<R>> {
    return this.#inTurn(() => this.#both<R>(text, params));
  }

  tx<T>(fn: (db: Db) => Promise<T>, options?: TxOptions): Promise<T> {
    return this.#inTurn(() =>
      this.#real.tx(
        (real) =>
          this.#model.tx((model) => fn(new ShadowDb(real, model, this.#seen, true)), options),
        options,
      ),
    );
  }

  listen(channel: string, fn: (payload: string) => void): Promise<() => Promise<void>> {
    return this.#real.listen(channel, fn);
  }

  notify(channel: string, payload: string): Promise<void> {
    return this.#inTurn(() => this.#real.notify(channel, payload));
  }

  async close(): Promise<void> {
    await this.#last.catch(() => {});
    await this.#real.close();
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#isInTx) return work();
    const next = this.#last.catch(() => {}).then(work);
    this.#last = next;
    return next;
  }

  async #both<R>(text: string, params: readonly Param[]): Promise<Result<R>> {
    const [real, model] = [
      await settled(this.#real.query<R>(text, params)),
      await settled(this.#model.query<R>(text, params)),
    ];
    if (real instanceof DbError) {
      if (!(model instanceof DbError) || model.sqlState !== real.sqlState) {
        throw new Error(`Postgres says ${real.message}, the model ${told(model)}: ${text}`);
      }
      throw real;
    }
    if (model instanceof DbError) throw new Error(`only the model says ${model.message}: ${text}`);
    if (!/^\s*(?:WITH|SELECT|INSERT|UPDATE|DELETE)/i.test(text)) return real;
    this.#seen.add(text);
    const isOrdered = /ORDER BY/i.test(text);
    const [expected, found] = [told(real, isOrdered), told(model, isOrdered)];
    if (expected !== found) {
      throw new Error(`Postgres: ${expected}\nmodel: ${found}\n${text}\n${JSON.stringify(params)}`);
    }
    return real;
  }
}

async function settled<R>(work: Promise<Result<R>>): Promise<Result<R> | DbError> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof DbError) return error;
    throw error;
  }
}

/** What depends on the clock, on chance, or on which server it is. */
const OWN = new Set(
  (
    'now at since last age created_at expires_at last_seen joined_at key_made_at revoked_at ' +
    'locked_at started_at seen_at changed_at pg_notify pg_advisory_xact_lock xid server_started ' +
    'database_oid epoch server_encoding'
  ).split(' '),
);

function told(result: Result<unknown> | DbError, isOrdered = true): string {
  if (result instanceof DbError) return `${result.sqlState} ${result.message}`;
  const rows = result.rows.map((row) => stable(shown(row)));
  return `${result.count} ${(isOrdered ? rows : rows.toSorted()).join(' ')}`;
}

function shown(value: unknown): unknown {
  if (value instanceof Date) return 'a time';
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  if (Array.isArray(value)) return value.map(shown);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [name, OWN.has(name) ? 'own' : shown(member)]),
  );
}
