/** Secrets at the edge: sealed in the hub's storage and in KV, opened in an isolate's memory. */
import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { beforeEach, describe, expect, it } from 'vitest';
import { makeRecord, type ConfigRecord, type Replica } from '#shared/config/record.ts';
import { sealingKey, sealSecrets } from '#shared/config/sealed-secrets.ts';
import { HealthRegistry } from '#shared/health/registry.ts';
import { writeBootRecord } from '#shared/config/boot-record.ts';
import { ConfigSource } from './config-source.ts';
import { edgeCrypto } from './crypto.ts';
import type { Hub } from './hub-api.ts';
import { HubStore } from './hub-store.ts';
import { KvConfig } from './kv-config.ts';
import { KvPublisher } from './kv-publisher.ts';
import { edgeClock, edgeRandom } from './platform.ts';
import { SharedHealth } from './shared-health.ts';
import { keep, TestCluster, WORKSPACE } from './signed-config.suite.ts';

const CANARY = 'canary-4711-in-the-mine';
const BOOT_KEY = new Uint8Array(32).fill(3);
const logger = { log: () => undefined };

/** A hub that is away: isolates have KV only. */
const NO_HUB: Hub = new Proxy({} as Hub, {
  get: () => async () => {
    throw new Error('away');
  },
});

let cluster: TestCluster;
let prefix: string;
let stored: string;

beforeEach(async () => {
  cluster = await TestCluster.create();
  prefix = crypto.randomUUID();
  const config = await cluster.sign(1, await sealed());
  const boot = await writeBootRecord(cluster.boot, BOOT_KEY, {
    crypto: edgeCrypto,
    random: edgeRandom,
  });
  const stub = env.HEADGATE_HUB.get(env.HEADGATE_HUB.newUniqueId());
  await runInDurableObject(stub, async (_hub, state) => {
    await keep(state.storage, await cluster.identity(), config);
    const kv = new KvConfig(env.HEADGATE_CONFIG, prefix);
    await kv.writeBoot(boot);
    const store = new HubStore(state.storage);
    await new KvPublisher(store, kv, edgeClock, logger).publish();
    stored = JSON.stringify([
      ...state.storage.sql.exec('SELECT * FROM nodes'),
      ...state.storage.sql.exec('SELECT * FROM meta'),
    ]);
  });
});

/** A plugin with a password, as a control plane publishes it. */
async function sealed(): Promise<ConfigRecord[]> {
  const id = '10000000-0000-4000-8000-000000000001';
  const place = { kind: 'plugins', ws: WORKSPACE, id, placement: 'global' };
  const config = { redis: { password: null } };
  const plugin = makeRecord(place, { id, name: 'rate-limiting', config }, edgeCrypto);
  const { cluster: name, groupId, groupSecrets } = cluster.boot;
  const [own] = groupSecrets;
  if (own === undefined) throw new Error('the cluster has a secret');
  const group = { cluster: name, groupId, generation: own.generation };
  const key = await sealingKey(own.secret, group, edgeCrypto);
  return [plugin, await sealSecrets(plugin, { '/config/redis/password': CANARY }, key, edgeCrypto)];
}

/** What an isolate builds from, that starts with KV alone. */
async function isolate(bootKey: Uint8Array | null): Promise<ConfigRecord[]> {
  const used: Replica[] = [];
  const source = new ConfigSource({
    hub: () => NO_HUB,
    kv: new KvConfig(env.HEADGATE_CONFIG, prefix),
    bootKey,
    maxIsolateAgeMs: 60_000,
    clock: edgeClock,
    crypto: edgeCrypto,
    logger,
    health: new SharedHealth(new HealthRegistry(), () => {}),
    use: (replica) => {
      used.push(replica);
      return null;
    },
    background: () => undefined,
  });
  // A little longer than a request would wait for a hub that does not answer.
  for (let i = 0; i < 20 && used.length === 0; i += 1) await source.freshen();
  return [...(used.at(-1)?.tree.records() ?? [])];
}

describe('a secret at the edge', () => {
  it('is opened by an isolate that knows the group’s secret', async () => {
    const [plugin, ...rest] = await isolate(BOOT_KEY);
    expect(rest).toEqual([]);
    expect(plugin?.body['config']).toEqual({ redis: { password: CANARY } });
    expect(plugin?.fault).toBeUndefined();
  });

  it('stays shut, and is named, where nobody gave the isolate a boot key', async () => {
    const [plugin] = await isolate(null);
    expect(plugin?.body['config']).toEqual({ redis: { password: null } });
    expect(plugin?.fault).toMatch(/group secret of generation 1 is missing/);
  });

  it('stands neither in the hub’s storage nor in KV', async () => {
    const { keys } = await env.HEADGATE_CONFIG.list({ prefix });
    const values = await Promise.all(keys.map(({ name }) => env.HEADGATE_CONFIG.get(name)));
    const all = `${stored}${JSON.stringify(values)}`;
    expect(all).toContain('sealed:plugins');
    expect(all).not.toContain(CANARY);
  });
});
