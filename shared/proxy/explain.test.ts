import { describe, expect, it } from 'vitest';
import { TestConfig, testPlugin } from '../../test/support/builders.ts';
import { request } from '../../test/support/fake-platform.ts';
import { TestGateway } from '../../test/support/gateway.ts';
import { SEED, Seeded } from '../router/seeded.suite.ts';
import type { JsonObject } from '../schema/field.ts';
import type { Tables } from '../tables/tables.ts';
import { explainQuery, parseExplainRequest } from './explain-request.ts';

function explained(tables: Tables | null, asked: JsonObject, test = new TestGateway(tables)) {
  const parsed = parseExplainRequest(asked);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.violations));
  return test.gateway.explain(parsed.value);
}

describe('explaining a request', () => {
  it('names the route, why it is taken, and which would be next', () => {
    const config = new TestConfig();
    const general = config.route({ name: 'general', paths: ['/api'] });
    const narrow = config.route({ name: 'narrow', paths: ['/api/v1'], methods: ['GET'] });
    const posting = config.route({ name: 'posting', paths: ['/api/v1'], methods: ['POST'] });
    const got = explained(config.tables(), { url: 'http://a.test/api/v1/x?q=1' });
    expect(got).toMatchObject({
      outcome: 'proxied',
      answer: null,
      route: { id: narrow.id, name: 'narrow', fault: null },
      matched_path: '/api/v1',
      routing: {
        flavor: 'traditional_compatible',
        matches: [
          {
            route: { id: narrow.id },
            because: [
              { attribute: 'method', condition: 'GET', value: 'GET' },
              { attribute: 'path', condition: '/api/v1', value: '/api/v1/x' },
            ],
          },
          { route: { id: general.id } },
        ],
        misses: [{ route: { id: posting.id }, failed: { attribute: 'method', condition: 'POST' } }],
      },
    });
  });

  it('says where it would go', () => {
    const config = new TestConfig();
    const upstream = config.add('upstreams', { name: 'pool.test', host_header: 'inner.test' });
    config.add('targets', { target: '10.0.0.1:81', weight: 7, upstream: { id: upstream.id } });
    const service = config.service({ name: 'orders', host: 'pool.test', path: '/base' });
    config.route({ paths: ['/api'], service: { id: service.id } });
    const test = new TestGateway(config.tables());
    expect(explained(null, { url: '/api/a%20b?q=%27' }, test)['upstream']).toMatchObject({
      service: { id: service.id, name: 'orders' },
      upstream: { id: upstream.id, name: 'pool.test', algorithm: 'round-robin' },
      scheme: 'http',
      http_version: '1.1',
      path: '/base/a%20b',
      query: 'q=%27',
      targets: [{ host: '10.0.0.1', port: 81, weight: 7, host_header: 'inner.test:81' }],
    });
    expect(test.platform.sent).toEqual([]);
  });

  it('names the plugins by phase and configuration, for anybody and for a consumer', () => {
    const config = new TestConfig();
    const route = config.route({ paths: ['/a'] });
    const ann = config.consumer('ann');
    config.provide(testPlugin('first', { access: () => {}, log: () => {} }, 900));
    config.provide(testPlugin('second', { headerFilter: () => {} }, 100));
    const global = config.plugin('first');
    const own = config.plugin('second', {}, { route: { id: route.id } });
    const hers = config.plugin('first', {}, { consumer: { id: ann.id } });
    const plugins = explained(config.tables(), { url: '/a', consumer: 'ann' })['plugins'];
    expect(plugins).toMatchObject({
      consumer: ann.id,
      steps: [
        {
          name: 'first',
          phases: ['access', 'log'],
          configuration: { id: global.id, scope: { route: null, consumer: null } },
          for_consumer: { id: hers.id, scope: { consumer: ann.id } },
        },
        {
          name: 'second',
          phases: ['header_filter'],
          configuration: { id: own.id, scope: { route: route.id } },
          for_consumer: null,
        },
      ],
    });
  });

  it.each([
    ['no route', { url: '/nowhere' }, 404],
    ['a target that can be read in two ways', { url: '/a/%252e%252e/b' }, 400],
    ['a scheme that the route does not take', { url: '/tls' }, 426],
    ['no service', { url: '/none' }, 503],
    ['a closed plugin', { url: '/closed' }, 503],
    ['a request that is no gRPC', { url: '/grpc' }, 415],
  ])('says how it is refused: %s', async (_, asked, status) => {
    const config = new TestConfig();
    config.provide(testPlugin('absent', null));
    config.route({ paths: ['/a'] });
    config.route({ paths: ['/b'] });
    config.route({ paths: ['/tls'], protocols: ['https'] });
    config.route({ paths: ['/none'], service: null });
    config.route({ paths: ['/grpc'], protocols: ['grpc'], strip_path: false });
    const closed = config.route({ paths: ['/closed'] });
    config.plugin('absent', {}, { route: { id: closed.id } });
    const test = new TestGateway(config.tables());
    const got = explained(null, asked, test);
    expect(got).toMatchObject({ outcome: 'answered', answer: { status }, upstream: null });
    expect((await test.get(asked.url)).status).toBe(status);
  });

  it('says that there is no configuration', () => {
    expect(explained(null, { url: '/' })).toMatchObject({
      configuration: null,
      outcome: 'answered',
      answer: { status: 503 },
      routing: null,
    });
  });

  it('shows no configuration of a plugin and no credential', () => {
    const config = new TestConfig();
    config.route({ paths: ['/a'] });
    config.plugin('key-auth', { realm: 'realm-of-ours' });
    config.consumer('ann', 'secret-key');
    const text = JSON.stringify(explained(config.tables(), { url: '/a', consumer: 'ann' }));
    expect(text).toContain('key-auth');
    expect(text).not.toMatch(/realm-of-ours|secret-key|key_names/);
  });
});

describe('what is asked', () => {
  it.each([
    [{}, 'url'],
    [{ url: 'ftp://a/' }, 'url'],
    [{ url: 'http://user@a/' }, 'url'],
    [{ url: '/', method: 'G T' }, 'method'],
    [{ url: '/', headers: { 'a b': 'x' } }, 'headers'],
    [{ url: '/', headers: { a: 'x\ny' } }, 'headers'],
    [{ url: '/', client_address: 'me' }, 'client_address'],
    [{ url: '/', limit: 51 }, 'limit'],
    [{ url: '/', more: 1 }, 'more'],
  ])('must make sense: %j', (asked, field) => {
    const parsed = parseExplainRequest(asked);
    expect(parsed.ok ? null : Object.keys(parsed.violations)).toEqual([field]);
  });

  it('may come as a query', () => {
    const text = 'url=%2Fa%3Fb&method=POST&header=Host%3A+a.test&header=x-a:1&port=81';
    expect(explainQuery(new URLSearchParams(text))).toEqual({
      url: '/a?b',
      method: 'POST',
      port: 81,
      headers: { Host: 'a.test', 'x-a': '1' },
    });
  });

  it('takes host, port and scheme from the url', () => {
    const { request: read } = explained(null, { url: 'HTTPS://A.test:8443/x' }) as {
      request: JsonObject;
    };
    expect(read).toMatchObject({ scheme: 'https', host: 'A.test:8443', target: '/x' });
  });
});

describe('the explanation', () => {
  it(`is what happens, over random configurations (seed ${SEED})`, async () => {
    const random = new Seeded(SEED);
    const seen = new Map<number, number>();
    for (let n = 0; n < 30; n++) {
      const test = new TestGateway(randomConfig(random));
      for (let asked = 0; asked < 40; asked++) {
        const method = random.pick(['GET', 'POST']);
        const target = random.pick(TARGETS);
        const host = random.pick(['a.test', 'b.test']);
        const said = explained(null, { method, url: target, headers: { Host: host } }, test);
        const before = test.platform.sent.length;
        const got = await test.send(request(target, { method, headers: { Host: host } }));
        const sent = test.platform.sent.slice(before);
        const why = `${n}: ${method} ${host} ${target}`;
        seen.set(got.status, (seen.get(got.status) ?? 0) + 1);
        expect(said['outcome'], why).toBe(sent.length > 0 ? 'proxied' : 'answered');
        if (sent.length === 0) {
          expect(said['answer'], why).toMatchObject({ status: got.status });
          continue;
        }
        const { path, query, targets } = said['upstream'] as {
          path: string;
          query: string | null;
          targets: { host_header: string }[];
        };
        expect(query === null ? path : `${path}?${query}`, why).toBe(sent[0]?.target);
        const hosts = targets.map(({ host_header: header }) => header);
        expect(hosts, why).toContain(sent[0]?.headers.get('host'));
      }
    }
    for (const status of [200, 400, 404, 426, 503])
      expect([status, seen.get(status)]).not.toContain(undefined);
  });
});

const TARGETS = ['/', '/a', '/a/b?x=1', '/a//b', '/b/c%2Fd', '/c/%252e%252e/a', '/c;x', '/A%41'];

function randomConfig(random: Seeded): Tables {
  const config = new TestConfig();
  config.provide(testPlugin('absent', null));
  const upstream = config.add('upstreams', { name: 'pool.test' });
  for (let n = random.below(3); n > 0; n--) {
    config.add('targets', { target: `10.0.0.${n}:80`, upstream: { id: upstream.id } });
  }
  // A pool that nobody is in has nobody to go to: it is for the balancer to say.
  const hosts = config.tables().parts.upstreams.byName.winners;
  const [pool] = hosts.values();
  const names =
    pool !== undefined && pool.balancer.targets.length > 0 ? ['pool.test', 'x.test'] : ['x.test'];
  for (let n = 2 + random.below(6); n > 0; n--) {
    const service = config.service({
      host: random.pick(names),
      path: random.pick([null, '/s', '/s/']),
      protocol: random.pick(['http', 'https']),
    });
    const route = config.route({
      paths: random.pick([['/'], ['/a'], ['/a/b', '/b'], ['~/[abc]/?'], ['/c']]),
      methods: random.chance(0.3) ? ['POST'] : null,
      hosts: random.chance(0.5) ? [random.pick(['a.test', '*.test'])] : null,
      protocols: random.chance(0.2) ? ['https'] : ['http', 'https'],
      strip_path: random.chance(0.5),
      preserve_host: random.chance(0.5),
      service: random.chance(0.9) ? { id: service.id } : null,
    });
    if (random.chance(0.15)) config.plugin('absent', {}, { route: { id: route.id } });
  }
  return config.tables();
}
