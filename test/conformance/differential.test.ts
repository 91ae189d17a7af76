/**
 * Both data planes, one configuration after the other, the same random requests: every decision must
 * be the same, and be what `/explain` says of the request. DIFFERENTIAL_REQUESTS (12,000) says how many; CI runs 100,000. TEST_SEED repeats a run.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cluster } from '../support/cluster.ts';
import { type Echo, type EchoReport, startEcho } from '../support/echo.ts';
import { eventually } from '../support/eventually.ts';
import { type Received, send } from '../support/http-client.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { randomConfig, randomRequest, type RandomRequest } from './random-config.ts';

const SEED = Number(process.env['TEST_SEED'] ?? 20_261_124);
const FLAVORS = ['traditional_compatible', 'expressions', 'traditional'] as const;
const REQUESTS = Number(process.env['DIFFERENTIAL_REQUESTS'] ?? 12_000);
const SHARE = Math.ceil(REQUESTS / FLAVORS.length);
const REQUESTS_PER_CONFIG = Math.min(SHARE, 2_500);
const AT_ONCE = 24;
const DIFFERENCES_SHOWN_MAX = 10;

let cluster: Cluster;
let echo: Echo;
let node: string;
let edge: string;
/** Of the Node data plane. */
let statusUrl: string;

async function start(flavor: string): Promise<void> {
  const routing = { HEADGATE_ROUTER_FLAVOR: flavor };
  cluster = await Cluster.start(flavor === 'expressions' ? routing : {});
  echo = await startEcho('one');
  const settings = {
    ...routing,
    HEADGATE_ALLOW_DEBUG_HEADER: 'on',
    HEADGATE_PROXY_ACCESS_LOG: 'off',
    // With one router nobody is believed what X-Forwarded-* say, with the others these clients are.
    ...(flavor !== 'traditional_compatible' && { HEADGATE_TRUSTED_IPS: '127.0.0.1' }),
  };
  const token = async () => ({ HEADGATE_JOIN_TOKEN: await cluster.admin.joinToken() });
  const program = await cluster.startNode({ ...settings, ...(await token()) });
  node = program.url('proxy');
  statusUrl = program.url('status');
  edge = (await cluster.startEdge({ ...settings, ...(await token()) })).url;
}

describe.each(FLAVORS)('with the %s router', (flavor) => {
  beforeAll(() => start(flavor));
  afterAll(stop);
  it(
    `decides ${SHARE} random requests alike on Node and in workerd (TEST_SEED=${SEED})`,
    async () => {
      const random = new SeededRandom(SEED);
      const differences: string[] = [];
      const statuses = new Map<number, number>();
      for (let done = 0, round = 0; done < SHARE; done += REQUESTS_PER_CONFIG, round += 1) {
        const mark = `mark-${round}`;
        await cluster.admin.post(
          '/config?force=true',
          randomConfig(random, { upstream: echo.address, mark, flavor }),
        );
        await Promise.all([serves(node, mark), serves(edge, mark)]);
        const requests = Array.from({ length: REQUESTS_PER_CONFIG }, () => randomRequest(random));
        await inTurns(requests, async (request) => {
          const [one, other, said] = await Promise.all([
            decide(node, request),
            decide(edge, request),
            explain(request),
          ]);
          statuses.set(one.status, (statuses.get(one.status) ?? 0) + 1);
          const texts = [request, one, other].map((value) => JSON.stringify(value));
          if (texts[1] !== texts[2]) differences.push(texts.join('\n'));
          const complaint = contradiction(said, one);
          if (complaint !== null) differences.push([...texts, complaint].join('\n'));
        });
      }

      expect(differences.slice(0, DIFFERENCES_SHOWN_MAX)).toEqual([]);
      // Random requests that all ended alike would compare nothing.
      for (const status of [200, 400, 401, 404]) {
        expect(statuses.get(status) ?? 0, `status ${status}`).toBeGreaterThan(SHARE / 5_000);
      }
    },
    60_000 + SHARE * 10,
  );
});

async function stop(): Promise<void> {
  await cluster?.close();
  await echo?.close();
}

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

/** What the upstream saw. */
interface UpstreamView {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}

interface Decision {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly upstream?: UpstreamView;
}

/** What came of a request, without what differs from time to time or is the platform's own affair. */
async function decide(base: string, request: RandomRequest): Promise<Decision> {
  const { method, path, headers } = request;
  const answer = await send(base, path, { method, headers });
  // The Worker's platform refuses some by itself, in its own words.
  if (answer.status === 400) return { status: 400 };
  return {
    status: answer.status,
    headers: visibleHeaders(answer),
    ...bodyOf(answer),
  };
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

function bodyOf(answer: Received): { upstream: UpstreamView } | { text: string } {
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

/** What is looked at of `/explain`'s answer. */
interface Explained {
  readonly outcome: 'answered' | 'proxied';
  readonly answer: { readonly status: number } | null;
  readonly route: { readonly name: string | null } | null;
  readonly upstream: { readonly path: string; readonly query: string | null } | null;
}

async function explain({ method, path, headers }: RandomRequest): Promise<Explained> {
  const body = JSON.stringify({ method, url: path, headers, limit: 1 });
  const sent = { method: 'POST', headers: { 'content-type': 'application/json' }, body };
  const answer = await send(statusUrl, '/explain', sent);
  if (answer.status !== 200) throw new Error(`/explain of ${body}: ${answer.text}`);
  return answer.json() as Explained;
}

/** In what the explanation is not what happened; null when it is. */
function contradiction(said: Explained, happened: Decision): string | null {
  const route = happened.headers?.['kong-route-name'] ?? null;
  if (happened.status !== 400 && (said.route?.name ?? null) !== route) {
    return `explained as route ${said.route?.name}`;
  }
  // Plugins do not run when they are only asked about: key-auth would have answered.
  if (happened.status === 401) return null;
  const { answer, upstream } = said;
  if (said.outcome === 'answered') {
    return answer?.status === happened.status ? null : `explained as ${answer?.status}`;
  }
  if (happened.status !== 200) return 'explained as proxied';
  const query = upstream?.query === null ? '' : `?${upstream?.query}`;
  const target = `${upstream?.path}${query}`;
  // A HEAD has no echo to read.
  if (happened.upstream === undefined || happened.upstream.url === target) return null;
  return `explained as sent to ${target}`;
}
