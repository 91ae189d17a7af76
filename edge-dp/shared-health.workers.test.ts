import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import type { CounterName } from '#shared/health/health.ts';
import { ConfigTree } from '#shared/config/tree.ts';
import { buildTables } from '#shared/tables/build.ts';
import { parseBindings } from './bindings.ts';
import { edgeCrypto } from './crypto.ts';
import { OUTCOMES_MAX, RUNS_MAX } from './hub-api.ts';
import { EJECTED_MS, EJECTED_MS_MAX, HubHealth, KNOWN_MAX } from './hub-health.ts';
import { HubStore } from './hub-store.ts';
import { Isolate } from './isolate.ts';
import { edgeClock } from './platform.ts';
import { keep, recordOf, TestCluster, WORKSPACE } from './signed-config.suite.ts';

const { host, port, closedPort } = inject('echo');
const DEAD = `127.0.0.1:${closedPort}`;
const WELL = `${host}:${port}`;
const THRESHOLD = 2;

const uuid = () => crypto.randomUUID();

/** An Upstream of a target that is well and one where nobody listens, and a way past it. */
function poolRecords(targets: readonly string[] = [DEAD, WELL]) {
  const upstream = {
    id: uuid(),
    name: 'pool.test',
    healthchecks: { passive: { unhealthy: { tcp_failures: THRESHOLD } } },
  };
  const pooled = { id: uuid(), name: 'pooled', url: 'http://pool.test', retries: 0 };
  const direct = { id: uuid(), name: 'direct', url: `http://${WELL}` };
  return [
    recordOf('upstreams', upstream),
    ...targets.map((target) =>
      recordOf('targets', { id: uuid(), target, upstream: { id: upstream.id } }),
    ),
    recordOf('services', pooled),
    recordOf('services', direct),
    recordOf('routes', { id: uuid(), paths: ['/pool'], service: { id: pooled.id } }),
    recordOf('routes', { id: uuid(), paths: ['/direct'], service: { id: direct.id } }),
  ];
}

describe('isolates', () => {
  const settings = { ...env, HEADGATE_DEPLOYMENT: 'shared-health' };
  const hub = env.HEADGATE_HUB.get(env.HEADGATE_HUB.idFromName('shared-health'));

  beforeAll(async () => {
    const cluster = await TestCluster.create();
    const config = await cluster.sign(1, poolRecords());
    const identity = await cluster.identity();
    await runInDurableObject(hub, (_hub, state) => keep(state.storage, identity, config));
    await evictDurableObject(hub);
  });

  const get = async (isolate: Isolate, path: string): Promise<number> => {
    const answer = await isolate.fetch(new Request(`http://edge.test${path}`));
    await answer.text();
    return answer.status;
  };
  const start = async (): Promise<Isolate> => {
    const isolate = new Isolate(parseBindings(settings));
    await until(async () => (await get(isolate, '/direct')) === 200);
    return isolate;
  };
  const statuses = async (isolate: Isolate, count: number): Promise<number[]> => {
    const all: number[] = [];
    for (let i = 0; i < count; i += 1) all.push(await get(isolate, '/pool'));
    return all;
  };
  const knownBad = async (isolate: Isolate): Promise<number> => {
    const headers = { authorization: 'Bearer status-token' };
    const request = new Request('http://edge.test/_headgate/status', { headers });
    const body: { isolate: { targets_known_bad: number } } = await (
      await isolate.fetch(request)
    ).json();
    return body.isolate.targets_known_bad;
  };

  it('share what they see through their hub, which remembers it', async () => {
    const one = await start();
    const other = await start();

    const seen = await statuses(one, 20);
    expect(seen.filter((status) => status !== 200)).toHaveLength(THRESHOLD);
    await until(async () => (await hub.status()).includes(`"target":"${DEAD}"`));
    await until(async () => {
      await get(other, '/direct');
      return (await knownBad(other)) === 1;
    });
    expect(await statuses(other, 20)).toEqual(Array.from({ length: 20 }, () => 200));

    await evictDurableObject(hub);
    const late = await start();
    expect(await knownBad(late)).toBe(1);
    expect(await statuses(late, 20)).toEqual(Array.from({ length: 20 }, () => 200));
  });
});

/** Asks again until it is so. */
async function until(isSo: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + 15_000;
  while (!(await isSo())) {
    if (Date.now() > end) throw new Error('still not so');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

describe('the hub', () => {
  let now: number;
  let tree: ConfigTree;
  const clock = { ...edgeClock, now: () => now };

  beforeEach(() => {
    now = 1_000_000;
    const names = Array.from({ length: KNOWN_MAX }, (_, i) => `t${i}.test:80`);
    tree = ConfigTree.empty(edgeCrypto).apply(poolRecords([DEAD, WELL, ...names]), []);
  });

  const adopt = (health: HubHealth): void => {
    const replica = {
      cluster: uuid(),
      group: 'default',
      epoch: 1,
      revision: 1,
      hash: '0'.repeat(64),
      secretGeneration: null,
      tree,
      recordCount: tree.size,
    };
    const { registry } = health;
    const deps = {
      handlers: new Map(),
      runtime: 'edge',
      crypto: edgeCrypto,
      pepper: null,
    } as const;
    const built = buildTables(replica, { ...deps, health: registry }, null);
    if (!built.ok) throw new Error(built.detail);
    health.adopt(built.tables);
  };
  /** The hub's storage is real; its clock is the test's. */
  const inHub = (work: (fresh: () => HubHealth) => void): Promise<void> => {
    const stub = env.HEADGATE_HUB.get(env.HEADGATE_HUB.newUniqueId());
    return runInDurableObject(stub, (_hub, { storage }) => {
      work(() => {
        const health = new HubHealth(new HubStore(storage), clock);
        adopt(health);
        return health;
      });
    });
  };
  const report = (
    health: HubHealth,
    times: number,
    counter: CounterName = 'tcp_failure',
    target = DEAD,
  ) => health.take([{ ws: WORKSPACE, upstream: 'pool.test', target, runs: [[counter, times]] }]);
  const words = (health: HubHealth) => health.news('?')?.targets.map(({ word }) => word);

  it('adds up what isolates report, by the thresholds of the Upstream', () =>
    inHub((fresh) => {
      const health = fresh();
      report(health, 1);
      expect(words(health)).toEqual([]);
      report(health, 1, 'http_failure');
      expect(words(health)).toEqual([]);
      report(health, 1);
      expect(words(health)).toEqual(['unhealthy']);
      const mark = health.news('?')?.mark ?? '';
      expect(health.news(mark)).toBeNull();
    }));

  it('puts a target on trial when its ejection is over, and forgets it when that went well', () =>
    inHub((fresh) => {
      const health = fresh();
      report(health, THRESHOLD);
      now += EJECTED_MS - 1;
      expect(words(health)).toEqual(['unhealthy']);
      now += 1;
      expect(words(health)).toEqual(['trial']);
      now += EJECTED_MS;
      expect(words(health)).toEqual([]);
      report(health, THRESHOLD - 1);
      expect(words(health)).toEqual([]);
    }));

  it('ejects for twice as long what fails once on trial, up to a limit', () =>
    inHub((fresh) => {
      const health = fresh();
      report(health, THRESHOLD);
      let durationMs = EJECTED_MS;
      for (let i = 0; i < 6; i += 1) {
        now += durationMs;
        expect(words(health)).toEqual(['trial']);
        report(health, 1);
        expect(words(health)).toEqual(['unhealthy']);
        durationMs = Math.min(durationMs * 2, EJECTED_MS_MAX);
        now += durationMs - 1;
        expect(words(health)).toEqual(['unhealthy']);
        now += 1 - durationMs;
      }
      expect(durationMs).toBe(EJECTED_MS_MAX);
    }));

  it('goes on after a restart where it was', () =>
    inHub((fresh) => {
      const before = fresh();
      report(before, THRESHOLD);
      const mark = before.news('?')?.mark;
      const after = fresh();
      expect(after.news('?')?.mark).toBe(mark);
      expect(words(after)).toEqual(['unhealthy']);
      now += EJECTED_MS;
      expect(words(after)).toEqual(['trial']);
      report(after, 1);
      expect(words(after)).toEqual(['unhealthy']);
    }));

  it('bounds what it takes and what it keeps', () =>
    inHub((fresh) => {
      const health = fresh();
      const failed = (target: string) => ({
        ws: WORKSPACE,
        upstream: 'pool.test',
        target,
        runs: [['tcp_failure', 2] as const],
      });
      const many = Array.from({ length: OUTCOMES_MAX + 1 }, (_, i) => failed(`t${i}.test:80`));
      health.take(many);
      expect(words(health)).toHaveLength(OUTCOMES_MAX);
      for (let i = 0; i < KNOWN_MAX + 2; i += 100) {
        health.take(Array.from({ length: 100 }, (_, j) => failed(`t${i + j}.test:80`)));
      }
      report(health, THRESHOLD, 'tcp_failure', DEAD);
      expect(words(health)).toHaveLength(KNOWN_MAX);
      const alternating = Array.from({ length: 2 * RUNS_MAX }, (_, i): [CounterName, number] => [
        i % 2 === 0 ? 'success' : 'timeout',
        1e12,
      ]);
      health.take([{ ...failed(WELL), runs: alternating }, failed('unknown.test:80')]);
      expect(words(health)).toHaveLength(KNOWN_MAX);
    }));
});
