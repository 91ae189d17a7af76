/**
 * The router flavours beside the default, as a client and an upstream see them. The same suite runs
 * against both data planes.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RouterFlavor } from '#shared/settings/common.ts';
import type { AdminClient } from '../support/admin-client.ts';
import { answers, Cluster } from '../support/cluster.ts';
import { type Echo, type EchoReport, startEcho } from '../support/echo.ts';
import { send, type Sent } from '../support/http-client.ts';

type Env = Readonly<Record<string, string>>;

/** Starts a data plane of the cluster and answers with where it takes traffic. */
export type StartDataPlane = (cluster: Cluster, env: Env) => Promise<string>;

/** Sends a request and answers with the name of the route that took it. */
type Taken = (path: string, sent?: Sent) => Promise<string | null>;
type Seen = (path: string, sent?: Sent) => Promise<EchoReport>;

export function flavorSuite(name: string, start: StartDataPlane): void {
  describe(`a router of another flavor on ${name}`, () => {
    underFlavor('traditional', start, createTraditionalRoutes, traditionalTests);
    underFlavor('expressions', start, createExpressionRoutes, expressionTests);
  });
}

function underFlavor(
  flavor: RouterFlavor,
  start: StartDataPlane,
  createRoutes: (admin: AdminClient, echo: Echo) => Promise<void>,
  tests: (taken: Taken, seen: Seen) => void,
): void {
  describe(flavor, () => {
    let cluster: Cluster;
    let echo: Echo;
    let url: string;
    beforeAll(async () => {
      const settings = { HEADGATE_ROUTER_FLAVOR: flavor };
      cluster = await Cluster.start(settings);
      echo = await startEcho('one');
      const token = await cluster.admin.joinToken();
      const debug = { HEADGATE_ALLOW_DEBUG_HEADER: 'on' };
      url = await start(cluster, { ...settings, ...debug, HEADGATE_JOIN_TOKEN: token });
      await createRoutes(cluster.admin, echo);
      await cluster.admin.post('/services/echo/routes', { name: 'canary', paths: ['/canary'] });
      await answers(url, '/canary', 200);
    });
    afterAll(async () => {
      await cluster?.close();
      await echo?.close();
    });

    tests(
      async (path, sent = {}) => {
        const headers = { ...sent.headers, 'kong-debug': '1' };
        const answer = await send(url, path, { ...sent, headers });
        const route = answer.headers['kong-route-name'];
        return typeof route === 'string' ? route : null;
      },
      async (path, sent) => {
        const answer = await send(url, path, sent);
        expect(answer.status, answer.text).toBe(200);
        return answer.json() as EchoReport;
      },
    );
  });
}

async function createTraditionalRoutes(admin: AdminClient, echo: Echo): Promise<void> {
  await admin.post('/services', { name: 'echo', url: `http://${echo.address}` });
  await admin.post('/services', { name: 'based', url: `http://${echo.address}/base` });
  const route = (service: string, name: string, more: object) =>
    admin.post(`/services/${service}/routes`, { name, ...more });
  await route('based', 'v1', { paths: ['/v1'], path_handling: 'v1' });
  await route('based', 'v1-kept', { paths: ['/kept1'], path_handling: 'v1', strip_path: false });
  await route('based', 'v0', { paths: ['/v0'] });
  await route('echo', 'by-header', { headers: { 'x-kind': ['a'] }, methods: ['GET'] });
  await route('echo', 'by-path', { paths: ['/kind'], methods: ['GET'] });
  await route('echo', 'regex-list', { paths: ['/list'], headers: { 'x-a': ['~*^1', 'z'] } });
  await route('echo', 'regex-alone', { paths: ['/alone'], headers: { 'x-a': ['~*^1'] } });
  await route('echo', 'default-port', { hosts: ['*.port.test:80'] });
}

function traditionalTests(taken: Taken, seen: Seen): void {
  it('joins paths plainly where the route says v1', async () => {
    expect((await seen('/v1/a')).url).toBe('/base/a');
    expect((await seen('/v1a')).url).toBe('/basea');
    expect((await seen('/kept1')).url).toBe('/basekept1');
    expect((await seen('/v0a')).url).toBe('/base/a');
  });

  it('ranks headers above paths', async () => {
    expect(await taken('/kind', { headers: { 'x-kind': 'a' } })).toBe('by-header');
    expect(await taken('/kind')).toBe('by-path');
  });

  it('reads a regex of a header where it stands alone', async () => {
    expect(await taken('/alone', { headers: { 'x-a': '12' } })).toBe('regex-alone');
    expect(await taken('/list', { headers: { 'x-a': '12' } })).toBeNull();
    expect(await taken('/list', { headers: { 'x-a': 'z' } })).toBe('regex-list');
  });

  it('takes the port of the scheme where the Host header has none', async () => {
    expect(await taken('/', { headers: { host: 'a.port.test' } })).toBe('default-port');
    expect(await taken('/', { headers: { host: 'a.port.test:81' } })).toBeNull();
  });
}

async function createExpressionRoutes(admin: AdminClient, echo: Echo): Promise<void> {
  await admin.post('/services', { name: 'echo', url: `http://${echo.address}` });
  const route = (name: string, more: object) =>
    admin.post('/services/echo/routes', { name, ...more });
  const expression = (name: string, text: string, more: object = {}) =>
    route(name, { expression: text, ...more });
  await route('lists', { hosts: ['rank.test'], paths: ['/rank'], methods: ['GET'] });
  await expression('low', 'http.path ^= "/rank"', { priority: 1 });
  await expression('high', 'http.path ^= "/rank" && http.method == "GET"', { priority: 9 });
  await expression('strips', 'http.path ^= "/strip/me"');
  await expression('regex', 'http.path ~ r#"^/item/(?<id>\\d+)"#', { strip_path: true });
  await expression('query', 'http.path == "/q" && any(http.queries.a) == "1"');
  await expression('host', 'http.host =^ ".expr.test" && lower(http.headers.x_a) != "no"');
  await expression('https', 'http.path ^= "/secure"', { protocols: ['https'] });
}

function expressionTests(taken: Taken, seen: Seen): void {
  it('ranks expressions by priority, and above lists', async () => {
    const headers = { host: 'rank.test' };
    expect(await taken('/rank', { headers })).toBe('high');
    expect(await taken('/rank', { headers, method: 'PUT' })).toBe('low');
  });

  it('strips what the expression matched of the path', async () => {
    expect((await seen('/strip/me/too')).url).toBe('/too');
    expect((await seen('/item/42/parts')).url).toBe('/parts');
  });

  it('matches queries, hosts and headers', async () => {
    expect(await taken('/q?b=2&a=0&a=1')).toBe('query');
    expect(await taken('/q?a=2')).toBeNull();
    const host = 'x.expr.test:81';
    expect(await taken('/anything', { headers: { host, 'x-a': 'yes' } })).toBe('host');
    expect(await taken('/anything', { headers: { host, 'x-a': 'No' } })).toBeNull();
  });

  it('still asks for https where only https will do', async () => {
    const headers = { host: 'shop.test' };
    expect(await taken('/secure', { headers })).toBe('https');
  });
}
