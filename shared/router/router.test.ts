import { describe, expect, it } from 'vitest';
import type { Route } from '../entities/route.ts';
import { HeaderList } from '../http/headers.ts';
import { routeEntry } from './route-entry.suite.ts';
import { buildRouter } from './router.ts';
import type { RequestFacts } from './facts.ts';
import type { RouteMatch } from './router.ts';
import { literalPrefix } from './rule.ts';
import { uuid5 } from './uuid5.ts';

/** Rules named after kong-contract 5.2 ("Router flavours", traditional_compatible). */

function facts(fields: Partial<RequestFacts>): RequestFacts {
  return {
    method: 'GET',
    host: 'example.com',
    path: '/',
    query: null,
    scheme: 'http',
    sourceAddress: '192.0.2.1',
    sourcePort: 50_000,
    address: '192.0.2.2',
    port: 8000,
    headers: new HeaderList(),
    sni: null,
    ...fields,
  };
}

function matchOne(route: Partial<Route>, request: Partial<RequestFacts>): RouteMatch | null {
  return buildRouter([routeEntry(route)]).router.match(facts(request));
}

/** Names of routes, best first, as the router would take them one after another. */
function order(routes: Readonly<Record<string, Partial<Route>>>, request: Partial<RequestFacts>) {
  let entries = Object.entries(routes).map(([name, route], index) =>
    routeEntry({ id: `00000000-0000-4000-8000-00000000000${index}`, name, ...route }),
  );
  const names: (string | null)[] = [];
  for (;;) {
    const match = buildRouter(entries).router.match(facts(request));
    if (match === null) return names;
    names.push(match.entry.route.name);
    entries = entries.filter((entry) => entry !== match.entry);
  }
}

describe('hosts', () => {
  it.each([
    ['example.com', 'example.com', true],
    ['example.com', 'www.example.com', false],
    ['example.com', null, false],
    ['example.com', 'EXAMPLE.com', true],
    ['Example.com', 'example.com', true],
    ['example.com', 'example.com.', false],
    // A leading wildcard is a suffix, a trailing one a prefix.
    ['*.example.com', 'a.example.com', true],
    ['*.example.com', 'a.b.example.com', true],
    ['*.example.com', 'example.com', false],
    ['*.example.com', 'a.example.com.evil', false],
    ['example.*', 'example.org', true],
    ['example.*', 'example.co.uk', true],
    ['example.*', 'an.example.org', false],
    ['example.*', 'example', false],
    // A port in the route; the request's own port wins over the listener's (8000).
    ['example.com:8000', 'example.com', true],
    ['example.com:8000', 'example.com:8000', true],
    ['example.com:8000', 'example.com:9000', false],
    ['example.com:9000', 'example.com:9000', true],
    ['example.com:9000', 'example.com', false],
    ['example.com', 'example.com:9000', true],
    ['*.example.com:9000', 'a.example.com:9000', true],
    ['*.example.com:9000', 'a.example.com', false],
    ['example.*:9000', 'example.org:9000', true],
    ['example.com', 'example.com:x', false],
  ])('%s against Host: %s is %s', (host, received, expected) => {
    expect(matchOne({ hosts: [host] }, { host: received }) !== null).toBe(expected);
  });

  it('one of several suffices', () => {
    expect(matchOne({ hosts: ['a.com', '*.b.com'] }, { host: 'x.b.com' })).not.toBeNull();
  });

  it('ignores names longer than any in DNS', () => {
    const label = 'a.'.repeat(124);
    expect(matchOne({ hosts: ['*.com'] }, { host: `${label}aaa.com` })).not.toBeNull();
    expect(matchOne({ hosts: ['*.com'] }, { host: `${label}aaaa.com` })).toBeNull();
  });
});

describe('methods', () => {
  it('match exactly', () => {
    expect(matchOne({ methods: ['GET', 'PURGE'] }, { method: 'PURGE' })).not.toBeNull();
    expect(matchOne({ methods: ['GET'] }, { method: 'HEAD' })).toBeNull();
  });
});

describe('paths', () => {
  it.each([
    ['/', '/anything', '/'],
    ['/a', '/a', '/a'],
    ['/a', '/ab', '/a'],
    ['/a/', '/a', null],
    ['/a/', '/a/b', '/a/'],
    ['/a', '/b/a', null],
    ['/a', '/A', null],
    ['~/a/\\d+', '/a/12/b', '/a/12'],
    ['~/a/\\d+$', '/a/12/b', null],
    ['~/\\d+', '/a/12', null],
  ])('%s over %s takes %s', (path, requested, matched) => {
    expect(matchOne({ paths: [path] }, { path: requested })?.matchedPath ?? null).toBe(matched);
  });

  it('hands over the groups of a regex, and none of a prefix', () => {
    const match = matchOne({ paths: ['~/u/(?<id>\\d+)/(.*)'] }, { path: '/u/7/x' });

    expect(match?.captures?.named).toEqual({ id: '7' });
    expect(match?.captures?.indexed).toEqual(['7', 'x']);
    expect(matchOne({ paths: ['/u'] }, { path: '/u' })?.captures).toBeNull();
    expect(matchOne({ methods: ['GET'] }, { path: '/u' })?.matchedPath).toBeNull();
  });

  it('of several regexes in a route the first that matches counts', () => {
    const match = matchOne({ paths: ['~/a(b)?', '~/a(.*)'] }, { path: '/abc' });

    expect(match?.matchedPath).toBe('/ab');
  });
});

describe('headers', () => {
  const HEADERS = new HeaderList([
    'X-Mode',
    'Blue',
    'x-mode',
    'Green',
    'x_under',
    '1',
    'Agent',
    'Curl/8',
  ]);

  it.each([
    [{ 'x-mode': ['blue'] }, true],
    [{ 'X-Mode': ['BLUE'] }, true],
    [{ x_mode: ['green'] }, true],
    [{ 'x-under': ['1'] }, true],
    [{ 'x-mode': ['red', 'green'] }, true],
    [{ 'x-mode': ['red'] }, false],
    [{ 'x-mode': ['blu'] }, false],
    [{ absent: [''] }, false],
    [{ 'x-mode': ['blue'], agent: ['curl/8'] }, true],
    [{ 'x-mode': ['blue'], agent: ['wget'] }, false],
    [{ agent: ['~*^curl/\\d'] }, true],
    [{ agent: ['~*URL'] }, true],
    [{ agent: ['~*^url'] }, false],
  ] satisfies [Record<string, string[]>, boolean][])('%j: %s', (headers, expected) => {
    expect(matchOne({ headers }, { headers: HEADERS }) !== null).toBe(expected);
  });
});

describe('snis', () => {
  it.each([
    ['a.com', 'https', 'a.com', true],
    ['a.com', 'https', 'b.com', false],
    ['a.com', 'https', null, false],
    ['a.com.', 'https', 'a.com', true],
    ['a.com', 'https', 'a.com.', true],
    ['*.a.com', 'https', 'x.a.com', true],
    ['a.*', 'https', 'a.org', true],
    ['*.a.com', 'https', 'a.com', false],
    ['a.com', 'http', null, true],
  ] as const)('%s over %s with SNI %s is %s', (test, scheme, sni, expected) => {
    expect(matchOne({ snis: [test] }, { scheme, sni }) !== null).toBe(expected);
  });
});

describe('protocols', () => {
  it('are no part of the match: an https-only route answers http', () => {
    expect(matchOne({ protocols: ['https'], paths: ['/'] }, { scheme: 'http' })).not.toBeNull();
  });

  it('keep stream routes out', () => {
    expect(matchOne({ protocols: ['tls_passthrough'], snis: ['a.com'] }, {})).toBeNull();
  });
});

describe('priority', () => {
  it('goes by the number of attribute kinds first (bits 61–63)', () => {
    const routes = {
      path: { paths: ['/long/path'] },
      'path, method': { paths: ['/'], methods: ['GET'] },
      'path, method, wildcard': { paths: ['/'], methods: ['GET'], hosts: ['*.com'] },
      'path, host': { paths: ['/'], hosts: ['example.com'] },
    };

    expect(order(routes, { path: '/long/path' })).toEqual([
      'path, method, wildcard',
      'path, host',
      'path, method',
      'path',
    ]);
  });

  it('then plain hosts (bit 60), then the number of headers (bits 52–59)', () => {
    const routes = {
      wildcard: { hosts: ['*.com'] },
      mixed: { hosts: ['*.com', 'example.com'] },
      plain: { hosts: ['example.com'] },
      'one header': { headers: { a: ['1'] } },
      'two headers': { headers: { a: ['1'], b: ['2'] } },
    };

    expect(order(routes, { headers: new HeaderList(['a', '1', 'b', '2']) })).toEqual([
      'plain',
      'two headers',
      'one header',
      'mixed',
      'wildcard',
    ]);
  });

  it('then regex before prefix, regex_priority, length of the prefix (bits 51, 19–50, 0–18)', () => {
    const routes = {
      short: { paths: ['/'] },
      long: { paths: ['/abc/def'], regex_priority: 9 },
      regex: { paths: ['~/a'] },
      'regex 5': { paths: ['~/'], regex_priority: 5 },
    };

    expect(order(routes, { path: '/abc/def' })).toEqual(['regex 5', 'regex', 'long', 'short']);
  });

  it('breaks ties by the larger id, whatever was created first', () => {
    const routes = {
      smaller: { id: '11111111-0000-4000-8000-000000000000', paths: ['/'], created_at: 1 },
      larger: { id: '99999999-0000-4000-8000-000000000000', paths: ['/'], created_at: 2 },
      middle: { id: '22222222-0000-4000-8000-000000000000', paths: ['/'], created_at: 0 },
    };

    expect(order(routes, {})).toEqual(['larger', 'middle', 'smaller']);
  });

  it('does not depend on the order of routes, even of equal ids in two workspaces', () => {
    const one = { ...routeEntry({ paths: ['/'] }), ws: 'one' };
    const two = { ...routeEntry({ paths: ['/'] }), ws: 'two' };

    expect(buildRouter([one, two]).router.match(facts({}))?.entry).toBe(two);
    expect(buildRouter([two, one]).router.match(facts({}))?.entry).toBe(two);
  });

  it('ranks the parts of a route with paths of several kinds each for itself', () => {
    const split = { id: 'ffffffff-0000-4000-8000-000000000000', paths: ['~/r', '/abcdef', '/'] };
    const { router } = buildRouter([
      routeEntry({ name: 'split', ...split }),
      routeEntry({ name: 'middle', paths: ['/abc'] }),
    ]);
    const nameAt = (path: string) => router.match(facts({ path }))?.entry.route.name;

    expect(nameAt('/abcdefg')).toBe('split');
    expect(nameAt('/abc')).toBe('middle');
    expect(nameAt('/r')).toBe('split');
    expect(nameAt('/x')).toBe('split');
  });

  it('names the parts of a split route as RFC 9562 has it', () => {
    // The RFC's own example (appendix A.4).
    expect(uuid5('6ba7b810-9dad-11d1-80b4-00c04fd430c8', 'www.example.com')).toBe(
      '2ed6657d-e927-568b-95e1-2665a8aea6a2',
    );
  });
});

describe('a route that does not compile', () => {
  it('keeps its requests from other routes when a literal path or host tells them apart', () => {
    const bad = routeEntry({
      id: 'ffffffff-0000-4000-8000-000000000000',
      paths: ['~/admin/(?=x)'],
    });
    const { router, failures } = buildRouter([bad, routeEntry({ paths: ['/'] })]);

    expect(failures).toEqual([
      { entry: bad, reason: expect.stringContaining('look-around'), isCovered: true },
    ]);
    expect(router.match(facts({ path: '/admin/x' }))?.entry).toBe(bad);
    expect(router.match(facts({ path: '/other' }))?.entry).not.toBe(bad);
  });

  it('is left out when nothing tells its requests apart', () => {
    const { router, failures } = buildRouter([
      routeEntry({ paths: ['~/(?=x)'] }),
      routeEntry({ methods: ['GET'], headers: { a: ['~*('] } }),
      routeEntry({}),
    ]);

    expect(failures.map((failure) => failure.isCovered)).toEqual([false, false, false]);
    expect(router.match(facts({}))).toBeNull();
  });
});

describe('the literal part of a regex', () => {
  it.each([
    ['/a/b', '/a/b'],
    ['/a/\\d+', '/a/'],
    ['/a\\.b\\/c', '/a.b/c'],
    ['/ab?c', '/a'],
    ['/ab*', '/a'],
    ['/ab+', '/ab'],
    ['/ab{0,2}', '/a'],
    ['/a\\.?b', '/a'],
    ['/a|/b', ''],
    ['/(a|b)', ''],
    ['/a(?i)b', '/a'],
    ['/é', '/'],
    ['/a😀?', '/a'],
    ['^/a', ''],
    ['/a$', '/a'],
    ['/a\\', '/a'],
  ])('of %s is %j', (source, expected) => {
    expect(literalPrefix(source)).toBe(expected);
  });
});
