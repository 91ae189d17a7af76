import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { fromBase64url, utf8 } from '#shared/base/bytes.ts';
import { publicKeyOf, verifyKeyList } from '#shared/config/key-list.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import type { Logger } from '#shared/platform/platform.ts';
import type { Db } from '../store/db.ts';
import { openPglite } from '../store/drivers/pglite.ts';
import { migrate } from '../store/migrate.ts';
import { CipherError } from './cipher.ts';
import { KeyringError, type KeySettings } from './kek.ts';
import { type Keyring, loadKeyring } from './keyring.ts';

const lines: string[] = [];
const logger: Logger = { log: (_level, message) => void lines.push(message) };

describe('the keyring', () => {
  let db: Db;
  let dataDir = '';
  const settings = (): KeySettings => ({ kek: null, dataDir, mayMakeKek: true });
  const load = (): Promise<Keyring> => loadKeyring(db, settings(), logger);

  beforeAll(async () => {
    db = await openPglite(null, logger);
    await migrate(db, logger);
  });
  afterAll(() => db.close());

  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'headgate-keys-'));
    for (const table of ['cluster', 'cluster_keys', 'signing_keys', 'groups']) {
      await db.query(`DELETE FROM ${table}`);
    }
    lines.length = 0;
  });
  afterEach(() => rm(dataDir, { recursive: true }));

  it('makes the keys once, and finds the same again', async () => {
    const [first, second] = [await load(), await load()];

    expect(second.clusterId).toBe(first.clusterId);
    expect(second.rootPublicKey).toBe(first.rootPublicKey);
    expect(second.keyList).toEqual(first.keyList);
    expect(second.groupSecret('g', 1)).toEqual(first.groupSecret('g', 1));
    const sealed = first.rows.current().encrypt('t', 'f', 'id', 'ünïcode');
    expect(second.rows.current().decrypt('t', 'f', 'id', sealed)).toBe('ünïcode');
    expect(second.rows.current().blindIndex('t', 'f', 'v')).toEqual(
      first.rows.current().blindIndex('t', 'f', 'v'),
    );
  });

  it('signs with a key that the pinned root vouches for', async () => {
    const keyring = await load();
    const root = must(fromBase64url(keyring.rootPublicKey), 'base64url');

    const list = must(await verifyKeyList(keyring.keyList, root, nodeCrypto), 'a signed list');
    const [listed] = list.keys;
    const key = must(publicKeyOf(must(listed, 'a key')), 'a public key');
    const signature = await keyring.sign(utf8('manifest'));

    expect(list.cluster).toBe(keyring.clusterId);
    expect(listed?.id).toBe(keyring.signingKeyId);
    expect(await nodeCrypto.verify(key, signature, utf8('manifest'))).toBe(true);
    // In force already for a database whose clock is behind.
    expect(listed?.not_before).toBeLessThan(Date.now() / 1000 - 3600);
  });

  it('keeps its files to the owner, and says that the root key is to be moved', async () => {
    await load();

    for (const name of ['kek', 'root.key']) {
      const { mode } = await stat(join(dataDir, 'cp', 'keys', name));
      expect(mode & 0o777).toBe(0o600);
    }
    expect(lines.filter((line) => line.includes('root key made'))).toHaveLength(1);
  });

  it('runs without the root key file once the cluster is made', async () => {
    const first = await load();
    await rm(join(dataDir, 'cp', 'keys', 'root.key'));

    expect((await load()).rootPublicKey).toBe(first.rootPublicKey);
    await expect(stat(join(dataDir, 'cp', 'keys', 'root.key'))).rejects.toThrow('ENOENT');
  });

  it('uses the root key of an earlier cluster again', async () => {
    const first = await load();
    for (const table of ['cluster', 'cluster_keys', 'signing_keys']) {
      await db.query(`DELETE FROM ${table}`);
    }

    const second = await load();
    expect(second.clusterId).not.toBe(first.clusterId);
    expect(second.rootPublicKey).toBe(first.rootPublicKey);
  });

  it('never makes a new key-encryption key for a database that has one', async () => {
    await load();
    await rm(join(dataDir, 'cp', 'keys', 'kek'));

    await expect(load()).rejects.toThrow(/^HEADGATE_KEK: not set, and .*kek is gone/);
  });

  it('stops at another key, by file and by setting', async () => {
    await load();
    const other = Buffer.alloc(32, 9).toString('base64');
    const bySetting = loadKeyring(db, { ...settings(), kek: other }, logger);
    await expect(bySetting).rejects.toThrow('HEADGATE_KEK: not the key-encryption key');

    await writeFile(join(dataDir, 'cp', 'keys', 'kek'), other);
    await expect(load()).rejects.toThrow(KeyringError);
  });

  it('asks for the key when the database is a server’s', async () => {
    const server = loadKeyring(db, { ...settings(), mayMakeKek: false }, logger);
    await expect(server).rejects.toThrow(/^HEADGATE_KEK: not set; .*openssl rand -base64 32/);
    await expect(stat(join(dataDir, 'cp'))).rejects.toThrow('ENOENT');
  });

  it('takes base64 and base64url, and refuses anything that is not 32 bytes', async () => {
    const key = Buffer.alloc(32, 0xfb);
    const first = await loadKeyring(db, { ...settings(), kek: key.toString('base64') }, logger);
    const url = await loadKeyring(db, { ...settings(), kek: key.toString('base64url') }, logger);
    expect(url.clusterId).toBe(first.clusterId);

    for (const kek of ['', 'short', `${key.toString('base64')}AA`, 'not base64 at all!']) {
      await expect(loadKeyring(db, { ...settings(), kek }, logger)).rejects.toThrow(
        'expected 32 random bytes in base64',
      );
    }
  });

  it('opens a ciphertext only where it stands', async () => {
    const keyring = await load();
    const sealed = keyring.rows.current().encrypt('keyauth_credentials', 'key', 'one', 'secret');

    expect(() =>
      keyring.rows.current().decrypt('keyauth_credentials', 'key', 'two', sealed),
    ).toThrow(CipherError);
    expect(() =>
      keyring.rows.current().decrypt('keyauth_credentials', 'other', 'one', sealed),
    ).toThrow(CipherError);
    expect(() => keyring.rows.current().decrypt('x', 'key', 'one', sealed)).toThrow(CipherError);
    for (let index = 0; index < sealed.length; index += 1) {
      const bent = sealed.with(index, (sealed[index] ?? 0) ^ 1);
      expect(() =>
        keyring.rows.current().decrypt('keyauth_credentials', 'key', 'one', bent),
      ).toThrow(CipherError);
    }
    expect(() => keyring.rows.current().decrypt('t', 'f', 'i', new Uint8Array(3))).toThrow(
      CipherError,
    );
    expect(keyring.rows.current().encrypt('t', 'f', 'i', 'v')).not.toEqual(
      keyring.rows.current().encrypt('t', 'f', 'i', 'v'),
    );
  });

  it('derives what belongs to one field or one generation only', async () => {
    const keyring = await load();
    const indexes = [
      keyring.rows.current().blindIndex('t', 'f', 'v'),
      keyring.rows.current().blindIndex('t', 'g', 'v'),
      keyring.rows.current().blindIndex('u', 'f', 'v'),
      keyring.rows.current().blindIndex('t', 'f', 'w'),
    ];
    const secrets = [
      keyring.groupSecret('g', 1),
      keyring.groupSecret('g', 2),
      keyring.groupSecret('h', 1),
    ];
    const texts = [...indexes, ...secrets].map((bytes) => Buffer.from(bytes).toString('hex'));
    expect(new Set(texts).size).toBe(texts.length);
  });

  it('leaves no private key in the database', async () => {
    await load();
    const kek = await readFile(join(dataDir, 'cp', 'keys', 'kek'), 'utf8');
    const root = await readFile(join(dataDir, 'cp', 'keys', 'root.key'), 'utf8');
    const { rows } = await db.query<{ text: string }>(
      'SELECT c::text AS text FROM cluster c UNION ALL SELECT k::text FROM signing_keys k ' +
        'UNION ALL SELECT k::text FROM cluster_keys k',
    );
    const dump = rows.map(({ text }) => text).join('\n');
    for (const secret of [kek, root]) {
      const bytes = Buffer.from(secret.trim(), 'base64');
      for (const encoding of ['hex', 'base64', 'base64url'] as const) {
        expect(dump).not.toContain(bytes.toString(encoding));
      }
    }
  });
});
