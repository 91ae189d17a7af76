/**
 * PGlite: Postgres compiled to WebAssembly, in this process. For development: one connection, one
 * process. Two processes on one folder would diverge without a word, hence the lock.
 */
import { dirname } from 'node:path';
import { PGlite } from '@electric-sql/pglite';
import type { Logger } from '#shared/platform/platform.ts';
import { acquireLock, ensurePrivateDir } from '#shared/platform/node/files.ts';
import { type Db, type Param, type Result, type Row, type TxOptions, toDbError } from '../db.ts';
import { assertOutsideTx, runBody } from './session.ts';

const INT8 = 20;

/** As much of PGlite as both its database and its transactions have. */
interface Runs {
  query<R>(
    text: string,
    params?: unknown[],
  ): Promise<{ rows: R[]; affectedRows?: number; rowCount?: number }>;
}

/**
 * Opens (or makes) the database in `folder`; null keeps it in memory.
 *
 * @throws Error naming the process that has the folder open
 */
export async function openPglite(folder: string | null, logger: Logger): Promise<Db> {
  if (folder === null) return new PgliteDb(await create({}), () => {});
  await ensurePrivateDir(dirname(folder));
  const lock = acquireLock(`${folder}.lock`);
  try {
    const started = performance.now();
    const pglite = await create({ dataDir: folder });
    logger.log('warn', 'embedded database: for development, one process only', {
      folder,
      start_ms: Math.round(performance.now() - started),
    });
    return new PgliteDb(pglite, () => lock.release());
  } catch (error) {
    lock.release();
    throw error;
  }
}

function create(where: { dataDir?: string }): Promise<PGlite> {
  return PGlite.create({ ...where, parsers: { [INT8]: Number } });
}

class PgliteDb implements Db {
  readonly driver = 'pglite';
  readonly canListen = true;
  readonly #pglite: PGlite;
  readonly #release: () => void;

  constructor(pglite: PGlite, release: () => void) {
    this.#pglite = pglite;
    this.#release = release;
  }

  async query<R = Row>(text: string, params: readonly Param[] = []): Promise<Result<R>> {
    assertOutsideTx(this);
    return run<R>(this.#pglite, text, params);
  }

  async tx<T>(fn: (db: Db) => Promise<T>, options: TxOptions = {}): Promise<T> {
    assertOutsideTx(this);
    let isOfBody = false;
    try {
      return await this.#pglite.transaction(async (tx) => {
        const isolation = options.isolation ?? 'read committed';
        await tx.query(`SET TRANSACTION ISOLATION LEVEL ${isolation}`);
        try {
          return await runBody(this, (text, params) => run(tx, text, params), fn);
        } catch (error) {
          isOfBody = true;
          throw error;
        }
      });
    } catch (error) {
      // What the body throws comes out as it is; the rest is a database that is closed or broken.
      throw isOfBody ? error : toDbError(error);
    }
  }

  async listen(channel: string, fn: (payload: string) => void): Promise<() => Promise<void>> {
    const stop = await this.#pglite.listen(channel, fn);
    return async () => {
      if (!this.#pglite.closed) await stop();
    };
  }

  async notify(channel: string, payload: string): Promise<void> {
    await this.query('SELECT pg_notify($1, $2)', [channel, payload]);
  }

  async close(): Promise<void> {
    if (this.#pglite.closed) return;
    await this.#pglite.close();
    this.#release();
  }
}

async function run<R>(on: Runs, text: string, params: readonly Param[]): Promise<Result<R>> {
  try {
    const result = await on.query<R>(text, [...params]);
    return { rows: result.rows, count: result.rowCount ?? result.affectedRows ?? 0 };
  } catch (error) {
    throw toDbError(error);
  }
}
