import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { JsonObject } from '#shared/schema/field.ts';
import type { UpstreamReport } from '#shared/wire/frames.ts';
import type { NodeReport } from '../nodes/node-health.ts';
import { openTestAdmin, type TestAdmin } from './admin.suite.ts';
import { NODES_SHOWN_MAX } from './health-view.ts';

let test: TestAdmin;
let call: TestAdmin['call'];
let reports: NodeReport[] = [];
const told: JsonObject[] = [];
let listening = 1;

const CHECKED = { passive: { unhealthy: { tcp_failures: 1 } } };

beforeAll(async () => {
  test = await openTestAdmin({
    nodes: {
      health: async (ws: string, upstream: string) =>
        reports.filter(({ report }) => report.ws === ws && report.name === upstream),
      setHealth: async (said: JsonObject) => {
        told.push(said);
        return listening;
      },
    },
  });
  ({ call } = test);
  await call('PUT', '/upstreams/u.test', { healthchecks: CHECKED });
  await call('PUT', '/upstreams/off.test', {});
  for (const [target, weight] of [
    ['a.test:80', 10],
    ['b.test:80', 30],
  ] as const) {
    await call('POST', '/upstreams/u.test/targets', { target, weight });
  }
  await call('POST', '/upstreams/off.test/targets', { target: 'a.test:80' });
});
afterAll(() => test?.close());
beforeEach(() => {
  reports = [];
  told.length = 0;
  listening = 1;
});

type Target = UpstreamReport['targets'][number];

function targetReport(name: string, weight: number, addresses: Target['addresses']): Target {
  const isUp = addresses.some(({ health }) => health === 'HEALTHY');
  const health = addresses.length === 0 ? 'DNS_ERROR' : isUp ? 'HEALTHY' : 'UNHEALTHY';
  return { target: name, weight, dns: 'A', health, addresses };
}

function address(ip: string, weight: number, health: Target['health'] = 'HEALTHY') {
  return { ip, port: 80, weight, health };
}

function says(
  targets: readonly Target[],
  balancer: UpstreamReport['balancer'] = 'HEALTHY',
  hostname = 'one',
): NodeReport {
  const ws = test.store.defaultWorkspace();
  const report = { ws, name: 'u.test', health: balancer, balancer, targets, dropped: 0 };
  return { node: randomUUID(), hostname, report };
}

async function rows(): Promise<Map<unknown, JsonObject>> {
  const { status, body } = await call('GET', '/upstreams/u.test/health');
  expect(status).toBe(200);
  const data = body['data'];
  return new Map(
    (Array.isArray(data) ? (data as JsonObject[]) : []).map((row) => [row['target'], row]),
  );
}

describe('/upstreams/{u}/health', () => {
  it('shows targets as a Kong node shows its own', async () => {
    const one = says([
      targetReport('a.test:80', 10, [
        address('10.0.0.1', 10, 'UNHEALTHY'),
        address('10.0.0.2', 10),
      ]),
      targetReport('b.test:80', 30, []),
    ]);
    reports = [one];
    const found = await rows();
    const nodes = (health: string) => [{ id: one.node, hostname: 'one', health }];
    expect(found.get('a.test:80')).toMatchObject({
      weight: 10,
      health: 'HEALTHY',
      data: {
        host: 'a.test',
        port: 80,
        dns: 'A',
        nodeWeight: 10,
        weight: { total: 20, available: 10, unavailable: 10 },
        addresses: [
          { ip: '10.0.0.1', port: 80, weight: 10, health: 'UNHEALTHY' },
          { ip: '10.0.0.2', port: 80, weight: 10, health: 'HEALTHY' },
        ],
      },
      nodes: nodes('HEALTHY'),
    });
    expect(found.get('b.test:80')).toMatchObject({
      health: 'DNS_ERROR',
      data: { addresses: [], weight: { total: 0, available: 0, unavailable: 0 } },
      nodes: nodes('DNS_ERROR'),
    });
  });

  it('shows the worst that any node says, and what each says', async () => {
    const [one, two] = [
      says([targetReport('a.test:80', 10, [address('10.0.0.1', 10)])]),
      says(
        [
          targetReport(
            'a.test:80',
            10,
            [address('10.0.0.1', 10, 'UNHEALTHY'), address('10.0.0.3', 10)].slice(0, 1),
          ),
        ],
        'UNHEALTHY',
        'two',
      ),
    ];
    reports = [one, two];
    const row = (await rows()).get('a.test:80');
    expect(row).toMatchObject({
      health: 'UNHEALTHY',
      data: { addresses: [{ ip: '10.0.0.1', health: 'UNHEALTHY' }] },
      nodes: [
        { id: one.node, hostname: 'one', health: 'HEALTHY' },
        { id: two.node, hostname: 'two', health: 'UNHEALTHY' },
      ],
    });
  });

  it('has targets without health where no node says anything', async () => {
    for (const row of (await rows()).values()) {
      expect(row).not.toHaveProperty('health');
      expect(row).not.toHaveProperty('data');
    }
  });

  it('names so many nodes, and counts all', async () => {
    reports = Array.from({ length: NODES_SHOWN_MAX + 1 }, () =>
      says([targetReport('a.test:80', 10, [address('10.0.0.1', 10)])]),
    );
    reports.push(says([targetReport('a.test:80', 10, [address('10.0.0.1', 10, 'UNHEALTHY')])]));
    const row = (await rows()).get('a.test:80');
    expect(row?.['nodes']).toHaveLength(NODES_SHOWN_MAX);
    expect(row?.['health']).toBe('UNHEALTHY');
  });

  it.each(['1', 'true'])('shows the whole with balancer_health=%s', async (value) => {
    const one = says([
      targetReport('a.test:80', 10, [address('10.0.0.1', 10, 'UNHEALTHY')]),
      targetReport('b.test:80', 30, [address('10.0.0.2', 30)]),
    ]);
    reports = [one];
    const { body } = await call('GET', `/upstreams/u.test/health?balancer_health=${value}`);
    expect(body['node_id']).toBeTypeOf('string');
    expect(body['data']).toMatchObject({
      health: 'HEALTHY',
      balancer_health: 'HEALTHY',
      details: {
        healthy: true,
        weight: { total: 40, available: 30, unavailable: 10 },
        hosts: [
          { host: 'a.test', nodeWeight: 10 },
          { host: 'b.test', nodeWeight: 30 },
        ],
      },
      nodes: [{ id: one.node, hostname: 'one', health: 'HEALTHY', balancer_health: 'HEALTHY' }],
    });
    reports.push(says([], 'UNHEALTHY', 'two'));
    const worse = await call('GET', `/upstreams/u.test/health?balancer_health=${value}`);
    expect(worse.body['data']).toMatchObject({
      balancer_health: 'UNHEALTHY',
      details: { healthy: false },
    });
    reports = [];
    const none = await call('GET', `/upstreams/u.test/health?balancer_health=${value}`);
    expect(Object.keys(none.body['data'] as object)).toEqual(['id']);
  });
});

describe('the health of a target by hand', () => {
  const path = '/upstreams/u.test/targets/a.test:80';

  it.each([
    [`${path}/healthy`, { address: null, healthy: true }],
    [`${path}/unhealthy`, { address: null, healthy: false }],
    [`${path}/10.0.0.1:80/unhealthy`, { address: '10.0.0.1:80', healthy: false }],
    ['/upstreams/u.test/targets/a.test:0080/healthy'.replace(':0080', ':80'), { healthy: true }],
  ])('is told to data planes: %s', async (at, said) => {
    expect((await call('PUT', at)).status).toBe(204);
    expect(told).toMatchObject([
      { ws: test.store.defaultWorkspace(), name: 'u.test', target: 'a.test:80', ...said },
    ]);
  });

  it.each([
    ['/upstreams/nobody.test/targets/a.test:80/healthy', 404],
    ['/upstreams/u.test/targets/nobody.test:80/healthy', 404],
    [`/upstreams/u.test/targets/${randomUUID()}/healthy`, 404],
    ['/upstreams/off.test/targets/a.test:80/healthy', 400],
  ])('is refused at %s: %i', async (at, status) => {
    expect((await call('PUT', at)).status).toBe(status);
    expect(told).toEqual([]);
  });

  it('is refused for a target of another upstream', async () => {
    const { body } = await call('GET', '/upstreams/off.test/targets/a.test:80');
    expect(
      (await call('PUT', `/upstreams/u.test/targets/${String(body['id'])}/healthy`)).status,
    ).toBe(404);
  });

  it('is refused while nobody listens', async () => {
    listening = 0;
    const answer = await call('PUT', `${path}/healthy`);
    expect(answer.status).toBe(400);
    expect(answer.body['message']).toBe('no data plane is connected that could be told');
  });

  it('knows PUT only, as Kong', async () => {
    for (const method of ['GET', 'POST', 'DELETE']) {
      expect((await call(method, `${path}/healthy`)).status).toBe(405);
    }
  });
});
