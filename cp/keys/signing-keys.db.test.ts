/** Signing keys that are rotated, and one that was stolen, while data planes follow. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { base64url, utf8 } from '#shared/base/bytes.ts';
import { canonicalJson } from '#shared/config/canonical.ts';
import { epochsOf } from '#shared/config/key-list.ts';
import { type Manifest, verifySigned } from '#shared/config/manifest.ts';
import { DOMAIN } from '#shared/config/signed-text.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { REGISTRY } from '#shared/registry.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import { eventually } from '../../test/support/eventually.ts';
import { silent, type TestStore } from '../../test/support/pglite.ts';
import { SyncEndpoint } from '../../test/support/sync-endpoint.ts';
import { NodeDisk, SyncNode } from '../../test/support/sync-node.ts';
import { openPglite } from '../store/drivers/pglite.ts';
import { openStoreOn } from '../store/open-store.ts';
import { decodeKey, KeyringError } from './kek.ts';
import {
  proposeDropping,
  proposeKeyList,
  type Proposal,
  signProposal,
  takeKeyList,
} from './signing-keys.ts';

let db: TestStore;
let endpoint: SyncEndpoint;
let dataDir: string;
let root: Uint8Array;
const nodes: SyncNode[] = [];
/** The first epoch that the first list does not allow for. */
const AFTER_FIRST = epochsOf({ recoveries: null }).end;

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'headgate-signing-'));
  const pglite = await openPglite(null, silent);
  const database = { url: null, driver: null, dataDir };
  const options = { database, kek: null, registry: REGISTRY, logger: silent };
  const opened = await openStoreOn(pglite, options);
  db = { ...opened, close: () => opened.store.close() };
  // Where the operator has put it; the running control plane needs it no more.
  const path = join(dataDir, 'cp', 'keys', 'root.key');
  root = decodeKey((await readFile(path, 'utf8')).trim(), path);
  await rm(path);
  endpoint = await SyncEndpoint.start(db);
}, 60_000);
afterEach(async () => {
  await Promise.all(nodes.splice(0).map((node) => node.client.stop()));
  await endpoint.close();
  await db.close();
  await rm(dataDir, { recursive: true, force: true });
});

async function replaceKeys(proposal: Proposal): Promise<void> {
  const text = await proposeKeyList(db.store.db, db.keyring.wrappers, proposal);
  await takeKeyList(db.store.db, await signProposal(text, root), silent);
  await endpoint.publisher.flush();
}

async function start(disk: NodeDisk, token: string | null): Promise<SyncNode> {
  const node = await new SyncNode(endpoint.address, token, disk).start();
  nodes.push(node);
  return node;
}

const signedBy = (id: string) => (state: { manifest: Manifest }) => state.manifest.key_id === id;

describe('rotating the signing key', () => {
  it('reaches connected nodes with the key after it beside the one before it, then alone', async () => {
    const disk = new NodeDisk();
    const node = await start(disk, await endpoint.token());
    const first = db.keyring.signingKeyId;
    await node.serves(signedBy(first));

    await replaceKeys({ alone: false, recover: false });
    const second = db.keyring.signingKeyId;
    expect(second).not.toBe(first);
    await node.serves(signedBy(second));

    const text = await proposeDropping(db.store.db);
    await takeKeyList(db.store.db, await signProposal(text, root), silent);
    await endpoint.publisher.flush();
    const dropped = await node.serves(({ manifest }) => manifest.revision >= 3);
    expect(dropped.keySequence).toBe(3);
    const { rows } = await db.store.db.query<{ id: string }>('SELECT id FROM signing_keys');
    expect(rows).toEqual([{ id: second }]);
    // The cache is as good as before, with every control plane down.
    await eventually('it is stored', () => node.client.identity?.keySequence === 3);
    await node.client.stop();
    const again = new SyncNode('ws://127.0.0.1:1', null, disk);
    expect(await again.client.boot()).toBe(true);
  });

  it('is made up for by a node that was away for all of it', async () => {
    const disk = new NodeDisk();
    const node = await start(disk, await endpoint.token());
    await node.serves(signedBy(db.keyring.signingKeyId));
    await eventually('it is stored', () => node.client.identity?.highWater.revision === 1);
    await node.client.stop();
    for (let times = 0; times < 3; times += 1) await replaceKeys({ alone: true, recover: false });
    const again = await start(disk, null);
    await again.serves(signedBy(db.keyring.signingKeyId));
  });

  it('takes no list but a newer one of this cluster that its root has signed, with a key it has', async () => {
    const { store, keyring } = db;
    const proposal = { alone: false, recover: false };
    const text = await proposeKeyList(store.db, keyring.wrappers, proposal);
    const strange = await signProposal(text, new Uint8Array(32).fill(7));
    const value = JSON.parse(text) as JsonObject & { keys: JsonObject[] };
    const variant = (change: JsonObject) =>
      signProposal(canonicalJson({ ...value, ...change }), root);
    const attempts = [
      strange,
      { ...(await signProposal(text, root)), text: text.replace('"sequence":2', '"sequence":9') },
      await variant({ sequence: 1 }),
      await variant({ cluster: crypto.randomUUID() }),
      await variant({ keys: [{ ...value.keys[0], id: 'another' }] }),
    ];
    for (const signed of attempts) {
      await expect(takeKeyList(store.db, signed, silent)).rejects.toThrow(KeyringError);
    }
    await expect(signProposal('{}', root)).rejects.toThrow(KeyringError);
    await keyring.follow(store.db);
    expect(keyring.keyList.text).toContain('"sequence":1');
  });
});

describe('D-18: a control plane that was stolen with its signing key', () => {
  it('publishes what it likes, until a list and an epoch that only the root can sign', async () => {
    const disk = new NodeDisk();
    const node = await start(disk, await endpoint.token());
    const honest = await node.serves(() => true);
    const config = await eventually('it is stored', () => disk.config);
    const identity = must(node.client.identity, 'an identity');
    await node.client.stop();

    // As far ahead as numbers go: the honest control plane could never publish above it again.
    const stolen = async (change: Partial<Manifest>) => {
      const manifest = canonicalJson({ ...honest.manifest, ...change });
      const signature = await db.keyring.sign(utf8(DOMAIN.manifest + manifest));
      return { ...config, manifest, signature: base64url(signature) };
    };
    const furthest = { epoch: AFTER_FIRST - 1, revision: Number.MAX_SAFE_INTEGER };
    const forged = await stolen(furthest);
    const later = await stolen({ epoch: AFTER_FIRST, revision: 1 });
    const pinned = { ...identity, highWater: { epoch: 0, revision: 0 } };
    const verify = async (stored: typeof forged, sequence: number) => {
      const { manifest, signature, keyList, keyListSignature } = stored;
      const signed = { manifest, signature, key_list: keyList };
      const whole = { ...signed, key_list_signature: keyListSignature };
      return verifySigned(whole, { ...pinned, keySequence: sequence }, nodeCrypto);
    };
    // The stated limit: it is believed. But not beyond the epochs that the root allows for.
    expect((await verify(forged, 1)).ok).toBe(true);
    expect(await verify(later, 1)).toMatchObject({ ok: false, code: 'not_newer' });
    disk.config = forged;
    const text = JSON.parse(disk.identity ?? '{}') as object;
    disk.identity = canonicalJson({ ...text, high_water: furthest } as never);

    // The drill: a new key and a later epoch, signed by the root; nobody touches a node.
    await replaceKeys({ alone: true, recover: true });
    const again = await start(disk, null);
    const state = await again.serves(({ manifest }) => manifest.epoch >= AFTER_FIRST);
    expect(state.manifest.key_id).toBe(db.keyring.signingKeyId);
    await eventually('it is kept', () => again.client.identity?.keySequence === 2);

    // What the thief signs, or has signed, is of no use any more, by whichever list.
    expect(await verify(forged, 2)).toMatchObject({ ok: false, code: 'bad_signature' });
    const { text: keyList, signature: keyListSignature } = db.keyring.keyList;
    const relisted = { ...forged, keyList, keyListSignature };
    expect(await verify(relisted, 2)).toMatchObject({ ok: false, code: 'bad_signature' });
    // And the root is what it was.
    expect(again.client.identity?.rootKey).toEqual(identity.rootKey);
  });

  it('cannot run the revision up for good: a new epoch starts below it', async () => {
    const node = await start(new NodeDisk(), await endpoint.token());
    await node.serves(() => true);
    const { db: database } = db.store;
    await database.query('UPDATE groups SET revision = $1', [Number.MAX_SAFE_INTEGER - 1]);
    await replaceKeys({ alone: true, recover: true });
    const state = await node.serves(({ manifest }) => manifest.epoch >= AFTER_FIRST);
    expect(state.manifest.revision).toBe(1);
  });
});
