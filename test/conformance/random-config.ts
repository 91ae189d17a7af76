/** Random configurations and requests that have something to do with each other. Seeded. */
import type { SeededRandom } from '../support/seeded-random.ts';
import type { Json } from '../support/admin-client.ts';

export interface RandomRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

const HOSTS = [
  'a.test',
  'b.test',
  'x.a.test',
  '*.a.test',
  '*.test',
  'w.*',
  'a.test:8000',
  '*.b.test:81',
];
const PATHS = [
  '/a',
  '/a/',
  '/a/b',
  '/a/b/c',
  '/ab',
  '/b',
  '/b/a',
  '/a.b',
  '/a%2Fb',
  '/a;b',
  '/~x',
  '/é',
  '~/a/(?<id>[^/]+)$',
  '~/a/(b|c)',
  '~/(?i)B/[a-c]+/?$',
  '~/\\d{2,3}(?:/(?<rest>.*))?$',
  '~/a$',
  '~/.*/c$',
];
const REQUEST_HOSTS = [
  'a.test',
  'A.Test',
  'b.test',
  'x.a.test',
  'y.x.a.test:8000',
  'a.test:8000',
  'a.test:9',
  'z.b.test:81',
  'w.example',
  'other.example',
  '127.0.0.1',
];
const SEGMENTS = (
  'a b c ab B 12 123 1 a.b ~x . .. %2e %2E%2e %41 %61 a%2Fb a%2fb a;b ;x %3b %C3%A9 %c3%a9 %20 a%20b ... .a ' +
  "%25 %2525 %252e %00 %ff % %zz a! b'c (c) * a=b a&b @ : a,b + $ [a] %5B %7e %5c \\ ^ ` {b} | "
).split(' ');
const QUERIES = ['', '?', '?x=1', '?x=1&x=2', '?a=%20b&c', '?/../a', '?%41=%zz', '?a=b?c=d'];
const METHODS = ['GET', 'GET', 'GET', 'POST', 'PUT', 'DELETE', 'HEAD', 'OPTIONS', 'PATCH'];
const KEY = 'differential-key-0123456789';

/** A declarative configuration: some forty routes over a few services, and plugins on some of them. */
export function randomConfig(
  random: SeededRandom,
  { upstream, mark, flavor }: { upstream: string; mark: string; flavor: string },
): Json {
  const bases = ['', '/', '/s', '/s/', '/s/t'];
  const services = bases.map((base, i) => ({
    name: `service-${i}`,
    url: `http://${upstream}${base}`,
    enabled: i === 0 || !random.chance(0.1),
    retries: 0,
  }));
  const routes = Array.from({ length: 20 + random.below(40) }, (_, i) =>
    flavor === 'expressions' && random.chance(0.6)
      ? expressionRoute(random, i)
      : randomRoute(random, i),
  );
  return {
    _format_version: '3.0',
    consumers: [{ username: 'ann', custom_id: 'c-1', keyauth_credentials: [{ key: KEY }] }],
    services: [
      ...services,
      { name: 'mark', url: `http://${upstream}`, routes: [markRoute(mark, flavor)] },
    ],
    routes,
    plugins: [
      ...routes.flatMap(({ name }) => randomPlugins(random, String(name))),
      { name: 'correlation-id', config: { header_name: 'x-trace', generator: 'uuid' } },
    ],
  };
}

/** Before all others. */
function markRoute(mark: string, flavor: string): Json {
  if (flavor === 'expressions') {
    return { name: mark, expression: `http.path == "/${mark}"`, priority: 1_000 };
  }
  return { name: mark, paths: [`/${mark}`], hosts: ['mark.test'] };
}

function randomRoute(random: SeededRandom, index: number): Json {
  const route: Json = { name: `route-${index}` };
  if (!random.chance(0.1)) route['service'] = { name: `service-${random.below(5)}` };
  if (random.chance(0.6)) route['paths'] = distinct(some(random, PATHS, 4));
  // Rarely everything: no request would miss.
  if (random.chance(0.005)) route['paths'] = ['/'];
  if (random.chance(0.4)) route['hosts'] = distinct(some(random, HOSTS, 3));
  if (random.chance(0.2)) route['methods'] = distinct(some(random, METHODS, 3));
  if (random.chance(0.2)) {
    route['headers'] = { 'x-color': ['red', '~*^bl'], ...(random.chance(0.3) && { x_n: ['1'] }) };
  }
  const kinds = ['paths', 'hosts', 'methods', 'headers'];
  if (kinds.every((kind) => isEmpty(route[kind]))) route['paths'] = [pick(random, PATHS)];
  for (const kind of kinds) if (isEmpty(route[kind])) delete route[kind];
  if (random.chance(0.5)) route['strip_path'] = random.chance(0.5);
  if (random.chance(0.3)) route['regex_priority'] = random.below(5);
  if (random.chance(0.1)) {
    route['protocols'] = ['https'];
    route['https_redirect_status_code'] = pick(random, [426, 301, 308]);
  }
  return route;
}

const TERMS = [
  'http.path == "/a"',
  'http.path ^= "/a/"',
  'http.path =^ "/c"',
  'http.path ~ "^/(a|b)/[a-c]$"',
  'http.host == "a.test"',
  'http.host =^ ".a.test"',
  'http.host ^= "w."',
  'lower(http.path) ^= "/b"',
  'http.method == "GET"',
  'http.headers.x_color == "red"',
  'any(lower(http.headers.x_color)) == "red"',
  'http.queries.x == "1"',
  'any(http.queries.x) == "2"',
  'http.path.segments.0 == "a"',
  'http.path.segments.len == 2',
  'http.path.segments.0_1 == "a/b"',
  'http.path contains "b"',
  'net.src.ip == 10.0.0.1',
  'http.path == r#"/a.b"#',
];

/** True of most requests: never alone, or nothing would be without a route. */
const BROAD_TERMS = [
  'http.method != "POST"',
  'net.protocol == "http"',
  'net.dst.port > 0',
  'net.src.ip in 127.0.0.0/8',
];

function expressionRoute(random: SeededRandom, index: number): Json {
  const terms = Array.from({ length: 1 + random.below(3) }, () => pick(random, TERMS));
  let expression = terms.join(pick(random, [' && ', ' && ', ' || ']));
  if (random.chance(0.3)) expression = `(${expression}) && ${pick(random, BROAD_TERMS)}`;
  if (random.chance(0.2)) expression = `http.path ^= "/b" && !(${expression})`;
  return {
    name: `route-${index}`,
    expression,
    priority: random.below(4),
    ...(random.chance(0.9) && { service: { name: `service-${random.below(5)}` } }),
  };
}

function randomPlugins(random: SeededRandom, route: string): Json[] {
  const plugins: Json[] = [];
  const on = (name: string, config: Json): void => {
    plugins.push({ name, route: { name: route }, config });
  };
  if (random.chance(0.35)) on('key-auth', { hide_credentials: random.chance(0.5) });
  if (random.chance(0.1)) on('response-transformer', { add: { headers: ['x-added:yes'] } });
  return plugins;
}

export function randomRequest(random: SeededRandom): RandomRequest {
  const segments = Array.from({ length: 1 + random.below(4) }, () => pick(random, SEGMENTS));
  const headers: Record<string, string> = {
    host: pick(random, REQUEST_HOSTS),
    'kong-debug': '1',
  };
  if (random.chance(0.3)) headers['apikey'] = random.chance(0.6) ? KEY : 'wrong';
  if (random.chance(0.3))
    // Never twice: the edge sees repeated fields as one, which the parity table says.
    headers['x-color'] = pick(random, ['red', 'RED', 'blue', 'green']);
  if (random.chance(0.1)) headers['x-n'] = '1';
  if (random.chance(0.3)) headers['accept'] = pick(random, ['text/html', 'application/xml', '*/*']);
  if (random.chance(0.1)) headers['x-consumer-id'] = 'forged';
  const forwarded = (name: string, values: readonly string[]): void => {
    if (random.chance(0.1)) headers[`x-forwarded-${name}`] = pick(random, values);
  };
  forwarded('for', [
    '203.0.113.9',
    '10.0.0.1',
    '10.0.0.1, 127.0.0.1',
    'unknown',
    '::ffff:10.0.0.1',
  ]);
  forwarded('proto', ['https', 'http', 'HTTPS', 'https, http', 'wss']);
  forwarded('host', ['a.test', 'b.test:81', 'other']);
  forwarded('port', ['443', '81', '0', 'x']);
  forwarded('path', ['/forged?x']);
  forwarded('prefix', ['/forged']);
  if (random.chance(0.05)) headers['via'] = '1.0 before';
  const method = pick(random, METHODS);
  return { method, path: `/${segments.join('/')}${pick(random, QUERIES)}`, headers };
}

function isEmpty(value: unknown): boolean {
  return !Array.isArray(value) ? value === undefined : value.length === 0;
}

function distinct<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}

function pick<T>(random: SeededRandom, values: readonly T[]): T {
  // `below` stays within the list, and no list here is empty.
  return values[random.below(values.length)] as T;
}

function some<T>(random: SeededRandom, values: readonly T[], most: number): T[] {
  return Array.from({ length: random.below(most + 1) }, () => pick(random, values));
}
