/**
 * The keys of what the database keeps, by generation: data keys (ciphertexts) and peppers (blind
 * indexes). What is written uses the newest; what is read may be of any that is still alive.
 */
import { createHmac } from 'node:crypto';
import { must } from '#shared/base/assert.ts';
import { concat } from '#shared/base/bytes.ts';
import type { Db } from '../store/db.ts';
import { generationBytes, generationOf, openText, sealText } from './cipher.ts';

export const KEY_KINDS = ['data', 'pepper'] as const;
export type KeyKind = (typeof KEY_KINDS)[number];

/** The keys held are not those in force: they must be read again, and the work done again. */
export class StaleKeysError extends Error {
  override readonly name = 'StaleKeysError';
  constructor() {
    super('the keys have changed');
  }
}

/** The newest generation of each kind. */
export type Generations = Readonly<Record<KeyKind, number>>;

export interface RowKeys {
  /** Grows with every change of the keys. */
  readonly revision: number;
  readonly newest: Generations;
  encrypt(table: string, field: string, id: string, value: string): Uint8Array;
  /**
   * @throws CipherError
   * @throws StaleKeysError when it is of a generation that is not among these
   */
  decrypt(table: string, field: string, id: string, sealed: Uint8Array): string;
  /** What equal values of one field share, and nothing else tells. */
  blindIndex(table: string, field: string, value: string): Uint8Array;
  /** That of every generation alive, the newest first: what may stand in a row. */
  blindIndexes(table: string, field: string, value: string): Uint8Array[];
}

/** Where a control plane has its row keys from. */
export interface RowKeySource {
  current(): RowKeys;
  /**
   * Reads them again.
   *
   * @param db  what the rows are read over: keys and rows must be of one moment
   * @throws KeyringError when they are wrapped by a key-encryption key that this process has not
   * @throws DbError
   */
  refresh(db: Db): Promise<RowKeys>;
}

/** For a transaction that writes: it ends with the keys it began with, or not at all. */
export function fixedKeys(keys: RowKeys): RowKeySource {
  return { current: () => keys, refresh: () => Promise.reject(new StaleKeysError()) };
}

/** One generation of one kind, opened. */
export interface OpenKey {
  readonly kind: KeyKind;
  readonly generation: number;
  readonly key: Uint8Array;
}

export class KeySet implements RowKeys {
  readonly revision: number;
  readonly newest: Generations;
  readonly #data = new Map<number, Uint8Array>();
  /** Newest first. */
  readonly #peppers: readonly OpenKey[];

  constructor(revision: number, newest: Generations, keys: readonly OpenKey[]) {
    this.revision = revision;
    this.newest = newest;
    for (const { kind, generation, key } of keys) {
      if (kind === 'data') this.#data.set(generation, key);
    }
    this.#peppers = keys
      .filter(({ kind }) => kind === 'pepper')
      .toSorted((a, b) => b.generation - a.generation);
    must(this.#data.get(newest.data), 'the newest data key');
    must(this.#peppers[0], 'a pepper');
  }

  encrypt(table: string, field: string, id: string, value: string): Uint8Array {
    const generation = this.newest.data;
    const key = must(this.#data.get(generation), 'the newest data key');
    return sealText(key, [table, field, id], generation, value);
  }

  decrypt(table: string, field: string, id: string, sealed: Uint8Array): string {
    const key = this.#data.get(generationOf([table, field, id], sealed));
    if (key === undefined) throw new StaleKeysError();
    return openText(key, [table, field, id], sealed);
  }

  blindIndex(table: string, field: string, value: string): Uint8Array {
    return indexBy(must(this.#peppers[0], 'a pepper'), table, field, value);
  }

  blindIndexes(table: string, field: string, value: string): Uint8Array[] {
    return this.#peppers.map((pepper) => indexBy(pepper, table, field, value));
  }
}

/** The first generation's is the bare digest; every other begins with its generation. */
function indexBy(
  { generation, key }: OpenKey,
  table: string,
  field: string,
  value: string,
): Uint8Array {
  const digest = createHmac('sha256', key).update(`${table}\n${field}\n${value}`).digest();
  return generation === 1 ? new Uint8Array(digest) : concat(generationBytes(generation), digest);
}
