/** The tables `cluster`, `signing_keys` and `cluster_keys`: reading, opening and wrapping what they hold. */
import { randomBytes, randomUUID } from 'node:crypto';
import { must } from '#shared/base/assert.ts';
import { keyListFields, type KeyList } from '#shared/config/key-list.ts';
import { parseRecord } from '#shared/schema/parse.ts';
import type { Db } from '../store/db.ts';
import { KEY_BYTES } from './kek.ts';
import type { KeyWrapper } from './key-wrapper.ts';
import { type KeyKind, KeySet, type OpenKey, type RowKeys, type RowKeySource } from './row-keys.ts';
import type { WrappedBy, WrapperSource } from './wrapper-source.ts';

export interface ClusterRow {
  readonly id: string;
  readonly database_identity: string;
  readonly kek_check: Uint8Array;
  readonly cluster_secret: Uint8Array;
  /** The pepper of generation 1 of clusters older than generations, while it is alive. */
  readonly index_pepper: Uint8Array | null;
  readonly root_public_key: string;
  readonly key_list: string;
  readonly key_list_signature: string;
}

interface SigningKeyRow {
  readonly id: string;
  readonly private_key: Uint8Array;
}

interface RowKeyRow {
  readonly revision: number;
  readonly kek_check: Uint8Array;
  readonly data_generation: number;
  readonly pepper_generation: number;
  readonly id: string;
  readonly kind: KeyKind;
  readonly generation: number;
  readonly wrapped: Uint8Array;
}

export async function readCluster(tx: Db): Promise<ClusterRow | null> {
  const { rows } = await tx.query<ClusterRow>('SELECT * FROM cluster');
  return rows[0] ?? null;
}

/**
 * Waits for all who are committing, and lets nobody else begin to, until the transaction ends. Writers
 * share the row, and could go on sharing it for ever; the queue of a table's lock is fair.
 */
export async function lockCluster(tx: Db): Promise<void> {
  await tx.query('LOCK TABLE cluster IN EXCLUSIVE MODE');
}

export function wrappedBy(cluster: Pick<ClusterRow, 'id' | 'kek_check'>): WrappedBy {
  return { clusterId: cluster.id, fingerprint: cluster.kek_check };
}

export async function openClusterSecret(
  cluster: ClusterRow,
  wrapper: KeyWrapper,
): Promise<Uint8Array> {
  return wrapper.unwrap(['cluster', 'secret', cluster.id], cluster.cluster_secret);
}

/** The newest of the listed keys: what a node does not find in the list it does not believe. */
export async function openSigningKey(
  tx: Db,
  wrappers: WrapperSource,
  cluster: ClusterRow,
): Promise<{ readonly id: string; readonly key: Uint8Array }> {
  const { keys } = keyListOf(cluster);
  const { rows } = await tx.query<SigningKeyRow>(
    `SELECT id, private_key FROM signing_keys WHERE id = ANY($1::text[])
     ORDER BY created_at DESC, id LIMIT 1`,
    [keys.map(({ id }) => id)],
  );
  const { id, private_key: wrapped } = must(rows[0], 'a cluster has a signing key');
  const wrapper = await wrappers.fitting(wrappedBy(cluster));
  return { id, key: await wrapper.unwrap(['signing_keys', 'private_key', id], wrapped) };
}

/** What stands in the database was verified when it was put there. */
export function keyListOf({ key_list: text }: Pick<ClusterRow, 'key_list'>): KeyList {
  const parsed = parseRecord(keyListFields, JSON.parse(text));
  return must(parsed.ok ? parsed.value : null, 'a list of keys');
}

/** Adds a generation; which one is in force is for the caller to say. @param key  null: a new one */
export async function addRowKey(
  tx: Db,
  wrapper: KeyWrapper,
  { kind, generation, key }: Omit<OpenKey, 'key'> & { readonly key: Uint8Array | null },
): Promise<void> {
  const id = randomUUID();
  const bytes = key ?? new Uint8Array(randomBytes(KEY_BYTES));
  await tx.query(
    'INSERT INTO cluster_keys (id, kind, generation, wrapped) VALUES ($1, $2, $3, $4)',
    [id, kind, generation, await wrapper.wrap(['cluster_keys', kind, id], bytes)],
  );
}

/** Wraps everything by another key, and says so in the check value. */
export async function rewrap(
  tx: Db,
  cluster: ClusterRow,
  from: KeyWrapper,
  to: KeyWrapper,
): Promise<void> {
  await lockCluster(tx);
  const { id } = cluster;
  const again = async (place: readonly [string, string, string], wrapped: Uint8Array) =>
    to.wrap(place, await from.unwrap(place, wrapped));
  await tx.query(
    'UPDATE cluster SET kek_check = $1, cluster_secret = $2, index_pepper = $3 WHERE id = $4',
    [
      await to.fingerprint(id),
      await again(['cluster', 'secret', id], cluster.cluster_secret),
      cluster.index_pepper === null
        ? null
        : await again(['cluster', 'index_pepper', id], cluster.index_pepper),
      id,
    ],
  );
  const signing = await tx.query<SigningKeyRow>('SELECT id, private_key FROM signing_keys');
  for (const { id: key, private_key: wrapped } of signing.rows) {
    await tx.query('UPDATE signing_keys SET private_key = $2 WHERE id = $1', [
      key,
      await again(['signing_keys', 'private_key', key], wrapped),
    ]);
  }
  const keys = await tx.query<{ id: string; kind: string; wrapped: Uint8Array }>(
    'SELECT id, kind, wrapped FROM cluster_keys',
  );
  for (const { id: key, kind, wrapped } of keys.rows) {
    await tx.query('UPDATE cluster_keys SET wrapped = $2 WHERE id = $1', [
      key,
      await again(['cluster_keys', kind, key], wrapped),
    ]);
  }
}

/** The row keys as this process has opened them so far. */
export class ClusterRowKeys implements RowKeySource {
  readonly #clusterId: string;
  readonly #wrappers: WrapperSource;
  /** By the key's id: a key once opened needs no key-encryption key any more. */
  #opened: ReadonlyMap<string, OpenKey> = new Map();
  #current: KeySet | null = null;

  constructor(clusterId: string, wrappers: WrapperSource) {
    this.#clusterId = clusterId;
    this.#wrappers = wrappers;
  }

  current(): RowKeys {
    return must(this.#current, 'keys that were read once');
  }

  async refresh(db: Db): Promise<RowKeys> {
    // One statement, so that the keys and what is said of them are of one moment.
    const { rows } = await db.query<RowKeyRow>(
      `SELECT c.keys_revision AS revision, c.kek_check, c.data_generation, c.pepper_generation,
         k.id, k.kind, k.generation, k.wrapped FROM cluster c CROSS JOIN cluster_keys k`,
    );
    const { revision, data_generation: data, pepper_generation: pepper } = must(rows[0], 'keys');
    const opened = new Map<string, OpenKey>();
    for (const row of rows) opened.set(row.id, await this.#open(row));
    const keys = new KeySet(revision, { data, pepper }, [...opened.values()]);
    // A long transaction may see an older state than what is known already.
    if (this.#current === null || this.#current.revision <= revision) {
      this.#current = keys;
      this.#opened = opened;
    }
    return keys;
  }

  async #open({ id, kind, generation, wrapped, kek_check: check }: RowKeyRow): Promise<OpenKey> {
    const known = this.#opened.get(id);
    if (known !== undefined) return known;
    const wrapper = await this.#wrappers.fitting({
      clusterId: this.#clusterId,
      fingerprint: check,
    });
    return { kind, generation, key: await wrapper.unwrap(['cluster_keys', kind, id], wrapped) };
  }
}
