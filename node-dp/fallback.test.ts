import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { base64url } from '#shared/base/bytes.ts';
import { bootKey } from '#shared/config/boot-key.ts';
import { writeBootRecord } from '#shared/config/boot-record.ts';
import { bootName, headName, nodeName } from '#shared/config/fallback.ts';
import { nodeCrypto as crypto } from '#shared/platform/node/crypto.ts';
import { type ObjectStore, openObjectStore } from '#shared/platform/node/object-store.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import { ScriptedControlPlane, testRecord } from '../test/support/scripted-control-plane.ts';
import { SeededRandom } from '../test/support/seeded-random.ts';
import { loadFallback, type FallbackOptions } from './fallback.ts';

let folder: string;
let store: ObjectStore;
let cp: ScriptedControlPlane;
let said: string[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headgate-fallback-'));
  store = openObjectStore({ url: pathToFileURL(folder).href, credentials: null });
  cp = await ScriptedControlPlane.create(crypto, new SeededRandom(1));
  said = [];
  await cp.publish(Array.from({ length: 400 }, (_, i) => testRecord(`r${i}`)));
  await write();
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const secretOf = () => ({ generation: cp.secret.generation, secret: cp.secret.bytes });

/** As a control plane leaves it. */
async function write(): Promise<void> {
  const { head } = cp;
  if (head === null) throw new Error('nothing is published');
  for (const { id, text } of head.tree.nodes()) await store.put(nodeName('default', id), text);
  const record = { ...cp.pinned, groupSecrets: [secretOf()] };
  const platform = { crypto, random: nodeRandom };
  const boot = await writeBootRecord(record, bootKey(secretOf(), crypto), platform);
  await store.put(bootName('default'), boot);
  await store.put(headName('default', 1), JSON.stringify(head.head));
}

function load(change: Partial<FallbackOptions> = {}) {
  return loadFallback({
    store,
    group: 'default',
    bootKey: base64url(bootKey(secretOf(), crypto)),
    joinToken: null,
    identity: null,
    crypto,
    logger: { log: (_level, message, fields) => said.push(`${message} ${JSON.stringify(fields)}`) },
    ...change,
  });
}

describe('a start from the fallback storage', () => {
  it('needs nothing but the boot key', async () => {
    const found = await load();
    expect(found?.state.tree.hash).toBe(cp.head?.tree.hash);
    expect(found?.groupSecrets).toEqual([secretOf()]);
  });

  it('goes without secrets where a join token is all that is known of the cluster', async () => {
    const found = await load({ bootKey: null, joinToken: cp.joinToken });
    expect(found?.state.replica.revision).toBe(1);
    expect(found?.groupSecrets).toEqual([]);
    expect(said).toMatchObject([/scopes that need them stay closed/]);
  });

  it('opens nothing with the boot key of a secret that was replaced', async () => {
    const old = base64url(bootKey(secretOf(), crypto));
    cp.secret = { generation: 2, bytes: nodeRandom.bytes(32) };
    await write();

    expect(await load({ bootKey: old })).toBeNull();
    expect((await load({ bootKey: old, joinToken: cp.joinToken }))?.groupSecrets).toEqual([]);
  });

  it('does not happen without anything to know the cluster by', async () => {
    expect(await load({ bootKey: null })).toBeNull();
    expect(said).toMatchObject([/HEADGATE_BOOT_KEY/]);
  });

  it('does not happen from a storage that somebody filled with a cluster of his own', async () => {
    const { joinToken } = cp;
    const key = base64url(bootKey(secretOf(), crypto));
    cp = await ScriptedControlPlane.create(crypto, new SeededRandom(2));
    await cp.publish([testRecord('theirs')]);
    await write();

    expect(await load({ bootKey: key })).toBeNull();
    expect(await load({ bootKey: null, joinToken })).toBeNull();
    // With the record of the other one and the manifest of ours.
    expect(said).toMatchObject([/HEADGATE_BOOT_KEY/, /another cluster/]);
  });

  it('takes no other group of the same cluster for its own', async () => {
    for (const name of ['boot', 'head.1', ...(await store.list('default/node/'))]) {
      const from = name.includes('/') ? name : `default/${name}`;
      await store.put(from.replace('default/', 'other/'), (await store.get(from)) ?? '');
    }
    expect(await load({ group: 'other' })).toBeNull();
    expect(said).toMatchObject([/it is of the group default/]);
  });

  it('takes nothing older than what the node had before', async () => {
    const identity = { ...joined(), highWater: { epoch: 1, revision: 2 } };
    expect(await load({ identity })).toBeNull();
    expect(said).toMatchObject([/not_newer/]);
    expect(
      await load({ identity: { ...identity, highWater: { epoch: 1, revision: 1 } } }),
    ).not.toBe(null);
  });

  it('takes nothing that is not what was signed, whatever was changed', async () => {
    const names = await store.list('default/node/');
    expect(names.length).toBeGreaterThan(4);
    for (const name of [...names, headName('default', 1)]) {
      const text = (await store.get(name)) ?? '';
      for (const at of [0, Math.floor(text.length / 2), text.length - 2]) {
        const flipped = String.fromCharCode(text.charCodeAt(at) ^ 1);
        await store.put(name, text.slice(0, at) + flipped + text.slice(at + 1));
        expect(await load(), `${name} changed at ${at}`).toBeNull();
      }
      await store.remove(name);
      expect(await load(), `${name} removed`).toBeNull();
      await store.put(name, text);
    }
    expect(await load()).not.toBeNull();
  });

  it('does not happen, and harms nothing, while the storage cannot be read', async () => {
    const broken = { ...store, get: () => Promise.reject(new Error('no route')) };
    expect(await load({ store: broken })).toBeNull();
    expect(said).toMatchObject([/cannot be read .*no route/]);
  });
});

function joined() {
  const pair = { privateKey: nodeRandom.bytes(32), publicKey: nodeRandom.bytes(32) };
  return {
    tag: 'joined',
    cluster: cp.cluster,
    node: nodeRandom.uuid(),
    group: 'default',
    groupId: cp.groupId,
    rootKey: cp.root.publicKey,
    signing: pair,
    sealing: pair,
    joinSeq: 1,
    groupSecrets: [],
    keySequence: 1,
  } as const;
}
