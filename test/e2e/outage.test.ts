/** What the product promises when parts of it go away: the data planes go on. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Edge } from '../../infra/dev/edge.ts';
import { answers, Cluster } from '../support/cluster.ts';
import { busyFactor } from '../support/busy.ts';
import { type Echo, startEcho } from '../support/echo.ts';
import { eventually } from '../support/eventually.ts';
import { send } from '../support/http-client.ts';
import { Load } from '../support/load.ts';
import type { Program } from '../support/program.ts';

/** Long enough for every timer of both data planes to have fired with nobody at the other end. */
const OUTAGE_MS = 30_000;
/** The best of them counts: the machine may be busy. */
const RESTARTS = 3;

let cluster: Cluster;
let echo: Echo;
let node: Program;
let edge: Edge;

beforeAll(async () => {
  cluster = await Cluster.start();
  echo = await startEcho('one');
  node = await cluster.startNode({ HEADGATE_JOIN_TOKEN: await cluster.admin.joinToken() });
  edge = await cluster.startEdge({ HEADGATE_JOIN_TOKEN: await cluster.admin.joinToken() });
  await cluster.admin.post('/services', { name: 'echo', url: `http://${echo.address}` });
  await cluster.admin.post('/services/echo/routes', { name: 'a', paths: ['/a'] });
  await answers(node.url('proxy'), '/a', 200);
  await answers(edge.url, '/a', 200);
});
afterAll(async () => {
  await cluster?.close();
  await echo?.close();
});

describe('with the control plane killed under load', () => {
  it('not one request fails on either data plane', async () => {
    const loads = [new Load(`${node.url('proxy')}/a`), new Load(`${edge.url}/a`)];
    for (const load of loads) load.start();
    await eventually('the load to flow', () => loads.every((load) => load.done > 100));
    await cluster.killControlPlane();
    const end = performance.now() + OUTAGE_MS;
    await eventually('the outage to pass', () => performance.now() > end, OUTAGE_MS + 5_000);
    for (const load of loads) {
      const { done, failures } = await load.stop();
      expect(failures).toEqual([]);
      expect(done).toBeGreaterThan(1_000);
    }
  }, 90_000);

  it('a restarted Node data plane serves from its disk within a second', async () => {
    const attempts: number[] = [];
    for (let attempt = 0; attempt < RESTARTS; attempt += 1) {
      await node.kill('SIGKILL');
      const before = busyFactor();
      const startedAt = performance.now();
      node = await cluster.startNode();
      expect((await send(node.url('proxy'), '/a')).status).toBe(200);
      const elapsedMs = performance.now() - startedAt;
      const busy = Math.max(before, busyFactor());
      console.log(`restart to first answer: ${Math.round(elapsedMs)} ms, busy ${busy.toFixed(1)}`);
      attempts.push(elapsedMs / busy);
    }
    expect(Math.min(...attempts)).toBeLessThan(1_000);
    expect((await send(node.url('status'), '/status/ready')).status).toBe(200);
  });

  it('a restarted edge runtime serves from its persisted KV', async () => {
    await cluster.stopEdge(edge);
    edge = await cluster.startEdge();
    expect((await send(edge.url, '/a')).status).toBe(200);
  });

  it('a data plane without configuration answers 503, is not ready, and never answers 404', async () => {
    const empty = await cluster.startNode({}, 'empty');
    const answer = await send(empty.url('proxy'), '/a');
    expect(answer.status).toBe(503);
    expect(answer.text).toContain('no configuration available');
    expect((await send(empty.url('status'), '/status/ready')).status).toBe(503);
    await empty.kill('SIGTERM');
  });

  it('a damaged cache never becomes configuration and never stops the start', async () => {
    const file = join(cluster.folder, 'node', 'dp', 'config.json');
    const good = await readFile(file);
    // All over: a change to a small tree brings all of its nodes along, so that damage to what stands
    // before it in the file leaves the last configuration whole, and that is served.
    const flipped = Buffer.from(good);
    for (let at = 60; at < flipped.length; at += 64) flipped[at] = (flipped[at] ?? 0) ^ 1;
    for (const bad of [good.subarray(0, 150), flipped, Buffer.alloc(0)]) {
      await node.kill('SIGKILL');
      await writeFile(file, bad);
      node = await cluster.startNode();
      expect((await send(node.url('proxy'), '/a')).status).toBe(503);
      expect(node.output).toMatch(/"level":"(warn|error)"[^\n]*(cache|configuration)/);
    }
  });

  it('once it is back, all converge on what changed meanwhile', async () => {
    await cluster.restartControlPlane();
    await cluster.admin.post('/services/echo/routes', { name: 'b', paths: ['/b'] });
    const startedAt = performance.now();
    await Promise.all([
      answers(node.url('proxy'), '/b', 200, 15_000),
      answers(edge.url, '/b', 200, 15_000),
    ]);
    console.log(`converged in ${Math.round(performance.now() - startedAt)} ms`);
    expect((await send(node.url('proxy'), '/a')).status).toBe(200);
  });
});

describe('a change through the Admin API', () => {
  it('is live on the Node data plane within 250 ms, in the median', async () => {
    const times: number[] = [];
    for (let i = 0; i < 15; i++) {
      const startedAt = performance.now();
      await cluster.admin.post('/services/echo/routes', { paths: [`/live-${i}`] });
      await answers(node.url('proxy'), `/live-${i}`, 200);
      times.push(performance.now() - startedAt);
    }
    const median = times.toSorted((a, b) => a - b)[7] ?? Infinity;
    console.log(`Admin request to live: median ${Math.round(median)} ms`);
    expect(median).toBeLessThan(250);
  });
});
