/** A group that would rather have no answers than old ones, with its control plane gone. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { answers, Cluster } from '../test/support/cluster.ts';
import { type Echo, startEcho } from '../test/support/echo.ts';
import { eventually } from '../test/support/eventually.ts';
import { send } from '../test/support/http-client.ts';
import type { Program } from '../test/support/program.ts';

const SECONDS = 10;

let cluster: Cluster;
let echo: Echo;
/** One by WebSocket, one that pulls. */
let nodes: Program[] = [];

beforeAll(async () => {
  cluster = await Cluster.start();
  echo = await startEcho('one');
  await cluster.admin.post('/services', { name: 'echo', url: `http://${echo.address}` });
  await cluster.admin.post('/services/echo/routes', { name: 'a', paths: ['/a'] });
  await cluster.admin.ok('PATCH', '/clustering/groups/default', {
    settings: { staleness: 'close', staleness_seconds: SECONDS },
  });
  const pull = { HEADGATE_CONTROL_PLANES: cluster.clusterAddress.replace('ws:', 'http:') };
  nodes = await Promise.all(
    [{}, pull].map(async (env, at) =>
      cluster.startNode(
        { ...env, HEADGATE_JOIN_TOKEN: await cluster.admin.joinToken() },
        `node-${at}`,
      ),
    ),
  );
  for (const node of nodes) await answers(node.url('proxy'), '/a', 200);
}, 60_000);
afterAll(async () => {
  await cluster?.close();
  await echo?.close();
});

async function freshnessOf(node: Program): Promise<Record<string, unknown>> {
  const status = (await send(node.url('status'), '/status')).json() as {
    freshness: Record<string, unknown>;
  };
  return status.freshness;
}

it('serves as long as it is told that nothing is newer, and by no means longer', async () => {
  for (const node of nodes) {
    await eventually('a proof', async () => (await freshnessOf(node))['proven_at'] !== null);
    expect(await freshnessOf(node)).toMatchObject({ policy: 'close', stale: false, closed: false });
  }
  // Longer than may be without a proof, so they have been proven anew.
  const firstAt = performance.now();
  await eventually(
    'more time to pass than is allowed',
    async () => {
      for (const node of nodes) {
        expect((await send(node.url('proxy'), '/a')).status).toBe(200);
      }
      return performance.now() - firstAt > SECONDS * 1000 + 2_000;
    },
    SECONDS * 1000 + 10_000,
  );

  await cluster.killControlPlane();
  const killedAt = performance.now();
  for (const node of nodes) {
    await answers(node.url('proxy'), '/a', 503, SECONDS * 1000 + 5_000);
    const answer = await send(node.url('proxy'), '/a');
    expect(answer.json()).toMatchObject({ message: 'the configuration is stale' });
    expect(await freshnessOf(node)).toMatchObject({ stale: true, closed: true });
    expect((await send(node.url('status'), '/status/ready')).status).toBe(503);
    // It lives all the same.
    expect((await send(node.url('status'), '/status')).status).toBe(200);
    expect((await send(node.url('status'), '/metrics')).text).toContain('headgate_config_stale 1');
  }
  expect(performance.now() - killedAt).toBeGreaterThan(SECONDS * 1000 - 5_000);

  // Nor does a restart make anything newer.
  await nodes[0]?.kill('SIGKILL');
  const again = await cluster.startNode({}, 'node-0');
  nodes[0] = again;
  expect((await send(again.url('proxy'), '/a')).status).toBe(503);

  await cluster.restartControlPlane();
  for (const node of nodes) await answers(node.url('proxy'), '/a', 200);
}, 120_000);
