/**
 * The keys of a cluster, as a control plane holds them (decision 12). Made once, by whichever control
 * plane starts first on an empty database; stored wrapped by the key-encryption key; the same for all.
 *
 * - cluster secret: what groups' secrets and the data key are derived from
 * - index pepper: blind indexes; never leaves the control plane
 * - signing key (Ed25519): signs manifests; vouched for by the root key in the key list
 * - root key (Ed25519): its public half is pinned by every data plane; its private half is a file to
 *   be exported, and not needed by a running control plane
 */
import {
  createHmac,
  createPrivateKey,
  createPublicKey,
  randomBytes,
  randomUUID,
} from 'node:crypto';
import { join } from 'node:path';
import { base64url, fromBase64url } from '#shared/base/bytes.ts';
import { must } from '#shared/base/assert.ts';
import { type KeyList, signingKeyId, signKeyList } from '#shared/config/key-list.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import type { Logger, RawKeyPair } from '#shared/platform/platform.ts';
import type { Db } from '../store/db.ts';
import { adoptDatabase, databaseIdentity } from '../store/identity.ts';
import { START_LOCK } from '../store/migrate.ts';
import { deriveKey, openBytes, openText, sealBytes, sealText } from './cipher.ts';
import {
  KEY_BYTES,
  KeyringError,
  type KeySettings,
  keysFolder,
  loadKek,
  readKeyFile,
  writeKeyFile,
} from './kek.ts';

export interface Keyring {
  readonly clusterId: string;
  /** Base64url; what data planes pin. */
  readonly rootPublicKey: string;
  /** Which signing keys the root vouches for: canonical text, and its signature in base64url. */
  readonly keyList: { readonly text: string; readonly signature: string };
  readonly signingKeyId: string;
  /** Ed25519 over exactly these bytes, with the current signing key. */
  sign(data: Uint8Array): Promise<Uint8Array>;
  /** 32 bytes, for sealing to the nodes of a group. */
  groupSecret(groupId: string, generation: number): Uint8Array;
  encrypt(table: string, field: string, id: string, value: string): Uint8Array;
  /** @throws CipherError */
  decrypt(table: string, field: string, id: string, sealed: Uint8Array): string;
  /** What equal values of one field share, and nothing else tells. */
  blindIndex(table: string, field: string, value: string): Uint8Array;
}

/** A manifest is dated by the database's clock, which may be behind ours. */
const CLOCK_SLACK_SECONDS = 24 * 60 * 60;

interface ClusterRow {
  readonly id: string;
  readonly database_identity: string;
  readonly kek_check: Uint8Array;
  readonly cluster_secret: Uint8Array;
  readonly index_pepper: Uint8Array;
  readonly root_public_key: string;
  readonly key_list: string;
  readonly key_list_signature: string;
}

interface SigningKeyRow {
  readonly id: string;
  readonly private_key: Uint8Array;
}

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
    const kek = await loadKek(settings, found === null);
    if (found === null) await makeCluster(tx, kek, settings, logger);
    const cluster = found ?? must(await readCluster(tx), 'the cluster just made');
    const keyring = await openKeyring(tx, cluster, kek);
    await adoptDatabase(tx, cluster.database_identity, logger);
    return keyring;
  });
}

async function readCluster(tx: Db): Promise<ClusterRow | null> {
  const { rows } = await tx.query<ClusterRow>('SELECT * FROM cluster');
  return rows[0] ?? null;
}

async function openKeyring(tx: Db, cluster: ClusterRow, kek: Uint8Array): Promise<Keyring> {
  if (!nodeCrypto.timingSafeEqual(checkValue(kek, cluster.id), cluster.kek_check)) {
    throw new KeyringError(
      'HEADGATE_KEK: not the key-encryption key that this database was made with',
    );
  }
  const { rows } = await tx.query<SigningKeyRow>(
    'SELECT id, private_key FROM signing_keys ORDER BY not_before DESC, id LIMIT 1',
  );
  const signing = must(rows[0], 'a cluster has a signing key');
  return new ClusterKeyring(cluster, {
    clusterSecret: openBytes(kek, ['cluster', 'secret', cluster.id], cluster.cluster_secret),
    indexPepper: openBytes(kek, ['cluster', 'index_pepper', cluster.id], cluster.index_pepper),
    signingKeyId: signing.id,
    signingKey: openBytes(kek, ['signing_keys', 'private_key', signing.id], signing.private_key),
  });
}

function checkValue(kek: Uint8Array, clusterId: string): Uint8Array {
  return new Uint8Array(nodeCrypto.hmac(kek, `headgate-kek-check-v1\n${clusterId}`));
}

async function makeCluster(
  tx: Db,
  kek: Uint8Array,
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
  const keyList: KeyList = { format: 1, cluster: id, sequence: 1, keys: [key] };
  const list = await signKeyList(keyList, root, nodeCrypto);
  const secret = new Uint8Array(randomBytes(KEY_BYTES));
  const pepper = new Uint8Array(randomBytes(KEY_BYTES));
  await tx.query(
    `INSERT INTO cluster (id, database_identity, kek_check, cluster_secret, index_pepper,
      root_public_key, key_list, key_list_signature) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
    [
      id,
      await databaseIdentity(tx),
      checkValue(kek, id),
      sealBytes(kek, ['cluster', 'secret', id], secret),
      sealBytes(kek, ['cluster', 'index_pepper', id], pepper),
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
      sealBytes(kek, ['signing_keys', 'private_key', signingId], signing.privateKey),
      notBefore,
    ],
  );
  logger.log('info', 'cluster created', { cluster: id });
}

/** The file of an earlier start or of another folder is used; else one is made. */
async function loadRootKey(settings: KeySettings, logger: Logger): Promise<RawKeyPair> {
  const path = join(keysFolder(settings), 'root.key');
  const stored = await readKeyFile(path);
  if (stored !== null) return { privateKey: stored, publicKey: publicKeyOf(stored) };
  const made = await nodeCrypto.generateSigningKey();
  await writeKeyFile(settings, 'root.key', made.privateKey);
  logger.log('warn', 'root key made: move the file to a safe place; only rotating keys needs it', {
    path,
  });
  return made;
}

/** PKCS#8 head of an Ed25519 seed. */
const PKCS8_ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex');

function publicKeyOf(seed: Uint8Array): Uint8Array {
  const key = createPrivateKey({
    key: Buffer.concat([PKCS8_ED25519, seed]),
    format: 'der',
    type: 'pkcs8',
  });
  const { x } = createPublicKey(key).export({ format: 'jwk' });
  return must(fromBase64url(x ?? ''), 'a public key');
}

interface OpenKeys {
  readonly clusterSecret: Uint8Array;
  readonly indexPepper: Uint8Array;
  readonly signingKeyId: string;
  readonly signingKey: Uint8Array;
}

class ClusterKeyring implements Keyring {
  readonly clusterId: string;
  readonly rootPublicKey: string;
  readonly keyList: { readonly text: string; readonly signature: string };
  readonly signingKeyId: string;
  readonly #signingKey: Uint8Array;
  readonly #clusterSecret: Uint8Array;
  readonly #indexPepper: Uint8Array;
  /** Encrypts rows. Derived, so that another key-encryption key does not rewrite every row. */
  readonly #dataKey: Uint8Array;

  constructor(cluster: ClusterRow, keys: OpenKeys) {
    this.clusterId = cluster.id;
    this.rootPublicKey = cluster.root_public_key;
    this.keyList = { text: cluster.key_list, signature: cluster.key_list_signature };
    this.signingKeyId = keys.signingKeyId;
    this.#signingKey = keys.signingKey;
    this.#clusterSecret = keys.clusterSecret;
    this.#indexPepper = keys.indexPepper;
    this.#dataKey = deriveKey(keys.clusterSecret, cluster.id, 'headgate-data-v1');
  }

  async sign(data: Uint8Array): Promise<Uint8Array> {
    return new Uint8Array(await nodeCrypto.sign(this.#signingKey, data));
  }

  groupSecret(groupId: string, generation: number): Uint8Array {
    return deriveKey(this.#clusterSecret, groupId, `headgate-group-v1\n${generation}`);
  }

  encrypt(table: string, field: string, id: string, value: string): Uint8Array {
    return sealText(this.#dataKey, [table, field, id], value);
  }

  decrypt(table: string, field: string, id: string, sealed: Uint8Array): string {
    return openText(this.#dataKey, [table, field, id], sealed);
  }

  blindIndex(table: string, field: string, value: string): Uint8Array {
    const mac = createHmac('sha256', this.#indexPepper);
    return new Uint8Array(mac.update(`${table}\n${field}\n${value}`).digest());
  }
}
