import { describe, expect, it } from 'vitest';
import { routeEntry } from './route-entry.suite.ts';
import { buildRouter } from './router.ts';
import { requestFacts, streamFacts } from './rules.suite.ts';
import type { Fields } from './rules.suite.ts';

const ID = '10000000-0000-4000-8000-000000000000';

function named(name: string, fields: Fields) {
  return routeEntry({ name, ...fields });
}

describe('an explanation', () => {
  it('says what of the route matched what of the request', () => {
    const entry = named('all', {
      id: ID,
      hosts: ['other.com', '*.example.com:8000'],
      methods: ['GET', 'HEAD'],
      paths: ['~/u/(?<id>\\d+)', '/u'],
      headers: { 'X-Mode': ['blue', '~*^gr'] },
      snis: ['*.example.com', 'sni.com'],
    });
    const request = requestFacts({
      host: 'a.example.com',
      path: '/u/42/x',
      headers: ['x-mode', 'red', 'x-mode', 'Green'],
      scheme: 'https',
      sni: 'sni.com',
    });
    const { router } = buildRouter([entry]);
    const { matches, misses } = router.explain(request, 5);

    expect(misses).toEqual([]);
    expect(matches).toHaveLength(1);
    expect(matches[0]?.match).toEqual(router.match(request));
    expect(matches[0]?.reasons).toEqual([
      { attribute: 'host', condition: '*.example.com:8000', value: 'a.example.com' },
      { attribute: 'method', condition: 'GET, HEAD', value: 'GET' },
      { attribute: 'sni', condition: '*.example.com, sni.com', value: 'sni.com' },
      { attribute: 'header', condition: 'x-mode: blue, ~*^gr', value: 'red, Green' },
      { attribute: 'path', condition: '~/u/(?<id>\\d+)', value: '/u/42/x' },
    ]);
  });

  it('says what the rank is made of', () => {
    const fields = { id: ID, hosts: ['example.com'], methods: ['GET'], headers: { a: ['1'] } };
    const entry = named('regex', { ...fields, paths: ['~/', '/x'], regex_priority: 3 });
    const request = requestFacts({ headers: ['a', '1'] });

    expect(buildRouter([entry]).router.explain(request, 1).matches[0]?.rank).toEqual({
      // 4 kinds, plain hosts, 1 header, regex; 3 << 19.
      priority: '0x9018000000180000',
      terms: [
        { name: 'kinds of attributes', value: 4 },
        { name: 'plain hosts only', value: 1 },
        { name: 'headers', value: 1 },
        { name: 'regex path', value: 1 },
        { name: 'regex_priority', value: 3 },
        { name: 'length of the path prefix', value: 0 },
      ],
      // The first part of a split route: by RFC 9562, "10000000-…#1" in Kong's namespace.
      id: 'd8a189ea-b2eb-5d07-922f-de1ef2436028',
    });
    const traditional = buildRouter([entry], 'traditional').router.explain(request, 1);
    expect(traditional.matches[0]?.rank).toMatchObject({ priority: null, id: ID });
    expect(traditional.matches[0]?.rank.terms).toContainEqual({ name: 'host', value: 1 });
    expect(traditional.matches[0]?.rank.terms).toContainEqual({ name: 'SNI', value: 0 });
    expect(traditional.matches[0]?.rank.terms).toContainEqual({ name: 'regex_priority', value: 3 });
  });

  it('says the same of an expression', () => {
    const expression = 'http.path ^= "/a" && http.method == "GET"';
    const entry = named('expression', { expression, priority: 2 ** 40 + 5 });
    const { router } = buildRouter([entry], 'expressions');
    const [found] = router.explain(requestFacts({ path: '/a/b' }), 1).matches;

    expect(found?.match.matchedPath).toBe('/a');
    expect(found?.reasons).toEqual([
      { attribute: 'expression', condition: expression, value: null },
    ]);
    expect(found?.rank).toMatchObject({
      priority: '0xff00010000000005',
      terms: [
        { name: 'expression', value: 1 },
        { name: 'priority', value: 2 ** 40 + 5 },
      ],
    });
    expect(router.explain(requestFacts({ path: '/a', method: 'PUT' }), 1).misses).toMatchObject([
      { entry, failed: { attribute: 'expression', condition: expression } },
    ]);
  });

  it.each<[string, Fields, { attribute: string; condition: string; value: string | null }]>([
    [
      'port',
      { hosts: ['example.com:1'], paths: ['/a'] },
      { attribute: 'host', condition: 'example.com:1', value: 'example.com' },
    ],
    [
      'method',
      { methods: ['PUT', 'POST'], paths: ['/a'] },
      { attribute: 'method', condition: 'PUT, POST', value: 'GET' },
    ],
    [
      'sni',
      { hosts: ['example.com'], snis: ['a.com'], paths: ['/a'] },
      { attribute: 'sni', condition: 'a.com', value: 'b.com' },
    ],
    [
      'header that is absent',
      { headers: { a: ['1'], b: ['1'] }, paths: ['/a'] },
      { attribute: 'header', condition: 'b: 1', value: null },
    ],
    [
      'header of another value',
      { headers: { a: ['2', '~*^x'] } },
      { attribute: 'header', condition: 'a: 2, ~*^x', value: '1' },
    ],
    ['path', { paths: ['~/a/\\d'] }, { attribute: 'path', condition: '~/a/\\d', value: '/a/b' }],
    [
      'protocol',
      { protocols: ['http'], paths: ['/a'] },
      { attribute: 'protocol', condition: 'http', value: 'https' },
    ],
    [
      'source',
      { sources: [{ ip: '10.0.0.0/8', port: null }], paths: ['/a'] },
      { attribute: 'source', condition: '10.0.0.0/8', value: '192.0.2.1 port 50000' },
    ],
    [
      'destination',
      { destinations: [{ ip: '192.0.2.2', port: 1 }], paths: ['/a'] },
      { attribute: 'destination', condition: '192.0.2.2 port 1', value: '192.0.2.2 port 8000' },
    ],
  ])('names the %s that keeps a route out', (_, fields, failed) => {
    const entry = named('one', fields);
    const { router } = buildRouter([entry], 'expressions');
    const request = requestFacts({
      path: '/a/b',
      scheme: 'https',
      sni: 'b.com',
      headers: ['a', '1'],
    });
    const { matches, misses } = router.explain(request, 5);

    expect(matches).toEqual([]);
    expect(misses).toMatchObject([{ entry, failed }]);
  });

  it('has the best of both, as many as are asked for, and no route twice', () => {
    const matching = Array.from({ length: 30 }, (_, i) =>
      named(`match ${i}`, { paths: ['/', `/${'a'.repeat(i)}`] }),
    );
    const missing = Array.from({ length: 30 }, (_, i) =>
      named(`miss ${i}`, { paths: [`/${'a'.repeat(i)}`], methods: ['PUT'] }),
    );
    const { router } = buildRouter([...matching, ...missing]);
    const { matches, misses } = router.explain(requestFacts({ path: `/${'a'.repeat(40)}` }), 3);

    expect(matches.map(({ match }) => match.entry.route.name)).toEqual([
      'match 29',
      'match 28',
      'match 27',
    ]);
    expect(misses.map(({ entry }) => entry.route.name)).toEqual(['miss 29', 'miss 28', 'miss 27']);
  });

  it('does not name a route both ways, whichever of its hosts and paths fits', () => {
    const hosts = ['example.com:1', '*.com:2', 'example.com', '*.com'];
    const entry = named('one', { hosts, paths: ['~/a/x', '/a'] });
    const { matches, misses } = buildRouter([entry]).router.explain(
      requestFacts({ path: '/a/b' }),
      5,
    );

    expect(matches.map(({ match }) => match.entry)).toEqual([entry]);
    expect(misses).toEqual([]);
  });

  it('looks no further than the request itself would', () => {
    const { router } = buildRouter([
      named('other host', { hosts: ['other.com'] }),
      named('other path', { paths: ['/b'] }),
    ]);

    expect(router.explain(requestFacts({ path: '/a' }), 5)).toEqual({ matches: [], misses: [] });
  });

  it('is there for connections too', () => {
    const sources = [{ ip: '192.0.2.0/24', port: null }];
    const near = named('near', { protocols: ['tls'], snis: ['sni.com'], sources });
    const far = named('far', { ...near.route, sources: [{ ip: '10.0.0.1', port: 7 }] });
    const { router } = buildRouter([near, far]);
    const facts = streamFacts({ protocol: 'tls', sni: 'sni.com' });
    const { matches, misses } = router.explainStream(facts, 5);

    expect(
      matches.map(({ match, reasons, rank }) => [match.entry, reasons, rank.priority]),
    ).toEqual([
      [
        near,
        [
          { attribute: 'sni', condition: 'sni.com', value: 'sni.com' },
          { attribute: 'source', condition: '192.0.2.0/24', value: '192.0.2.1 port 50000' },
        ],
        '0x2000000000000010',
      ],
    ]);
    expect(misses).toMatchObject([
      { entry: far, failed: { attribute: 'source', condition: '10.0.0.1 port 7' } },
    ]);
  });
});
