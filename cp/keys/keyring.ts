/**
 * The keys of a cluster, as a control plane holds them (decision 12). Made once, by whichever control
 * plane starts first on an empty database; stored wrapped by the key-encryption key; the same for all.
 *
 * - cluster secret: what groups' secrets are derived from
 * - data keys and peppers, in generations: what rows are encrypted and looked up by (`row-keys.ts`)
 * - signing key (Ed25519): signs manifests; vouched for by the root key in the key list
 * - root key (Ed25519): its public half is pinned by every data plane; its private half is a file to
 *   be exported, and not needed by a running control plane
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { base64url } from '#shared/base/bytes.ts';
import { must } from '#shared/base/assert.ts';
import { signingKeyId, signKeyList } from '#shared/config/key-list.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import type { Logger, RawKeyPair } from '#shared/platform/platform.ts';
import type { Db } from '../store/db.ts';
import { databaseIdentity } from '../store/identity.ts';
import { START_LOCK } from '../store/migrate.ts';
import { deriveKey } from './cipher.ts';
import {
  addRowKey,
  type ClusterRow,
  ClusterRowKeys,
  keyListOf,
  openClusterSecret,
  openSigningKey,
  readCluster,
  rewrap,
  wrappedBy,
} from './cluster-keys.ts';
import {
  KEY_BYTES,
  KeyringError,
  type KeySettings,
  keysFolder,
  readKeyFile,
  writeKeyFile,
} from './kek.ts';
import type { KeyWrapper } from './key-wrapper.ts';
import { rootKeyPair } from './root-key.ts';
import type { RowKeySource } from './row-keys.ts';
import { WrapperSource } from './wrapper-source.ts';

export interface Keyring {
  readonly clusterId: string;
  /** Base64url; what data planes pin. */
  readonly rootPublicKey: string;
  /** Which signing keys the root vouches for: canonical text, and its signature in base64url. */
  readonly keyList: { readonly text: string; readonly signature: string };
  readonly signingKeyId: string;
  /** Ed25519 over exactly these bytes, with the current signing key. */
  sign(data: Uint8Array): Promise<Uint8Array>;
  /** Takes up the list of keys that stands in the database, and the signing key that is now in force. */
  follow(tx: Db): Promise<void>;
  /** 32 bytes, for sealing to the nodes of a group. */
  groupSecret(groupId: string, generation: number): Uint8Array;
  /** For what the database keeps; used through `sealing` and `opening` (`fresh-keys.ts`). */
  readonly rows: RowKeySource;
  /** What wraps the keys in the database. */
  readonly wrappers: WrapperSource;
}

/** A manifest is dated by the database's clock, which may be behind ours. */
const CLOCK_SLACK_SECONDS = 24 * 60 * 60;

/**
 * Reads the cluster's keys, or makes them when the database has none. The database must be migrated.
 *
 * @throws KeyringError  the key-encryption key is missing or another one
 */
export function loadKeyring(db: Db, settings: KeySettings, logger: Logger): Promise<Keyring> {
  return db.tx(async (tx) => {
    // Two control planes that start at once on an empty database must not both make a cluster.
    await tx.query('SELECT pg_advisory_xact_lock($1::bigint)', [START_LOCK]);
    const found = await readCluster(tx);
    const wrappers = await WrapperSource.load(settings, found === null);
    if (found !== null && settings.rootKeyFile !== undefined) {
      throw new KeyringError('there is a cluster in this database already');
    }
    if (found === null) await makeCluster(tx, wrappers.current, settings, logger);
    await rewrapKeys(tx, wrappers, logger);
    const cluster = must(await readCluster(tx), 'a cluster');
    return openKeyring(tx, cluster, wrappers);
  });
}

/**
 * Sees to it that the cluster's keys are wrapped by the key-encryption key of the settings, given that
 * they are by that one or by the previous one. Control planes that run with the previous one go on:
 * they hold the keys opened. The caller holds `START_LOCK`.
 *
 * @returns whether anything had to be done
 * @throws KeyringError
 */
export async function rewrapKeys(
  tx: Db,
  wrappers: WrapperSource,
  logger: Logger,
): Promise<boolean> {
  const cluster = must(await readCluster(tx), 'a cluster');
  const by = await wrappers.fitting(wrappedBy(cluster));
  const { current } = wrappers;
  if (by === current) return false;
  await rewrap(tx, cluster, by, current);
  logger.log('info', 'key-encryption key changed', { cluster: cluster.id });
  return true;
}

async function openKeyring(tx: Db, cluster: ClusterRow, wrappers: WrapperSource): Promise<Keyring> {
  const wrapper = wrappers.current;
  const clusterSecret = await openClusterSecret(cluster, wrapper);
  await adoptFirstGeneration(tx, cluster, wrapper, clusterSecret);
  const rows = new ClusterRowKeys(cluster.id, wrappers);
  await rows.refresh(tx);
  const signing = await openSigningKey(tx, wrappers, cluster);
  return new ClusterKeyring(cluster, { clusterSecret, signing, rows, wrappers });
}

/**
 * A cluster that is older than generations of keys: what it used is the first. Its data key is derived
 * from the cluster secret, and can be again when it is rotated away; newer ones are random.
 */
async function adoptFirstGeneration(
  tx: Db,
  cluster: ClusterRow,
  wrapper: KeyWrapper,
  clusterSecret: Uint8Array,
): Promise<void> {
  const { count } = await tx.query('SELECT 1 FROM cluster_keys LIMIT 1');
  if (count > 0) return;
  const pepper = must(cluster.index_pepper, 'a cluster without generations has a pepper');
  const place = ['cluster', 'index_pepper', cluster.id] as const;
  const key = await wrapper.unwrap(place, pepper);
  const data = deriveKey(clusterSecret, cluster.id, 'headgate-data-v1');
  await addRowKey(tx, wrapper, { kind: 'data', generation: 1, key: data });
  await addRowKey(tx, wrapper, { kind: 'pepper', generation: 1, key });
}

async function makeCluster(
  tx: Db,
  wrapper: KeyWrapper,
  settings: KeySettings,
  logger: Logger,
): Promise<void> {
  const id = randomUUID();
  const root = await loadRootKey(settings, logger);
  const signing = await nodeCrypto.generateSigningKey();
  const signingId = signingKeyId(signing.publicKey, nodeCrypto);
  const notBefore = Math.floor(Date.now() / 1000) - CLOCK_SLACK_SECONDS;
  const publicKey = base64url(signing.publicKey);
  const key = { id: signingId, public_key: publicKey, not_before: notBefore, not_after: null };
  const keyList = { format: 1, cluster: id, sequence: 1, keys: [key] } as const;
  const list = await signKeyList(keyList, root, nodeCrypto);
  const secret = new Uint8Array(randomBytes(KEY_BYTES));
  await tx.query(
    `INSERT INTO cluster (id, database_identity, kek_check, cluster_secret,
      root_public_key, key_list, key_list_signature) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
    [
      id,
      await databaseIdentity(tx),
      await wrapper.fingerprint(id),
      await wrapper.wrap(['cluster', 'secret', id], secret),
      base64url(root.publicKey),
      list.text,
      list.signature,
    ],
  );
  await tx.query(
    'INSERT INTO signing_keys (id, public_key, private_key, not_before) VALUES ($1, $2, $3, $4)',
    [
      signingId,
      publicKey,
      await wrapper.wrap(['signing_keys', 'private_key', signingId], signing.privateKey),
      notBefore,
    ],
  );
  await addRowKey(tx, wrapper, { kind: 'data', generation: 1, key: null });
  await addRowKey(tx, wrapper, { kind: 'pepper', generation: 1, key: null });
  logger.log('info', 'cluster created', { cluster: id });
}

/** The file of an earlier start or of another folder is used; else one is made. */
async function loadRootKey(settings: KeySettings, logger: Logger): Promise<RawKeyPair> {
  const { rootKeyFile } = settings;
  if (rootKeyFile !== undefined) {
    const given = await readKeyFile(rootKeyFile);
    if (given === null) throw new KeyringError(`${rootKeyFile}: there is no such file`);
    return rootKeyPair(given);
  }
  const path = join(keysFolder(settings), 'root.key');
  const stored = await readKeyFile(path);
  if (stored !== null) return rootKeyPair(stored);
  const made = await nodeCrypto.generateSigningKey();
  await writeKeyFile(settings, 'root.key', made.privateKey);
  logger.log('warn', 'root key made: move the file to a safe place; only rotating keys needs it', {
    path,
  });
  return made;
}

interface OpenKeys {
  readonly clusterSecret: Uint8Array;
  readonly signing: { readonly id: string; readonly key: Uint8Array };
  readonly rows: RowKeySource;
  readonly wrappers: WrapperSource;
}

class ClusterKeyring implements Keyring {
  readonly clusterId: string;
  readonly rootPublicKey: string;
  readonly rows: RowKeySource;
  readonly wrappers: WrapperSource;
  #cluster: ClusterRow;
  #signing: OpenKeys['signing'];
  readonly #clusterSecret: Uint8Array;

  constructor(cluster: ClusterRow, keys: OpenKeys) {
    this.clusterId = cluster.id;
    this.rootPublicKey = cluster.root_public_key;
    this.#cluster = cluster;
    this.#signing = keys.signing;
    this.rows = keys.rows;
    this.wrappers = keys.wrappers;
    this.#clusterSecret = keys.clusterSecret;
  }

  get keyList(): { readonly text: string; readonly signature: string } {
    return { text: this.#cluster.key_list, signature: this.#cluster.key_list_signature };
  }

  get signingKeyId(): string {
    return this.#signing.id;
  }

  async sign(data: Uint8Array): Promise<Uint8Array> {
    return new Uint8Array(await nodeCrypto.sign(this.#signing.key, data));
  }

  async follow(tx: Db): Promise<void> {
    const cluster = must(await readCluster(tx), 'a cluster');
    if (cluster.key_list_signature === this.#cluster.key_list_signature) return;
    // A long transaction may see an older list than the one that is known.
    if (keyListOf(cluster).sequence < keyListOf(this.#cluster).sequence) return;
    this.#signing = await openSigningKey(tx, this.wrappers, cluster);
    this.#cluster = cluster;
  }

  groupSecret(groupId: string, generation: number): Uint8Array {
    return deriveKey(this.#clusterSecret, groupId, `headgate-group-v1\n${generation}`);
  }
}
