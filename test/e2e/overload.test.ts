/** More requests than a data plane takes: it says so at once, and goes on saying how it is. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { answers, Cluster } from '../support/cluster.ts';
import { type Echo, startEcho } from '../support/echo.ts';
import { eventually } from '../support/eventually.ts';
import { send } from '../support/http-client.ts';
import type { Program } from '../support/program.ts';

const ACTIVE_MAX = 20;
const CLIENTS = 200;
/** What is answered without waiting for anybody. */
const SOON_MS = 2000;

let cluster: Cluster;
let echo: Echo;
let node: Program;

beforeAll(async () => {
  cluster = await Cluster.start();
  echo = await startEcho('one');
  node = await cluster.startNode({
    HEADGATE_JOIN_TOKEN: await cluster.admin.joinToken(),
    HEADGATE_MAX_ACTIVE_REQUESTS: String(ACTIVE_MAX),
  });
  await cluster.admin.post('/services', { name: 'echo', url: `http://${echo.address}` });
  await cluster.admin.post('/services/echo/routes', { name: 'a', paths: ['/a'] });
  await answers(node.url('proxy'), '/a', 200);
});
afterAll(async () => {
  await cluster?.close();
  await echo?.close();
});

describe('a saturated data plane', () => {
  it('refuses at once, tells its health, and takes requests when there is room again', async () => {
    const leave = new AbortController();
    const held = Array.from({ length: ACTIVE_MAX }, () =>
      fetch(`${node.url('proxy')}/a/hang`, { signal: leave.signal }),
    );
    // Whoever comes beyond them; some may come before the last of them.
    const beyond = Array.from({ length: CLIENTS }, async () => {
      const startedAt = performance.now();
      const response = await fetch(`${node.url('proxy')}/a/hang`, { signal: leave.signal });
      await response.text();
      return { status: response.status, tookMs: performance.now() - startedAt };
    });
    const refusals: { status: number; tookMs: number }[] = [];
    const counted = beyond.map((each) =>
      each.then(
        (got) => refusals.push(got),
        () => {},
      ),
    );
    const startedAt = performance.now();
    const status = await send(node.url('status'), '/status');
    const ready = await send(node.url('status'), '/status/ready');
    const statusMs = performance.now() - startedAt;
    await eventually('the others to be refused', () => refusals.length >= CLIENTS - ACTIVE_MAX);

    expect([status.status, ready.status]).toEqual([200, 200]);
    expect(statusMs).toBeLessThan(SOON_MS);
    expect(new Set(refusals.map((refusal) => refusal.status))).toEqual(new Set([503]));
    expect(Math.max(...refusals.map(({ tookMs }) => tookMs))).toBeLessThan(SOON_MS);

    leave.abort();
    await Promise.allSettled([...held, ...beyond, ...counted]);
    await answers(node.url('proxy'), '/a', 200);
  });
});
