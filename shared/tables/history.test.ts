/** However a configuration came about, what is made of it is the same. */
import { describe, expect, it } from 'vitest';
import { DEFAULT_WS, TestConfig, testPlugin } from '../../test/support/builders.ts';
import { must } from '../base/assert.ts';
import { HeaderList } from '../http/headers.ts';
import { SEED, Seeded } from '../router/seeded.suite.ts';
import type { JsonObject } from '../schema/field.ts';
import type { AnyEntity } from '../schema/infer.ts';
import { bindRoute } from './bind-route.ts';
import type { BuildDeps, BuildResult } from './build.ts';
import type { PluginInstance, PluginPlan } from './plugin-plan.ts';
import type { RouteTable, Tables } from './tables.ts';

const OTHER_WS = '00000000-0000-4000-8000-0000000000bb';
const SYSTEM_WS = '00000000-0000-4000-8000-0000000000cc';
const HISTORIES = 60;
const VERSIONS = 25;

/** Everything that requests can tell of tables. */
function decisions(tables: Tables): unknown {
  const { routes, services } = tables.parts;
  // Routes of disabled services are not even compiled.
  const served = [...routes.sources.values()].filter(
    ({ ws, serviceId }) => serviceId === null || services.get(ws, serviceId)?.isEnabled !== false,
  );
  const workspaces = [...tables.workspaces.values()].map((table) => [
    table.id,
    table.records,
    describePlan(table.globalPlan),
    [...table.index].map(([kind, fields]) => [
      kind,
      [...fields].map(([field, { byValue }]) => [
        field,
        [...byValue.winners].map(([value, { id }]) => [value, id]),
      ]),
    ]),
  ]);
  return {
    routes: served.map((source) => [
      source.route.id,
      source.ws,
      describeRoute(bindRoute(source, tables)),
    ]),
    workspaces: workspaces.toSorted(),
    fallback: tables.fallback?.id ?? null,
    upstreams: [...tables.parts.upstreams.byName.winners].map(([name, { id, balancer }]) => [
      name,
      id,
      balancer.targets.map(({ key, weight }) => [key, weight]).toSorted(),
    ]),
    matched: REQUESTS.map((facts) => matchedBy(tables, facts)),
    certificates: NAMES.map((name) => tables.parts.certificates.find(name)),
    quarantined: tables.quarantined,
  };
}

function describeRoute(table: RouteTable | null): unknown {
  if (table === null) return null;
  const { target, plan, fault } = table;
  return [
    fault,
    target === null
      ? null
      : [target.service, target.scheme, target.upstream?.id, target.tls?.named('a.test')],
    describePlan(plan),
  ];
}

function describePlan(plan: PluginPlan): unknown {
  const phases = [plan.rewrite, plan.access, plan.headerFilter, plan.bodyFilter, plan.log];
  return [
    plan.byConsumer,
    phases.map((steps) => steps.map(({ name }) => name)),
    plan.steps.map(({ name, base, narrow, wide }) => [
      name,
      base === null ? null : describeInstance(base),
      narrow.map((rows) => [...rows].map(([id, row]) => [id, describeInstance(row)])),
      wide === null ? null : [...wide].map(([id, row]) => [id, describeInstance(row)]),
    ]),
  ];
}

function describeInstance({ id, state, fault, prepared }: PluginInstance): unknown {
  return [id, state, fault, prepared];
}

const NAMES = ['a.test', 'x.b.test', 'c.test'];
const HOSTS = ['a.test', 'b.test'];
const PATHS = ['/', '/a', '/a/b'];
const REQUESTS = HOSTS.flatMap((host) => PATHS.map((path) => ({ host, path })));

function matchedBy(tables: Tables, { host, path }: { host: string; path: string }): unknown {
  const match = tables.router.match({
    method: 'GET',
    host,
    path,
    query: null,
    scheme: 'http',
    headers: new HeaderList(['Host', host]),
    sni: null,
    sourceAddress: '127.0.0.1',
    sourcePort: 4000,
    address: '127.0.0.1',
    port: 80,
  });
  return match === null ? null : [match.entry.ws, match.entry.route.id];
}

const UPSTREAM = new TestConfig().add('upstreams', { name: 'any.test' });

/** A configuration that changes at random, within what few ids and names allow: things meet. */
class History {
  readonly config = new TestConfig();
  readonly #random: Seeded;
  /** By kind and workspace. */
  readonly #there = new Map<string, Map<string, AnyEntity>>();

  constructor(random: Seeded) {
    this.#random = random;
    const broken = {
      prepare: (_: unknown, { pluginId }: { pluginId: string }) => {
        if (/[02468ace]$/.test(pluginId)) throw new Error('cannot be prepared');
        return pluginId;
      },
      access: () => {},
    };
    this.config.provide(testPlugin('broken', broken));
    this.config.provide(testPlugin('fine', { access: () => {}, log: () => {} }, 400));
    this.config.provide(testPlugin('absent', null));
    const harmless = testPlugin('harmless', { ...broken, headerFilter: () => {} });
    this.config.provide({ ...harmless, definition: { ...harmless.definition, protects: false } });
  }

  step(): void {
    const change = this.#random.pick([
      () => this.#service(),
      () => this.#route(),
      () => this.#route(),
      () => this.#plugin(),
      () => this.#plugin(),
      () => this.#upstream(),
      () => this.#target(),
      () => this.#consumer(),
      () => this.#credential(),
      () => this.#certificate(),
      () => this.#sni(),
      () => this.#authority(),
      () => this.#remove(),
      () => this.#remove(),
    ]);
    change();
  }

  #put(kind: string, entity: JsonObject, only: string | null = null): void {
    const ws = only ?? (this.#random.chance(0.7) ? DEFAULT_WS : OTHER_WS);
    const id = String(this.#random.below(4));
    const whole = { ...entity, id };
    this.config.put(kind, whole, ws);
    const of = this.#there.get(`${kind} ${ws}`) ?? new Map<string, AnyEntity>();
    this.#there.set(`${kind} ${ws}`, of.set(id, whole));
  }

  #remove(): void {
    if (this.#there.size === 0) return;
    const name = this.#random.pick([...this.#there.keys()]);
    const [kind = '', ws = ''] = name.split(' ');
    const of = must(this.#there.get(name), 'it was picked');
    if (of.size === 0) return;
    const id = this.#random.pick([...of.keys()]);
    of.delete(id);
    this.config.remove(kind, id, ws);
  }

  #ref(): JsonObject | null {
    return this.#random.chance(0.4) ? null : { id: String(this.#random.below(4)) };
  }

  #service(): void {
    const protocol = this.#random.pick(['http', 'http', 'https', 'grpc', 'tcp', 'wss']);
    const host = this.#random.pick([...HOSTS, '']);
    this.#put('services', {
      protocol,
      host,
      port: 80,
      path: null,
      enabled: this.#random.chance(0.7),
      client_certificate: this.#random.chance(0.2) ? this.#ref() : null,
      ca_certificates: this.#random.chance(0.2) ? [String(this.#random.below(4))] : null,
    });
  }

  #certificate(): void {
    const key = this.#random.pick(['one', 'two', '{vault://env/key}']);
    this.#put('certificates', { cert: 'pem', key, cert_alt: null, key_alt: null });
  }

  #sni(): void {
    const name = this.#random.pick(['a.test', '*.b.test', '*']);
    this.#put('snis', { name, certificate: this.#ref() });
  }

  #authority(): void {
    // They belong to no workspace, so they are all in one.
    this.#put('ca_certificates', { cert: this.#random.pick(['one', 'two']) }, SYSTEM_WS);
  }

  #route(): void {
    const isStream = this.#random.chance(0.1);
    const protocols = isStream ? ['tcp'] : [this.#random.pick(['http', 'http', 'grpc', 'odd'])];
    const paths = this.#random.some([...PATHS, '~/a/(?<id>[0-9]+', '~/a/[bc]'], 2);
    this.#put('routes', {
      protocols,
      service: this.#ref(),
      hosts: this.#random.chance(0.5) ? [this.#random.pick(HOSTS)] : null,
      paths: isStream || paths.length === 0 ? null : paths,
      methods: null,
      headers: null,
      snis: null,
      sources: null,
      destinations: isStream ? [{ port: 9000 }] : null,
      regex_priority: 0,
      strip_path: true,
      preserve_host: false,
      https_redirect_status_code: 426,
    });
  }

  #plugin(): void {
    const name = this.#random.pick(['broken', 'fine', 'absent', 'harmless', 'key-auth', 'what']);
    const isGlobal = this.#random.chance(0.15);
    this.#put('plugins', {
      name,
      config: name === 'key-auth' ? { key_names: ['apikey'] } : {},
      enabled: this.#random.chance(0.9),
      protocols: [this.#random.chance(0.9) ? 'http' : 'tcp'],
      route: isGlobal ? null : this.#ref(),
      service: isGlobal ? null : this.#ref(),
      consumer: isGlobal ? null : this.#ref(),
    });
  }

  #upstream(): void {
    // Without its health checks it cannot be built.
    const healthchecks = this.#random.chance(0.8) ? (UPSTREAM['healthchecks'] ?? null) : null;
    this.#put('upstreams', { ...UPSTREAM, healthchecks, name: this.#random.pick(HOSTS) });
  }

  #target(): void {
    const target = `10.0.0.${this.#random.below(3)}:80`;
    this.#put('targets', { target, weight: this.#random.below(3) * 50, upstream: this.#ref() });
  }

  #consumer(): void {
    this.#put('consumers', { username: this.#random.pick(['ann', 'bob']) });
  }

  #credential(): void {
    const key = this.#random.pick(['one', 'two']);
    this.#put('keyauth_credentials', { key, consumer: { id: String(this.#random.below(4)) } });
  }
}

describe('tables', () => {
  it(`do not tell which configurations came before (seed ${SEED})`, () => {
    const random = new Seeded(SEED);
    const seen = { refused: 0, quarantined: 0, matched: 0 };
    for (let n = 0; n < HISTORIES; n++) {
      const history = new History(random);
      let tables: Tables | null = null;
      for (let version = 0; version < VERSIONS; version++) {
        for (let steps = 1 + random.below(4); steps > 0; steps--) history.step();
        const runtime = n % 3 === 0 ? 'edge' : 'node';
        const deps: Partial<BuildDeps> = random.chance(0.2)
          ? { runtime, pepper: null }
          : { runtime };
        const result = history.config.build(tables, deps);
        const fresh = history.config.build(null, deps);
        const why = `history ${n}, version ${version}`;
        expect(outcome(result), why).toEqual(outcome(fresh));
        if (!result.ok) {
          seen.refused += 1;
          continue;
        }
        const before = tables === null ? null : decisions(tables);
        expect(decisions(result.tables), why).toEqual(
          decisions(fresh.ok ? fresh.tables : result.tables),
        );
        // What was served before is still what it was.
        if (tables !== null) expect(decisions(tables), why).toEqual(before);
        seen.quarantined += result.quarantined.length;
        seen.matched += REQUESTS.filter((facts) => matchedBy(result.tables, facts) !== null).length;
        tables = result.tables;
      }
    }
    expect(seen.refused).toBeGreaterThan(20);
    expect(seen.quarantined).toBeGreaterThan(500);
    expect(seen.matched).toBeGreaterThan(500);
  });
});

/** Which of several entities a refusal names is for the build to choose. */
function outcome(result: BuildResult): unknown {
  return result.ok ? result.quarantined : [result.ok, result.entity?.kind ?? result.detail];
}
