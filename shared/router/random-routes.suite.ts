/** Random routes and requests that meet often: few names, few paths, every kind of condition. */
import type { Route } from '../entities/route.ts';
import { HeaderList } from '../http/headers.ts';
import type { RouterFlavor } from '../settings/common.ts';
import type { RequestFacts, StreamFacts } from './facts.ts';
import { routeEntry } from './route-entry.suite.ts';
import type { RouteEntry } from './router.ts';
import type { Seeded } from './seeded.suite.ts';

const HOSTS = [
  'a.com',
  'b.com',
  '*.a.com',
  '*.com',
  'a.*',
  'x.a.*',
  'a.com:80',
  '*.a.com:8000',
  'a.*:80',
];
const PREFIXES = ['/', '/a', '/b', '/ab', '/a/', '/a/b', '/abc', '/a/b/c', '/x/y', '/abcd'];
const REGEXES = ['', 'a', 'a\\d+', '[ab]/.*', '(a|b)$', 'a/?b', 'x.*|/b', 'ab{0,2}c'];
const PATHS = [...PREFIXES, ...REGEXES.map((source) => `~/${source}`)];
const HEADERS = ['x-a', 'X_B', 'c'];
const VALUES = ['1', 'Two', '~*^t', '~*\\d$'];
const SNIS = ['a.com', '*.a.com', 'b.*', 'a.com.'];
const ADDRESSES = [
  { ip: '10.0.0.1', port: null },
  { ip: '10.0.0.0/8', port: null },
  { ip: null, port: 80 },
  { ip: '10.0.0.2', port: 8000 },
  { ip: '10.0.0.0/24', port: 80 },
];
const EXPRESSIONS = [
  'http.path ^= "/a"',
  'http.host == "a.com" && http.path ^= "/a"',
  'http.host =^ ".a.com" || http.method == "POST"',
  'http.path ~ "^/a(b)?" && any(lower(http.headers.x_a)) == "1"',
  'net.dst.port == 80 && net.src.ip in 10.0.0.0/8',
  '!(http.path == "/abc") && http.host ^= "a."',
];
const STREAM_EXPRESSIONS = [
  'tls.sni == "a.com"',
  'net.dst.port == 80',
  'net.src.ip in 10.0.0.0/24 || net.protocol == "udp"',
  'net.dst.ip == 10.0.0.1 && tls.sni =^ ".a.com"',
];
const REQUEST_HOSTS = [
  'a.com',
  'b.com',
  'x.a.com',
  'x.a.org',
  'y.x.a.com',
  'a.org',
  'a.com:80',
  'zz',
];
const REQUEST_PATHS = [
  '/',
  '/a',
  '/ab',
  '/abc',
  '/a1',
  '/a/b',
  '/a/b/c/d',
  '/x/y/z',
  '/b',
  '/abbc',
  '/q',
];
const IPS = ['10.0.0.1', '10.0.0.2', '10.1.0.1', '192.0.2.1'];

function maybe<T>(random: Seeded, probability: number, values: readonly T[], most: number) {
  return random.chance(probability) ? [...new Set(random.some(values, most))] : null;
}

/** Never one without conditions: such a route does not compile, in Kong nor here. */
export function randomRoute(random: Seeded, flavor: RouterFlavor): RouteEntry {
  const isStream = random.chance(0.3);
  const timed = { created_at: random.below(4) };
  if (flavor === 'expressions' && random.chance(0.3)) {
    // A route of that flavour has more fields.
    const more = {
      expression: random.pick(isStream ? STREAM_EXPRESSIONS : EXPRESSIONS),
      priority: random.below(3) * 2 ** 40,
    } as Partial<Route>;
    return routeEntry({ ...timed, ...more, protocols: protocolsOf(random, isStream) }, random);
  }
  const fields = isStream ? randomStream(random) : randomLists(random, flavor);
  const lists = [fields.hosts, fields.methods, fields.paths, fields.snis];
  const isEmpty =
    lists.every((list) => (list ?? []).length === 0) &&
    [fields.sources, fields.destinations].every((list) => (list ?? []).length === 0) &&
    Object.keys(fields.headers ?? {}).length === 0;
  return isEmpty ? randomRoute(random, flavor) : routeEntry({ ...timed, ...fields }, random);
}

function protocolsOf(random: Seeded, isStream: boolean): Route['protocols'] {
  return isStream
    ? random.pick([['tcp'], ['tls'], ['tcp', 'udp'], ['tls', 'udp'], ['tls_passthrough']])
    : random.pick([['http'], ['https'], ['http', 'https'], ['grpc'], ['grpcs']]);
}

function randomLists(random: Seeded, flavor: RouterFlavor): Partial<Route> {
  const headers = random.chance(0.2)
    ? Object.fromEntries(
        random
          .some(HEADERS, 2)
          .map((name) => [
            name,
            random.chance(0.5) ? random.some(VALUES, 1).concat('1') : ['~*^t'],
          ]),
      )
    : null;
  const hasSides = flavor === 'expressions' && random.chance(0.2);
  return {
    protocols: protocolsOf(random, false),
    hosts: maybe(random, 0.5, HOSTS, 3),
    methods: maybe(random, 0.3, ['GET', 'POST'], 2),
    paths: maybe(random, 0.8, PATHS, 4),
    headers,
    snis: maybe(random, 0.1, SNIS, 2),
    sources: hasSides ? maybe(random, 0.5, ADDRESSES, 2) : null,
    destinations: hasSides ? maybe(random, 0.5, ADDRESSES, 2) : null,
    regex_priority: random.chance(0.2) ? random.pick([1, 2, -1, 2 ** 33]) : 0,
  };
}

function randomStream(random: Seeded): Partial<Route> {
  return {
    protocols: protocolsOf(random, true),
    snis: maybe(random, 0.5, SNIS, 2),
    sources: maybe(random, 0.5, ADDRESSES, 2),
    destinations: maybe(random, 0.5, ADDRESSES, 2),
  };
}

export function randomRequest(random: Seeded): RequestFacts {
  const headers = random
    .some(HEADERS, 3)
    .flatMap((name) => [
      random.chance(0.5) ? name : name.toUpperCase(),
      random.pick(['1', 'two', 'TWO', 'x']),
    ]);
  return {
    method: random.pick(['GET', 'POST', 'PUT']),
    host: random.chance(0.05) ? null : random.pick(REQUEST_HOSTS),
    path: random.pick(REQUEST_PATHS),
    query: null,
    scheme: random.chance(0.5) ? 'https' : 'http',
    headers: new HeaderList(headers),
    sni: random.pick([null, 'a.com', 'x.a.com', 'b.org']),
    sourceAddress: random.pick(IPS),
    sourcePort: random.pick([80, 8000]),
    address: random.pick(IPS),
    port: random.pick([80, 8000]),
  };
}

export function randomConnection(random: Seeded): StreamFacts {
  return {
    protocol: random.pick(['tcp', 'tls', 'tls_passthrough', 'udp']),
    sni: random.pick([null, 'a.com', 'A.com.', 'x.a.com', 'b.org']),
    sourceAddress: random.pick(IPS),
    sourcePort: random.pick([80, 8000]),
    address: random.pick(IPS),
    port: random.pick([80, 8000]),
  };
}
