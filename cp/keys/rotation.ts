/**
 * Rotation of the keys while everything runs. A rotation adds a generation and puts it in force; from
 * its commit on nothing is written with the older one (`fresh-keys.ts`). What was is renewed in the
 * background, by every control plane, in small transactions that go on wherever a crash left them. When
 * nothing of the older generation is left, its key is deleted.
 */
import { must } from '#shared/base/assert.ts';
import { hex } from '#shared/base/bytes.ts';
import type { Logger } from '#shared/platform/platform.ts';
import type { EntityDefinition } from '#shared/schema/field.ts';
import type { Db } from '../store/db.ts';
import { toStoreError } from '../store/errors.ts';
import { START_LOCK } from '../store/migrate.ts';
import { plansOf } from '../store/sql.ts';
import { addRowKey, lockCluster, readCluster, wrappedBy } from './cluster-keys.ts';
import { sealing } from './fresh-keys.ts';
import { type Keyring, rewrapKeys } from './keyring.ts';
import { KEY_KINDS, type KeyKind } from './row-keys.ts';
import {
  remainingOf,
  renewChanges,
  renewRows,
  type RowCursor,
  type SealedTable,
  sealedTables,
} from './sealed-rows.ts';

export interface RotationRequest {
  readonly data?: boolean;
  readonly pepper?: boolean;
  /** Read the key-encryption key's settings again, and wrap by what they say now. */
  readonly kek?: boolean;
}

export interface KindStatus {
  /** The one in force, and since when (epoch milliseconds). */
  readonly generation: number;
  readonly sinceMs: number;
  /** Generations that are still needed to read. */
  readonly older: readonly number[];
  /** Rows that are still of an older generation. */
  readonly remaining: number;
}

export interface KeyStatus {
  readonly data: KindStatus;
  readonly pepper: KindStatus;
  /** Begin of the check value of the key-encryption key: another key, another id. */
  readonly kek: { readonly id: string };
}

/** Why keys are not rotated; nothing was changed. */
export class RotationError extends Error {
  override readonly name = 'RotationError';
  readonly code: 'busy' | 'unchanged';
  constructor(code: 'busy' | 'unchanged', message: string) {
    super(message);
    this.code = code;
  }
}

export interface RotationOptions {
  readonly db: Db;
  readonly keyring: Pick<Keyring, 'rows' | 'wrappers'>;
  /** All that are stored. */
  readonly entities: ReadonlyMap<string, EntityDefinition>;
  readonly logger: Logger;
}

const GENERATION_COLUMN = { data: 'data_generation', pepper: 'pepper_generation' } as const;

export class KeyRotation {
  readonly #options: RotationOptions;
  readonly #tables: readonly SealedTable[];
  #running: Promise<void> | null = null;
  #isClosed = false;

  constructor(options: RotationOptions) {
    this.#options = options;
    this.#tables = sealedTables(plansOf(options.entities).values());
  }

  /**
   * Puts new keys in force, and begins to renew what is of the older ones.
   *
   * @throws RotationError `busy` while the rotation before is not through, `unchanged` when there is
   * no other key-encryption key
   * @throws KeyringError, StoreError
   */
  async rotateKeys(request: RotationRequest): Promise<KeyStatus> {
    await this.putInForce(request);
    void this.sweep();
    return this.keyStatus();
  }

  /** The first half of it: new keys are in force, and nothing is renewed yet. */
  async putInForce(request: RotationRequest): Promise<void> {
    const { db, keyring, logger } = this.#options;
    const kinds = KEY_KINDS.filter((kind) => request[kind] === true);
    try {
      if (request.kek === true) await keyring.wrappers.reread();
      await db.tx(async (tx) => {
        // One rotation at a time, and none while a control plane starts or wraps keys again.
        await tx.query('SELECT pg_advisory_xact_lock($1::bigint)', [START_LOCK]);
        if (request.kek === true && !(await rewrapKeys(tx, keyring.wrappers, logger))) {
          const text =
            'the key-encryption key is the one in force: no other one is in the settings';
          throw new RotationError('unchanged', text);
        }
        for (const kind of kinds) await this.#add(tx, kind);
      });
      await keyring.rows.refresh(db);
    } catch (error) {
      throw toStoreError(error);
    }
    if (kinds.length > 0) logger.log('info', 'keys rotated', { kinds: kinds.join(', ') });
  }

  async keyStatus(): Promise<KeyStatus> {
    const { db, keyring } = this.#options;
    try {
      const keys = await keyring.rows.refresh(db);
      const remaining = await remainingOf(db, this.#tables, keys);
      const cluster = must(await readCluster(db), 'a cluster');
      const { rows } = await db.query<{ kind: KeyKind; generation: number; since: number }>(
        `SELECT kind, generation, floor(extract(epoch FROM created_at) * 1000)::bigint AS since
         FROM cluster_keys ORDER BY generation`,
      );
      const statusOf = (kind: KeyKind): KindStatus => {
        const generation = keys.newest[kind];
        const own = rows.filter((row) => row.kind === kind);
        const sinceMs = own.find((row) => row.generation === generation)?.since ?? 0;
        const older = own.map((row) => row.generation).filter((other) => other < generation);
        return { generation, sinceMs, older, remaining: remaining[kind] };
      };
      const kek = { id: hex(cluster.kek_check).slice(0, 8) };
      return { data: statusOf('data'), pepper: statusOf('pepper'), kek };
    } catch (error) {
      throw toStoreError(error);
    }
  }

  /** Renews all there is; resolves when that is done, or for now cannot be. One at a time. */
  sweep(): Promise<void> {
    this.#running ??= this.#sweep()
      .catch((error: unknown) => {
        // The next round tries again; until then the older keys are there.
        const text = error instanceof Error ? error.message : String(error);
        this.#options.logger.log('warn', 'rows were not brought to the newest keys', {
          error: text,
        });
      })
      .finally(() => {
        this.#running = null;
      });
    return this.#running;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#running;
  }

  async #add(tx: Db, kind: KeyKind): Promise<void> {
    const { wrappers } = this.#options.keyring;
    const { rows } = await tx.query<{ generation: number }>(
      'SELECT generation FROM cluster_keys WHERE kind = $1 ORDER BY generation DESC',
      [kind],
    );
    if (rows.length > 1) {
      const text = `the last rotation of the ${kind} key is not through yet`;
      throw new RotationError('busy', text);
    }
    const generation = must(rows[0], 'a generation').generation + 1;
    const cluster = must(await readCluster(tx), 'a cluster');
    const wrapper = await wrappers.fitting(wrappedBy(cluster));
    await tx.query('UPDATE cluster_keys SET retired_at = now() WHERE kind = $1', [kind]);
    await addRowKey(tx, wrapper, { kind, generation, key: null });
    await lockCluster(tx);
    await tx.query(
      `UPDATE cluster SET ${GENERATION_COLUMN[kind]} = $1, keys_revision = keys_revision + 1`,
      [generation],
    );
  }

  async #sweep(): Promise<void> {
    const { db, keyring } = this.#options;
    await keyring.rows.refresh(db);
    const older = await this.#older();
    if (older.length === 0) return;
    for (const table of this.#tables) await this.#renewTable(table);
    while (!this.#isClosed && (await this.#renew(renewChanges)) > 0);
    if (this.#isClosed) return;
    const keys = keyring.rows.current();
    const remaining = await remainingOf(db, this.#tables, keys);
    for (const kind of KEY_KINDS) {
      const done = older.filter((key) => key.kind === kind && key.generation < keys.newest[kind]);
      if (done.length === 0 || remaining[kind] > 0) continue;
      await this.#drop(
        kind,
        done.map(({ generation }) => generation),
      );
    }
  }

  async #renewTable(table: SealedTable): Promise<void> {
    let after: RowCursor = null;
    do {
      const from: RowCursor = after;
      after = await this.#renew((tx, keys) => renewRows(tx, table, keys, from));
    } while (after !== null && !this.#isClosed);
  }

  #renew<T>(work: Parameters<typeof sealing<T>>[2]): Promise<T> {
    return sealing(this.#options.db, this.#options.keyring.rows, work);
  }

  async #older(): Promise<{ kind: KeyKind; generation: number }[]> {
    const { newest } = this.#options.keyring.rows.current();
    const { rows } = await this.#options.db.query<{ kind: KeyKind; generation: number }>(
      'SELECT kind, generation FROM cluster_keys',
    );
    return rows.filter(({ kind, generation }) => generation < newest[kind]);
  }

  /** Exactly those that nothing was found of: what is older by now may have become so since. */
  async #drop(kind: KeyKind, generations: readonly number[]): Promise<void> {
    const { db, keyring, logger } = this.#options;
    const dropped = await db.tx(async (tx) => {
      const gone = await tx.query(
        'DELETE FROM cluster_keys WHERE kind = $1 AND generation = ANY($2::int[])',
        [kind, generations],
      );
      if (gone.count === 0) return false;
      const pepper = kind === 'pepper' ? ', index_pepper = NULL' : '';
      await tx.query(`UPDATE cluster SET keys_revision = keys_revision + 1${pepper}`);
      return true;
    });
    await keyring.rows.refresh(db);
    if (dropped)
      logger.log('info', 'older keys deleted', { kind, generations: [...generations].join(', ') });
  }
}
