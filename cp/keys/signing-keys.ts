/**
 * Signing keys come and go by lists that the root key signs. The root key is nowhere near: a control
 * plane proposes a list, somebody signs it where the root key is kept, and the control plane takes it.
 * All control planes follow within a poll, publish anew, and sign with the newest key that is listed.
 *
 * Rotating: propose, sign and take a list with the new key beside the old one; later one without the old
 * one. After a theft: one with nothing but a new key and later epochs, which are above everything that
 * the thief can have signed.
 */
import { assert, must } from '#shared/base/assert.ts';
import { base64url, fromBase64url } from '#shared/base/bytes.ts';
import {
  type KeyList,
  keyListFields,
  keyListText,
  RECOVERIES_MAX,
  KEYS_COUNT_MAX,
  signingKeyId,
  signKeyList,
  verifyKeyList,
} from '#shared/config/key-list.ts';
import { parseJson } from '#shared/config/signed-text.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import type { Logger } from '#shared/platform/platform.ts';
import { parseRecord } from '#shared/schema/parse.ts';
import type { Db } from '../store/db.ts';
import { beginEpoch } from '../cluster/epochs.ts';
import { examine } from '../store/identity.ts';
import { START_LOCK } from '../store/migrate.ts';
import { type ClusterRow, keyListOf, lockCluster, readCluster, wrappedBy } from './cluster-keys.ts';
import { KeyringError } from './kek.ts';
import type { Keyring } from './keyring.ts';
import { rootKeyPair } from './root-key.ts';
import type { WrapperSource } from './wrapper-source.ts';

export interface SignedKeyList {
  readonly text: string;
  readonly signature: string;
}

export interface Proposal {
  /** Only the new key: all before it are dropped. Without: they stay, and work beside it. */
  readonly alone: boolean;
  /** Also later epochs: an earlier key was stolen, and what it signed must count no more. */
  readonly recover: boolean;
}

/** A manifest is dated by the database's clock, which may be behind ours. */
const CLOCK_SLACK_SECONDS = 24 * 60 * 60;
/** No group gets so far by publishing. */
const REVISION_SUSPECT = 2 ** 52;

/**
 * Makes a signing key, of no use before it is listed.
 *
 * @returns the text to be signed by the root key
 * @throws KeyringError
 */
export function proposeKeyList(
  db: Db,
  wrappers: WrapperSource,
  { alone, recover }: Proposal,
): Promise<string> {
  return db.tx(async (tx) => {
    await tx.query('SELECT pg_advisory_xact_lock($1::bigint)', [START_LOCK]);
    const cluster = must(await readCluster(tx), 'a cluster');
    const list = keyListOf(cluster);
    const key = await makeKey(tx, wrappers, cluster);
    const keys = alone || recover ? [key] : [key, ...list.keys].slice(0, KEYS_COUNT_MAX);
    const sequence = list.sequence + 1;
    const recoveries = recover ? (list.recoveries ?? 0) + 1 : list.recoveries;
    if ((recoveries ?? 0) > RECOVERIES_MAX) throw new KeyringError('recovered too often');
    return keyListText({ ...list, sequence, recoveries, keys });
  });
}

/** A list with the newest of the listed keys alone: the older ones have had their time. */
export async function proposeDropping(db: Db): Promise<string> {
  const cluster = must(await readCluster(db), 'a cluster');
  const list = keyListOf(cluster);
  const { rows } = await db.query<{ id: string }>(
    'SELECT id FROM signing_keys WHERE id = ANY($1::text[]) ORDER BY created_at DESC, id LIMIT 1',
    [list.keys.map(({ id }) => id)],
  );
  const keys = list.keys.filter(({ id }) => id === rows[0]?.id);
  assert(keys.length === 1, 'a signing key is listed');
  return keyListText({ ...list, sequence: list.sequence + 1, keys });
}

/**
 * Where the root key is; needs no database.
 *
 * @param seed  the root key's 32 bytes
 * @throws KeyringError  the text is no list of keys
 */
export async function signProposal(text: string, seed: Uint8Array): Promise<SignedKeyList> {
  const parsed = parseRecord(keyListFields, parseJson(text));
  if (!parsed.ok) throw new KeyringError('not a list of keys as `headgate keys new` writes it');
  return signKeyList(parsed.value, rootKeyPair(seed), nodeCrypto);
}

/**
 * Puts a list in force. What it does not list any more is deleted.
 *
 * @throws KeyringError  it is not signed by the root key, not of this cluster, not newer, or lists no
 * key that this cluster has
 */
export async function takeKeyList(db: Db, signed: SignedKeyList, logger: Logger): Promise<KeyList> {
  const list = await db.tx(async (tx) => {
    await tx.query('SELECT pg_advisory_xact_lock($1::bigint)', [START_LOCK]);
    await lockCluster(tx);
    const cluster = must(await readCluster(tx), 'a cluster');
    const next = await checked(tx, cluster, signed);
    await tx.query('UPDATE cluster SET key_list = $1, key_list_signature = $2', [
      signed.text,
      signed.signature,
    ]);
    const before = keyListOf(cluster);
    const listed = new Set(next.keys.map(({ id }) => id));
    const dropped = before.keys.map(({ id }) => id).filter((id) => !listed.has(id));
    await tx.query('DELETE FROM signing_keys WHERE id = ANY($1::text[])', [dropped]);
    if ((next.recoveries ?? 0) > (before.recoveries ?? 0)) await beginAnew(tx, next);
    return next;
  });
  logger.log('warn', 'list of signing keys replaced', {
    sequence: list.sequence,
    keys: list.keys.map(({ id }) => id).join(', '),
    recoveries: list.recoveries ?? 0,
  });
  return list;
}

/** Every group is published anew, in an epoch that is above whatever was signed before. */
async function beginAnew(tx: Db, { sequence }: KeyList): Promise<void> {
  const detail = `list of signing keys ${sequence}`;
  await beginEpoch(tx, { reason: 'recovered', detail }, await examine(tx));
  await tx.query('UPDATE groups SET revision = 0 WHERE revision >= $1', [REVISION_SUSPECT]);
}

async function checked(tx: Db, cluster: ClusterRow, signed: SignedKeyList): Promise<KeyList> {
  const root = must(fromBase64url(cluster.root_public_key), 'a root key');
  const list = await verifyKeyList(signed, root, nodeCrypto);
  if (list === null)
    throw new KeyringError('the list is not signed by the root key of this cluster');
  if (list.cluster !== cluster.id) throw new KeyringError('the list is of another cluster');
  const before = keyListOf(cluster);
  if (list.sequence <= before.sequence) {
    throw new KeyringError(`the list is number ${list.sequence}; ${before.sequence} is in force`);
  }
  if ((list.recoveries ?? 0) < (before.recoveries ?? 0)) {
    throw new KeyringError('the list is of before the last recovery');
  }
  const ids = list.keys.map(({ id }) => id);
  const { count } = await tx.query('SELECT 1 FROM signing_keys WHERE id = ANY($1::text[])', [ids]);
  if (count === 0) throw new KeyringError('the list has no key that this cluster can sign with');
  return list;
}

async function makeKey(
  tx: Db,
  wrappers: WrapperSource,
  cluster: ClusterRow,
): Promise<KeyList['keys'][number]> {
  const signing = await nodeCrypto.generateSigningKey();
  const id = signingKeyId(signing.publicKey, nodeCrypto);
  const notBefore = Math.floor(Date.now() / 1000) - CLOCK_SLACK_SECONDS;
  const publicKey = base64url(signing.publicKey);
  const wrapper = await wrappers.fitting(wrappedBy(cluster));
  await tx.query(
    `INSERT INTO signing_keys (id, public_key, private_key, not_before, created_at)
     VALUES ($1, $2, $3, $4, clock_timestamp())`,
    [
      id,
      publicKey,
      await wrapper.wrap(['signing_keys', 'private_key', id], signing.privateKey),
      notBefore,
    ],
  );
  return { id, public_key: publicKey, not_before: notBefore, not_after: null };
}

export interface SigningKeysOptions {
  readonly db: Db;
  readonly keyring: Pick<Keyring, 'wrappers' | 'keyList' | 'rootPublicKey' | 'follow'>;
  readonly logger: Logger;
}

/** The above, for a control plane that runs. */
export class SigningKeys {
  readonly #options: SigningKeysOptions;
  readonly #listeners = new Set<() => void>();

  constructor(options: SigningKeysOptions) {
    this.#options = options;
  }

  /** Calls `fn` after a list was taken here: everything must be published anew. */
  onTaken(fn: () => void): () => void {
    this.#listeners.add(fn);
    return () => this.#listeners.delete(fn);
  }

  /** The list in force. */
  async show(): Promise<SignedKeyList & { readonly rootPublicKey: string }> {
    const { db, keyring } = this.#options;
    await keyring.follow(db);
    return { ...keyring.keyList, rootPublicKey: keyring.rootPublicKey };
  }

  /** @param proposal  null: the newest key alone, and no other made @returns text to be signed */
  propose(proposal: Proposal | null): Promise<string> {
    const { db, keyring } = this.#options;
    return proposal === null ? proposeDropping(db) : proposeKeyList(db, keyring.wrappers, proposal);
  }

  /** @throws KeyringError */
  async take(signed: SignedKeyList): Promise<KeyList> {
    const { db, keyring, logger } = this.#options;
    const list = await takeKeyList(db, signed, logger);
    await keyring.follow(db);
    for (const listener of this.#listeners) listener();
    return list;
  }
}
