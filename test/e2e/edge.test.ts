/** The edge data plane in workerd as it would be deployed: what only it has to show. */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { convertV4MiniflareOptions, Miniflare } from 'miniflare';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  bundleEdge,
  EDGE_COMPATIBILITY_DATE,
  EDGE_COMPATIBILITY_FLAGS,
  type Edge,
  startEdge,
} from '../../infra/dev/edge.ts';
import { answers, Cluster } from '../support/cluster.ts';
import { type Echo, type EchoReport, startEcho } from '../support/echo.ts';
import { eventually } from '../support/eventually.ts';
import { send } from '../support/http-client.ts';

const ROOT = new URL('../../', import.meta.url);
const KEY = 'ann-key-0123456789';
const STATUS_TOKEN = 'status-token';
const BOOT_KEY = Buffer.alloc(32, 7).toString('base64');

let cluster: Cluster;
let echo: Echo;

beforeAll(async () => {
  cluster = await Cluster.start();
  echo = await startEcho('one');
  const { admin } = cluster;
  await admin.post('/services', { name: 'echo', url: `http://${echo.address}` });
  await admin.post('/services/echo/routes', { name: 'keyed', paths: ['/keyed'] });
  await admin.post('/routes/keyed/plugins', { name: 'key-auth', config: {} });
  await admin.post('/consumers', { username: 'ann' });
  await admin.post('/consumers/ann/key-auth', { key: KEY });
  await admin.post('/services/echo/routes', { name: 'open', paths: ['/open'] });
});
afterAll(async () => {
  await cluster?.close();
  await echo?.close();
});

let edges: Edge[] = [];
/** The next test starts an edge that nobody knows yet. */
afterEach(async () => {
  for (const edge of edges) await cluster.stopEdge(edge);
  edges = [];
  await rm(join(cluster.folder, 'edge'), { recursive: true, force: true });
});

async function start(bindings: Record<string, string> = {}): Promise<Edge> {
  const edge = await cluster.startEdge({ HEADGATE_STATUS_TOKEN: STATUS_TOKEN, ...bindings });
  edges.push(edge);
  return edge;
}

async function startJoined(bindings: Record<string, string> = {}): Promise<Edge> {
  const token = await cluster.admin.joinToken();
  const edge = await start({ HEADGATE_JOIN_TOKEN: token, ...bindings });
  await answers(edge.url, '/open', 200);
  return edge;
}

async function stop(edge: Edge): Promise<void> {
  edges = edges.filter((other) => other !== edge);
  await cluster.stopEdge(edge);
}

interface Status {
  readonly ready: boolean;
  readonly hub: { readonly state: string; readonly kv: { readonly current: boolean } };
}

async function statusOf(url: string): Promise<Status> {
  const headers = { authorization: `Bearer ${STATUS_TOKEN}` };
  return (await send(url, '/_headgate/status', { headers })).json() as Status;
}

const withKey = { headers: { apikey: KEY } };

describe('a connected edge', () => {
  it('believes no header about where a request came from', async () => {
    const edge = await startJoined();
    const spoofed = {
      'cf-connecting-ip': '6.6.6.6',
      'x-forwarded-proto': 'https',
      'mf-original-url': 'https://evil.test/keyed',
      'x-real-ip': '6.6.6.6',
    };

    const answer = await send(edge.url, '/open', { headers: spoofed });

    expect(answer.status).toBe(200);
    const { headers } = answer.json() as EchoReport;
    expect(headers['x-real-ip']).toBe('127.0.0.1');
    expect(headers['x-forwarded-proto']).toBe('http');
    expect(headers['x-forwarded-for']).toBe('127.0.0.1');
  });

  it('hears of a change within a few seconds, of a revoked key too', async () => {
    const edge = await startJoined();
    const second = { headers: { apikey: 'ann-second-key-0123' } };
    const { id } = await cluster.admin.post('/consumers/ann/key-auth', {
      key: second.headers.apikey,
    });
    const answersKey = (status: number) =>
      eventually(`the key to be answered with ${status}`, async () => {
        return (await send(edge.url, '/keyed', second)).status === status;
      });
    await answersKey(200);

    const startedAt = performance.now();
    await cluster.admin.ok('DELETE', `/consumers/ann/key-auth/${String(id)}`);
    await answersKey(401);
    const elapsedMs = Math.round(performance.now() - startedAt);

    console.log(`revoked at the Admin API to refused at the edge: ${elapsedMs} ms`);
    expect(elapsedMs).toBeLessThan(5_000);
  });

  it('is one node of its own per deployment, on one folder and one control plane', async () => {
    await startJoined({ HEADGATE_DEPLOYMENT: 'staging' });
    await startJoined({ HEADGATE_DEPLOYMENT: 'production' });

    await eventually('both to be listed', async () => {
      const { data } = (await cluster.admin.ok('GET', '/clustering/data-planes')) as {
        data: { hostname: string }[];
      };
      const named = (name: string) => data.filter(({ hostname }) => hostname === name).length;
      return named('staging') === 1 && named('production') === 1;
    });
  });
});

describe('the bundle', () => {
  it('runs in a workerd that refuses to make code', async () => {
    // The other tests here run the bundle in the same runtime; this shows that it does refuse.
    const contents = `export default { fetch() {
      try { return new Response(String(new Function('return 1')())); }
      catch (error) { return new Response(error.name); }
    } }`;
    const runtime = new Miniflare(
      convertV4MiniflareOptions({
        cf: false,
        compatibilityDate: EDGE_COMPATIBILITY_DATE,
        modules: [{ type: 'ESModule', path: 'worker.mjs', contents }],
      }),
    );
    try {
      const answer = await fetch(await runtime.ready);
      expect(await answer.text()).toBe('EvalError');
    } finally {
      await runtime.dispose();
    }
    // A method may be called eval; the function of that name, and its kin, may not.
    expect(await bundleEdge()).not.toMatch(/new Function\(|(?<![.\w])eval\((?!input, pos\))/);
  });

  it('is run in development as wrangler.toml deploys it', async () => {
    const config = await readFile(new URL('wrangler.toml', ROOT), 'utf8');

    expect(config).toContain(`compatibility_date = "${EDGE_COMPATIBILITY_DATE}"`);
    const flags = EDGE_COMPATIBILITY_FLAGS.map((flag) => `"${flag}"`).join(', ');
    expect(config).toContain(`compatibility_flags = [${flags}]`);
  });
});

describe('a port that is taken', () => {
  it('is named', async () => {
    const { port } = new URL(`http://${echo.address}`);
    const persistDir = join(cluster.folder, 'taken');

    const starting = startEdge({ port: Number(port), persistDir, bindings: {}, quiet: true });

    await expect(starting).rejects.toThrow(
      new RegExp(`HEADGATE_EDGE_LISTEN is "127.0.0.1:${port}": .*taken`),
    );
  });
});

describe('an edge that has lost its hub’s storage and its control plane', () => {
  afterEach(() => cluster.restartControlPlane());

  /** Only KV is left: the worst case of a Durable Object that cannot be reached. */
  const restartOnKvAlone = async (bindings: Record<string, string>) => {
    const edge = await startJoined(bindings);
    await eventually('KV to be current', async () => (await statusOf(edge.url)).hub.kv.current);
    expect((await send(edge.url, '/keyed', withKey)).status).toBe(200);
    await stop(edge);
    await cluster.killControlPlane();
    await rm(join(cluster.folder, 'edge', 'do'), { recursive: true });
    return start(bindings);
  };

  it('serves from KV, credentials included, when it has the boot key', async () => {
    const edge = await restartOnKvAlone({ HEADGATE_BOOT_KEY: BOOT_KEY });

    expect((await send(edge.url, '/open')).status).toBe(200);
    expect((await send(edge.url, '/keyed', withKey)).status).toBe(200);
    expect((await send(edge.url, '/keyed')).status).toBe(401);
  });

  it('keeps what needs the group’s secret closed when it has none, and serves the rest', async () => {
    const edge = await restartOnKvAlone({});

    expect((await send(edge.url, '/open')).status).toBe(200);
    expect((await send(edge.url, '/keyed', withKey)).status).toBe(503);
    expect((await send(edge.url, '/keyed')).status).toBe(503);
  });
});

describe('an edge that has lost its KV', () => {
  afterEach(() => cluster.restartControlPlane());

  it('serves from its hub, and writes KV again', async () => {
    const edge = await startJoined();
    await eventually('KV to be current', async () => (await statusOf(edge.url)).hub.kv.current);
    await stop(edge);
    await cluster.killControlPlane();
    await rm(join(cluster.folder, 'edge', 'kv'), { recursive: true });

    const again = await start();
    expect((await send(again.url, '/keyed', withKey)).status).toBe(200);

    // Proven by taking the hub's storage away next.
    await eventually('KV to be current', async () => (await statusOf(again.url)).hub.kv.current);
    await stop(again);
    await rm(join(cluster.folder, 'edge', 'do'), { recursive: true });
    expect((await send((await start()).url, '/open')).status).toBe(200);
  });
});
