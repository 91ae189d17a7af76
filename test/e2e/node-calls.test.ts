/** What the control plane asks of real data planes, and what it says of whom a write has reached. */
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
let upstream: EchoUpstream;

beforeAll(async () => {
  upstream = await startEchoUpstream();
  cluster = await Cluster.start();
  const { admin } = cluster;
  node = await cluster.startNode({ HEADGATE_JOIN_TOKEN: await admin.joinToken() });
  const edge = await cluster.startEdge({ HEADGATE_JOIN_TOKEN: await admin.joinToken() });
  edgeUrl = edge.url;
  await route('/first', '');
  await answers(node.url('proxy'), '/first', 200);
  await answers(edgeUrl, '/first', 200);
  await eventually('both are connected', async () => {
    const list = await nodes();
    return list.length === 2 && list.every(({ connected }) => connected === true);
  });
});
afterAll(async () => {
  await cluster?.close();
  await upstream?.close();
});

async function nodes(): Promise<Json[]> {
  const body = await cluster.admin.ok('GET', '/clustering/data-planes');
  // Kong's contract: a list of data planes.
  return body['data'] as Json[];
}

async function route(path: string, query: string) {
  const { admin } = cluster;
  const service = await admin.post('/services', { host: '127.0.0.1', port: upstream.port });
  return admin.call('POST', `/routes${query}`, { paths: [path], service: { id: service['id'] } });
}

it('is answered, with `wait`, once the node serves it: and with a time for the edge', async () => {
  const written = await route('/waited', '?wait=applied&timeout=15');
  expect(written.status).toBe(201);
  expect(written.headers['headgate-receipt']).toBe('applied');
  expect(written.headers['headgate-applied']).toBe('2/2');
  expect(written.headers['headgate-applied-within']).toBe('60');
  // No waiting here: that is what the receipt is for.
  expect((await send(node.url('proxy'), '/waited')).status).toBe(200);
  const version = written.headers['headgate-version'];
  expect(await cluster.admin.ok('GET', `/headgate/receipts/${version}`)).toMatchObject({
    status: 'applied',
    applied: 2,
    edge_within_seconds: 60,
  });
});

it('has both kinds of data planes do what they can', async () => {
  const list = await nodes();
  const of = (runtime: string) => list.find((each) => each['runtime'] === runtime) ?? {};
  expect(of('node')['rpc_capabilities']).toEqual(
    expect.arrayContaining(['log_level', 'drain', 'cache_purge', 'target_health']),
  );
  expect(of('edge')['rpc_capabilities']).toEqual(
    expect.arrayContaining(['log_level', 'target_health']),
  );
  const group = '/clustering/groups/default';
  expect(await cluster.admin.post(`${group}/log-level`, { level: 'debug' })).toMatchObject({
    asked: 2,
    done: 2,
    failed: [],
  });
  expect(await cluster.admin.post(`${group}/purge`, {})).toMatchObject({
    asked: 2,
    done: 1,
    nodes: [{ node: of('node')['id'], value: { purged: [{ cache: 'dns' }] } }],
    failed: [{ node: of('edge')['id'], code: 'unknown_method' }],
  });
});

it('takes a node out of its balancer, and back in', async () => {
  const found = (await nodes()).find((each) => each['runtime'] === 'node');
  const path = `/clustering/data-planes/${String(found?.['id'])}/drain`;
  const ready = async () => (await send(node.url('status'), '/status/ready')).status;
  expect(await ready()).toBe(200);
  expect(await cluster.admin.post(path, {})).toMatchObject({ done: 1 });
  expect(await ready()).toBe(503);
  expect((await send(node.url('proxy'), '/first')).status).toBe(200);
  await cluster.admin.post(path, { draining: false });
  expect(await ready()).toBe(200);
});
