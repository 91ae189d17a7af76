/**
 * Both data planes, one configuration after the other, the same random requests: every decision must
 * be the same. DIFFERENTIAL_REQUESTS (5,000) says how many; CI runs 100,000. TEST_SEED repeats a run.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Cluster } from '../support/cluster.ts';
import { type Echo, type EchoReport, startEcho } from '../support/echo.ts';
import { eventually } from '../support/eventually.ts';
import { type Received, send } from '../support/http-client.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { randomConfig, randomRequest, type RandomRequest } from './random-config.ts';

const SEED = Number(process.env['TEST_SEED'] ?? 20_261_124);
const REQUESTS = Number(process.env['DIFFERENTIAL_REQUESTS'] ?? 5_000);
const REQUESTS_PER_CONFIG = Math.min(REQUESTS, 2_500);
const AT_ONCE = 24;
const DIFFERENCES_SHOWN_MAX = 10;

let cluster: Cluster;
let echo: Echo;
let node: string;
let edge: string;

beforeAll(async () => {
  cluster = await Cluster.start();
  echo = await startEcho('one');
  const settings = { HEADGATE_ALLOW_DEBUG_HEADER: 'on', HEADGATE_PROXY_ACCESS_LOG: 'off' };
  const token = async () => ({ HEADGATE_JOIN_TOKEN: await cluster.admin.joinToken() });
  node = (await cluster.startNode({ ...settings, ...(await token()) })).url('proxy');
  edge = (await cluster.startEdge({ ...settings, ...(await token()) })).url;
});

afterAll(async () => {
  await cluster?.close();
  await echo?.close();
});

it(
  `decides ${REQUESTS} random requests alike on Node and in workerd (TEST_SEED=${SEED})`,
  async () => {
    const random = new SeededRandom(SEED);
    const differences: string[] = [];
    const statuses = new Map<number, number>();
    for (let done = 0, round = 0; done < REQUESTS; done += REQUESTS_PER_CONFIG, round += 1) {
      const mark = `mark-${round}`;
      await cluster.admin.post('/config?force=true', randomConfig(random, echo.address, mark));
      await Promise.all([serves(node, mark), serves(edge, mark)]);
      const requests = Array.from({ length: REQUESTS_PER_CONFIG }, () => randomRequest(random));
      await inTurns(requests, async (request) => {
        const [one, other] = await Promise.all([decide(node, request), decide(edge, request)]);
        const { status } = JSON.parse(one) as { status: number };
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
        if (one !== other) differences.push(`${JSON.stringify(request)}\n${one}\n${other}`);
      });
    }

    expect(differences.slice(0, DIFFERENCES_SHOWN_MAX)).toEqual([]);
    // Random requests that all ended alike would compare nothing.
    for (const status of [200, 400, 401, 404, 503]) {
      expect(statuses.get(status) ?? 0, `status ${status}`).toBeGreaterThan(REQUESTS / 1_000);
    }
  },
  60_000 + REQUESTS * 10,
);

function serves(base: string, mark: string): Promise<unknown> {
  return eventually(`${base} serves ${mark}`, async () => {
    const sent = { headers: { host: 'mark.test', 'kong-debug': '1' } };
    const { headers } = await send(base, `/${mark}`, sent);
    return headers['kong-route-name'] === mark;
  });
}

async function inTurns<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (const item of queue) await work(item);
    }),
  );
}

/** What came of a request, without what differs from time to time or is the platform's own affair. */
async function decide(base: string, request: RandomRequest): Promise<string> {
  const { method, path, headers } = request;
  const answer = await send(base, path, { method, headers });
  // The Worker's platform refuses some by itself, in its own words.
  if (answer.status === 400) return JSON.stringify({ status: 400 });
  return JSON.stringify({
    status: answer.status,
    headers: visibleHeaders(answer),
    ...bodyOf(answer),
  });
}

/** Times, ids, framing; what only a Worker's platform adds. */
const ANY_VALUE = new Set(['x-kong-request-id', 'x-trace']);
/** A Worker's platform frames its answers itself, and takes Upgrade off a 426. */
const IGNORED = new Set(
  (
    'x-kong-proxy-latency x-kong-response-latency x-kong-upstream-latency date connection ' +
    'keep-alive transfer-encoding content-length upgrade'
  ).split(' '),
);

function visibleHeaders({ rawHeaders }: Received): Record<string, string> {
  const seen: Record<string, string> = {};
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = (rawHeaders[i] ?? '').toLowerCase();
    if (IGNORED.has(name)) continue;
    const value = ANY_VALUE.has(name) ? '*' : (rawHeaders[i + 1] ?? '');
    seen[name] = seen[name] === undefined ? value : `${seen[name]}, ${value}`;
  }
  return sorted(seen);
}

/** Host is the platform's at the edge, and so is Accept-Encoding. */
const UPSTREAM_IGNORED = new Set(
  (
    'host accept-encoding connection content-length transfer-encoding x-forwarded-port ' +
    'cf-connecting-ip cf-worker cf-ray cf-ew-via cf-visitor cdn-loop'
  ).split(' '),
);

function bodyOf(answer: Received): { upstream: unknown } | { text: string } {
  if (!answer.headers['x-upstream-name'] || answer.text === '') {
    const id = String(answer.headers['x-kong-request-id']);
    return { text: answer.text.replaceAll(id, '*') };
  }
  const { method, url, headers } = answer.json() as EchoReport;
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (!UPSTREAM_IGNORED.has(name)) kept[name] = ANY_VALUE.has(name) ? '*' : value;
  }
  return { upstream: { method, url, headers: sorted(kept) } };
}

function sorted(record: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(record).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
