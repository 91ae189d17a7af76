import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { hex } from '#shared/base/bytes.ts';
import { HEADGATE_VERSION } from '#shared/base/product.ts';
import type { ConfigHub } from './config-hub.ts';
import { edgeCrypto } from './crypto.ts';
import { HubStore } from './hub-store.ts';
import { KvConfig } from './kv-config.ts';
import { keep, recordOf, type SignedConfig, TestCluster } from './signed-config.suite.ts';

const NOTHING_HELD = { hash: '', bootMark: '' };
const DEPLOYMENT = 'test';

describe('the hub', () => {
  let cluster: TestCluster;
  let identity: string;
  let config: SignedConfig;
  let hub: DurableObjectStub<ConfigHub>;
  const kv = new KvConfig(env.HEADGATE_CONFIG, DEPLOYMENT);

  beforeEach(async () => {
    cluster = await TestCluster.create();
    identity = await cluster.identity();
    const service = { id: crypto.randomUUID(), name: 'echo', url: 'http://127.0.0.1:9' };
    config = await cluster.sign(4, [recordOf('services', service)]);
    hub = env.HEADGATE_HUB.get(env.HEADGATE_HUB.newUniqueId());
  });

  const inside = <T>(work: (storage: DurableObjectStorage) => Promise<T>): Promise<T> =>
    runInDurableObject(hub, (_hub, state) => work(state.storage));
  const joined = async () => {
    await inside((storage) => keep(storage, identity, config));
    await evictDurableObject(hub);
  };

  it('has nothing to say before it has joined', async () => {
    expect(await hub.head(NOTHING_HELD)).toEqual({
      head: null,
      boot: null,
      bootMark: '',
      provenAgeMs: null,
      health: null,
    });
  });

  it('comes back with what it kept when it was evicted', async () => {
    await joined();

    const answer = await hub.head(NOTHING_HELD);

    expect(answer.head).toEqual(config.head);
    expect(answer.boot).toEqual(cluster.boot);
    expect(await hub.nodes(config.nodes.map(({ id }) => id))).toEqual(config.nodes);
  });

  it('says nothing of what the isolate has already', async () => {
    await joined();
    const { bootMark } = await hub.head(NOTHING_HELD);
    const status = JSON.parse(await hub.status()) as { configuration_hash: string };

    const answer = await hub.head({ hash: status.configuration_hash, bootMark });

    const provenAgeMs = expect.any(Number) as number;
    expect(answer).toEqual({ head: null, boot: null, bootMark, provenAgeMs, health: null });
  });

  it('gives its own keys to nobody', async () => {
    await joined();
    const keys = [...identity.matchAll(/"private_key":"([^"]+)"/g)].map((match) => match[1] ?? '');

    const answer = await hub.head(NOTHING_HELD);
    const told = JSON.stringify(answer) + (await hub.status());

    expect(keys.length).toBe(2);
    for (const key of keys) expect(told).not.toContain(key);
    expect(Object.keys(answer.boot ?? {}).toSorted()).toEqual([
      'cluster',
      'groupId',
      'groupSecrets',
      'rootKey',
    ]);
  });

  it('hands out nothing that was changed in its own storage', async () => {
    await joined();
    await inside(async (storage) => {
      storage.sql.exec(`UPDATE nodes SET text = replace(text, 'echo', 'evil')`);
    });
    await evictDurableObject(hub);

    const answer = await hub.head(NOTHING_HELD);

    expect(answer.head).toBeNull();
    expect(answer.boot).toEqual(cluster.boot);
  });

  it('sets an alarm when it is first asked, and the next one whenever it rings', async () => {
    await hub.ensure();
    const first = await inside((storage) => storage.getAlarm());

    const rang = await runDurableObjectAlarm(hub);

    const second = await inside((storage) => storage.getAlarm());
    expect(rang).toBe(true);
    expect(first).not.toBeNull();
    expect(second ?? 0).toBeGreaterThanOrEqual(first ?? Number.POSITIVE_INFINITY);
  });

  it('copies its state to KV, and again when KV has lost it', async () => {
    await joined();
    await hub.ensure();
    await runDurableObjectAlarm(hub);
    const ids = config.nodes.map(({ id }) => id);

    expect(await kv.readHead()).toEqual(config.head);
    expect(await kv.readNodes(ids)).toEqual(config.nodes);
    const { keys } = await env.HEADGATE_CONFIG.list();
    for (const { name } of keys) await env.HEADGATE_CONFIG.delete(name);
    await runDurableObjectAlarm(hub);

    expect(await kv.readHead()).toEqual(config.head);
    expect(await kv.readNodes(ids)).toEqual(config.nodes);
    expect(await kv.readBoot()).toContain(cluster.boot.cluster);
  });

  it('does not build a third time what it came to its end with twice', async () => {
    await inside((storage) => keep(storage, identity, config));
    const hash = hex(edgeCrypto.sha256(config.head.manifest));
    // As two lives leave it that ended while they built it.
    await inside(async (storage) => {
      const trials = [{ epoch: 1, revision: 4, hash, attempts: 2 }];
      const record = { format: 1, release: HEADGATE_VERSION, proven: '', trials, crashed: [] };
      new HubStore(storage).setMeta('trials', JSON.stringify(record));
    });
    await evictDurableObject(hub);

    const status = JSON.parse(await hub.status()) as { crashed: unknown; revision: number };

    expect(status.crashed).toEqual([{ epoch: 1, revision: 4, hash }]);
    expect(status.revision).toBe(0);
    expect((await hub.head(NOTHING_HELD)).head).toBeNull();
  });

  it('writes down what it tries, and that it could be built', async () => {
    await joined();
    await hub.head(NOTHING_HELD);
    const hash = hex(edgeCrypto.sha256(config.head.manifest));

    await vi.waitFor(async () => {
      const kept = await inside(async (storage) => new HubStore(storage).getMeta('trials'));
      expect(JSON.parse(kept ?? '')).toMatchObject({ proven: hash, trials: [], crashed: [] });
    });
  });

  it('names what isolates could not build, each once', async () => {
    await joined();
    const refused = { hash: 'h', epoch: 1, revision: 4, detail: 'x'.repeat(2000) };
    for (let i = 0; i < 3; i += 1) await hub.head({ ...NOTHING_HELD, refused });
    for (let n = 0; n < 30; n += 1) {
      await hub.head({ ...NOTHING_HELD, refused: { ...refused, hash: `h${n}` } });
    }

    const status = JSON.parse(await hub.status()) as { refused_by_isolates: { detail: string }[] };

    expect(status.refused_by_isolates).toHaveLength(16);
    expect(status.refused_by_isolates[0]?.detail).toHaveLength(500);
  });
});
