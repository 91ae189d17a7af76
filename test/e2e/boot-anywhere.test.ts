/** A brand-new data plane, an empty disk, and no control plane: it starts from a copy. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openFallbackStore } from '#shared/platform/node/fallback-store.ts';
import type { ObjectStore } from '#shared/platform/node/object-store.ts';
import { answers, Cluster } from '../support/cluster.ts';
import { type Echo, startEcho } from '../support/echo.ts';
import { eventually } from '../support/eventually.ts';
import { send } from '../support/http-client.ts';
import type { Program } from '../support/program.ts';
import { s3Server } from '../support/s3-server.ts';

type Env = Readonly<Record<string, string>>;

const STORAGE = 'HEADGATE_CLUSTER_FALLBACK_CONFIG_STORAGE';
let folder: string;
let echo: Echo;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headgate-boot-'));
  echo = await startEcho('one');
});
afterAll(async () => {
  await echo.close();
  await rm(folder, { recursive: true, force: true });
});

const s3 = s3Server();
const places: [string, () => Env][] = [
  ['a folder', () => ({ [STORAGE]: pathToFileURL(join(folder, 'copies')).href })],
];
if (s3 !== null) {
  const { url, keyId, secret } = s3;
  places.push([
    'a bucket',
    () => ({
      [STORAGE]: `${url}/headgate`,
      HEADGATE_CLUSTER_FALLBACK_CONFIG_KEY_ID: keyId,
      HEADGATE_CLUSTER_FALLBACK_CONFIG_SECRET: secret,
    }),
  ]);
}

function storeOf(env: Env): ObjectStore {
  const store = openFallbackStore({
    HEADGATE_CLUSTER_FALLBACK_CONFIG_STORAGE: env[STORAGE] ?? null,
    HEADGATE_CLUSTER_FALLBACK_CONFIG_KEY_ID: env['HEADGATE_CLUSTER_FALLBACK_CONFIG_KEY_ID'] ?? null,
    HEADGATE_CLUSTER_FALLBACK_CONFIG_SECRET: env['HEADGATE_CLUSTER_FALLBACK_CONFIG_SECRET'] ?? null,
    HEADGATE_CLUSTER_FALLBACK_CONFIG_REGION: 'us-east-1',
  });
  if (store === null) throw new Error('a storage is set');
  return store;
}

describe.each(places)('%s with a copy of the configuration', (_name, envOf) => {
  let cluster: Cluster;
  let env: Env;
  let store: ObjectStore;
  let bootKey: string;
  let token: string;

  const get = async (node: Program, path: string, key?: string): Promise<number> =>
    (await send(node.url('proxy'), path, { headers: key === undefined ? {} : { apikey: key } }))
      .status;
  const revisionOf = async (): Promise<number> => {
    const head = JSON.parse((await store.get('default/head.1')) ?? '{"manifest":"{}"}');
    return Number(JSON.parse(head.manifest).revision ?? 0);
  };

  beforeAll(async () => {
    env = envOf();
    store = storeOf(env);
    cluster = await Cluster.start(env);
    const { admin } = cluster;
    await admin.ok('PUT', '/services/echo', { url: `http://${echo.address}` });
    await admin.post('/services/echo/routes', { name: 'open', paths: ['/open'] });
    await admin.post('/services/echo/routes', { name: 'guarded', paths: ['/guarded'] });
    await admin.post('/routes/guarded/plugins', { name: 'key-auth' });
    await admin.post('/consumers', { username: 'alice' });
    await admin.post('/consumers/alice/key-auth', { key: 'alices-own-key-of-some-length' });
    bootKey = String((await admin.post('/clustering/groups/default/boot-key', {}))['boot_key']);
    token = await admin.joinToken();
    const desired = async () => {
      const { revision } = (await admin.ok('GET', '/clustering/groups/default')) as {
        revision?: number;
      };
      return revision ?? 0;
    };
    await eventually('the copy', async () => {
      const copied = await revisionOf();
      return copied > 0 && copied >= (await desired());
    });
    await cluster.killControlPlane();
  });
  afterAll(() => cluster.close());

  it('holds no secret that could be read there', async () => {
    const names = await store.list('default/node/');
    expect(names.length).toBeGreaterThan(0);
    for (const name of [...names, 'default/boot', 'default/head.1']) {
      expect(await store.get(name)).not.toContain('alices-own-key');
    }
  });

  it('is all that a new data plane needs, given the boot key', async () => {
    const node = await cluster.startNode({ ...env, HEADGATE_BOOT_KEY: bootKey }, 'new');

    expect(await get(node, '/open')).toBe(200);
    expect(await get(node, '/guarded', 'alices-own-key-of-some-length')).toBe(200);
    expect(await get(node, '/guarded', 'another')).toBe(401);
    expect((await send(node.url('status'), '/status/ready')).status).toBe(200);
  });

  it('leaves closed what needs secrets, where only a join token is at hand', async () => {
    const node = await cluster.startNode({ ...env, HEADGATE_JOIN_TOKEN: token }, 'keyless');

    expect(await get(node, '/open')).toBe(200);
    expect(await get(node, '/guarded', 'alices-own-key-of-some-length')).toBe(503);
    expect(node.output).toContain('scopes that need them stay closed');

    // Once a control plane answers, it joins, opens them, and follows.
    await cluster.restartControlPlane();
    await eventually(
      'the secrets',
      async () => (await get(node, '/guarded', 'alices-own-key-of-some-length')) === 200,
      20_000,
    );
    await cluster.admin.post('/services/echo/routes', { paths: ['/later'] });
    await answers(node.url('proxy'), '/later', 200);
    await cluster.killControlPlane();
  });

  it('is of no use to who has neither key nor token', async () => {
    const node = await cluster.startNode(env, 'stranger');

    expect(await get(node, '/open')).toBe(503);
    expect(node.output).toContain('HEADGATE_BOOT_KEY');
  });
});
