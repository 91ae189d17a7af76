/**
 * The database of the simulated world: one server over virtual time, which can be slow, cut off,
 * crash, fail over to a standby that lacks the end, or come back from a backup. `connect` answers the
 * port that the control plane uses in production.
 */
import { type Db, DbError, type Param, type Result, type TxOptions } from '../../../cp/store/db.ts';
import { runBody } from '../../../cp/store/drivers/session.ts';
import type { SeededRandom } from '../../support/seeded-random.ts';
import { EPOCH_MS } from '../determinism.ts';
import type { SimProcess } from '../process.ts';
import type { Scheduler } from '../scheduler.ts';
import { execute } from './sql-execute.ts';
import type { DbState, Row, Writes } from './sql-tables.ts';
import { Blocked, Server, Transaction } from './sql-transaction.ts';
import { JSON_NULL } from './sql-values.ts';

export interface ModelOptions {
  readonly scheduler: Scheduler;
  readonly random: SeededRandom;
  readonly state: DbState;
  readonly nextRow: number;
}

interface Listener {
  readonly channel: string;
  readonly process: SimProcess;
  readonly fn: (payload: string) => void;
}

/** Moments kept that can be gone back to. */
const HISTORY_COUNT_MAX = 20_000;
/** A statement that no answer comes to is given up after so long. */
const GIVEN_UP_MS = 3_000;
const LISTEN_AGAIN_MS = 2_000;

export class ModelDatabase {
  readonly #options: ModelOptions;
  readonly #server: Server;
  readonly #listeners = new Set<Listener>();
  readonly #connections = new Set<Connection>();
  readonly #history: { readonly atMs: number; readonly state: DbState }[] = [];
  readonly #cut = new Set<SimProcess>();
  #timeline = 1;
  #startedMs = EPOCH_MS;
  isDown = false;
  /** Notifications get lost. */
  isDeaf = false;
  /** What a trip takes on top of the usual. */
  slownessMs = 0;
  /** What a commit takes on top of that: as one does that waits for a standby. */
  commitSlownessMs = 0;
  /** What the server's wall clock is off by. */
  skewMs = 0;
  onCommit: (state: DbState, writes: Writes) => void = () => {};
  systemIdentifier = '7000000000000000001';
  statementCount = 0;
  /** A statement that the model could not read or run. */
  ignorance: unknown = null;

  constructor(options: ModelOptions) {
    this.#options = options;
    this.#server = new Server(options.state, options.nextRow);
    this.#history.push({ atMs: 0, state: options.state });
  }

  get state(): DbState {
    return this.#server.state;
  }

  get nextRow(): number {
    return this.#server.nextRow;
  }

  connect(process: SimProcess): Db {
    const connection = new Connection(this, process);
    this.#connections.add(connection);
    process.onDeath(() => {
      this.#connections.delete(connection);
      connection.breakOff();
      for (const listener of this.#listeners) {
        if (listener.process === process) this.#listeners.delete(listener);
      }
    });
    return connection;
  }

  /** Nothing gets through between a process and the database. */
  cutOff(process: SimProcess): void {
    this.#cut.add(process);
    this.#breakOff(process);
  }

  join(process: SimProcess): void {
    if (this.#cut.delete(process)) this.#listenAgain(process);
  }

  isCut(process: SimProcess): boolean {
    return this.isDown || this.#cut.has(process);
  }

  crash(): void {
    this.isDown = true;
    for (const tx of this.#server.open) tx.rollback();
    for (const connection of this.#connections) connection.breakOff();
  }

  recover(): void {
    if (!this.isDown) return;
    this.isDown = false;
    this.#startedMs = this.nowMs();
    for (const { process } of this.#connections) this.#listenAgain(process);
  }

  /** Everything since then is gone; the server that goes on is another one. */
  goBack(lostMs: number): void {
    this.crash();
    const { scheduler } = this.#options;
    const then = this.#history.findLast(({ atMs }) => atMs <= scheduler.nowMs - lostMs);
    this.#server.state = then?.state ?? this.#options.state;
    this.#history.push({ atMs: scheduler.nowMs, state: this.#server.state });
    this.#timeline += 1;
  }

  /** A statement in a transaction. Waits as long as somebody holds what it needs. */
  async run(tx: Transaction, text: string, params: readonly Param[]): Promise<Result<Row>> {
    this.statementCount += 1;
    const { scheduler, random } = this.#options;
    for (;;) {
      if (tx.isOver) throw failed('connection lost');
      try {
        const result = execute(tx, text, params, {
          startMs: tx.startMs,
          nowMs: this.nowMs(),
          setting: (name) => this.#setting(name),
          uuid: () => random.uuid(),
          random: () => random.next(),
          next: () => this.#server.rowId(),
        });
        return { ...result, rows: result.rows.map(withoutJsonNull) };
      } catch (error) {
        if (!(error instanceof Blocked)) {
          // What the model does not know must not look like trouble with the database.
          if (!(error instanceof DbError)) this.ignorance ??= error;
          throw error;
        }
        tx.waitsFor = error.by;
        await new Promise<void>((resolve) => error.by.onEnd(() => scheduler.after(0, resolve)));
        tx.waitsFor = null;
      }
    }
  }

  begin(options: TxOptions): Transaction {
    return new Transaction(this.#server, options, this.nowMs());
  }

  commit(tx: Transaction): void {
    const { scheduler } = this.#options;
    const { writes } = tx;
    const next = tx.commit();
    for (const { channel, payload } of tx.notifications) this.#notify(channel, payload);
    if (next === null) return;
    this.#history.push({ atMs: scheduler.nowMs, state: next });
    if (this.#history.length > HISTORY_COUNT_MAX) this.#history.shift();
    scheduler.trace(`commit ${[...writes].map(([table, rows]) => `${table}:${rows.size}`).join()}`);
    this.onCommit(next, writes);
  }

  nowMs(): number {
    return EPOCH_MS + this.#options.scheduler.nowMs + this.skewMs;
  }

  /** How long a trip to the server or back takes. */
  tripMs(moreMs = 0): number {
    const { random } = this.#options;
    return 0.1 + random.next() * (1 + this.slownessMs + moreMs);
  }

  chance(probability: number): boolean {
    return this.#options.random.chance(probability);
  }

  listen(listener: Listener): () => Promise<void> {
    this.#listeners.add(listener);
    return async () => void this.#listeners.delete(listener);
  }

  #notify(channel: string, payload: string): void {
    if (this.isDeaf) return;
    for (const listener of this.#listeners) {
      if (listener.channel !== channel || this.isCut(listener.process)) continue;
      this.#options.scheduler.after(this.tripMs(), () =>
        listener.process.run(() => listener.fn(payload)),
      );
    }
  }

  #breakOff(process: SimProcess): void {
    for (const connection of this.#connections) {
      if (connection.process === process) connection.breakOff();
    }
  }

  /** As the listening connection does when it is there again. */
  #listenAgain(process: SimProcess): void {
    const { scheduler, random } = this.#options;
    scheduler.after(random.next() * LISTEN_AGAIN_MS, () => {
      if (this.isCut(process)) return;
      for (const listener of this.#listeners) {
        if (listener.process === process) process.run(() => listener.fn(''));
      }
    });
  }

  #setting(name: string): string | null {
    if (name === 'system_identifier') return this.systemIdentifier;
    if (name === 'timeline_id') return String(this.#timeline);
    if (name === 'started_ms') return String(this.#startedMs);
    return null;
  }
}

/** All connections of one process. */
class Connection implements Db {
  readonly driver = 'postgres';
  readonly canListen = true;
  readonly process: SimProcess;
  readonly #database: ModelDatabase;
  /** Trips and transactions under way: what breaks them off. */
  readonly #pending = new Set<() => void>();

  constructor(database: ModelDatabase, process: SimProcess) {
    this.#database = database;
    this.process = process;
  }

  breakOff(): void {
    for (const fn of this.#pending) fn();
    this.#pending.clear();
  }

  async query<R = Row>(text: string, params: readonly Param[] = []): Promise<Result<R>> {
    if (text.startsWith('SHOW ')) return { rows: [{ server_encoding: 'UTF8' }] as R[], count: 1 };
    await this.#trip();
    const tx = this.#begin({});
    try {
      const result = await this.#database.run(tx, text, params);
      this.#database.commit(tx);
      await this.#trip();
      // What rows look like is the caller's to say, as with every driver.
      return result as Result<R>;
    } finally {
      tx.rollback();
    }
  }

  async tx<T>(fn: (db: Db) => Promise<T>, options: TxOptions = {}): Promise<T> {
    const tx = this.#begin(options);
    const runner = async <R>(text: string, params: readonly Param[]): Promise<Result<R>> => {
      if (text.startsWith('SHOW ')) return { rows: [{ server_encoding: 'UTF8' }] as R[], count: 1 };
      if (tx.isFailed) throw new DbError('transaction is aborted', { sqlState: '25P02' });
      await this.#trip();
      try {
        const result = await this.#database.run(tx, text, params);
        await this.#trip();
        return result as Result<R>;
      } catch (error) {
        tx.isFailed = true;
        throw error;
      }
    };
    try {
      const value = await runBody<T>(this, runner, fn);
      await this.#commit(tx);
      return value;
    } finally {
      tx.rollback();
    }
  }

  async listen(channel: string, fn: (payload: string) => void): Promise<() => Promise<void>> {
    await this.#trip();
    return this.#database.listen({ channel, process: this.process, fn });
  }

  async notify(channel: string, payload: string): Promise<void> {
    await this.query('SELECT pg_notify($1, $2)', [channel, payload]);
  }

  async close(): Promise<void> {
    this.breakOff();
  }

  /** Before the commit a broken connection means that nothing happened; on the way back, who knows. */
  async #commit(tx: Transaction): Promise<void> {
    await this.#trip(true, tx.writes.size > 0 ? this.#database.commitSlownessMs : 0);
    if (tx.isOver) throw failed('connection lost while committing', true);
    this.#database.commit(tx);
    await this.#trip(true);
  }

  #begin(options: TxOptions): Transaction {
    const tx = this.#database.begin(options);
    const end = (): void => tx.rollback();
    this.#pending.add(end);
    tx.onEnd(() => this.#pending.delete(end));
    return tx;
  }

  async #trip(isCommit = false, moreMs = 0): Promise<void> {
    const { process } = this;
    const database = this.#database;
    if (database.isCut(process)) {
      await process.delay(database.chance(0.5) ? 1 : GIVEN_UP_MS);
      throw failed('connection failed', isCommit);
    }
    await new Promise<void>((resolve, reject) => {
      const broken = (): void => process.run(() => reject(failed('connection lost', isCommit)));
      this.#pending.add(broken);
      process.scheduler.after(database.tripMs(moreMs), () => {
        if (this.#pending.delete(broken)) process.run(resolve);
      });
    });
  }
}

/** To whoever asked, there is but one null. */
function withoutJsonNull(row: Row): Row {
  if (!Object.values(row).includes(JSON_NULL)) return row;
  const entries = Object.entries(row).map(([name, value]) => [
    name,
    value === JSON_NULL ? null : value,
  ]);
  return Object.fromEntries(entries);
}

function failed(message: string, outcomeUnknown = false): DbError {
  return new DbError(message, { sqlState: null, outcomeUnknown });
}
