/** A configuration that takes the process with it: two tries, then the last good one, by name. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { HEALTHY_MS, RESORT_MS_MIN } from '#shared/sync/breaker.ts';
import { answers, Cluster } from '../test/support/cluster.ts';
import { type Echo, startEcho } from '../test/support/echo.ts';
import { eventually } from '../test/support/eventually.ts';
import { send } from '../test/support/http-client.ts';
import type { Program } from '../test/support/program.ts';

const HOOK = new URL('../test/support/crash-hook.ts', import.meta.url).href;
const STARTS_MAX = 8;

interface Status {
  readonly ready: boolean;
  readonly configuration: { readonly revision: number } | null;
  readonly crashed: readonly { readonly revision: number }[];
}

let cluster: Cluster;
let echo: Echo;
/** A node for each test, which has served something well and then ended. */
const NAMES = ['build', 'swap', 'later', 'killed'];
const good = new Map<string, Status>();

beforeAll(async () => {
  cluster = await Cluster.start();
  echo = await startEcho('one');
  await cluster.admin.post('/services', { name: 'echo', url: `http://${echo.address}` });
  await cluster.admin.post('/services/echo/routes', { name: 'a', paths: ['/a'] });
  await Promise.all(NAMES.map(serveWell));
}, 60_000);
afterAll(async () => {
  await cluster?.close();
  await echo?.close();
});

async function serveWell(name: string): Promise<void> {
  const token = await cluster.admin.joinToken();
  const node = await cluster.startNode({ HEADGATE_JOIN_TOKEN: token }, name);
  await answers(node.url('proxy'), '/a', 200);
  const isProven = async (): Promise<boolean> => (await trials(name)).proven !== '';
  await eventually('it to have proven itself', isProven, HEALTHY_MS + 10_000);
  good.set(name, await statusOf(node));
  await node.kill('SIGTERM');
}

async function trials(name: string): Promise<{ proven: string; trials: { attempts: number }[] }> {
  const path = join(cluster.folder, name, 'dp', 'trials.json');
  return JSON.parse(await readFile(path, 'utf8')) as Awaited<ReturnType<typeof trials>>;
}

async function statusOf(node: Program): Promise<Status> {
  return (await send(node.url('status'), '/status')).json() as Status;
}

/** As a supervisor would: starts it again and again until it stays. Answers how often it ended. */
async function supervise(name: string): Promise<{ node: Program; ends: number }> {
  const env = { NODE_OPTIONS: `--import=${HOOK}`, CRASH_AT: name, CRASH_ROUTE: `poison-${name}` };
  let ends = 0;
  for (let start = 0; start < STARTS_MAX; start += 1) {
    // It may be gone before it was ready.
    const node = await cluster.startNode(env, name).catch(() => null);
    const told = node === null ? null : await Promise.race([settled(node), node.ended]);
    if (node !== null && told === 'settled') return { node, ends };
    ends += 1;
  }
  throw new Error(`a crash loop: ${ends} ends in ${STARTS_MAX} starts`);
}

/** It has refused what it crashed with, and the control plane knows. */
async function settled(node: Program): Promise<string> {
  await eventually('the control plane to hear of it', async () => {
    if ((await statusOf(node)).crashed.length === 0) return false;
    const list = await cluster.admin.ok('GET', '/clustering/data-planes');
    return JSON.stringify(list).includes('crashed');
  });
  return 'settled';
}

it.each(['build', 'swap', 'later'])(
  'a configuration that crashes (%s) is tried twice, refused by name, and the last good one serves',
  async (at) => {
    await cluster.admin.post('/services/echo/routes', {
      name: `poison-${at}`,
      paths: [`/poison-${at}`],
    });

    const { node, ends } = await supervise(at);
    expect(ends).toBe(2);
    const status = await statusOf(node);
    expect(status.ready).toBe(true);
    // Or a later one that it got on the way to the one that it crashed with.
    const served = status.configuration?.revision ?? 0;
    expect(served).toBeGreaterThanOrEqual(good.get(at)?.configuration?.revision ?? Infinity);
    // With the one before it, where that was still on trial both times.
    expect([1, 2]).toContain(status.crashed.length);
    expect(status.crashed.at(-1)?.revision).toBeGreaterThan(served);
    expect((await send(node.url('proxy'), '/a')).status).toBe(200);
    expect((await send(node.url('proxy'), `/poison-${at}`)).status).toBe(404);

    // Restarting does not try it again.
    await node.kill('SIGKILL');
    const again = await supervise(at);
    expect(again.ends).toBe(0);
    expect((await send(again.node.url('proxy'), '/a')).status).toBe(200);

    await cluster.admin.ok('DELETE', `/routes/poison-${at}`);
    await cluster.admin.post('/services/echo/routes', { name: `b-${at}`, paths: [`/b-${at}`] });
    await answers(again.node.url('proxy'), `/b-${at}`, 200);
    await again.node.kill('SIGKILL');
  },
  120_000,
);

it('a node that is killed for other reasons keeps its configuration', async () => {
  const name = 'killed';
  await cluster.admin.post('/services/echo/routes', { name: 'later', paths: ['/later'] });
  const hit = await cluster.startNode({}, name);
  await answers(hit.url('proxy'), '/later', 200);
  // Within its trial.
  await hit.kill('SIGKILL');
  const node = await cluster.startNode({}, name);
  await answers(node.url('proxy'), '/later', 200);
  expect((await statusOf(node)).crashed).toEqual([]);
  await node.kill('SIGKILL');
}, 90_000);

async function serves(node: Program): Promise<string> {
  await answers(node.url('proxy'), '/a', 200);
  return 'serves';
}

/** Ended as soon as it has what it serves on its disk, and long before it could prove itself. */
async function endOnTrial(name: string, env: Record<string, string> = {}): Promise<void> {
  const node = await cluster.startNode(env, name);
  await answers(node.url('proxy'), '/a', 200);
  const cache = join(cluster.folder, name, 'dp', 'config.json');
  await eventually('it to be on disk', async () => (await readFile(cache)).length > 0);
  await node.kill('SIGKILL');
}

describe('a node that has nothing proven to go back to', () => {
  it('gets another configuration while it waits to try again what it crashed with', async () => {
    const name = 'unproven';
    const poison = `poison-${name}`;
    await cluster.admin.post('/services/echo/routes', { name: poison, paths: [`/${poison}`] });
    const env = {
      NODE_OPTIONS: `--import=${HOOK}`,
      CRASH_AT: 'later',
      CRASH_ROUTE: poison,
      HEADGATE_JOIN_TOKEN: await cluster.admin.joinToken(),
    };
    const start = (): Promise<Program | null> => cluster.startNode(env, name).catch(() => null);
    await (
      await start()
    )?.ended;
    await (
      await start()
    )?.ended;
    await cluster.admin.ok('DELETE', `/routes/${poison}`);
    let node = await start();
    // A slow machine may take longer to hear of it than there is time.
    if (node === null || (await Promise.race([serves(node), node.ended])) !== 'serves') {
      node = await start();
    }
    const url = must(node, 'a node').url('proxy');
    await answers(url, '/a', 200);
    expect((await send(url, `/${poison}`)).status).toBe(404);
    await node?.kill('SIGKILL');
  }, 90_000);

  it('serves the only configuration it has, although it was killed twice on trial, and nobody is there', async () => {
    const name = 'only';
    await endOnTrial(name, { HEADGATE_JOIN_TOKEN: await cluster.admin.joinToken() });
    await endOnTrial(name);
    await cluster.killControlPlane();
    for (const waitMs of [RESORT_MS_MIN, 2 * RESORT_MS_MIN]) {
      const node = await cluster.startNode({}, name);
      const startedMs = performance.now();
      expect((await send(node.url('proxy'), '/a')).status).toBe(503);
      expect((await statusOf(node)).crashed).toHaveLength(1);
      await answers(node.url('proxy'), '/a', 200, 30_000);
      // Another would have had the time to come. The process is up a little before we hear of it.
      expect(performance.now() - startedMs).toBeGreaterThan(waitMs / 2);
      expect((await send(node.url('status'), '/status/ready')).status).toBe(200);
      await node.kill('SIGKILL');
      // The second time one is there, and has the very same.
      if (waitMs === RESORT_MS_MIN) await cluster.restartControlPlane();
    }
  }, 120_000);
});
