import { env } from 'cloudflare:workers';
import { beforeEach, describe, expect, it } from 'vitest';
import { hex } from '#shared/base/bytes.ts';
import { makeRecord } from '#shared/config/record.ts';
import { HealthRegistry } from '#shared/health/registry.ts';
import type { Logger } from '#shared/platform/platform.ts';
import { writeBootRecord } from '#shared/config/boot-record.ts';
import { ASK_INTERVAL_MS, ConfigSource, STALE_WAIT_MS } from './config-source.ts';
import { edgeCrypto } from './crypto.ts';
import type { Held, Hub, HubAnswer } from './hub-api.ts';
import type { TreeNode } from './hub-store.ts';
import { KvConfig } from './kv-config.ts';
import { edgeClock, edgeRandom } from './platform.ts';
import { SharedHealth } from './shared-health.ts';
import { type SignedConfig, TestCluster, WORKSPACE } from './signed-config.suite.ts';

const MAX_AGE_MS = 60_000;
const BOOT_KEY = new Uint8Array(32).fill(3);
const records = (count: number, mark = '') =>
  Array.from({ length: count }, (_, i) => {
    const id = `r${i}`;
    return makeRecord(
      { kind: 'routes', ws: WORKSPACE, id, placement: id },
      { id, mark },
      edgeCrypto,
    );
  });

/** The other end of the network: a hub that can be away, slow, or behind. */
class TestHub implements Hub {
  config: SignedConfig | null = null;
  boot: HubAnswer['boot'] = null;
  isAway = false;
  provenAgeMs: number | null = null;
  readonly told: Held[] = [];
  delayMs = 0;
  asked = 0;
  nodesAsked = 0;

  async ensure(): Promise<void> {}

  async head(held: Held): Promise<HubAnswer> {
    this.asked++;
    this.told.push(held);
    if (this.delayMs > 0) await new Promise((resolve) => setTimeout(resolve, this.delayMs));
    if (this.isAway) throw new Error('away');
    const { config, boot } = this;
    const hash = config === null ? '' : hex(edgeCrypto.sha256(config.head.manifest));
    return {
      head: config === null || hash === held.hash ? null : config.head,
      boot: boot === null || held.bootMark === 'mark' ? null : boot,
      bootMark: boot === null ? '' : 'mark',
      provenAgeMs: this.provenAgeMs,
    };
  }

  async nodes(ids: string[]): Promise<TreeNode[]> {
    this.nodesAsked++;
    if (this.isAway) throw new Error('away');
    return (this.config?.nodes ?? []).filter(({ id }) => ids.includes(id));
  }

  async status(): Promise<string> {
    return '{}';
  }
}

describe('an isolate', () => {
  let cluster: TestCluster;
  let hub: TestHub;
  let kv: KvConfig;
  let skippedMs: number;
  let background: Promise<unknown>[];
  let used: number[];
  /** A revision that this isolate cannot build. */
  let unbuildable: number;
  const logger: Logger = { log: () => undefined };

  beforeEach(async () => {
    cluster = await TestCluster.create();
    hub = new TestHub();
    kv = new KvConfig(env.HEADGATE_CONFIG, crypto.randomUUID());
    skippedMs = 0;
    background = [];
    used = [];
    unbuildable = 0;
  });

  const source = (bootKey: Uint8Array | null = null) =>
    new ConfigSource({
      hub: () => hub,
      kv,
      bootKey,
      maxIsolateAgeMs: MAX_AGE_MS,
      clock: { ...edgeClock, now: () => Date.now() + skippedMs },
      crypto: edgeCrypto,
      logger,
      use: (replica) => {
        if (replica.revision === unbuildable) return 'no such thing here';
        used.push(replica.revision);
        return null;
      },
      background: (work) => background.push(work),
      health: new SharedHealth(new HealthRegistry(), () => {}),
    });
  const publish = async (config: SignedConfig) => {
    await kv.writeNodes(config.nodes);
    await kv.writeHead(config.head);
  };
  const settle = async () => {
    await Promise.all(background.splice(0));
  };
  const inHub = async (revision: number, count = 3) => {
    hub.boot = cluster.boot;
    hub.config = await cluster.sign(revision, records(count));
  };

  it('starts from its hub', async () => {
    await inHub(7, 400);
    const isolate = source();

    await isolate.freshen();

    expect(isolate.state?.replica.revision).toBe(7);
    expect(isolate.state?.tree.size).toBe(400);
    expect(used).toEqual([7]);
  });

  it('has none when there is none, and says so without asking again for every request', async () => {
    const isolate = source();

    await isolate.freshen();
    await settle();

    expect(isolate.state).toBeNull();
    expect(isolate.freshen()).toBeNull();
    expect(hub.asked).toBe(1);
  });

  it('starts from KV alone when it has the boot key, complete with the group’s secret', async () => {
    const platform = { crypto: edgeCrypto, random: edgeRandom };
    await publish(await cluster.sign(3, records(300)));
    await kv.writeBoot(await writeBootRecord(cluster.boot, BOOT_KEY, platform));
    hub.isAway = true;
    const isolate = source(BOOT_KEY);

    await isolate.freshen();

    expect(isolate.state?.replica.revision).toBe(3);
    expect(isolate.confirmedAgeMs()).toBeNull();
  });

  it('does not wait for a silent hub when KV has a configuration', async () => {
    const platform = { crypto: edgeCrypto, random: edgeRandom };
    await publish(await cluster.sign(3, records(3)));
    await kv.writeBoot(await writeBootRecord(cluster.boot, null, platform));
    hub.delayMs = 3000;
    const isolate = source();
    const before = Date.now();

    await isolate.freshen();

    expect(isolate.state?.replica.revision).toBe(3);
    expect(Date.now() - before).toBeLessThan(2000);
  });

  it('takes what the hub announces from the hub when KV does not show it yet', async () => {
    await inHub(1);
    const isolate = source();
    await isolate.freshen();
    await inHub(2, 200);
    skippedMs = ASK_INTERVAL_MS;

    expect(isolate.freshen()).toBeNull();
    await settle();

    expect(used).toEqual([1, 2]);
    expect(await kv.readHead()).toBeNull();
  });

  it('asks the hub behind requests, and no more than every two seconds', async () => {
    await inHub(1);
    const isolate = source();
    await isolate.freshen();
    await settle();

    for (let i = 0; i < 20; i++) expect(isolate.freshen()).toBeNull();
    expect(hub.asked).toBe(1);
    skippedMs = ASK_INTERVAL_MS;
    for (let i = 0; i < 20; i++) expect(isolate.freshen()).toBeNull();

    expect(hub.asked).toBe(2);
    await settle();
  });

  it('asks before it answers when it slept too long', async () => {
    await inHub(1);
    const isolate = source();
    await isolate.freshen();
    await inHub(2);
    skippedMs = MAX_AGE_MS + 1000;

    await isolate.freshen();

    expect(isolate.state?.replica.revision).toBe(2);
  });

  it('then waits no longer than a moment for a hub that is silent', async () => {
    await inHub(1);
    const isolate = source();
    await isolate.freshen();
    await inHub(2);
    hub.delayMs = 1500;
    skippedMs = MAX_AGE_MS + 1000;
    const before = Date.now();

    await isolate.freshen();

    expect(isolate.state?.replica.revision).toBe(1);
    expect(Date.now() - before).toBeLessThan(STALE_WAIT_MS + 500);
    await settle();
    expect(isolate.state?.replica.revision).toBe(2);
  });

  it('goes on with what it has while the hub cannot be asked, and takes KV’s news', async () => {
    await inHub(1);
    const isolate = source();
    await isolate.freshen();
    await publish(await cluster.sign(2, records(5)));
    hub.isAway = true;
    skippedMs = ASK_INTERVAL_MS;

    expect(isolate.freshen()).toBeNull();
    await settle();

    expect(isolate.state?.replica.revision).toBe(2);
  });

  it('never goes back in revision, whoever says so', async () => {
    await inHub(5);
    const isolate = source();
    await isolate.freshen();
    await publish(await cluster.sign(4, records(1)));
    await inHub(3);
    skippedMs = ASK_INTERVAL_MS;
    isolate.freshen();
    await settle();
    hub.isAway = true;
    skippedMs += ASK_INTERVAL_MS;
    isolate.freshen();
    await settle();

    expect(used).toEqual([5]);
  });

  it('uses nothing that is not signed for its cluster', async () => {
    const stranger = await TestCluster.create();
    const platform = { crypto: edgeCrypto, random: edgeRandom };
    await publish(await stranger.sign(9, records(2)));
    await kv.writeBoot(await writeBootRecord(cluster.boot, null, platform));
    hub.isAway = true;
    const isolate = source(BOOT_KEY);

    await isolate.freshen();

    expect(isolate.state).toBeNull();
  });

  it('uses no tree node that was tampered with, and gets the right one from the hub', async () => {
    await inHub(1, 300);
    const { config } = hub;
    if (config === null) throw new Error('no configuration');
    const [first] = config.nodes;
    await kv.writeNodes(
      config.nodes.map(({ id, text }) => ({ id, text: id === first?.id ? `${text} ` : text })),
    );
    await kv.writeHead(config.head);
    await kv.writeBoot(
      await writeBootRecord(cluster.boot, null, { crypto: edgeCrypto, random: edgeRandom }),
    );
    // Slow to say what is newest, so that the isolate starts from KV; quick with nodes.
    hub.delayMs = 2000;
    const isolate = source();

    await isolate.freshen();

    expect(isolate.state?.tree.size).toBe(300);
    expect(hub.nodesAsked).toBe(1);
  });

  it('builds once for many requests that come at the same time', async () => {
    await inHub(1, 200);
    const isolate = source();

    await Promise.all(Array.from({ length: 20 }, () => isolate.freshen()));
    await settle();

    expect(used).toEqual([1]);
  });

  it('goes on with what it has when it cannot build what the hub could, and says so', async () => {
    await inHub(7);
    const isolate = source();
    await isolate.freshen();
    unbuildable = 8;
    await inHub(8);
    for (let i = 0; i < 3; i += 1) {
      skippedMs += MAX_AGE_MS + 1;
      await isolate.freshen();
    }
    await settle();

    expect(isolate.state?.replica.revision).toBe(7);
    expect(hub.told.at(-1)?.refused).toMatchObject({ revision: 8, detail: 'no such thing here' });

    await inHub(9);
    skippedMs += MAX_AGE_MS + 1;
    await isolate.freshen();
    expect(used).toEqual([7, 9]);
  });

  describe('of a group that closes', () => {
    const settings = { staleness: 'close', staleness_seconds: 600 } as const;
    const STALE_MS = 601_000;
    const stale = async (revision: number) => {
      hub.boot = cluster.boot;
      const created = { created_at: Math.floor(Date.now() / 1000) - 3600, settings };
      hub.config = await cluster.sign(revision, records(1), created);
    };

    it('serves as long as its hub has proof that nothing is newer', async () => {
      await stale(7);
      hub.provenAgeMs = 0;
      const isolate = source();
      await isolate.freshen();
      expect(isolate.isClosed()).toBe(false);
      for (let i = 0; i < 3; i += 1) {
        skippedMs += STALE_MS;
        expect(isolate.isClosed()).toBe(true);
        await isolate.freshen();
        expect(isolate.isClosed()).toBe(false);
      }
    });

    it('closes when its hub has none, or cannot be asked', async () => {
      await stale(7);
      hub.provenAgeMs = 0;
      const isolate = source();
      await isolate.freshen();
      hub.provenAgeMs = STALE_MS;
      skippedMs += STALE_MS;
      await isolate.freshen();
      expect(isolate.isClosed()).toBe(true);
      hub.provenAgeMs = 0;
      skippedMs += 3_000;
      await isolate.freshen();
      expect(isolate.isClosed()).toBe(false);
      hub.isAway = true;
      skippedMs += STALE_MS;
      await isolate.freshen();
      expect(isolate.isClosed()).toBe(true);
    });

    it('takes what it finds in KV to be as old as its signature says', async () => {
      await stale(7);
      hub.isAway = true;
      await publish(hub.config as SignedConfig);
      await kv.writeBoot(
        await writeBootRecord(cluster.boot, null, { crypto: edgeCrypto, random: edgeRandom }),
      );
      const isolate = source();
      await isolate.freshen();
      await settle();
      expect(isolate.state?.replica.revision).toBe(7);
      expect(isolate.isClosed()).toBe(true);
    });
  });
});
