import { describe, expect, it } from 'vitest';
import { TestConfig } from '../../../test/support/builders.ts';
import { type Answer, TestGateway } from '../../../test/support/gateway.ts';
import { request } from '../../../test/support/fake-platform.ts';
import type { JsonObject } from '../../schema/field.ts';
import { windowEnd, windowStart } from './windows.ts';

function setUp(config: JsonObject): TestGateway {
  const entities = new TestConfig();
  entities.plugin('rate-limiting', config);
  entities.route({ paths: ['/'], strip_path: false });
  return new TestGateway(entities.tables());
}

async function statuses(test: TestGateway, count: number, headers = {}): Promise<number[]> {
  const seen: number[] = [];
  // One after the other: order is what is tested.
  for (let i = 0; i < count; i++) seen.push((await test.get('/', headers)).status);
  return seen;
}

function limits(answer: Answer): Record<string, string> {
  const found: Record<string, string> = {};
  for (let i = 0; i < answer.headers.size; i++) {
    const name = answer.headers.nameAt(i);
    if (/ratelimit|retry/i.test(name)) found[name] = answer.headers.valueAt(i);
  }
  return found;
}

describe('rate-limiting', () => {
  it('lets as many pass as the limit says, and refuses the next', async () => {
    expect(await statuses(setUp({ minute: 3 }), 5)).toEqual([200, 200, 200, 429, 429]);
  });

  it('says what is left', async () => {
    const test = setUp({ minute: 2, hour: 10 });
    test.platform.clock.advance(20_000);
    expect(limits(await test.get('/'))).toEqual({
      'X-RateLimit-Limit-Minute': '2',
      'X-RateLimit-Remaining-Minute': '1',
      'X-RateLimit-Limit-Hour': '10',
      'X-RateLimit-Remaining-Hour': '9',
      'RateLimit-Limit': '2',
      'RateLimit-Remaining': '1',
      'RateLimit-Reset': '40',
    });
  });

  it('says when to come back, and why not now', async () => {
    const test = setUp({ minute: 1, hour: 10 });
    await test.get('/');
    const got = await test.get('/');
    expect(got.status).toBe(429);
    expect(got.json()).toMatchObject({ message: 'API rate limit exceeded' });
    expect(limits(got)).toMatchObject({
      'Retry-After': '60',
      'RateLimit-Remaining': '0',
      'X-RateLimit-Remaining-Minute': '0',
      // A refused request takes nothing from the other windows.
      'X-RateLimit-Remaining-Hour': '9',
    });
  });

  it('begins anew with the next window', async () => {
    const test = setUp({ minute: 1 });
    test.platform.clock.advance(59_999);
    expect(await statuses(test, 2)).toEqual([200, 429]);
    test.platform.clock.advance(1);
    expect(await statuses(test, 2)).toEqual([200, 429]);
  });

  it('does not count what it refuses', async () => {
    const test = setUp({ second: 1, hour: 3 });
    const seen: number[] = [];
    for (let i = 0; i < 4; i++) {
      seen.push(...(await statuses(test, 2)));
      test.platform.clock.advance(1000);
    }
    expect(seen).toEqual([200, 429, 200, 429, 200, 429, 429, 429]);
  });

  it('is exact when many come at once', async () => {
    const test = setUp({ minute: 5 });
    const got = await Promise.all(Array.from({ length: 20 }, () => test.get('/')));
    expect(got.filter(({ status }) => status === 200)).toHaveLength(5);
  });

  it('hides its headers when told to', async () => {
    const test = setUp({ minute: 1, hide_client_headers: true });
    expect(limits(await test.get('/'))).toEqual({});
    expect(limits(await test.get('/'))).toEqual({});
  });

  it('refuses in the words it is given', async () => {
    const test = setUp({ minute: 1, error_code: 420, error_message: 'calm down' });
    await test.get('/');
    const got = await test.get('/');
    expect(got.status).toBe(420);
    expect(got.json()).toMatchObject({ message: 'calm down' });
  });

  it('counts by header, and by address where that is missing', async () => {
    const test = setUp({ minute: 1, limit_by: 'header', header_name: 'X-Team' });
    expect(await statuses(test, 2, { 'x-team': 'red' })).toEqual([200, 429]);
    expect(await statuses(test, 2, { 'x-team': 'blue' })).toEqual([200, 429]);
    expect(await statuses(test, 2)).toEqual([200, 429]);
  });

  it('keeps a counter’s name short, whatever the client sends', async () => {
    const test = setUp({ minute: 1, limit_by: 'header', header_name: 'X-Team' });
    const long = 'x'.repeat(8000);
    expect(await statuses(test, 2, { 'x-team': long })).toEqual([200, 429]);
    expect(await statuses(test, 1, { 'x-team': `${long}y` })).toEqual([200]);
    for (const key of test.platform.counters.values.keys()) expect(key.length).toBeLessThan(200);
  });

  it('counts by address', async () => {
    const test = setUp({ minute: 1, limit_by: 'ip' });
    expect(await statuses(test, 2)).toEqual([200, 429]);
    const other = await test.send(request('/', { peerAddress: '192.0.2.2' }));
    expect(other.status).toBe(200);
  });

  it('counts by path: the one that is named together, others by address', async () => {
    const test = setUp({ minute: 1, limit_by: 'path', path: '/hot' });
    const from = (peerAddress: string, path: string) => test.send(request(path, { peerAddress }));
    expect((await from('192.0.2.1', '/hot')).status).toBe(200);
    expect((await from('192.0.2.2', '/hot')).status).toBe(429);
    expect((await from('192.0.2.1', '/cold')).status).toBe(200);
  });

  it('counts by service', async () => {
    const entities = new TestConfig();
    entities.plugin('rate-limiting', { minute: 1, limit_by: 'service' });
    entities.route({ paths: ['/a'] });
    entities.route({ paths: ['/b'] });
    const test = new TestGateway(entities.tables());
    const seen = [await test.get('/a'), await test.get('/b'), await test.get('/b')];
    expect(seen.map(({ status }) => status)).toEqual([200, 200, 429]);
  });

  it.each(['consumer', 'credential'])('counts by %s', async (limitBy) => {
    const entities = new TestConfig();
    entities.plugin('key-auth');
    entities.plugin('rate-limiting', { minute: 1, limit_by: limitBy });
    entities.consumer('ann', 'ann-key');
    entities.consumer('bob', 'bob-key');
    entities.route({ paths: ['/'] });
    const test = new TestGateway(entities.tables());
    expect(await statuses(test, 2, { apikey: 'ann-key' })).toEqual([200, 429]);
    expect(await statuses(test, 2, { apikey: 'bob-key' })).toEqual([200, 429]);
  });

  it('gives each configuration counters of its own', async () => {
    const entities = new TestConfig();
    for (const path of ['/a', '/b']) {
      const route = entities.route({ paths: [path] });
      entities.plugin('rate-limiting', { minute: 1 }, { route: { id: route.id } });
    }
    const test = new TestGateway(entities.tables());
    const seen = [await test.get('/a'), await test.get('/b'), await test.get('/a')];
    expect(seen.map(({ status }) => status)).toEqual([200, 200, 429]);
  });

  it('waits for counters that answer later', async () => {
    const test = setUp({ minute: 1 });
    test.platform.counters.isSlow = true;
    expect(await statuses(test, 2)).toEqual([200, 429]);
  });

  it.each([false, true])('passes while counters fail (later: %s), if tolerant', async (isSlow) => {
    const tolerant = setUp({ minute: 1 });
    tolerant.platform.counters.isSlow = isSlow;
    tolerant.platform.counters.failure = new Error('down');
    expect(await statuses(tolerant, 2)).toEqual([200, 200]);
    const strict = setUp({ minute: 1, fault_tolerant: false });
    strict.platform.counters.isSlow = isSlow;
    strict.platform.counters.failure = new Error('down');
    expect(await statuses(strict, 2)).toEqual([500, 500]);
  });

  it.each(['cluster', 'redis'])('closes its scope with policy %s', async (policy) => {
    const entities = new TestConfig();
    const route = entities.route({ paths: ['/'] });
    const config = { minute: 1, policy, ...(policy === 'redis' ? { redis: { host: 'r' } } : {}) };
    entities.plugin('rate-limiting', config, { route: { id: route.id } });
    const result = entities.build();
    expect(result).toMatchObject({
      ok: true,
      quarantined: [{ reason: `rate-limiting: policy ${policy} is not supported yet` }],
    });
    expect((await new TestGateway(entities.tables()).get('/')).status).toBe(503);
  });
});

describe('a window', () => {
  const now = Date.UTC(2024, 1, 29, 13, 14, 15, 678);
  it.each([
    ['second', Date.UTC(2024, 1, 29, 13, 14, 15), Date.UTC(2024, 1, 29, 13, 14, 16)],
    ['minute', Date.UTC(2024, 1, 29, 13, 14), Date.UTC(2024, 1, 29, 13, 15)],
    ['hour', Date.UTC(2024, 1, 29, 13), Date.UTC(2024, 1, 29, 14)],
    ['day', Date.UTC(2024, 1, 29), Date.UTC(2024, 2, 1)],
    ['month', Date.UTC(2024, 1), Date.UTC(2024, 2)],
    ['year', Date.UTC(2024, 0), Date.UTC(2025, 0)],
  ] as const)('of a %s follows the calendar', (period, start, end) => {
    expect([windowStart(period, now), windowEnd(period, now)]).toEqual([start, end]);
    expect(windowStart(period, start)).toBe(start);
    expect(windowStart(period, end)).toBe(end);
  });
});
