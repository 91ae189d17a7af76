/** Entities of shapes that no schema allows, as a control plane with a bug might sign them. */
import { describe, expect, it } from 'vitest';
import { TestConfig } from '../../test/support/builders.ts';
import { TestGateway } from '../../test/support/gateway.ts';
import type { JsonValue } from '../schema/field.ts';

const NONSENSE: readonly JsonValue[] = ['', 'text', -1, {}, { a: 1 }, [null], [1], [{}]];

function configuration(): { config: TestConfig; bad: ReturnType<TestConfig['route']> } {
  const config = new TestConfig();
  config.route({ paths: ['/'] });
  const bad = config.route({ name: 'bad', hosts: ['bad.test'], paths: ['/bad'] });
  return { config, bad };
}

describe('a route with a matcher that is none', () => {
  const fields = ['paths', 'methods', 'snis', 'headers', 'sources', 'destinations', 'service'];
  it.each(fields)('is closed wherever its requests might come: %s', async (field) => {
    for (const value of NONSENSE) {
      if (field === 'headers' && JSON.stringify(value) === '{}') continue;
      if (['sources', 'destinations'].includes(field) && JSON.stringify(value) === '[{}]') continue;
      const { config, bad } = configuration();
      config.put('routes', { ...bad, [field]: value });
      const tables = config.tables();
      expect([value, tables.quarantined]).toMatchObject([value, [{ kind: 'routes', id: bad.id }]]);
      const test = new TestGateway(tables);
      expect((await test.get('/bad/1', { Host: 'bad.test' })).status).toBe(503);
      expect((await test.get('/bad/1', { Host: 'other.test' })).status).toBe(200);
    }
  });

  it('refuses the version, by name, where nothing literal is left to go by', () => {
    const { config, bad } = configuration();
    config.put('routes', { ...bad, hosts: { a: 1 }, paths: ['~/bad/[0-9]+'] });
    expect(config.build()).toMatchObject({ ok: false, entity: { kind: 'routes', id: bad.id } });
  });
});

describe('a plugin that does not say where it applies', () => {
  it.each(['', 'id', 7, {}, [], { id: '' }, { id: 1 }])(
    'refuses the version, by name: %j',
    (route: JsonValue) => {
      const { config } = configuration();
      const plugin = config.plugin('key-auth');
      config.put('plugins', { ...plugin, route });
      expect(config.build()).toMatchObject({ ok: false, entity: { kind: 'plugins' } });
    },
  );

  it('closes what it says it is for, where it says that much', async () => {
    const { config, bad } = configuration();
    const plugin = config.plugin('key-auth', {}, { route: { id: bad.id } });
    config.put('plugins', { ...plugin, consumer: 'somebody' });
    const test = new TestGateway(config.tables());
    expect((await test.get('/bad/1', { Host: 'bad.test' })).status).toBe(503);
    expect((await test.get('/x')).status).toBe(200);
  });
});
