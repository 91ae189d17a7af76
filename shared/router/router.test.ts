import { describe, expect, it } from 'vitest';
import type { Route } from '../entities/route.ts';
import { HeaderList } from '../http/headers.ts';
import { routeEntry } from './route-entry.suite.ts';
import { buildRouter } from './router.ts';
import type { RequestFacts } from './facts.ts';
import type { RouteMatch, Router } from './router.ts';
import { indexKeysOf, literalPrefix } from './rule.ts';
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

describe('ranks', () => {
  it('does not depend on the order of routes, even of equal ids in two workspaces', () => {
    const one = { ...routeEntry({ paths: ['/'] }), ws: 'one' };
    const two = { ...routeEntry({ paths: ['/'] }), ws: 'two' };

    expect(buildRouter([one, two]).router.match(facts({}))?.entry).toBe(two);
    expect(buildRouter([two, one]).router.match(facts({}))?.entry).toBe(two);
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

describe('a route of very many hosts and paths', () => {
  const numbers = Array.from({ length: 20_000 }, (_, i) => i);
  // 400 million pairs.
  const wide = routeEntry({
    hosts: numbers.map((i) => `h${i}.com`).concat('*.w.com:8000', 'v.*'),
    paths: numbers.map((i) => `/p${i}/`).concat('~/r\\d+'),
  });

  it.each(['traditional_compatible', 'traditional', 'expressions'] as const)(
    'is found by any pair, and gone when it is removed, in the flavor %s',
    (flavor) => {
      const { router } = buildRouter([wide, routeEntry({ hosts: ['h7.com'] })], flavor);
      const at = (host: string, path: string) => {
        const match = router.match(facts({ host, path }));
        return match?.entry === wide ? match.matchedPath : null;
      };

      expect(at('h7.com', '/p19999/x')).toBe('/p19999/');
      expect(at('h19999.com', '/r42')).toBe('/r42');
      expect(at('a.w.com:8000', '/p0/')).toBe('/p0/');
      expect(at('v.org', '/p0/')).toBe('/p0/');
      expect(at('a.w.com:8001', '/p0/')).toBeNull();
      expect(at('h20000.com', '/p0/')).toBeNull();
      expect(at('h7.com', '/p0')).toBeNull();
      const left = router.update([wide], []).router;
      expect(left.match(facts({ host: 'h8.com', path: '/p0/' }))).toBeNull();
      expect(left.match(facts({ host: 'h7.com', path: '/p0/' }))).not.toBeNull();
    },
  );

  it.each([
    [64, 64, 4096],
    [65, 64, 64],
    [256, 256, 256],
  ])('with %i hosts and %i paths lies in %i places', (hosts, paths, places) => {
    const entry = routeEntry({
      hosts: numbers.slice(0, hosts).map((i) => `h${i}.com`),
      paths: numbers.slice(0, paths).map((i) => `/p${i}/`),
    });
    const { names, texts } = indexKeysOf(entry, 'traditional_compatible');

    expect(names.length * texts.length).toBe(places);
    const { router } = buildRouter([entry, routeEntry({ paths: ['/p'] })]);
    const at = (host: string) => router.match(facts({ host, path: '/p7/' }))?.entry === entry;
    expect([at('h0.com'), at('h63.com'), at('h300.com')]).toEqual([true, true, false]);
  });

  it('is explained in few words', () => {
    const { router } = buildRouter([wide]);
    const [match] = router.explain(facts({ host: 'h7.com', path: '/p8/' }), 1).matches;
    const [miss] = router.explain(facts({ host: 'x.com', path: '/p8/' }), 1).misses;

    expect(match?.reasons[0]).toEqual({ attribute: 'host', condition: 'h7.com', value: 'h7.com' });
    expect(miss?.failed).toEqual({
      attribute: 'host',
      condition: 'h0.com, h1.com, h2.com, h3.com, h4.com, h5.com, h6.com, h7.com, …',
      value: 'x.com',
    });
  });
});

describe('a fault that comes and goes', () => {
  const HEALTHY = routeEntry({ id: '10000000-0000-4000-8000-000000000000', paths: ['/admin'] });
  const FAULTY = routeEntry({
    id: '10000000-0000-4000-8000-000000000000',
    paths: ['~/admin(?=x)'],
  });
  const ALL = routeEntry({ paths: ['/'] });
  const at = (router: Router, path: string) => router.match(facts({ path }))?.entry;

  it('closes the route while it is there, and no other', () => {
    const healthy = buildRouter([HEALTHY, ALL]);
    const faulty = healthy.router.update([HEALTHY], [FAULTY]);
    const healed = faulty.router.update([FAULTY], [HEALTHY]);

    expect(faulty.failures).toMatchObject([{ entry: FAULTY, isCovered: true }]);
    expect(at(faulty.router, '/admin/x')).toBe(FAULTY);
    expect(at(faulty.router, '/other')).toBe(ALL);
    expect(healed.failures).toEqual([]);
    expect(at(healed.router, '/admin/x')).toBe(HEALTHY);
    // What was built before still says what it said.
    expect(healthy.failures).toEqual([]);
    expect(at(faulty.router, '/admin/x')).toBe(FAULTY);
  });

  it('is named as long as it lasts, whatever else changes', () => {
    const faulty = buildRouter([FAULTY]).router;
    const later = faulty.update([], [ALL]);

    expect(later.failures).toEqual(faulty.failures);
    expect(later.router.update([FAULTY], []).failures).toEqual([]);
  });

  it('leaves nothing behind when nothing stood in for it', () => {
    const lost = routeEntry({ paths: ['~/(?=x)'] });
    const { router, failures } = buildRouter([lost, ALL]);
    const healed = router.update([lost], []);

    expect(failures).toMatchObject([{ entry: lost, isCovered: false }]);
    expect(healed.failures).toEqual([]);
    expect(at(healed.router, '/')).toBe(ALL);
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
