import { describe, expect, it } from 'vitest';
import { TestConfig, testPlugin } from '../../test/support/builders.ts';
import { answer, OneChunk } from '../../test/support/fake-platform.ts';
import { TestGateway } from '../../test/support/gateway.ts';
import type { PluginHandler } from '../plugins/plugin.ts';

function configWith(handler: PluginHandler<unknown>): TestConfig {
  const config = new TestConfig();
  config.provide(testPlugin('test', handler));
  config.plugin('test');
  config.route({ paths: ['/a'] });
  return config;
}

describe('plugins', () => {
  it('run their access phase in order of priority, then name, both downward', async () => {
    const config = new TestConfig();
    const ran: string[] = [];
    for (const [name, priority] of [
      ['low', 1],
      ['a', 5],
      ['b', 5],
      ['high', 9],
    ] as const) {
      config.provide(testPlugin(name, { access: () => void ran.push(name) }, priority));
      config.plugin(name);
    }
    config.route({ paths: ['/a'] });
    await new TestGateway(config.tables()).get('/a');
    expect(ran).toEqual(['high', 'b', 'a', 'low']);
  });

  it('that answer early end the access phase, not the response’s', async () => {
    const config = new TestConfig();
    const ran: string[] = [];
    config.provide(
      testPlugin('first', { access: (ctx) => ctx.exit(418, { tea: true }, [['X-A', '1']]) }, 900),
    );
    config.provide(
      testPlugin('second', {
        access: () => void ran.push('access'),
        headerFilter: (ctx) => {
          ran.push('header_filter');
          ctx.response?.headers.set('X-B', '2');
        },
        bodyFilter: () => (chunk) => chunk,
        log: () => void ran.push('log'),
      }),
    );
    config.plugin('first');
    config.plugin('second');
    config.route({ paths: ['/a'] });
    const test = new TestGateway(config.tables());

    const got = await test.get('/a');

    expect([got.status, got.text]).toEqual([418, '{"tea":true}']);
    expect([got.headers.get('x-a'), got.headers.get('x-b')]).toEqual(['1', '2']);
    expect(ran).toEqual(['header_filter', 'log']);
    expect(test.platform.sent).toHaveLength(0);
  });

  it('may answer with a field twice, and with a type of their own', async () => {
    const fields = [
      ['Set-Cookie', 'a=1'],
      ['Set-Cookie', 'b=2'],
      ['Content-Type', 'application/problem+json'],
    ] as const;
    const config = configWith({ access: (ctx) => ctx.exit(400, { title: 'no' }, fields) });
    const got = await new TestGateway(config.tables()).get('/a');
    expect(got.headers.getAll('set-cookie')).toEqual(['a=1', 'b=2']);
    expect(got.headers.getAll('content-type')).toEqual(['application/problem+json']);
  });

  it('get the groups of a regex path, by name and by number', async () => {
    const seen: unknown[] = [];
    const config = configWith({ access: ({ captures }) => void seen.push(captures) });
    config.route({ paths: ['~/u/(?<id>\\d+)/(x)?'] });
    const gateway = new TestGateway(config.tables());
    await gateway.get('/u/42/posts');
    await gateway.get('/a');
    expect(seen).toMatchObject([{ named: { id: '42' }, indexed: ['42', ''] }, null]);
  });

  it('may take their time in every phase', async () => {
    const ran: string[] = [];
    const later = (word: string) => async (): Promise<void> => {
      await Promise.resolve();
      ran.push(word);
    };
    const config = configWith({
      rewrite: later('rewrite'),
      access: later('access'),
      headerFilter: later('header_filter'),
      log: later('log'),
    });
    expect((await new TestGateway(config.tables()).get('/a')).status).toBe(200);
    expect(ran).toEqual(['rewrite', 'access', 'header_filter', 'log']);
  });

  it.each([
    [
      'rewrite',
      () => {
        throw new Error('boom');
      },
    ],
    [
      'access',
      () => {
        throw new Error('boom');
      },
    ],
    ['access', () => Promise.reject(new Error('boom'))],
    [
      'headerFilter',
      () => {
        throw new Error('boom');
      },
    ],
    ['headerFilter', () => Promise.reject(new Error('boom'))],
    [
      'bodyFilter',
      () => {
        throw new Error('boom');
      },
    ],
  ] as const)(
    'that crash in %s answer 500, and nothing of the response goes out',
    async (phase, crash) => {
      const test = new TestGateway(configWith({ [phase]: crash }).tables());
      const body = new OneChunk();
      test.platform.respond = () => ({ ...answer(200, '', ['X-Secret', '1']), body });
      const got = await test.get('/a');
      expect(got.status).toBe(500);
      expect(got.json()).toMatchObject({ message: 'An unexpected error occurred' });
      expect(got.headers.has('x-secret')).toBe(false);
      expect(body.isCancelled || test.platform.sent.length === 0).toBe(true);
      expect(test.platform.logs).toMatchObject([{ level: 'error', message: 'plugin crashed' }]);
    },
  );

  it('that crash in log stop nothing', async () => {
    const test = new TestGateway(
      configWith({ log: () => Promise.reject(new Error('boom')) }).tables(),
    );
    expect((await test.get('/a')).status).toBe(200);
    expect(test.platform.logs).toHaveLength(1);
    expect(test.log).toHaveLength(1);
  });

  it('change what goes upstream', async () => {
    const test = new TestGateway(
      configWith({
        access: (ctx) => {
          ctx.upstreamHeaders.set('X-New', 'yes');
          ctx.upstreamQuery = 'z=1';
        },
      }).tables(),
    );
    await test.get('/a?x=1');
    expect(test.upstream.target).toBe('/?z=1');
    expect(test.upstream.headers.get('x-new')).toBe('yes');
  });

  it('filter the body, whose length is then unknown', async () => {
    const test = new TestGateway(
      configWith({
        bodyFilter: () => (chunk, last) => new Uint8Array([...chunk, ...(last ? [33] : [])]),
      }).tables(),
    );
    const got = await test.get('/a');
    expect(got.text).toBe('hello!');
    expect(got.headers.has('content-length')).toBe(false);
  });

  it('run before the gateway finds that there is no service', async () => {
    const ran: string[] = [];
    const config = new TestConfig();
    config.provide(testPlugin('test', { access: () => void ran.push('access') }));
    config.plugin('test');
    config.route({ paths: ['/a'], service: null });
    const got = await new TestGateway(config.tables()).get('/a');
    expect(got.status).toBe(503);
    expect(got.json()).toMatchObject({ message: 'no Service found with those values' });
    expect(ran).toEqual(['access']);
  });

  it('of everything see a 404 on its way out, those of a route do not', async () => {
    const ran: string[] = [];
    const config = new TestConfig();
    config.provide(
      testPlugin('test', {
        access: () => void ran.push('access'),
        headerFilter: () => void ran.push('global'),
        log: () => void ran.push('log'),
      }),
    );
    config.provide(testPlugin('scoped', { headerFilter: () => void ran.push('scoped') }));
    config.plugin('test');
    const route = config.route({ paths: ['/a'] });
    config.plugin('scoped', {}, { route: { id: route.id } });
    await new TestGateway(config.tables()).get('/nowhere');
    expect(ran).toEqual(['global', 'log']);
  });

  it('that cannot be built close their scope', async () => {
    const config = new TestConfig();
    config.provide(testPlugin('absent', null));
    const route = config.route({ paths: ['/a'] });
    config.route({ paths: ['/b'] });
    config.plugin('absent', {}, { route: { id: route.id } });
    const test = new TestGateway(config.tables());
    expect((await test.get('/a')).status).toBe(503);
    expect((await test.get('/b')).status).toBe(200);
    expect(test.platform.sent).toHaveLength(1);
  });

  it('of a consumer apply from authentication on', async () => {
    const config = new TestConfig();
    const ran: string[] = [];
    const watch = (name: string): PluginHandler<unknown> => ({
      access: () => void ran.push(name),
      headerFilter: () => void ran.push(`out of ${name}`),
    });
    const watchOut = { headerFilter: () => void ran.push('out of silent') };
    config.provide(testPlugin('early', watch('early'), 2000));
    config.provide(testPlugin('silent', watchOut, 1999));
    config.provide(testPlugin('late', watch('late'), 1000));
    config.plugin('key-auth');
    const consumer = config.consumer('ann', 'secret');
    config.consumer('bob', 'other');
    for (const name of ['early', 'silent', 'late']) {
      config.plugin(name, {}, { consumer: { id: consumer.id } });
    }
    config.route({ paths: ['/a'] });
    const test = new TestGateway(config.tables());
    await test.get('/a', { apikey: 'secret' });
    expect(ran).toEqual(['late', 'out of late']);
    await test.get('/a', { apikey: 'other' });
    expect(ran).toEqual(['late', 'out of late']);
  });
});
