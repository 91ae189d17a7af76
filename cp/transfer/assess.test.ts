import { describe, expect, it } from 'vitest';
import { assess } from './assess.ts';
import { assessed, DEPS, loadedOf, verdictOf } from './transfer.suite.ts';

const ID = '11111111-1111-4111-8111-111111111111';

describe('an entity that is as it should be', () => {
  it('is taken over, with its place in the source', async () => {
    const assessment = await assessed({ services: [{ name: 's', url: 'http://a.test/x' }] });
    expect(assessment.verdicts).toEqual([
      {
        kind: 'services',
        name: "'s'",
        id: null,
        at: 'kong.yml: services[0]',
        outcome: 'taken over',
        changes: [],
        reasons: [],
        notes: [],
      },
    ]);
    expect(loadedOf(assessment, 'services')).toEqual({ name: 's', url: 'http://a.test/x' });
  });

  it('loses the remarks of its author, and null fields that nobody knows here', async () => {
    const service = {
      name: 's',
      host: 'a',
      _comment: 'x',
      _ignore: [1],
      tls_sans: null,
      tags: null,
    };
    const assessment = await assessed({ _comment: 'hi', services: [service] });
    expect(loadedOf(assessment, 'services')).toEqual({ name: 's', host: 'a', tags: null });
  });
});

describe('an entity that is not as it should be', () => {
  it('is not possible, each field by name', async () => {
    const service = { name: 'a b', host: 'a', port: 'x', tls_sans: { dns: ['a'] } };
    const { outcome, reasons } = verdictOf(await assessed({ services: [service] }), 'services');
    expect(outcome).toBe('not possible');
    expect(reasons).toEqual([
      expect.stringMatching(/^name: invalid value 'a b'/),
      'port: expected an integer',
      'tls_sans: unknown field',
    ]);
  });

  it('is not loaded, and neither is what points to it', async () => {
    const assessment = await assessed({
      services: [
        {
          name: 'bad',
          host: '',
          routes: [{ name: 'r', paths: ['/a'], plugins: [{ name: 'key-auth' }] }],
        },
        { name: 'good', host: 'a' },
      ],
    });
    expect(verdictOf(assessment, 'routes').reasons).toEqual([
      "its service is not possible: services 'bad'",
    ]);
    expect(verdictOf(assessment, 'plugins').reasons).toEqual([
      "its route is not possible: routes 'r' of services 'bad'",
    ]);
    expect(Object.keys(assessment.document)).toEqual(['_format_version', '_transform', 'services']);
    expect(loadedOf(assessment, 'services')['name']).toBe('good');
  });

  it.each([
    ['consumer_groups', /^consumer groups/],
    ['rbac_roles', /^roles of Kong Enterprise/],
    ['partials', /write them into each plugin/],
    ['licenses', /none is needed/],
    ['degraphql_routes', /degraphql/],
    ['filter_chains', /WebAssembly/],
    ['custom_entities', /custom or Enterprise plugins/],
    ['flux_capacitors', /^'flux_capacitors' is not known here$/],
  ])('of a kind that is not there is told by its name: %s', async (kind, reason) => {
    const assessment = await assessed({ [kind]: [{ name: 'x' }] });
    expect(verdictOf(assessment, kind)).toMatchObject({
      name: "'x'",
      outcome: 'not possible',
      reasons: [expect.stringMatching(reason)],
    });
    expect((await assessed({ [kind]: [] })).verdicts).toEqual([]);
  });

  it('may be within one that is possible', async () => {
    const consumer = { username: 'c', groups: [{ name: 'gold' }], voodoo_dolls: [{ id: ID }] };
    const assessment = await assessed({ consumers: [consumer] });
    expect(verdictOf(assessment, 'consumers').outcome).toBe('taken over');
    expect(verdictOf(assessment, 'consumer_group_consumers')).toMatchObject({
      name: "'gold' of consumers 'c'",
      outcome: 'not possible',
    });
    expect(verdictOf(assessment, 'voodoo_dolls').outcome).toBe('not possible');
    expect(loadedOf(assessment, 'consumers')).toEqual({ username: 'c' });
  });

  it.each([
    [{ name: 's', host: 'b' }, 'name'],
    [{ name: 't', host: 'b', id: ID.toUpperCase() }, 'id'],
  ])('is there twice: %j', async (second, field) => {
    const services = [{ name: 's', host: 'a', id: ID }, second];
    const { verdicts } = await assessed({ services });
    expect(verdicts[1]?.reasons).toEqual([`${field} is the same as that of kong.yml: services[0]`]);
  });
});

describe('references', () => {
  const services = [{ id: ID, name: 's', host: 'a' }];

  it.each([
    ['its id', ID],
    ['its name', 's'],
    ['an object with its id', { id: ID }],
    ['an object with its name', { name: 's' }],
  ])('are found by %s, and written as the id', async (_, service) => {
    const assessment = await assessed({
      services,
      routes: [{ name: 'r', paths: ['/a'], service }],
    });
    expect(loadedOf(assessment, 'routes')['service']).toBe(ID);
  });

  it('are written as the name where the source gives no id', async () => {
    const service = { name: 's', host: 'a', routes: [{ name: 'r', paths: ['/a'] }] };
    expect(loadedOf(await assessed({ services: [service] }), 'routes')['service']).toBe('s');
  });

  it('to what has neither get an id, the same in every import', async () => {
    const route = { paths: ['/a'], plugins: [{ name: 'key-auth' }] };
    const first = await assessed({ routes: [route, route] });
    const routes = first.document['routes'] as { id: string }[];
    const plugins = first.document['plugins'] as { route: string }[];
    expect(plugins.map((plugin) => plugin.route)).toEqual(routes.map(({ id }) => id));
    expect(new Set(routes.map(({ id }) => id)).size).toBe(2);
    expect((await assessed({ routes: [route, route] })).document).toEqual(first.document);
  });

  it('that lead nowhere are not possible', async () => {
    const assessment = await assessed({ plugins: [{ name: 'key-auth', service: 'ghost' }] });
    expect(verdictOf(assessment, 'plugins').reasons).toEqual([
      "service: 'ghost' is not among the source's services",
    ]);
  });

  it('to null are none', async () => {
    const assessment = await assessed({ plugins: [{ name: 'key-auth', service: null }] });
    expect(loadedOf(assessment, 'plugins')).toEqual({ name: 'key-auth' });
  });

  it('reach from one file to another', async () => {
    const one = { label: 'a.yml', isLive: false, content: { _format_version: '3.0', services } };
    const plugins = [{ name: 'key-auth', service: 's' }];
    const two = { label: 'b.yml', isLive: false, content: { _format_version: '3.0', plugins } };
    const { verdicts } = await assess([two, one], DEPS);
    expect(verdicts.map(({ at, outcome }) => [at, outcome])).toEqual([
      ['b.yml: plugins[0]', 'taken over'],
      ['a.yml: services[0]', 'taken over'],
    ]);
  });
});

describe('what a document says of all its entities', () => {
  it('is understood: tags and defaults of decK', async () => {
    const assessment = await assessed({
      _info: { select_tags: ['team'], defaults: { service: { retries: 1, port: 81 } } },
      services: [{ name: 's', host: 'a', port: 82, tags: ['own', 'team'] }],
    });
    expect(loadedOf(assessment, 'services')).toEqual({
      name: 's',
      host: 'a',
      port: 82,
      retries: 1,
      tags: ['own', 'team'],
    });
  });

  it.each([
    [{ _format_version: null }, /_format_version is null; allowed: "0\.1", "1\.1", "2\.1", "3\.0"/],
    [{ _format_version: '4.0' }, /_format_version is "4\.0"/],
    [{ _formats: 1 }, /_formats is not known/],
    [{ _info: { colour: 1 } }, /_info\.colour is not known/],
    [{ _info: { defaults: { plugin: {} } } }, /_info\.defaults\.plugin is not known/],
    [{ _info: { select_tags: 'a' } }, /select_tags must be a list of strings/],
    [{ _transform: 'no' }, /_transform must be true or false/],
    [{ _plugin_configs: { a: 1 } }, /_plugin_configs\.a must be a map/],
    [{ services: { a: 1 } }, /services must be a list/],
    [{ services: [1] }, /services\[0\] must be a map of fields/],
    [{ services: [{ name: 's', routes: 'x' }] }, /services\[0\]\.routes must be a list/],
  ])('is refused where it is not: %j', async (content, message) => {
    await expect(assessed(content)).rejects.toThrow(message);
  });

  it('may be a number of YAML', async () => {
    await expect(assessed({ _format_version: 3 as never })).resolves.toMatchObject({
      verdicts: [],
    });
  });

  it('is refused when it is missing', async () => {
    const document = { label: 'x.yml', isLive: false, content: { openapi: '3.0' } };
    await expect(assess([document], DEPS)).rejects.toThrow(/^x\.yml: _format_version is missing/);
  });
});

describe('times to live', () => {
  it('are kept, and said to start anew', async () => {
    const consumers = [{ username: 'c', keyauth_credentials: [{ key: 'secret', ttl: 30 }] }];
    const assessment = await assessed({ consumers });
    const verdict = verdictOf(assessment, 'keyauth_credentials');
    expect(verdict).toMatchObject({
      name: "of consumers 'c'",
      outcome: 'taken over',
      notes: ['its remaining 30 s count from the import on'],
    });
    expect(loadedOf(assessment, 'keyauth_credentials')['ttl']).toBe(30);
  });

  it('that have just ended do not become endless', async () => {
    const content = {
      consumers: [{ id: ID, username: 'c' }],
      keyauth_credentials: [{ key: 'secret', ttl: 0, consumer: { id: ID } }],
    };
    const assessment = await assessed(content, { isLive: true });
    expect(verdictOf(assessment, 'keyauth_credentials').outcome).toBe('changed');
    expect(loadedOf(assessment, 'keyauth_credentials')['ttl']).toBe(1);
  });
});

describe('secrets', () => {
  it('stand in no verdict', async () => {
    const key = 'hush-hush';
    const consumers = [{ username: 'c', keyauth_credentials: [{ key }, { key }] }];
    const { verdicts } = await assessed({ consumers });
    expect(verdicts.filter(({ outcome }) => outcome === 'not possible')).toHaveLength(1);
    expect(JSON.stringify(verdicts)).not.toContain(key);
  });

  it('that the source hides are not possible', async () => {
    const consumers = [{ username: 'c', keyauth_credentials: [{ key: '******' }] }];
    expect(verdictOf(await assessed({ consumers }), 'keyauth_credentials').reasons).toEqual([
      'key: the source hides this secret',
    ]);
  });
});
