/**
 * The store: the only writer of entities. A write is one transaction that holds the rows, a change
 * row for each, and, by its last statement, the next version of the workspace (decisions 1 and 11).
 */
import { randomUUID } from 'node:crypto';
import { must } from '#shared/base/assert.ts';
import type { Logger } from '#shared/platform/platform.ts';
import type { EntityDefinition, JsonObject } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import type { Registry } from '#shared/schema/plugin-definition.ts';
import { opening } from '../keys/fresh-keys.ts';
import type { RowKeys, RowKeySource } from '../keys/row-keys.ts';
import type { Db } from './db.ts';
import {
  EntityReader,
  type ListQuery,
  type Page,
  type Plans,
  type Reader,
} from './entity-reader.ts';
import { EntityTx, type WriteTx } from './entity-store.ts';
import { StoreError, toStoreError } from './errors.ts';
import { History } from './history.ts';
import { type Actor, CHANGES_CHANNEL, PendingChanges } from './pending-changes.ts';
import { retrying } from './retry.ts';
import { plansOf } from './sql.ts';

export type { ListQuery, Page, Reader } from './entity-reader.ts';
export type { WriteTx } from './entity-store.ts';
export { StoreError, type StoreFailure } from './errors.ts';
export type {
  AtVersion,
  ChangeCursor,
  ChangeEntry,
  Difference,
  History,
  VersionEntry,
} from './history.ts';
export type { Actor } from './pending-changes.ts';

/** Expired rows removed in one transaction. */
export const SWEEP_SIZE_MAX = 1_000;
/** Such transactions per workspace and kind in one sweep; the rest waits for the next. */
const SWEEP_ROUNDS_MAX = 100;

export interface Written<T> {
  readonly value: T;
  /** Of the workspace: the new one, or the current one when nothing was changed. */
  readonly version: number;
  /** Of all workspaces that were changed, the new ones; of none when nothing was. */
  readonly versions: ReadonlyMap<string, number>;
}

/**
 * Last in the transaction, when the version is taken: rows of no entity that tell of the write and
 * stand or fall with it. Brief: the workspace's other writers wait for it.
 */
export type Settle<T> = (db: Db, written: Written<T>) => Promise<void>;

export interface Store extends Reader {
  readonly db: Db;
  /**
   * One transaction. `work` and `settle` may run more than once (serialization failures, deadlocks),
   * so they must have no effect but on what they are given. What they throw rolls back and comes out
   * as it is.
   *
   * @throws StoreError
   */
  write<T>(
    ws: string,
    actor: Actor,
    work: (tx: WriteTx) => Promise<T>,
    settle?: Settle<T>,
  ): Promise<Written<T>>;
  /** Calls `fn` after commits of this process and of others; several may become one. A hint. */
  onCommit(fn: () => void): () => void;
  /** Id of the workspace `default`. */
  defaultWorkspace(): string;
  /** Reads over a transaction of the caller's (`db.tx`, repeatable read), without locks. */
  reader(db: Db): Reader;
  /** The change log read back: over the pool, or inside a transaction of the caller's. */
  history(db?: Db): History;
  /** Removes what has expired, each with a change. @returns how many */
  sweepExpired(): Promise<number>;
  close(): Promise<void>;
}

export interface StoreOptions {
  /** Migrated. The store closes it. */
  readonly db: Db;
  readonly keys: RowKeySource;
  /** All definitions, in foreign-key order, and the plugins' shapes. */
  readonly registry: Registry;
  readonly logger: Logger;
  readonly defaultWorkspace: string;
}

const SWEEPER: Actor = { name: 'expiry', source: null };

export async function createStore(options: StoreOptions): Promise<Store> {
  const store = new PostgresStore(options);
  await store.start();
  return store;
}

class PostgresStore implements Store {
  readonly db: Db;
  readonly #keys: RowKeySource;
  readonly #registry: Registry;
  readonly #plans: Plans;
  readonly #logger: Logger;
  readonly #defaultWorkspace: string;
  readonly #reader: Reader;
  readonly #listeners = new Set<() => void>();
  /** Names this process in notifications, so that it is not woken twice by its own. */
  readonly #waker = randomUUID();
  #stopListening: () => Promise<void> = async () => {};

  constructor(options: StoreOptions) {
    this.db = options.db;
    this.#keys = options.keys;
    this.#registry = options.registry;
    this.#logger = options.logger;
    this.#defaultWorkspace = options.defaultWorkspace;
    this.#plans = plansOf(options.registry.entities);
    this.#reader = this.reader(options.db);
  }

  async start(): Promise<void> {
    this.#stopListening = await this.db.listen(CHANGES_CHANNEL, (payload) => {
      if (payload !== this.#waker) this.#wake();
    });
  }

  defaultWorkspace(): string {
    return this.#defaultWorkspace;
  }

  reader(db: Db): Reader {
    return new EntityReader({ db, plans: this.#plans, keys: this.#keys, forUpdate: false });
  }

  history(db: Db = this.db): History {
    return new History({ db, plans: this.#plans, keys: this.#keys });
  }

  get(definition: EntityDefinition, ws: string, id: string): Promise<AnyEntity | null> {
    return this.#reader.get(definition, ws, id);
  }

  getBy(
    definition: EntityDefinition,
    ws: string,
    field: string,
    value: string,
  ): Promise<AnyEntity | null> {
    return this.#reader.getBy(definition, ws, field, value);
  }

  getMany(
    definition: EntityDefinition,
    ws: string,
    ids: readonly string[],
  ): Promise<Map<string, AnyEntity>> {
    return this.#reader.getMany(definition, ws, ids);
  }

  getManyBy(
    definition: EntityDefinition,
    ws: string,
    field: string,
    values: readonly string[],
  ): Promise<Map<string, AnyEntity>> {
    return this.#reader.getManyBy(definition, ws, field, values);
  }

  list(definition: EntityDefinition, ws: string, query: ListQuery): Promise<Page> {
    return this.#reader.list(definition, ws, query);
  }

  getByKey(definition: EntityDefinition, ws: string, key: JsonObject): Promise<AnyEntity | null> {
    return this.#reader.getByKey(definition, ws, key);
  }

  findHolder(
    definition: EntityDefinition,
    path: readonly string[],
    member: string,
  ): Promise<string | null> {
    return this.#reader.findHolder(definition, path, member);
  }

  async write<T>(
    ws: string,
    actor: Actor,
    work: (tx: WriteTx) => Promise<T>,
    settle?: Settle<T>,
  ): Promise<Written<T>> {
    return this.#write(ws, actor, work, settle);
  }

  async sweepExpired(): Promise<number> {
    let removed = 0;
    for (const plan of this.#plans.values()) {
      if (!plan.hasExpiry) continue;
      const { rows } = await this.db.query<{ ws_id: string }>(
        `SELECT DISTINCT ws_id FROM "${plan.table}" WHERE expires_at <= now()`,
      );
      for (const { ws_id: ws } of rows) {
        removed += await this.#sweep(plan.definition, ws);
      }
    }
    return removed;
  }

  onCommit(fn: () => void): () => void {
    this.#listeners.add(fn);
    return () => this.#listeners.delete(fn);
  }

  async close(): Promise<void> {
    this.#listeners.clear();
    await this.#stopListening();
    await this.db.close();
  }

  async #sweep(definition: EntityDefinition, ws: string): Promise<number> {
    let removed = 0;
    for (let round = 0; round < SWEEP_ROUNDS_MAX; round += 1) {
      const { value } = await this.#write(ws, SWEEPER, (tx) =>
        tx.removeExpired(definition, ws, SWEEP_SIZE_MAX),
      );
      removed += value;
      if (value < SWEEP_SIZE_MAX) break;
    }
    return removed;
  }

  async #write<T>(
    ws: string,
    actor: Actor,
    work: (tx: EntityTx) => Promise<T>,
    settle?: Settle<T>,
  ): Promise<Written<T>> {
    try {
      const { isChange, ...written } = await opening(this.db, this.#keys, (keys) =>
        retrying(() => this.#attempt(ws, actor, keys, work, settle)),
      );
      if (isChange) {
        actor.request?.recorded();
        this.#wake();
      }
      return written;
    } catch (error) {
      const failure = toStoreError(error);
      // It may have happened, so whoever follows the changes had better look.
      if (failure instanceof StoreError && failure.failure.code === 'outcome_unknown') this.#wake();
      throw failure;
    }
  }

  #attempt<T>(
    ws: string,
    actor: Actor,
    keys: RowKeys,
    work: (tx: EntityTx) => Promise<T>,
    settle?: Settle<T>,
  ): Promise<Written<T> & { isChange: boolean }> {
    return this.db.tx(async (db) => {
      const changes = new PendingChanges();
      const parts = { plans: this.#plans, keys, registry: this.#registry };
      const value = await work(new EntityTx({ db, ...parts, changes }));
      const versions =
        changes.count === 0 ? null : await changes.commit(db, actor, this.#waker, keys);
      const version = versions?.get(ws) ?? (await currentVersion(db, ws));
      const written = { value, version, versions: versions ?? new Map<string, number>() };
      await settle?.(db, written);
      return { ...written, isChange: versions !== null };
    });
  }

  #wake(): void {
    for (const listener of this.#listeners) {
      try {
        listener();
      } catch (error) {
        // The commit has happened: a listener's failure must not look like the write's.
        this.#logger.log('error', 'commit listener failed', { error: String(error) });
      }
    }
  }
}

async function currentVersion(db: Db, ws: string): Promise<number> {
  const { rows } = await db.query<{ version: number }>(
    'SELECT version FROM workspace_versions WHERE ws_id = $1',
    [ws],
  );
  return must(rows[0], `no workspace ${ws}`).version;
}
