/** What data planes find out about targets, as the control plane shows it, while targets come and go. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Cluster, answers } from '../support/cluster.ts';
import { type EchoUpstream, startEchoUpstream } from '../support/echo-upstream.ts';
import { eventually } from '../support/eventually.ts';
import { send } from '../support/http-client.ts';
import type { Json } from '../support/admin-client.ts';
import type { Program } from '../support/program.ts';

let cluster: Cluster;
let node: Program;
let edgeUrl = '';
let steady: EchoUpstream;
let flaky: EchoUpstream | null = null;
let port = 0;

beforeAll(async () => {
  steady = await startEchoUpstream();
  flaky = await startEchoUpstream();
  ({ port } = flaky);
  cluster = await Cluster.start();
  const { admin } = cluster;
  node = await cluster.startNode({ HEADGATE_JOIN_TOKEN: await admin.joinToken() });
  await pool('probed.test', '/probed', {
    active: {
      healthy: { interval: 0.2, successes: 1 },
      unhealthy: { interval: 0.2, tcp_failures: 1 },
    },
  });
  await pool('watched.test', '/watched', { passive: { unhealthy: { tcp_failures: 1 } } });
  await answers(node.url('proxy'), '/watched', 200);
});
afterAll(async () => {
  await cluster?.close();
  await steady?.close();
  await flaky?.close();
});

async function pool(name: string, path: string, healthchecks: Json): Promise<void> {
  const { admin } = cluster;
  await admin.post('/upstreams', { name, healthchecks });
  for (const target of [steady.port, port]) {
    await admin.post(`/upstreams/${name}/targets`, { target: `127.0.0.1:${target}` });
  }
  const service = await admin.post('/services', { host: name, retries: 2 });
  await admin.post('/routes', { paths: [path], service: { id: service['id'] } });
}

async function rows(upstream: string): Promise<Map<string, Json>> {
  const body = await cluster.admin.ok('GET', `/upstreams/${upstream}/health`);
  // Kong's contract: a list of targets.
  return new Map((body['data'] as Json[]).map((row) => [String(row['target']), row]));
}

/** Waits until the control plane shows this of the target that comes and goes. */
function shows(upstream: string, word: string): Promise<Json> {
  return eventually(`${upstream} shown as ${word}`, async () => {
    const row = (await rows(upstream)).get(`127.0.0.1:${port}`);
    return row?.['health'] === word ? row : null;
  });
}

it('shows what data planes say, and by whom', async () => {
  const row = await shows('probed.test', 'HEALTHY');
  expect(row['data']).toMatchObject({
    host: '127.0.0.1',
    port,
    dns: 'A',
    nodeWeight: 100,
    weight: { total: 100, available: 100, unavailable: 0 },
    addresses: [{ ip: '127.0.0.1', port, weight: 100, health: 'HEALTHY' }],
  });
  expect(row['nodes']).toMatchObject([{ health: 'HEALTHY' }]);
});

it('shows a target that dies within seconds, and traffic goes around it; then it is back', async () => {
  await shows('probed.test', 'HEALTHY');
  await flaky?.close();
  const diedAt = performance.now();
  await shows('probed.test', 'UNHEALTHY');
  expect(performance.now() - diedAt).toBeLessThan(8000);
  for (let i = 0; i < 20; i += 1) {
    expect((await send(node.url('proxy'), '/probed')).status).toBe(200);
  }
  const whole = await cluster.admin.ok('GET', '/upstreams/probed.test/health?balancer_health=1');
  expect(whole['data']).toMatchObject({
    balancer_health: 'HEALTHY',
    details: { weight: { total: 200, available: 100 } },
  });
  const metrics = await send(node.url('status'), '/metrics');
  expect(metrics.text).toMatch(
    new RegExp(
      `headgate_upstream_target_health\\{.*upstream="probed.test".*:${port}",state="unhealthy"\\} 1`,
    ),
  );
  expect((await send(node.url('status'), '/status')).json()).toMatchObject({
    unavailable_targets: expect.arrayContaining([
      expect.objectContaining({ upstream: 'probed.test', health: 'UNHEALTHY' }),
    ]),
  });
  expect(node.output).toContain('health of a target changed');
  flaky = await startEchoUpstream(port);
  await shows('probed.test', 'HEALTHY');
  await eventually('requests at the target', async () => {
    await send(node.url('proxy'), '/probed');
    return (flaky?.requestCount ?? 0) > 3;
  });
});

it('takes the word of whoever has it', async () => {
  const { admin } = cluster;
  const path = `/upstreams/watched.test/targets/127.0.0.1:${port}`;
  await shows('watched.test', 'HEALTHY');
  expect((await admin.call('PUT', `${path}/unhealthy`)).status).toBe(204);
  await shows('watched.test', 'UNHEALTHY');
  expect((await admin.call('PUT', `${path}/healthy`)).status).toBe(204);
  await shows('watched.test', 'HEALTHY');
});

it('shows what the edge finds out as well, and forgets nodes that go', async () => {
  const token = await cluster.admin.joinToken();
  const edge = await cluster.startEdge({ HEADGATE_JOIN_TOKEN: token });
  edgeUrl = edge.url;
  await answers(edgeUrl, '/watched', 200);
  const nodesOf = async (): Promise<unknown[]> => {
    const nodes = (await rows('watched.test')).get(`127.0.0.1:${port}`)?.['nodes'];
    return Array.isArray(nodes) ? nodes : [];
  };
  await eventually('both data planes', async () => (await nodesOf()).length === 2);
  await flaky?.close();
  flaky = null;
  await eventually('the edge to find out', async () => {
    expect((await send(edgeUrl, '/watched')).status).toBe(200);
    const said = (await nodesOf()) as { health: string; hostname: string }[];
    return said.some(({ health, hostname }) => health === 'UNHEALTHY' && hostname === 'test');
  });
  await cluster.stopEdge(edge);
  await eventually('one data plane', async () => (await nodesOf()).length === 1);
  await node.kill('SIGKILL');
  await eventually('no data plane', async () => (await nodesOf()).length === 0);
});
