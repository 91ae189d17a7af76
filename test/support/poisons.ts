/**
 * Configurations that hurt: what each kind of entity looks like when it is well, and over two hundred ways
 * in which one is not. Some the Admin API takes, most it refuses; a control plane with a bug, or one that
 * means ill, signs them all.
 */
import type { JsonObject, JsonValue } from '#shared/schema/field.ts';

export interface Poison {
  readonly name: string;
  readonly kind: string;
  /** Over the well-formed entity of its kind; null: the entity alone, whatever it is. */
  readonly change: JsonObject;
  /** A global plugin that cannot be built, a route with nothing to go by: the version may be refused. */
  readonly mayRefuse?: boolean;
}

export const ECHO_SERVICE = '10000000-0000-4000-8000-000000000001';
export const POISON_ROUTE = '10000000-0000-4000-8000-000000000003';
const CONSUMER = '10000000-0000-4000-8000-000000000004';
const UPSTREAM = '10000000-0000-4000-8000-000000000005';
const CERTIFICATE = '10000000-0000-4000-8000-000000000006';
/** Of what is poisoned, whatever its kind. */
export const POISON = '20000000-0000-4000-8000-000000000001';
const NOWHERE = '30000000-0000-4000-8000-000000000001';

/** What is there beside the poison, and must not care. `kind` → entities. */
export function wellRecords(
  host: string,
  port: number,
): readonly (readonly [string, JsonObject])[] {
  const timeouts = { connect_timeout: 2000, read_timeout: 2000, write_timeout: 2000 };
  return [
    ['services', { id: ECHO_SERVICE, name: 'echo', host, port, ...timeouts }],
    ['routes', { name: 'healthy', paths: ['/healthy'], service: { id: ECHO_SERVICE } }],
    ['routes', { name: 'root', paths: ['/'], service: { id: ECHO_SERVICE } }],
    ['routes', { id: POISON_ROUTE, name: 'near', paths: ['/near'], service: { id: ECHO_SERVICE } }],
    ['consumers', { id: CONSUMER, username: 'someone' }],
    ['upstreams', { id: UPSTREAM, name: 'pool.test' }],
  ];
}

/** Well-formed, and each beside the healthy route: nothing of it concerns it. */
export const SAMPLES: Readonly<Record<string, JsonObject>> = {
  services: { id: POISON, name: 'bad', host: 'bad.test', port: 80, path: '/x', retries: 1 },
  routes: {
    id: POISON,
    name: 'bad',
    paths: ['/bad'],
    hosts: ['bad.test'],
    methods: ['GET'],
    headers: { 'x-a': ['b'] },
    protocols: ['http'],
    snis: null,
    tags: ['t'],
    service: { id: ECHO_SERVICE },
  },
  upstreams: { id: POISON, name: 'bad-pool.test', slots: 100, algorithm: 'round-robin' },
  targets: { id: POISON, target: '127.0.0.1:9', weight: 100, upstream: { id: UPSTREAM } },
  consumers: { id: POISON, username: 'bad', custom_id: 'bad' },
  plugins: {
    id: POISON,
    name: 'rate-limiting',
    config: { minute: 1_000_000, policy: 'local' },
    route: { id: POISON_ROUTE },
  },
  keyauth_credentials: { id: POISON, key: 'secret', consumer: { id: CONSUMER } },
  certificates: { id: POISON, cert: 'x', key: 'x' },
  ca_certificates: { id: POISON, cert: 'x' },
  snis: { id: POISON, name: 'bad.test', certificate: { id: CERTIFICATE } },
};

const LONG = 3_000_000;

/** A value for each way in which a field can be wrong. */
const WRONG: readonly (readonly [string, JsonValue])[] = [
  ['null', null],
  ['blank', ''],
  ['an object', { nested: { id: 'x' } }],
  ['nonsense in a list', [null, 1, {}, [], '']],
  ['below zero', -1],
];

function nested(depth: number): JsonValue {
  let value: JsonValue = 'deep';
  for (let level = 0; level < depth; level += 1) value = { value };
  return value;
}

function fields(): Poison[] {
  const made: Poison[] = [];
  for (const [kind, sample] of Object.entries(SAMPLES)) {
    for (const field of Object.keys(sample)) {
      if (field === 'id') continue;
      for (const [what, value] of WRONG) {
        made.push({ name: `${kind}: ${field} ${what}`, kind, change: { [field]: value } });
      }
    }
  }
  return made;
}

const REGEXES = [
  '~/bad/(a+)+$',
  '~/bad/(a|a)*b',
  '~/bad/(?<n>[0-9]+',
  '~/bad/[z-a]',
  '~/bad/(?=x)',
  '~/bad/\\1',
  '~/bad/a{1000000}',
  '~/bad/((((((((((a{9}){9}){9}){9}){9}){9}){9}){9}){9}){9})',
  `~/bad/${'('.repeat(5000)}${')'.repeat(5000)}`,
  `~/bad/${'[^/]*'.repeat(2000)}`,
  '~',
  '~/bad/\u0000',
  '~/bad/\ud800',
];

const HEALTH = { active: { healthy: { interval: -1 } }, passive: null };

function special(): Poison[] {
  const route = (name: string, change: JsonObject): Poison => ({ name, kind: 'routes', change });
  const plugin = (name: string, change: JsonObject): Poison => ({ name, kind: 'plugins', change });
  return [
    ...REGEXES.map((path) => route(`routes: regex ${path.slice(0, 30)}`, { paths: [path] })),
    route('routes: 20,000 paths', { paths: Array.from({ length: 20_000 }, (_, n) => `/bad/${n}`) }),
    route('routes: 5,000 hosts', { hosts: Array.from({ length: 5_000 }, (_, n) => `h${n}.test`) }),
    route('routes: a path of megabytes', { paths: [`/bad/${'x'.repeat(LONG)}`] }),
    route('routes: a header of megabytes', { headers: { 'x-a': ['y'.repeat(LONG)] } }),
    route('routes: a header without a name', { headers: { '': [''] } }),
    route('routes: a service that is not there', { service: { id: NOWHERE } }),
    route('routes: a service without id', { service: {} }),
    route('routes: a protocol that nobody knows', { protocols: ['gopher'] }),
    route('routes: an expression among others', {
      expression: 'http.path ^= "/"',
      priority: 1e308,
    }),
    route('routes: prototype keys', JSON.parse('{"__proto__":{"paths":["/"]},"constructor":1}')),
    route('routes: the header __proto__', { headers: JSON.parse('{"__proto__":["a"]}') }),
    route('routes: depth', { tags: [nested(2000)] as JsonValue }),
    { ...route('routes: nothing literal to go by', NOTHING), mayRefuse: true },
    { name: 'services: no such thing as a host', kind: 'services', change: { host: '\u0000' } },
    { name: 'services: a port that is none', kind: 'services', change: { port: 1e9 } },
    { name: 'services: its own certificate', kind: 'services', change: CLIENT },
    { name: 'services: a protocol', kind: 'services', change: { protocol: '__proto__' } },
    { name: 'services: a long name', kind: 'services', change: { name: 'n'.repeat(LONG) } },
    { name: 'upstreams: no name', kind: 'upstreams', change: { name: '\u0000' } },
    { name: 'upstreams: health checks', kind: 'upstreams', change: { healthchecks: HEALTH } },
    { name: 'upstreams: billions of slots', kind: 'upstreams', change: { slots: 1e10 } },
    { name: 'upstreams: hashing', kind: 'upstreams', change: { algorithm: 'consistent-hashing' } },
    { name: 'upstreams: an algorithm', kind: 'upstreams', change: { algorithm: 'toString' } },
    { name: 'targets: weights', kind: 'targets', change: { weight: 1e15 } },
    { name: 'targets: an address', kind: 'targets', change: { target: '[' } },
    { name: 'targets: no upstream', kind: 'targets', change: { upstream: { id: NOWHERE } } },
    { name: 'targets: the pool itself', kind: 'targets', change: { target: 'pool.test:80' } },
    plugin('plugins: one that nobody knows', { name: 'from-the-future' }),
    plugin('plugins: the plugin __proto__', { name: '__proto__' }),
    plugin('plugins: the plugin constructor', { name: 'constructor' }),
    plugin('plugins: a configuration that is none', { config: 7 }),
    plugin('plugins: a configuration of depth', { config: { minute: nested(2000) } }),
    plugin('plugins: a route that is not there', { route: { id: NOWHERE } }),
    plugin('plugins: key-auth without names', { name: 'key-auth', config: { key_names: null } }),
    plugin('plugins: key-auth of nothing', { name: 'key-auth', config: null }),
    plugin('plugins: a transformer', { name: 'response-transformer', config: { add: 1 } }),
    plugin('plugins: a generator', { name: 'correlation-id', config: { generator: 'x' } }),
    { ...plugin('plugins: global, of nothing', GLOBAL), mayRefuse: true },
    { ...plugin('plugins: global, unknown', { name: 'nobody', route: null }), mayRefuse: true },
    { name: 'consumers: a long name', kind: 'consumers', change: { username: 'u'.repeat(LONG) } },
    { name: 'certificates: PEM', kind: 'certificates', change: PEM },
    { name: 'ca_certificates: PEM', kind: 'ca_certificates', change: { cert: PEM.cert } },
    { name: 'snis: everything', kind: 'snis', change: { name: '*' } },
    { name: 'no such kind', kind: 'toString', change: { id: POISON } },
    { name: 'the kind __proto__', kind: '__proto__', change: { id: POISON } },
    { name: 'an empty kind', kind: '', change: { id: POISON } },
  ];
}

const PEM = { cert: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----', key: '' };
const NOTHING = { paths: ['~('], hosts: null, methods: null, headers: null };
const GLOBAL = { name: 'key-auth', config: null, route: null };
const CLIENT = { protocol: 'https', client_certificate: { id: NOWHERE } };

export function poisons(): readonly Poison[] {
  return [...fields(), ...special()];
}
