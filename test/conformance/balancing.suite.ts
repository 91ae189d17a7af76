/**
 * How a data plane spreads requests over targets, what it does about those that fail, and what it
 * refuses: the same on both, except where a capability says so.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AdminClient } from '../support/admin-client.ts';
import { closedAddress, type Echo, startEcho } from '../support/echo.ts';
import { eventually } from '../support/eventually.ts';
import { open, send } from '../support/http-client.ts';
import type { ProxyUnderTest } from './proxy.suite.ts';

/** Settings that the data plane is started with. */
export const BALANCING_ENV = { HEADGATE_UPSTREAM_MAX_ACTIVE_REQUESTS: '4' };
const ACTIVE_MAX = 4;
const THRESHOLD = 3;

export interface BalancingUpstreams {
  /** `host:port` of three echo upstreams, named `one`, `two` and `three`, and of a dead one. */
  readonly one: string;
  readonly two: string;
  readonly three: string;
  readonly closed: string;
}

/** The canary route comes last. */
export async function createBalancingFixture(
  admin: AdminClient,
  { one, two, three, closed }: BalancingUpstreams,
): Promise<void> {
  const pool = async (name: string, targets: Record<string, number>, more = {}, service = {}) => {
    await admin.post('/upstreams', { name, ...more });
    for (const [target, weight] of Object.entries(targets)) {
      await admin.post(`/upstreams/${name}/targets`, { target, weight });
    }
    const url = `http://${name}`;
    await admin.post('/services', { name, url, retries: 0, ...service });
    await admin.post(`/services/${name}/routes`, { name, paths: [`/${name}`] });
  };
  const all = { [one]: 100, [two]: 100, [three]: 100 };
  const passive = { passive: { unhealthy: { tcp_failures: THRESHOLD } } };
  await pool('weighed', { [one]: 60, [two]: 30, [three]: 10 });
  await pool('drained', { [one]: 0, [two]: 100 });
  await pool('least', all, { algorithm: 'least-connections' });
  await pool('latency', all, { algorithm: 'latency' });
  await pool('by-header', all, { hash_on: 'header', hash_on_header: 'x-user' });
  await pool('by-cookie', all, { hash_on: 'cookie', hash_on_cookie: 'sid' });
  await pool('ejecting', { [one]: 100, [closed]: 100 }, { healthchecks: passive });
  await pool('gone', { [closed]: 100 }, { healthchecks: passive });
  await pool('retrying', { [one]: 100, [closed]: 100 }, {}, { retries: 2 });
  await pool('half', { [one]: 50, [closed]: 50 }, { healthchecks: { ...passive, threshold: 50 } });
  // A runtime need not notice that a client has left.
  await pool('filled', { [one]: 100 }, {}, { read_timeout: 2000 });
  await admin.post('/services/weighed/routes', { name: 'canary', paths: ['/canary'] });
}

export interface BalancingCapabilities {
  readonly name: string;
}

export function balancingSuite(
  capabilities: BalancingCapabilities,
  start: (upstreams: BalancingUpstreams) => Promise<ProxyUnderTest>,
): void {
  let proxy: ProxyUnderTest;
  let echoes: readonly Echo[];
  beforeAll(async () => {
    const [one, two, three] = [
      await startEcho('one'),
      await startEcho('two'),
      await startEcho('three'),
    ];
    echoes = [one, two, three];
    proxy = await start({
      one: one.address,
      two: two.address,
      three: three.address,
      closed: await closedAddress(),
    });
  });
  afterAll(async () => {
    await proxy?.close();
    await Promise.all(echoes.map((echo) => echo.close()));
  });

  /** The upstream that answered. */
  const name = async (path: string, headers: Record<string, string> = {}): Promise<string> =>
    String((await send(proxy.url, path, { headers })).headers['x-upstream-name']);
  const names = async (path: string, count: number): Promise<string[]> => {
    const all: string[] = [];
    for (let i = 0; i < count; i += 1) all.push(await name(path));
    return all;
  };
  const counts = (all: readonly string[]) =>
    ['one', 'two', 'three'].map((each) => all.filter((found) => found === each).length);
  const statuses = async (path: string, count: number): Promise<number[]> => {
    const all: number[] = [];
    for (let i = 0; i < count; i += 1) all.push((await send(proxy.url, path)).status);
    return all;
  };

  describe(`balancing on ${capabilities.name}`, () => {
    it('gives each target its share, evenly interleaved', async () => {
      const all = await names('/weighed', 100);
      for (const [i, share] of [60, 30, 10].entries()) {
        expect(Math.abs((counts(all)[i] ?? 0) - share)).toBeLessThanOrEqual(1);
      }
      expect(all.join(' ')).not.toContain('three three');
    });

    it('sends nothing to a target of weight 0', async () => {
      expect(counts(await names('/drained', 10))).toEqual([0, 10, 0]);
    });

    it('goes to the target with the least under way', async () => {
      const held = await Promise.all([
        open(proxy.url, '/least/drip'),
        open(proxy.url, '/least/drip'),
      ]);
      const busy = new Set(held.map(({ headers }) => headers['x-upstream-name']));
      const others = await names('/least', 3);
      for (const message of held) for await (const _chunk of message);

      expect(busy.size).toBe(2);
      expect(others).toHaveLength(3);
    });

    it('goes to targets that answer quickly, and leaves none out for ever', async () => {
      expect(new Set(await names('/latency', 9)).size).toBeGreaterThan(1);
    });

    it('goes by a hash of what it is told to', async () => {
      const homes = new Map<string, string>();
      for (let i = 0; i < 30; i += 1)
        homes.set(`${i}`, await name('/by-header', { 'x-user': `${i}` }));
      expect(new Set(homes.values()).size).toBe(3);
      for (const [user, home] of homes) {
        expect(await name('/by-header', { 'x-user': user })).toBe(home);
      }
    });

    it('gives a cookie to hash on, and keeps to it', async () => {
      const first = await send(proxy.url, '/by-cookie');
      const set = String(first.headers['set-cookie']);
      expect(set).toMatch(/^sid=[0-9a-f-]{36}; Path=\/; Same-?Site=Lax; HttpOnly$/);
      const cookie = set.split(';', 1)[0] ?? '';
      for (let i = 0; i < 5; i += 1) {
        const again = await send(proxy.url, '/by-cookie', { headers: { cookie } });
        expect(again.headers['x-upstream-name']).toBe(first.headers['x-upstream-name']);
        expect(again.headers['set-cookie']).toBeUndefined();
      }
    });

    it('gives a dead target no more than its threshold of requests', async () => {
      const all = await statuses('/ejecting', 30);
      expect(all.filter((status) => status === 502)).toHaveLength(THRESHOLD);
      expect(all.slice(-10)).toEqual(Array.from({ length: 10 }, () => 200));
    });

    it('answers 503 when no target is healthy', async () => {
      expect(await statuses('/gone', THRESHOLD + 1)).toEqual([502, 502, 502, 503]);
      const { text } = await send(proxy.url, '/gone');
      expect(JSON.parse(text)).toMatchObject({
        message: 'failure to get a peer from the ring-balancer',
      });
    });

    it('answers 503 when no more than the threshold of the weight is healthy', async () => {
      const all = await statuses('/half', 2 * THRESHOLD + 2);
      expect(all.filter((status) => status === 502)).toHaveLength(THRESHOLD);
      expect(all.at(-1)).toBe(503);
    });

    it('tries another target when one cannot be reached', async () => {
      expect(await statuses('/retrying', 6)).toEqual([200, 200, 200, 200, 200, 200]);
    });

    it('answers 503 at once when too much is under way, and takes more when that is over', async () => {
      const leave = new AbortController();
      const held = Array.from({ length: ACTIVE_MAX + 1 }, () =>
        fetch(`${proxy.url}/filled/hang`, { signal: leave.signal }),
      );
      const refused = await Promise.any(held);
      expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1']);
      expect(await refused.text()).toContain('The upstream server is currently unavailable');
      expect((await send(proxy.url, '/weighed')).status).toBe(200);

      leave.abort();
      await Promise.allSettled(held);
      await eventually('room again', async () => (await send(proxy.url, '/filled')).status === 200);
      expect(await statuses('/filled', 2 * ACTIVE_MAX)).toEqual(
        Array.from({ length: 2 * ACTIVE_MAX }, () => 200),
      );
    });
  });
}
