/**
 * Transactions of the model: what each sees, the rows it holds, and who waits for whom. As in Postgres,
 * READ COMMITTED sees what is committed when a statement begins, REPEATABLE READ what was when the
 * transaction did; whoever wants a row that another holds waits for its end.
 */
import { DbError, type TxOptions } from '../../../cp/store/db.ts';
import { applyWrites, ROW, rowsOf, type DbState, type Row, type Writes } from './sql-tables.ts';

/** Thrown out of a statement that has to wait; the statement is then run again. */
export class Blocked extends Error {
  readonly by: Transaction;
  constructor(by: Transaction) {
    super('blocked');
    this.by = by;
  }
}

interface Lock {
  exclusive: Transaction | null;
  readonly shared: Set<Transaction>;
}

export interface Notification {
  readonly channel: string;
  readonly payload: string;
}

/** What all transactions of one server share. */
export class Server {
  state: DbState;
  readonly open = new Set<Transaction>();
  readonly locks = new Map<string, Lock>();
  #nextRow = 1;

  constructor(state: DbState, nextRow: number) {
    this.state = state;
    this.#nextRow = nextRow;
  }

  rowId(): number {
    return this.#nextRow++;
  }

  get nextRow(): number {
    return this.#nextRow;
  }
}

export class Transaction {
  readonly server: Server;
  readonly isRepeatable: boolean;
  readonly startMs: number;
  readonly xid: number;
  readonly notifications: Notification[] = [];
  readonly #locks = new Set<string>();
  readonly #ended: (() => void)[] = [];
  #snapshot: DbState | null = null;
  #seen: DbState;
  writes: Writes = new Map();
  waitsFor: Transaction | null = null;
  isFailed = false;
  isOver = false;

  constructor(server: Server, options: TxOptions, startMs: number) {
    this.server = server;
    this.isRepeatable = options.isolation === 'repeatable read';
    this.startMs = startMs;
    this.xid = server.rowId();
    this.#seen = server.state;
    server.open.add(this);
  }

  /** To be called before each statement. */
  look(): void {
    if (this.isRepeatable) this.#snapshot ??= this.server.state;
    this.#seen = this.#snapshot ?? this.server.state;
  }

  get seen(): DbState {
    return this.#seen;
  }

  /** The rows of a table as this transaction sees them. */
  *rows(table: string): Iterable<Row> {
    const base = rowsOf(this.#seen, table);
    const own = this.writes.get(table);
    if (own === undefined) {
      yield* base.values();
      return;
    }
    for (const [id, row] of base) {
      const written = own.get(id);
      if (written === undefined) yield row;
      else if (written !== null) yield written;
    }
    for (const [id, row] of own) if (row !== null && !base.has(id)) yield row;
  }

  write(table: string, id: number, row: Row | null): void {
    let own = this.writes.get(table);
    if (own === undefined) {
      own = new Map();
      this.writes.set(table, own);
    }
    own.set(id, row);
  }

  /** False when somebody else holds it and `wait` is `skip`. @throws Blocked, DbError */
  lockRow(
    table: string,
    row: Row,
    mode: 'exclusive' | 'shared',
    wait: 'wait' | 'skip' | 'fail',
  ): boolean {
    const id = row[ROW] ?? 0;
    if (!this.lock(`${table} ${id}`, mode, wait)) return false;
    if (!this.isRepeatable || this.writes.get(table)?.has(id) === true) return true;
    if (rowsOf(this.server.state, table).get(id) === rowsOf(this.#seen, table).get(id)) return true;
    throw new DbError('could not serialize access due to concurrent update', { sqlState: '40001' });
  }

  lock(key: string, mode: 'exclusive' | 'shared', wait: 'wait' | 'skip' | 'fail'): boolean {
    const lock = this.server.locks.get(key) ?? { exclusive: null, shared: new Set() };
    const holder = holderOf(lock, mode, this);
    if (holder !== null) {
      if (wait === 'skip') return false;
      if (wait === 'fail') throw new DbError('could not obtain lock', { sqlState: '55P03' });
      throw this.#blocked(holder);
    }
    this.server.locks.set(key, lock);
    if (mode === 'exclusive') lock.exclusive = this;
    else lock.shared.add(this);
    this.#locks.add(key);
    return true;
  }

  /** @throws Blocked */
  waitFor(other: Transaction): never {
    throw this.#blocked(other);
  }

  onEnd(fn: () => void): void {
    if (this.isOver) fn();
    else this.#ended.push(fn);
  }

  /** @returns the new state, when something was written */
  commit(): DbState | null {
    const next = this.writes.size === 0 ? null : applyWrites(this.server.state, this.writes);
    if (next !== null) this.server.state = next;
    this.#end();
    return next;
  }

  rollback(): void {
    this.#end();
  }

  #blocked(holder: Transaction): Error {
    for (let next: Transaction | null = holder; next !== null; next = next.waitsFor) {
      if (next === this) return new DbError('deadlock detected', { sqlState: '40P01' });
    }
    return new Blocked(holder);
  }

  #end(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.server.open.delete(this);
    for (const key of this.#locks) {
      const lock = this.server.locks.get(key);
      if (lock === undefined) continue;
      if (lock.exclusive === this) lock.exclusive = null;
      lock.shared.delete(this);
      if (lock.exclusive === null && lock.shared.size === 0) this.server.locks.delete(key);
    }
    for (const fn of this.#ended.splice(0)) fn();
  }
}

function holderOf(lock: Lock, mode: 'exclusive' | 'shared', own: Transaction): Transaction | null {
  if (lock.exclusive !== null && lock.exclusive !== own) return lock.exclusive;
  if (mode === 'shared') return null;
  for (const holder of lock.shared) if (holder !== own) return holder;
  return null;
}
