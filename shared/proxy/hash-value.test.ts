import { describe, expect, it } from 'vitest';
import { TestConfig } from '../../test/support/builders.ts';
import { answer, request, type RequestOptions } from '../../test/support/fake-platform.ts';
import { TestGateway } from '../../test/support/gateway.ts';
import { UpstreamError } from '../platform/platform.ts';
import type { JsonObject } from '../schema/field.ts';

const TARGETS = Array.from({ length: 20 }, (_, i) => `10.0.0.${i + 1}:80`);

class Hashed {
  readonly config = new TestConfig();
  #test: TestGateway | null = null;

  constructor(upstream: JsonObject, route: JsonObject = { paths: ['/'] }) {
    const pool = this.config.add('upstreams', { name: 'pool.test', ...upstream });
    for (const target of TARGETS) {
      this.config.add('targets', { target, upstream: { id: pool.id } });
    }
    const service = this.config.service({ host: 'pool.test' });
    this.config.route({ ...route, service: { id: service.id } });
  }

  get test(): TestGateway {
    this.#test ??= new TestGateway(this.config.tables());
    return this.#test;
  }

  /** The target that a request goes to. */
  async target(path: string, options: RequestOptions = {}): Promise<string> {
    await this.test.send(request(path, options));
    return this.test.upstream.host;
  }

  /** How many targets such requests go to. */
  async spread(make: (i: number) => readonly [string, RequestOptions]): Promise<number> {
    const seen = new Set<string>();
    for (let i = 0; i < 60; i += 1) seen.add(await this.target(...make(i)));
    return seen.size;
  }
}

// Source: Kong `runloop/balancer/init.lua`, get_value_to_hash;
// `spec/02-integration/05-proxy/10-balancer/03-consistent-hashing_spec.lua`
describe('consistent hashing', () => {
  it.each<[string, JsonObject, (i: number) => readonly [string, RequestOptions]]>([
    ['the client address', { hash_on: 'ip' }, (i) => ['/', { peerAddress: `192.0.2.${i}` }]],
    [
      'a header',
      { hash_on: 'header', hash_on_header: 'X-User' },
      (i) => ['/', { headers: { 'x-user': `${i}` } }],
    ],
    [
      'a cookie',
      { hash_on: 'cookie', hash_on_cookie: 'sid' },
      (i) => ['/', { headers: { cookie: `a=b; sid=${i}` } }],
    ],
    ['the path', { hash_on: 'path' }, (i) => [`/p${i}?q=${i}`, {}]],
    [
      'a query argument',
      { hash_on: 'query_arg', hash_on_query_arg: 'user' },
      (i) => [`/?x=1&user=${i}`, {}],
    ],
  ])('goes by %s, and by nothing else', async (_name, upstream, make) => {
    const hashed = new Hashed(upstream);
    expect(await hashed.spread(make)).toBeGreaterThan(10);
    expect(
      await hashed.spread((i) => {
        const [path, options] = make(7);
        const headers = { ...options.headers, 'x-other': `${i}` };
        return [path, { ...options, headers, peerPort: 1000 + i }];
      }),
    ).toBe(1);
  });

  it('goes by a capture of the path', async () => {
    const upstream = { hash_on: 'uri_capture', hash_on_uri_capture: 'user' };
    const hashed = new Hashed(upstream, { paths: ['~/u/(?<user>[a-z0-9]+)'] });
    expect(await hashed.spread((i) => [`/u/u${i}/x`, {}])).toBeGreaterThan(10);
    expect(await hashed.spread((i) => [`/u/same/x${i}`, {}])).toBe(1);
  });

  it('goes by the consumer', async () => {
    const hashed = new Hashed({ hash_on: 'consumer' });
    hashed.config.plugin('key-auth');
    for (let i = 0; i < 20; i += 1) hashed.config.consumer(`user${i}`, `key${i}`);
    const seen = await hashed.spread((i) => ['/', { headers: { apikey: `key${i % 20}` } }]);
    expect(seen).toBeGreaterThan(7);
    expect(await hashed.spread(() => ['/', { headers: { apikey: 'key3' } }])).toBe(1);
  });

  it('takes the values of a repeated argument in any order', async () => {
    const hashed = new Hashed({ hash_on: 'query_arg', hash_on_query_arg: 'a' });
    const one = await hashed.target('/?a=1&a=%32');
    expect(await hashed.target('/?a=2&b=x&a=1')).toBe(one);
  });

  it.each<[string, JsonObject, RequestOptions, (i: number) => RequestOptions]>([
    [
      'header to address',
      { hash_on: 'header', hash_on_header: 'x-user', hash_fallback: 'ip' },
      { headers: { 'x-user': 'ann' } },
      (i) => ({ peerAddress: `192.0.2.${i}` }),
    ],
    [
      'header to header',
      {
        hash_on: 'header',
        hash_on_header: 'x-user',
        hash_fallback: 'header',
        hash_fallback_header: 'x-group',
      },
      { headers: { 'x-user': 'ann' } },
      (i) => ({ headers: { 'x-group': `${i}` } }),
    ],
    [
      'consumer to address',
      { hash_on: 'consumer', hash_fallback: 'ip' },
      { peerAddress: '192.0.2.200' },
      (i) => ({ peerAddress: `192.0.2.${i}` }),
    ],
  ])('falls back from %s', async (_name, upstream, first, fallback) => {
    const hashed = new Hashed(upstream);
    expect(await hashed.spread(() => ['/', first])).toBe(1);
    expect(await hashed.spread((i) => ['/', fallback(i)])).toBeGreaterThan(10);
  });

  it('sends all that have nothing to go by to one target', async () => {
    const hashed = new Hashed({ hash_on: 'header', hash_on_header: 'x-user' });
    expect(await hashed.spread((i) => [`/${i}`, {}])).toBe(1);
  });

  it('goes to the same next target whenever the first one fails', async () => {
    const hashed = new Hashed({ hash_on: 'ip' });
    const first = await hashed.target('/');
    hashed.test.platform.respond = ({ host }) => {
      if (host === first) throw new UpstreamError('connect', false);
      return answer(200, host);
    };
    const second = await hashed.target('/');
    expect(second).not.toBe(first);
    expect(await hashed.spread(() => ['/', {}])).toBe(1);
    expect(await hashed.target('/')).toBe(second);
  });
});

// Source: Kong `runloop/balancer/init.lua`, set_cookie
describe('the cookie to hash on', () => {
  const COOKIE = { hash_on: 'cookie', hash_on_cookie: 'sid', hash_on_cookie_path: '/shop' };

  it('is given to a client that has none, and leads it back to the same target', async () => {
    const hashed = new Hashed(COOKIE);
    const got = await hashed.test.get('/');
    const first = hashed.test.upstream.host;
    const set = got.headers.get('set-cookie') ?? '';

    expect(set).toMatch(/^sid=[0-9a-f-]{36}; Path=\/shop; Same-Site=Lax; HttpOnly$/);
    const cookie = set.split(';', 1)[0] ?? '';
    const again = await hashed.test.get('/', { cookie });
    expect(hashed.test.upstream.host).toBe(first);
    expect(again.headers.has('set-cookie')).toBe(false);
    expect(await hashed.spread(() => ['/', {}])).toBeGreaterThan(10);
  });

  it('stands beside the cookies of the upstream, and instead of one of its name', async () => {
    const hashed = new Hashed(COOKIE);
    const theirs = ['Set-Cookie', 'a=1', 'Set-Cookie', 'sid=theirs', 'Set-Cookie', 'b=2'];
    hashed.test.platform.respond = () => answer(200, '', theirs);
    const got = await hashed.test.get('/');
    const names = got.headers.getAll('set-cookie').map((text) => text.split('=', 1)[0]);
    expect(names).toEqual(['a', 'b', 'sid']);
    expect(got.headers.getAll('set-cookie').join()).not.toContain('theirs');
  });

  it('is not set on an answer of ours', async () => {
    const hashed = new Hashed(COOKIE);
    hashed.config.plugin('key-auth');
    const got = await hashed.test.get('/');
    expect([got.status, got.headers.has('set-cookie')]).toEqual([401, false]);
  });
});
