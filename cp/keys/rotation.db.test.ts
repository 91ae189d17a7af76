import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { plugin } from '#shared/entities/plugin.ts';
import { service } from '#shared/entities/service.ts';
import { keyauthCredential } from '#shared/plugins/key-auth/entities.ts';
import { REGISTRY } from '#shared/registry.ts';
import { ACTOR, entityOf, failureOf, silent } from '../store/context.suite.ts';
import type { Db } from '../store/db.ts';
import { openPglite } from '../store/drivers/pglite.ts';
import { plansOf } from '../store/sql.ts';
import { deriveKey } from './cipher.ts';
import { KekWrapper } from './key-wrapper.ts';
import { StaleKeysError } from './row-keys.ts';
import {
  type ControlPlane,
  controlPlane,
  credentialOf,
  find,
  insertCredential,
  insertOwner,
  insertPlugin,
  mintToken,
  NEW_KEK,
  OLD_KEK,
  sealedBytes,
  sweepAll,
} from './rotation.suite.ts';
import { sealedTables } from './sealed-rows.ts';

describe('a rotation of the keys', () => {
  let db: Db;
  let one: ControlPlane;
  let ws: string;

  beforeEach(async () => {
    db = await openPglite(null, silent);
    one = await controlPlane(db);
    ws = one.store.defaultWorkspace();
  });
  afterEach(() => db.close());

  it('renews everything and leaves nothing that the old keys open', async () => {
    const owner = await insertOwner(one);
    const credential = credentialOf(owner, 'k');
    await insertCredential(one, credential);
    const use = await insertPlugin(one, null, 'inner');
    await mintToken(one);
    const history = await one.store.history().entitiesAt(ws, 3);
    const log = await db.query('SELECT count(*), max(version) FROM changes');
    const before = await sealedBytes(db);
    const oldKeys = one.keyring.rows.current();

    const status = await one.rotation.rotateKeys({ data: true, pepper: true });
    expect(status.data).toMatchObject({ generation: 2, older: [1] });
    expect(status.pepper).toMatchObject({ generation: 2, older: [1] });
    await sweepAll(one);

    expect(await one.rotation.keyStatus()).toMatchObject({
      data: { generation: 2, older: [], remaining: 0 },
      pepper: { generation: 2, older: [], remaining: 0 },
    });
    const after = await sealedBytes(db);
    expect(after.length).toBe(before.length);
    expect(after.filter((bytes) => before.includes(bytes))).toEqual([]);
    // Ciphertexts are of format 2, generation 2; indexes begin with their generation.
    expect(after.filter((bytes) => !/^(02)?00000002/.test(bytes))).toEqual([]);
    for (const bytes of after.filter((text) => text.startsWith('02'))) {
      const sealed = new Uint8Array(Buffer.from(bytes, 'hex'));
      const open = () => oldKeys.decrypt('keyauth_credentials', 'key', credential.id, sealed);
      expect(open).toThrow(StaleKeysError);
    }
    const kept = await db.query('SELECT kind, generation FROM cluster_keys ORDER BY kind');
    expect(kept.rows).toEqual([
      { kind: 'data', generation: 2 },
      { kind: 'pepper', generation: 2 },
    ]);
    expect(await find(one, 'k')).toEqual(credential);
    expect(await one.store.get(plugin, ws, use.id)).toEqual(use);
    expect(await one.store.history().entitiesAt(ws, 3)).toEqual(history);
    expect(await db.query('SELECT count(*), max(version) FROM changes')).toEqual(log);
  });

  it('is noticed by another control plane: looking up, reading, writing, joining', async () => {
    const owner = await insertOwner(one);
    const notice = async (work: (other: ControlPlane, key: string) => Promise<unknown>) => {
      const other = await controlPlane(db);
      const key = `k${Math.random()}`;
      await one.rotation.putInForce({ data: true, pepper: true });
      const credential = credentialOf(owner, key);
      await insertCredential(one, credential);
      await work(other, key);
      expect(other.keyring.rows.current().newest).toEqual(one.keyring.rows.current().newest);
      await sweepAll(one);
      return credential;
    };
    await notice(async (other, key) => expect(await find(other, key)).not.toBeNull());
    await notice(async (other) =>
      other.store.list(keyauthCredential, ws, { size: 9, after: null }),
    );
    await notice(async (other, key) => {
      const failure = await failureOf(insertCredential(other, credentialOf(owner, key)));
      expect(failure).toMatchObject({ code: 'unique' });
    });
    await notice((other, key) => insertCredential(other, credentialOf(owner, `${key}-other`)));
    await notice((other) => insertPlugin(other, null, 'inner'));
    await notice((other) => mintToken(other));
    await notice(async (other) => {
      const { version } = await other.store.write(ws, ACTOR, async () => null);
      return other.store.history().entitiesAt(ws, version);
    });
    const bytes = await sealedBytes(db);
    expect(bytes.filter((text) => !/^(02)?00000008/.test(text))).toEqual([]);
  });

  it('keeps a value unique while its index is of two peppers', async () => {
    const owner = await insertOwner(one);
    const [old, other] = [credentialOf(owner, 'old'), credentialOf(owner, 'other')];
    await insertCredential(one, old);
    await insertCredential(one, other);
    await one.rotation.putInForce({ pepper: true });

    const unique = { code: 'unique', fields: { key: 'old' } };
    const rival = credentialOf(owner, 'old');
    expect(await failureOf(insertCredential(one, rival))).toEqual(unique);
    const write = (work: Parameters<typeof one.store.write>[2]) => one.store.write(ws, ACTOR, work);
    const many = write((tx) =>
      tx.insertMany(keyauthCredential, ws, [credentialOf(owner, 'x'), rival]),
    );
    expect(await failureOf(many)).toEqual(unique);
    const moved = { ...other, key: 'old' };
    expect(await failureOf(write((tx) => tx.update(keyauthCredential, ws, moved)))).toEqual(unique);
    const all = write((tx) => tx.updateMany(keyauthCredential, ws, [old, moved]));
    expect(await failureOf(all)).toEqual(unique);

    // A row may keep its own value, and both generations are found.
    await write((tx) => tx.update(keyauthCredential, ws, { ...old, tags: ['t'] }));
    expect(await find(one, 'old')).toMatchObject({ id: old.id, tags: ['t'] });
    expect(await find(one, 'other')).toEqual(other);
    const gone = { ...other, expires_at: 1 };
    await write((tx) => tx.update(keyauthCredential, ws, gone));
    await insertCredential(one, credentialOf(owner, 'other'));
    await sweepAll(one);
    expect(await failureOf(insertCredential(one, rival))).toEqual(unique);
  });

  it('frees the value of an expired row of the older pepper', async () => {
    const owner = await insertOwner(one);
    await insertCredential(one, { ...credentialOf(owner, 'k'), expires_at: 1 });
    await one.rotation.putInForce({ pepper: true });
    const again = credentialOf(owner, 'k');
    await insertCredential(one, again);
    expect(await find(one, 'k')).toEqual(again);
  });

  it('goes on where another control plane was stopped', async () => {
    const owner = await insertOwner(one);
    const credentials = Array.from({ length: 1_200 }, (_, index) =>
      credentialOf(owner, `k${index}`),
    );
    await one.store.write(ws, ACTOR, (tx) => tx.insertMany(keyauthCredential, ws, credentials));
    await one.rotation.putInForce({ data: true, pepper: true });
    const started = one.rotation.sweep();
    await one.rotation.close();
    await started;
    const { data } = await one.rotation.keyStatus();
    expect(data.older).toEqual([1]);
    expect(data.remaining).toBeGreaterThan(0);

    const other = await controlPlane(db);
    await sweepAll(other);
    expect(await find(other, 'k1199')).toEqual(credentials[1199]);
  });

  it('refuses to begin before the last one is through', async () => {
    await one.rotation.putInForce({ data: true });
    const again = one.rotation.putInForce({ data: true });
    await expect(again).rejects.toMatchObject({ name: 'RotationError', code: 'busy' });
    await one.rotation.putInForce({ pepper: true });
    await sweepAll(one);
    await one.rotation.putInForce({ data: true });
  });

  it('changes the key-encryption key at a start, and those who run go on', async () => {
    const owner = await insertOwner(one);
    await insertCredential(one, credentialOf(owner, 'k'));
    const two = await controlPlane(db, { kek: NEW_KEK, previousKek: OLD_KEK });

    expect(await find(two, 'k')).not.toBeNull();
    expect(await find(one, 'k')).not.toBeNull();
    await insertCredential(one, credentialOf(owner, 'from one'));
    await expect(controlPlane(db)).rejects.toThrow('HEADGATE_KEK: not the key-encryption key');
    await controlPlane(db, { kek: NEW_KEK, previousKek: null });
    // Wrapped again means: nothing is left that the old key opens.
    const { rows } = await db.query<{ id: string; kind: string; wrapped: Uint8Array }>(
      'SELECT id, kind, wrapped FROM cluster_keys',
    );
    const old = new KekWrapper(new Uint8Array(Buffer.from(OLD_KEK, 'base64')));
    for (const { id, kind, wrapped } of rows) {
      await expect(old.unwrap(['cluster_keys', kind, id], wrapped)).rejects.toThrow('not open');
    }

    // New keys are wrapped by the new one, which the first does not have: until it finds it.
    await two.rotation.putInForce({ data: true });
    const refused = insertCredential(one, credentialOf(owner, 'x'));
    expect(await failureOf(refused)).toEqual({ code: 'unavailable' });
    one.keks = { kek: NEW_KEK, previousKek: null };
    await insertCredential(one, credentialOf(owner, 'x'));
    expect(await find(two, 'x')).not.toBeNull();
  });

  it('changes the key-encryption key while running, when the settings name another', async () => {
    await insertOwner(one);
    const same = one.rotation.putInForce({ kek: true });
    await expect(same).rejects.toMatchObject({ name: 'RotationError', code: 'unchanged' });
    const { kek } = await one.rotation.keyStatus();

    one.keks = { kek: NEW_KEK, previousKek: null };
    await one.rotation.putInForce({ kek: true, data: true, pepper: true });
    await sweepAll(one);
    expect((await one.rotation.keyStatus()).kek.id).not.toBe(kek.id);
    await controlPlane(db, one.keks);
    await expect(controlPlane(db)).rejects.toThrow('HEADGATE_KEK: not the key-encryption key');
  });

  it('takes over what a cluster had before there were generations', async () => {
    const wrapper = new KekWrapper(new Uint8Array(Buffer.from(OLD_KEK, 'base64')));
    const { rows } = await db.query<{ id: string; cluster_secret: Uint8Array }>(
      'SELECT id, cluster_secret FROM cluster',
    );
    const { id, cluster_secret: wrapped } = must(rows[0], 'a cluster');
    const secret = await wrapper.unwrap(['cluster', 'secret', id], wrapped);
    const pepper = new Uint8Array(32).fill(5);
    await db.query('DELETE FROM cluster_keys');
    await db.query('UPDATE cluster SET index_pepper = $1', [
      await wrapper.wrap(['cluster', 'index_pepper', id], pepper),
    ]);
    const two = await controlPlane(db);
    const owner = await insertOwner(two);
    await insertCredential(two, credentialOf(owner, 'k'));
    // As the release before would have written it.
    const stored = await db.query<{ key_cipher: Uint8Array }>(
      'SELECT key_cipher FROM keyauth_credentials',
    );
    expect(stored.rows[0]?.key_cipher[0]).toBe(1);
    const three = await controlPlane(db);
    expect(await find(three, 'k')).not.toBeNull();
    expect(deriveKey(secret, id, 'headgate-data-v1')).toHaveLength(32);

    await three.rotation.putInForce({ pepper: true });
    await sweepAll(three);
    expect((await db.query('SELECT index_pepper FROM cluster')).rows).toEqual([
      { index_pepper: null },
    ]);
    expect(await find(await controlPlane(db), 'k')).not.toBeNull();
  });

  it('knows of every column that holds a ciphertext', async () => {
    const { rows } = await db.query<{ name: string }>(
      `SELECT table_name || '.' || column_name AS name FROM information_schema.columns
       WHERE table_schema = 'public' AND udt_name = 'bytea'`,
    );
    const others = [
      // Digests of tokens that are random.
      'admin_tokens.digest',
      'admin_tokens.previous_digest',
      'cluster.cluster_secret',
      'cluster.index_pepper',
      'cluster.kek_check',
      'cluster_keys.wrapped',
      'signing_keys.private_key',
    ];
    const tables = sealedTables(plansOf(REGISTRY.entities).values());
    const sealed = tables.flatMap(({ table, columns }) =>
      columns.flatMap(({ cipher, index }) => [
        `${table}.${cipher}`,
        ...(index === null ? [] : [`${table}.${index}`]),
      ]),
    );
    const known = new Set([...others, ...sealed]);
    expect(rows.map(({ name }) => name).filter((name) => !known.has(name))).toEqual([]);
  });

  it('leaves services, which have no secrets, as they are', async () => {
    const entity = entityOf(service, { host: 'h' });
    await one.store.write(ws, ACTOR, (tx) => tx.insert(service, ws, entity));
    const before = await db.query('SELECT xmin::text FROM services');
    await one.rotation.putInForce({ data: true, pepper: true });
    await sweepAll(one);
    expect(await db.query('SELECT xmin::text FROM services')).toEqual(before);
  });
});
