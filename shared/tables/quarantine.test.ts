/** What cannot be built: named, closed, alone in it, and well again as soon as it is mended. */
import { describe, expect, it } from 'vitest';
import { TestConfig, testPlugin } from '../../test/support/builders.ts';
import { TestGateway } from '../../test/support/gateway.ts';
import type { JsonObject } from '../schema/field.ts';
import type { AnyEntity } from '../schema/infer.ts';
import type { Runtime } from '../plugins/plugin.ts';
import type { Tables } from './tables.ts';

/** One way to be broken: `/broken` depends on the entity, `/` and `/well` do not. */
interface Breakage {
  readonly kind: string;
  readonly runtime: Runtime;
  /** Of the broken entity, over what is well. */
  readonly broken: JsonObject;
  readonly reason: RegExp;
  /** What the client reads while it is. */
  readonly status: number;
  /** What the client reads while it goes on in its last good form; not there: it has none. */
  readonly kept?: number;
}

const BREAKAGES: readonly (readonly [string, Breakage])[] = [
  [
    'a route whose regex does not compile',
    {
      kind: 'routes',
      runtime: 'node',
      broken: { paths: ['~/broken/(?<id>[0-9]+'] },
      reason: /./,
      status: 503,
    },
  ],
  [
    'a route of a protocol that nobody knows',
    {
      kind: 'routes',
      runtime: 'node',
      broken: { protocols: ['gopher'] },
      reason: /^routes of protocol gopher are not known here$/,
      status: 503,
    },
  ],
  [
    'a gRPC route at the edge',
    {
      kind: 'routes',
      runtime: 'edge',
      broken: { protocols: ['grpc'] },
      reason: /^routes of protocol grpc are not supported at the edge$/,
      status: 503,
    },
  ],
  [
    'a service of a protocol that nobody knows',
    {
      kind: 'services',
      runtime: 'node',
      broken: { protocol: 'gopher' },
      reason: /^a service of protocol "gopher" is not known here$/,
      status: 503,
    },
  ],
  [
    'a gRPC service at the edge',
    {
      kind: 'services',
      runtime: 'edge',
      broken: { protocol: 'grpcs' },
      reason: /^services of protocol grpcs are not supported at the edge$/,
      status: 503,
    },
  ],
  [
    'a service without a host',
    { kind: 'services', runtime: 'node', broken: { host: null }, reason: /host/, status: 503 },
  ],
  [
    'a plugin that cannot be prepared',
    {
      kind: 'plugins',
      runtime: 'node',
      broken: { config: { breaks: true } },
      reason: /^goes on in its last good form: guard: cannot be prepared$/,
      status: 503,
      kept: 200,
    },
  ],
  [
    'a plugin that nobody knows',
    {
      kind: 'plugins',
      runtime: 'node',
      broken: { name: 'from-the-future' },
      reason: /^unknown plugin$/,
      status: 503,
    },
  ],
  [
    'an upstream whose health checks make no sense',
    {
      kind: 'upstreams',
      runtime: 'node',
      broken: { healthchecks: null },
      reason: /./,
      status: 503,
    },
  ],
];

const CERTIFICATE = '20000000-0000-4000-8000-000000000001';

/** `/broken` to a pool, with a plugin, and others that must not care. */
class Fixture {
  readonly config = new TestConfig();
  readonly #runtime: Runtime;
  readonly #entities: Readonly<Record<string, AnyEntity>>;
  tables: Tables | null = null;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
    const { config } = this;
    const guard = testPlugin('guard', {
      prepare: (given) => {
        if (Object.hasOwn(given as object, 'breaks')) throw new Error('cannot be prepared');
        return null;
      },
      access: () => {},
    });
    config.provide({ ...guard, definition: { ...guard.definition, runtimes: ['node', 'edge'] } });
    const upstreams = config.add('upstreams', { name: 'pool.test' });
    config.add('targets', { target: '10.0.0.1:80', upstream: { id: upstreams.id } });
    const certificates = { id: CERTIFICATE, cert: 'pem', key: 'pem' };
    config.put('certificates', certificates);
    const made = config.service({ name: 'mine', host: 'pool.test', protocol: 'https' });
    // The edge shows none.
    const shown = runtime === 'node' ? { id: CERTIFICATE } : null;
    const services = { ...made, client_certificate: shown };
    config.put('services', services);
    const routes = config.route({ name: 'mine', paths: ['/broken'], service: { id: services.id } });
    const plugins = config.plugin('guard', {}, { route: { id: routes.id } });
    config.route({ paths: ['/'] });
    config.route({ paths: ['/well'] });
    this.#entities = { upstreams, services, routes, plugins, certificates };
  }

  entity(kind: string): AnyEntity {
    const entity = this.#entities[kind];
    if (entity === undefined) throw new Error(`no ${kind} here`);
    return entity;
  }

  /** The next version, built upon the one before. */
  put(kind: string, change: JsonObject): Tables {
    this.config.put(kind, { ...this.entity(kind), ...change });
    return this.build();
  }

  build(): Tables {
    this.tables = this.config.tables(this.tables, { runtime: this.#runtime });
    return this.tables;
  }

  async statuses(): Promise<number[]> {
    const test = new TestGateway(this.tables);
    const answers = ['/broken/1', '/well', '/'].map((path) => test.get(path));
    return (await Promise.all(answers)).map(({ status }) => status);
  }
}

describe.each(BREAKAGES)('%s', (_, { kind, runtime, broken, reason, status, kept }) => {
  it('is named and closed, or goes on as it was, and nothing else is', async () => {
    const fixture = new Fixture(runtime);
    fixture.build();
    expect(await fixture.statuses()).toEqual([200, 200, 200]);

    const tables = fixture.put(kind, broken);
    expect(tables.quarantined).toMatchObject([{ kind, id: fixture.entity(kind).id }]);
    expect(tables.quarantined[0]?.reason).toMatch(reason);
    // Not 200: `/` must not get what `/broken` no longer answers.
    expect(await fixture.statuses()).toEqual([kept ?? status, 200, 200]);
  });

  it('is well again once it is mended', async () => {
    const fixture = new Fixture(runtime);
    fixture.put(kind, broken);
    fixture.put(kind, {});
    expect(fixture.tables?.quarantined).toEqual([]);
    expect(await fixture.statuses()).toEqual([200, 200, 200]);
  });

  it('is no longer named once it is gone', () => {
    const fixture = new Fixture(runtime);
    fixture.put(kind, broken);
    const named = fixture.tables?.quarantined.length;
    fixture.config.remove(kind, fixture.entity(kind).id);
    const left = fixture.build().quarantined;
    expect(named).toBe(1);
    expect(left.filter(({ kind: of, reason: why }) => of === kind && why !== MISSING)).toEqual([]);
  });

  it('stays named, closed and alone while others change', async () => {
    const fixture = new Fixture(runtime);
    const before = fixture.put(kind, broken).quarantined;
    fixture.config.route({ paths: ['/more'] });
    fixture.config.consumer('unrelated');
    expect(fixture.build().quarantined).toBe(before);
    expect(await fixture.statuses()).toEqual([status, 200, 200]);
  });
});

const MISSING = 'the service is missing';

describe('the list of what was set aside', () => {
  it('is in the same order whatever came first', () => {
    const orders = [
      ['plugins', 'routes', 'services'],
      ['services', 'plugins', 'routes'],
    ];
    const onNode = BREAKAGES.map(([, one]) => one).filter(({ runtime }) => runtime === 'node');
    const breakages = new Map(onNode.map((one) => [one.kind, one]));
    const lists = orders.map((kinds) => {
      const fixture = new Fixture('node');
      for (const kind of kinds) fixture.put(kind, breakages.get(kind)?.broken ?? {});
      return fixture.tables?.quarantined.map(({ kind }) => kind);
    });
    expect(lists).toEqual([
      ['plugins', 'routes', 'services'],
      ['plugins', 'routes', 'services'],
    ]);
  });

  it('names a target that is no address, and the others are used', async () => {
    const fixture = new Fixture('node');
    fixture.build();
    const upstream = { id: fixture.entity('upstreams').id };
    const bad = fixture.config.add('targets', { target: '10.0.0.2:80', upstream });
    fixture.config.put('targets', { ...bad, target: '[' });
    expect(fixture.build().quarantined).toMatchObject([{ kind: 'targets', id: bad.id }]);
    expect(await fixture.statuses()).toEqual([200, 200, 200]);
    fixture.config.put('targets', { ...bad, target: null });
    expect(fixture.build().quarantined).toMatchObject([{ kind: 'targets', id: bad.id }]);
    expect(await fixture.statuses()).toEqual([200, 200, 200]);
    fixture.config.put('targets', bad);
    expect(fixture.build().quarantined).toEqual([]);
  });

  it('names a route that leads to a service of another kind', async () => {
    const fixture = new Fixture('node');
    const { quarantined } = fixture.put('services', { protocol: 'tcp' });
    expect(quarantined).toMatchObject([
      {
        kind: 'routes',
        name: 'mine',
        reason: 'a route of requests cannot lead to a service of connections',
      },
    ]);
    expect(await fixture.statuses()).toEqual([503, 200, 200]);
    expect(fixture.put('services', {}).quarantined).toEqual([]);
  });
});
