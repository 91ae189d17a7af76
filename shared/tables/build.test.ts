import { describe, expect, it } from 'vitest';
import { DEFAULT_WS, TestConfig, testPlugin } from '../../test/support/builders.ts';
import { answer } from '../../test/support/fake-platform.ts';
import { TestGateway } from '../../test/support/gateway.ts';
import { must } from '../base/assert.ts';
import type { PluginHandler } from '../plugins/plugin.ts';
import type { BuildResult } from './build.ts';
import type { Tables } from './tables.ts';

const OTHER_WS = '00000000-0000-4000-8000-0000000000bb';

const UNPREPARED: PluginHandler<unknown> = {
  prepare: () => {
    throw new Error('cannot be prepared');
  },
  access: () => {},
};

function quarantined(result: BuildResult): unknown {
  if (!result.ok) return result;
  return result.quarantined.map(({ kind, id, reason }) => ({ kind, id, reason }));
}

describe('a broken plugin', () => {
  it.each(['route', 'service', 'consumer'] as const)(
    'closes its %s and is named',
    async (scope) => {
      const config = new TestConfig();
      config.provide(testPlugin('broken', UNPREPARED));
      config.plugin('key-auth');
      const consumer = config.consumer('ann', 'ann-key');
      config.consumer('bob', 'bob-key');
      const service = config.service();
      const route = config.route({ paths: ['/a'], service: { id: service.id } });
      config.route({ paths: ['/b'] });
      const ids = { route: route.id, service: service.id, consumer: consumer.id };
      const plugin = config.plugin('broken', {}, { [scope]: { id: ids[scope] } });

      const result = config.build();
      expect(quarantined(result)).toEqual([
        { kind: 'plugins', id: plugin.id, reason: 'broken: cannot be prepared' },
      ]);
      const test = new TestGateway(config.tables());
      const closed = await test.get('/a', { apikey: 'ann-key' });
      expect(closed.status).toBe(503);
      expect(closed.json()).toMatchObject({ message: 'no valid configuration for this request' });
      expect(test.platform.sent).toHaveLength(0);
      const open = scope === 'consumer' ? '/a' : '/b';
      expect((await test.get(open, { apikey: 'bob-key' })).status).toBe(200);
    },
  );

  it('does not make room for a less specific one of its name', async () => {
    const config = new TestConfig();
    let ran = 0;
    config.provide({
      definition: testPlugin('picky', null).definition,
      handler: {
        prepare: (_, { pluginId }) => {
          if (pluginId !== must(global, 'made first').id) throw new Error('no');
          return null;
        },
        access: () => void (ran += 1),
      },
    });
    const global = config.plugin('picky');
    const route = config.route({ paths: ['/a'] });
    config.plugin('picky', {}, { route: { id: route.id } });
    const test = new TestGateway(config.tables());
    expect((await test.get('/a')).status).toBe(503);
    expect(ran).toBe(0);
  });

  it('that protects nothing is left out, and does not make room either', async () => {
    const config = new TestConfig();
    const { definition } = testPlugin('harmless', null);
    config.provide({
      definition: { ...definition, protects: false },
      handler: {
        prepare: (_, { pluginId }) => {
          if (pluginId !== must(global, 'made first').id) throw new Error('no');
          return null;
        },
        headerFilter: (ctx) => ctx.response?.headers.set('X-Global', '1'),
      },
    });
    const global = config.plugin('harmless');
    const route = config.route({ paths: ['/a'] });
    config.plugin('harmless', {}, { route: { id: route.id } });
    const got = await new TestGateway(config.tables()).get('/a');
    expect([got.status, got.headers.get('x-global')]).toEqual([200, null]);
  });

  it('that is global refuses the version', () => {
    const config = new TestConfig();
    config.provide(testPlugin('broken', UNPREPARED));
    const plugin = config.plugin('broken');
    expect(config.build()).toEqual({
      ok: false,
      entity: { kind: 'plugins', id: plugin.id },
      detail: 'broken: cannot be prepared',
    });
  });

  it('may be one that nobody knows', async () => {
    const config = new TestConfig();
    const route = config.route({ paths: ['/a'] });
    const id = '10000000-0000-4000-8000-00000000ffff';
    const plugin = { id, name: 'from-the-future', config: {}, enabled: true, protocols: ['http'] };
    config.put('plugins', { ...plugin, route: { id: route.id }, service: null, consumer: null });
    expect(quarantined(config.build())).toEqual([
      { kind: 'plugins', id, reason: 'unknown plugin' },
    ]);
    expect((await new TestGateway(config.tables()).get('/a')).status).toBe(503);
  });

  it('may be one that this runtime lacks', () => {
    const config = new TestConfig();
    config.provide(testPlugin('node-only', {}));
    const route = config.route({ paths: ['/a'] });
    config.plugin('node-only', {}, { route: { id: route.id } });
    expect(quarantined(config.build())).toEqual([]);
    expect(quarantined(config.build(null, { runtime: 'edge' }))).toMatchObject([
      { reason: 'node-only is not available on this data plane' },
    ]);
  });

  it('closes its scope when no data plane has it, whatever it would do', async () => {
    const config = new TestConfig();
    const route = config.route({ paths: ['/a'] });
    config.route({ paths: ['/b'] });
    const { id } = config.plugin('file-log', { path: '/tmp/log' }, { route: { id: route.id } });

    expect(quarantined(config.build())).toEqual([
      { kind: 'plugins', id, reason: 'file-log is not available on this data plane' },
    ]);
    const gateway = new TestGateway(config.tables());
    expect((await gateway.get('/a')).status).toBe(503);
    expect((await gateway.get('/b')).status).toBe(200);
  });

  it('is no trouble while it is disabled', () => {
    const config = new TestConfig();
    config.provide(testPlugin('broken', UNPREPARED));
    config.plugin('broken', {}, { enabled: false });
    expect(quarantined(config.build())).toEqual([]);
  });

  it('for streams only does not run for HTTP', async () => {
    const config = new TestConfig();
    config.provide(testPlugin('test', { access: (ctx) => ctx.exit(418, null) }));
    const plugin = config.plugin('test');
    config.put('plugins', { ...plugin, protocols: ['tcp'] });
    config.route({ paths: ['/a'] });
    expect((await new TestGateway(config.tables()).get('/a')).status).toBe(200);
  });
});

describe('without the group’s secret', () => {
  it('what looks up credentials is closed and named, even globally', async () => {
    const config = new TestConfig();
    const plugin = config.plugin('key-auth');
    config.consumer('ann', 'secret');
    config.route({ paths: ['/a'] });
    expect(quarantined(config.build(null, { pepper: null }))).toMatchObject([{ id: plugin.id }]);
    const test = new TestGateway(config.tables(null, { pepper: null }));
    expect((await test.get('/a', { apikey: 'secret' })).status).toBe(503);
  });

  it('it opens again once the secret is there', async () => {
    const config = new TestConfig();
    config.plugin('key-auth');
    config.consumer('ann', 'secret');
    config.route({ paths: ['/a'] });
    const closed = config.tables(null, { pepper: null });
    const test = new TestGateway(config.tables(closed));
    expect((await test.get('/a', { apikey: 'secret' })).status).toBe(200);
  });
});

describe('a route whose matcher does not compile', () => {
  it('answers 503 where it might have matched, and nothing else takes its requests', async () => {
    const config = new TestConfig();
    config.route({ paths: ['/'] });
    const broken = config.route({ paths: ['/api/'] });
    config.put('routes', { ...broken, paths: ['~/api/(?<id>[0-9]+'] });
    expect(quarantined(config.build())).toMatchObject([{ kind: 'routes', id: broken.id }]);
    const test = new TestGateway(config.tables());
    expect((await test.get('/api/1')).status).toBe(503);
    expect((await test.get('/other')).status).toBe(200);
  });

  it('refuses the version when it gives nothing to go by', () => {
    const config = new TestConfig();
    const broken = config.route({ paths: ['/api/'] });
    config.put('routes', { ...broken, paths: ['~/(?<id>'] });
    expect(config.build()).toMatchObject({ ok: false, entity: { kind: 'routes', id: broken.id } });
  });

  it('is named again when an unrelated change keeps the router', () => {
    const config = new TestConfig();
    const broken = config.route({ paths: ['/api/'] });
    config.put('routes', { ...broken, paths: ['~/api/(?<id>[0-9]+'] });
    const tables = config.tables();
    config.consumer('ann');
    expect(quarantined(config.build(tables))).toMatchObject([{ kind: 'routes', id: broken.id }]);
  });
});

describe('a service', () => {
  it('that is disabled takes its routes away', async () => {
    const config = new TestConfig();
    const service = config.service({ enabled: false });
    config.route({ paths: ['/a'], service: { id: service.id } });
    expect((await new TestGateway(config.tables()).get('/a')).status).toBe(404);
  });

  it('that is missing closes its routes', async () => {
    const config = new TestConfig();
    const service = config.service();
    config.route({ paths: ['/a'], service: { id: service.id } });
    config.route({ paths: ['/'] });
    config.remove('services', service.id);
    expect(quarantined(config.build())).toMatchObject([{ kind: 'services', id: service.id }]);
    expect((await new TestGateway(config.tables()).get('/a')).status).toBe(503);
  });

  it('of a protocol that the runtime does not speak closes its routes', async () => {
    const config = new TestConfig();
    const service = config.service({ protocol: 'grpc' });
    config.route({ paths: ['/a'], service: { id: service.id } });
    const reason = 'services of protocol grpc are not supported at the edge';
    const edge = { runtime: 'edge' } as const;
    expect(quarantined(config.build(null, edge))).toEqual([
      { kind: 'services', id: service.id, reason },
    ]);
    expect((await new TestGateway(config.tables(null, edge)).get('/a')).status).toBe(503);
    expect(quarantined(config.build())).toEqual([]);
  });
});

describe('an upstream', () => {
  it('whose targets the edge cannot probe is named there, and served', async () => {
    const config = new TestConfig();
    const probes = { active: { healthy: { interval: 5 } } };
    const upstream = config.add('upstreams', { name: 'pool.test', healthchecks: probes });
    config.add('targets', { target: '10.0.0.1:80', upstream: { id: upstream.id } });
    const service = config.service({ host: 'pool.test' });
    config.route({ paths: ['/a'], service: { id: service.id } });
    const edge = { runtime: 'edge' } as const;
    const reason = 'active health checks are not supported at the edge';
    expect(quarantined(config.build(null, edge))).toEqual([
      { kind: 'upstreams', id: upstream.id, reason },
    ]);
    expect((await new TestGateway(config.tables(null, edge)).get('/a')).status).toBe(200);
    expect(quarantined(config.build())).toEqual([]);

    const before = config.tables(null, edge);
    config.remove('upstreams', upstream.id);
    expect(config.tables(before, edge).quarantined).toEqual([]);
  });
});

describe('a record of a shape that nobody knows', () => {
  it('refuses the version instead of throwing', () => {
    const config = new TestConfig();
    config.put('upstreams', { id: '10000000-0000-4000-8000-00000000fffe', name: 'x.test' });
    config.put('routes', { id: '10000000-0000-4000-8000-00000000ffff', protocols: ['http'] });
    expect(config.build()).toMatchObject({ ok: false });
  });
});

describe('what has not changed', () => {
  it('keeps its counters and its turn', async () => {
    const config = new TestConfig();
    const upstream = config.add('upstreams', { name: 'pool.test' });
    for (const host of ['10.0.0.1', '10.0.0.2']) {
      config.add('targets', { target: `${host}:80`, upstream: { id: upstream.id } });
    }
    const service = config.service({ host: 'pool.test' });
    config.route({ paths: ['/a'], service: { id: service.id } });
    config.plugin('correlation-id', { generator: 'uuid#counter', echo_downstream: true });
    const test = new TestGateway(config.tables());
    const first = await test.get('/a');

    config.consumer('unrelated');
    test.gateway.swap(config.tables(test.gateway.tables));
    const second = await test.get('/a');

    const [id, count] = (first.headers.get('kong-request-id') ?? '').split('#');
    expect(count).toBe('1');
    expect(second.headers.get('kong-request-id')).toBe(`${id}#2`);
    expect(new Set(test.platform.sent.map(({ host }) => host)).size).toBe(2);
  });

  it('keeps the router and the prepared plugins', () => {
    const config = new TestConfig();
    config.route({ paths: ['/a'] });
    config.plugin('key-auth');
    config.add('upstreams', { name: 'pool.test' });
    const before = config.tables();
    config.consumer('unrelated');
    const after = config.tables(before);
    expect(after.parts.upstreams).toBe(before.parts.upstreams);
    expect(after.router).toBe(before.router);
    expect(after.parts.plugins.held).toBe(before.parts.plugins.held);
    config.route({ paths: ['/b'] });
    expect(config.tables(after).router).not.toBe(before.router);
  });

  it('keeps the look-up of credentials, until one changes', async () => {
    const config = new TestConfig();
    const route = config.route({ paths: ['/a'] });
    config.plugin('key-auth');
    config.consumer('ann', 'ann-key');
    const before = config.tables();
    config.remove('routes', route.id);
    const after = config.tables(before);
    const indexOf = (tables: Tables) => tables.workspaces.get(DEFAULT_WS)?.index;
    expect(indexOf(after)).toBe(indexOf(before));

    config.route({ paths: ['/a'] });
    config.consumer('bob', 'bob-key');
    const test = new TestGateway(config.tables(after));
    expect((await test.get('/a', { apikey: 'bob-key' })).status).toBe(200);
  });

  it('is built anew when its record changes', async () => {
    const config = new TestConfig();
    config.route({ paths: ['/a'] });
    const plugin = config.plugin('key-auth', { realm: 'one' });
    const before = config.tables();
    config.put('plugins', {
      ...plugin,
      config: { ...(plugin['config'] as object), realm: 'two' },
    });
    const got = await new TestGateway(config.tables(before)).get('/a');
    expect(got.headers.get('www-authenticate')).toBe('Key realm="two"');
  });
});

describe('workspaces', () => {
  it('do not see each other’s plugins, credentials and upstreams', async () => {
    const config = new TestConfig();
    const other = (kind: string, input: Parameters<TestConfig['add']>[1]) =>
      config.add(kind, input, OTHER_WS);
    config.route({ paths: ['/here'] });
    config.plugin('key-auth');
    config.consumer('ann', 'ann-key');
    config.add('upstreams', { name: 'shared.test' });
    const service = other('services', { host: 'shared.test' });
    other('routes', { paths: ['/there'], service: { id: service.id } });
    const test = new TestGateway(config.tables());

    expect((await test.get('/there')).status).toBe(200);
    expect(test.upstream.host).toBe('shared.test');
    other('plugins', { name: 'key-auth' });
    test.gateway.swap(config.tables());
    expect((await test.get('/there', { apikey: 'ann-key' })).status).toBe(401);
    expect((await test.get('/here', { apikey: 'ann-key' })).status).toBe(200);
  });

  it('speak for their routes before the routes’ own plugins do', async () => {
    const config = new TestConfig();
    config.route({ paths: ['/'] });
    config.plugin('correlation-id', { echo_downstream: true, header_name: 'X-Default' });
    const echo = { echo_downstream: true, header_name: 'X-Other' };
    config.add('plugins', { name: 'correlation-id', config: echo }, OTHER_WS);
    config.add('routes', { paths: ['/tls'], protocols: ['https'] }, OTHER_WS);
    const got = await new TestGateway(config.tables()).get('/tls');
    expect(got.status).toBe(426);
    expect([got.headers.has('x-other'), got.headers.has('x-default')]).toEqual([true, false]);
  });

  it('lend a 404 the global plugins of the one called default', async () => {
    const config = new TestConfig();
    config.add('plugins', { name: 'correlation-id', config: { echo_downstream: true } });
    config.add('services', { host: 'a.test' }, OTHER_WS);
    const test = new TestGateway(config.tables());
    expect(test.gateway.tables?.fallback?.id).toBe(DEFAULT_WS);
    test.platform.respond = () => answer(200, '');
    expect((await test.get('/nowhere')).headers.has('kong-request-id')).toBe(true);
  });
});

describe('the router’s flavor', () => {
  it('decides whether path_handling counts, also when it is another one than before', async () => {
    const config = new TestConfig();
    const service = { id: config.service({ path: '/base' }).id };
    config.route({ paths: ['/a'], path_handling: 'v1', service });
    const compatible = config.tables();
    const traditional = config.tables(compatible, { routerFlavor: 'traditional' });
    const sentTo = async (tables: Tables): Promise<string> => {
      const test = new TestGateway(tables);
      await test.get('/ab');
      return test.upstream.target;
    };

    expect(await sentTo(compatible)).toBe('/base/b');
    expect(await sentTo(traditional)).toBe('/baseb');
    expect(await sentTo(config.tables(traditional))).toBe('/base/b');
    expect([compatible, traditional].map(({ router }) => router.flavor)).toEqual([
      'traditional_compatible',
      'traditional',
    ]);
  });
});
