/** What the tests of key rotation share: control planes over one database, and what is in it. */
import { must } from '#shared/base/assert.ts';
import { consumer } from '#shared/entities/consumer.ts';
import { plugin } from '#shared/entities/plugin.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import { keyauthCredential } from '#shared/plugins/key-auth/entities.ts';
import { REGISTRY } from '#shared/registry.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import { JoinTokens } from '../nodes/join-tokens.ts';
import { ACTOR, entityOf, silent } from '../store/context.suite.ts';
import type { Db } from '../store/db.ts';
import { openStoreOn } from '../store/open-store.ts';
import type { Store } from '../store/store.ts';
import type { Keyring } from './keyring.ts';
import type { Epochs } from '../cluster/epochs.ts';
import { KeyRotation } from './rotation.ts';

export const OLD_KEK = Buffer.alloc(32, 1).toString('base64');
export const NEW_KEK = Buffer.alloc(32, 2).toString('base64');

interface Keks {
  readonly kek: string;
  readonly previousKek: string | null;
}

export interface ControlPlane {
  readonly epochs: Epochs;
  readonly store: Store;
  readonly keyring: Keyring;
  readonly rotation: KeyRotation;
  /** What it finds when it reads its settings again. */
  keks: Keks;
}

export async function controlPlane(
  db: Db,
  keks: Keks = { kek: OLD_KEK, previousKek: null },
): Promise<ControlPlane> {
  const database = { url: null, driver: null, dataDir: '/nowhere' };
  const plane: { keks: Keks } = { keks };
  const opened = await openStoreOn(db, {
    database,
    ...keks,
    rereadKek: () => plane.keks,
    registry: REGISTRY,
    logger: silent,
  });
  const { entities } = REGISTRY;
  const rotation = new KeyRotation({ db, keyring: opened.keyring, entities, logger: silent });
  return Object.assign(plane, { ...opened, rotation });
}

export async function insertOwner({ store }: ControlPlane): Promise<AnyEntity> {
  const ws = store.defaultWorkspace();
  const owner = entityOf(consumer);
  await store.write(ws, ACTOR, (tx) => tx.insert(consumer, ws, owner));
  return owner;
}

export function credentialOf(owner: AnyEntity, key: string): AnyEntity {
  return entityOf(keyauthCredential, { consumer: { id: owner.id }, key });
}

export function insertCredential({ store }: ControlPlane, credential: AnyEntity): Promise<unknown> {
  const ws = store.defaultWorkspace();
  return store.write(ws, ACTOR, (tx) => tx.insert(keyauthCredential, ws, credential));
}

export async function find({ store }: ControlPlane, key: string): Promise<AnyEntity | null> {
  return store.getBy(keyauthCredential, store.defaultWorkspace(), 'key', key);
}

export async function insertPlugin(
  { store }: ControlPlane,
  service: AnyEntity | null,
  password: string,
): Promise<AnyEntity> {
  const ws = store.defaultWorkspace();
  const entity = entityOf(plugin, {
    name: 'rate-limiting',
    service: service === null ? null : { id: service.id },
    config: { minute: 5, redis: { password } },
  });
  await store.write(ws, ACTOR, (tx) => tx.insert(plugin, ws, entity));
  return entity;
}

export async function mintToken({ store, keyring }: ControlPlane): Promise<string> {
  const ports = { random: nodeRandom, crypto: nodeCrypto };
  const tokens = new JoinTokens({ db: store.db, keyring, ...ports });
  const request = { group: 'default', ttlSeconds: 900, uses: 1, name: null, cidrs: [] };
  return must(await tokens.mint({ ...request, actor: 'test' }), 'a token').id;
}

/** Sweeps until nothing old is left: rows that others hold are passed over. */
export async function sweepAll({ rotation }: ControlPlane): Promise<void> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    await rotation.sweep();
    const { data, pepper } = await rotation.keyStatus();
    if (data.older.length + pepper.older.length === 0) return;
    if (Date.now() > deadline) throw new Error(JSON.stringify({ data, pepper }));
  }
}

/** Every ciphertext and blind index in the database, hex. */
export async function sealedBytes(db: Db): Promise<string[]> {
  const { rows } = await db.query<{ hex: string }>(
    `SELECT encode(key_index, 'hex') AS hex FROM keyauth_credentials
     UNION ALL SELECT encode(key_cipher, 'hex') FROM keyauth_credentials
     UNION ALL SELECT encode(config_cipher, 'hex') FROM plugins WHERE config_cipher IS NOT NULL
     UNION ALL SELECT encode(verifier, 'hex') FROM join_tokens
     UNION ALL SELECT encode(decode(s.value, 'base64'), 'hex')
       FROM changes c, jsonb_each_text(c.secrets) s WHERE c.secrets IS NOT NULL`,
  );
  return rows.map(({ hex }) => hex);
}

/** Every row of every table as text. */
export async function dumpOf(db: Db): Promise<string> {
  const { rows } = await db.query<{ name: string }>(
    "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public'",
  );
  const texts: string[] = [];
  for (const { name } of rows) {
    const dump = await db.query<{ text: string }>(`SELECT t::text AS text FROM "${name}" t`);
    texts.push(...dump.rows.map(({ text }) => text));
  }
  return texts.join('\n');
}
