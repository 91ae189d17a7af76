/**
 * Work with the row keys in force. Whoever encrypts goes through `sealing`, whoever decrypts through
 * `opening`: so every control plane notices by itself that another one has rotated the keys.
 */
import type { Db } from '../store/db.ts';
import { retrying } from '../store/retry.ts';
import { type Generations, type RowKeys, type RowKeySource, StaleKeysError } from './row-keys.ts';

/** How often work is done with fresh keys: rotations follow each other more slowly than that. */
export const FRESH_ATTEMPTS_MAX = 4;

/**
 * Reads, with keys that fit what is read.
 *
 * @param read  may run again; throws StaleKeysError when it meets what the keys do not know
 */
export async function opening<T>(
  db: Db,
  source: RowKeySource,
  read: (keys: RowKeys) => T | Promise<T>,
): Promise<T> {
  let keys = source.current();
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await read(keys);
    } catch (error) {
      if (!(error instanceof StaleKeysError) || attempt === FRESH_ATTEMPTS_MAX) throw error;
      keys = await source.refresh(db);
    }
  }
}

/**
 * One transaction that encrypts: what it commits is of the newest generation at the time of its
 * commit.
 *
 * @param work  may run again, and has no effect but on its `tx`
 */
export function sealing<T>(
  db: Db,
  source: RowKeySource,
  work: (tx: Db, keys: RowKeys) => Promise<T>,
): Promise<T> {
  const attempt = (keys: RowKeys) =>
    db.tx(async (tx) => {
      const value = await work(tx, keys);
      const { rows } = await tx.query<GenerationRow>(
        `SELECT ${GENERATION_COLUMNS} FROM cluster FOR SHARE`,
      );
      assertInForce(keys, rows[0]);
      return value;
    });
  return opening(db, source, (keys) => retrying(() => attempt(keys)));
}

export const GENERATION_COLUMNS = 'data_generation, pepper_generation';

export interface GenerationRow {
  readonly data_generation: number;
  readonly pepper_generation: number;
}

/**
 * @param row  read `FOR SHARE`: a rotation waits for whoever holds that, and who comes after it sees it
 * @throws StaleKeysError
 */
export function assertInForce(
  { newest }: { readonly newest: Generations },
  row: GenerationRow | undefined,
): void {
  if (row?.data_generation === newest.data && row.pepper_generation === newest.pepper) return;
  throw new StaleKeysError();
}
