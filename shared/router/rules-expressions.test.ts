import { describe, expect, it } from 'vitest';
import { routeEntry } from './route-entry.suite.ts';
import { buildRouter } from './router.ts';
import { requestFacts, showRequestRule } from './rules.suite.ts';
import type { Fields, RequestRule } from './rules.suite.ts';

/** Sources: "5.2" is kong-contract 5.2; "spec" is Kong's spec/01-unit/08-router_spec.lua. */

const RULES: readonly RequestRule[] = [
  {
    rule: 'an expression comes before any lists, even at priority 0',
    source:
      '5.2; transform.lua EXPRESSION_ONLY_BIT; spec: expression route has higher priority than traditional route',
    routes: {
      lists: { hosts: ['example.com'], methods: ['GET'], paths: ['/'], headers: { a: ['1'] } },
      expression: { expression: 'http.path ^= "/"', priority: 0 },
    },
    request: { headers: ['a', '1'] },
    order: ['expression', 'lists'],
  },
  {
    rule: 'the greater priority comes first, up to 2^46 - 1',
    source: '5.2; spec: works when route.priority is near 2^46',
    routes: {
      most: { expression: 'http.path ^= "/"', priority: 2 ** 46 - 1 },
      least: { expression: 'http.path ^= "/"', priority: 0 },
      less: { expression: 'http.path ^= "/"', priority: 2 ** 46 - 2 },
      'above 32 bits': { expression: 'http.path ^= "/"', priority: 2 ** 32 },
      'below them': { expression: 'http.path ^= "/"', priority: 2 ** 32 - 1 },
    },
    request: {},
    order: ['most', 'less', 'above 32 bits', 'below them', 'least'],
  },
  {
    rule: 'ties go to the larger id',
    source: '5.2; router.rs MatcherKey',
    routes: {
      smaller: { expression: 'http.method == "GET"', priority: 7 },
      larger: { expression: 'http.path ^= "/"', priority: 7 },
    },
    request: {},
    order: ['larger', 'smaller'],
  },
  {
    rule: 'wherever its hosts and paths put it in the index, an expression is found',
    source: 'interpreter.rs',
    routes: {
      exact: { expression: 'http.host == "a.example.com"' },
      suffix: { expression: 'http.host =^ ".example.com"' },
      prefix: { expression: 'http.host ^= "a.example"' },
      either: { expression: 'http.host == "b.com" || http.path ^= "/a/b"' },
      both: { expression: 'http.host == "a.example.com" && http.path == "/a/b"' },
      not: { expression: '!(http.host == "b.com")' },
      contains: { expression: 'http.path contains "/b"' },
      regex: { expression: 'http.path ~ "^/a/."' },
      'other host': { expression: 'http.host == "b.com"' },
      'other path': { expression: 'http.path ^= "/b"' },
    },
    request: { host: 'a.example.com:8000', path: '/a/b' },
    order: ['regex', 'contains', 'not', 'both', 'either', 'prefix', 'suffix', 'exact'],
  },
  {
    rule: 'protocols are matched',
    source: '5.2; expressions.lua get_expression',
    routes: {
      http: { protocols: ['http'], expression: 'http.path ^= "/"' },
      both: { protocols: ['http', 'https'], expression: 'http.path ^= "/"' },
      'http by lists': { protocols: ['http'], paths: ['/'] },
      'both by lists': { protocols: ['http', 'https'], paths: ['/'] },
    },
    request: { scheme: 'https' },
    order: ['both', 'both by lists'],
  },
  {
    rule: 'but a route for https alone takes http, to be redirected',
    source: '5.2; expressions.lua get_expression (redirection)',
    routes: {
      expression: { protocols: ['https'], expression: 'http.path ^= "/"' },
      lists: { protocols: ['https'], paths: ['/'] },
    },
    request: { scheme: 'http' },
    order: ['expression', 'lists'],
  },
  {
    rule: 'grpc is http and grpcs is https',
    source: '5.2; expressions.lua PROTOCOLS_OVERRIDE',
    routes: {
      grpc: { protocols: ['grpc'], paths: ['/'] },
      grpcs: { protocols: ['grpcs'], paths: ['/'] },
      either: { protocols: ['grpc', 'grpcs'], paths: ['/'] },
    },
    request: { scheme: 'http' },
    order: ['either', 'grpc'],
  },
  {
    rule: 'sources and destinations of HTTP routes count, each as one more kind',
    source:
      '5.2; transform.lua get_expression, get_priority; spec: exec() should support net.src.* and net.dst.*',
    routes: {
      'host and method': { hosts: ['example.com'], methods: ['GET'] },
      source: { paths: ['/'], methods: ['GET'], sources: [{ ip: '192.0.2.0/24', port: null }] },
      'other source': { paths: ['/'], sources: [{ ip: '10.0.0.0/8', port: null }] },
      'both sides': {
        paths: ['/'],
        methods: ['GET'],
        sources: [{ ip: '192.0.2.1', port: null }],
        destinations: [{ ip: null, port: 8000 }],
      },
    },
    request: {},
    order: ['both sides', 'source', 'host and method'],
  },
  {
    rule: 'the port in the Host header is the destination’s',
    source:
      '5.2; fields.lua net.dst.port; spec: select() should convert net.port to net.dst.port and work well',
    routes: {
      named: { paths: ['/'], destinations: [{ ip: null, port: 1234 }] },
      listener: { paths: ['/'], destinations: [{ ip: null, port: 8000 }] },
      expression: { expression: 'net.port == 1234' },
    },
    request: { host: 'example.com:1234' },
    order: ['expression', 'named'],
  },
  {
    rule: 'lists rank as in traditional_compatible, split paths included',
    source: '5.2; spec: [overlapping prefixes]',
    routes: {
      split: { hosts: ['example.com'], paths: ['/foo', '/foo/bar/baz'] },
      middle: { hosts: ['example.com'], paths: ['/foo/bar'] },
    },
    request: { path: '/foo/bar/x' },
    order: ['middle', 'split'],
  },
];

function entryOf(fields: Fields) {
  return routeEntry(fields);
}

describe('a rule of the flavor expressions', () => {
  it.each(RULES)('$rule ($source)', (rule) => {
    showRequestRule(rule, 'expressions');
  });

  it('hands on what the path matched and the groups (5.3; atc.lua matched_path)', () => {
    const expression = 'http.path ~ "^/u/(?<id>\\\\d+)"';
    const { router } = buildRouter([entryOf({ expression })], 'expressions');
    const match = router.match(requestFacts({ path: '/u/42/posts' }));

    expect(match?.matchedPath).toBe('/u/42');
    expect({ ...match?.captures?.named }).toEqual({ id: '42' });
  });

  it.each(['traditional', 'traditional_compatible'] as const)(
    'closes a route with an expression in a router of the flavor %s, and only its requests',
    (flavor) => {
      const entry = entryOf({ expression: 'http.path ^= "/a"' });
      const { router, failures } = buildRouter([entry], flavor);

      expect(failures).toEqual([
        {
          entry,
          reason: `an expression needs the router flavor 'expressions', and this is '${flavor}'`,
          isCovered: true,
        },
      ]);
      expect(router.match(requestFacts({ path: '/a' }))?.entry).toBe(entry);
      expect(router.match(requestFacts({ path: '/b' }))).toBeNull();
    },
  );

  it('cannot stand in for an expression that does not parse', () => {
    const entry = entryOf({ expression: 'http.path ^= ' });
    const { router, failures } = buildRouter([entry], 'expressions');

    expect(failures).toMatchObject([{ entry, isCovered: false }]);
    expect(router.match(requestFacts({}))).toBeNull();
  });
});
