import { describe, expect, it } from 'vitest';
import { routeEntry } from './route-entry.suite.ts';
import { buildRouter } from './router.ts';
import { requestFacts, showRequestRule } from './rules.suite.ts';
import type { RequestRule } from './rules.suite.ts';

/** Sources: "5.2" is kong-contract 5.2; "spec" is Kong's spec/01-unit/08-router_spec.lua. */

const CONDITIONS: readonly RequestRule[] = [
  {
    rule: 'attributes are ANDed',
    source: '5.2; spec: half [uri] and [host] match does not supersede another route',
    routes: {
      both: { hosts: ['example.com'], paths: ['/a'] },
      'other host': { hosts: ['other.com'], paths: ['/a'] },
      'other path': { hosts: ['example.com'], paths: ['/b'] },
      'other method': { paths: ['/a'], methods: ['POST'] },
    },
    request: { path: '/a' },
    order: ['both'],
  },
  {
    rule: 'values of an attribute are ORed',
    source: '5.2; transform.lua gen_for_field',
    routes: {
      one: { hosts: ['x.com', 'example.com'], methods: ['PUT', 'GET'], paths: ['/x', '/'] },
    },
    request: {},
    order: ['one'],
  },
  {
    rule: 'methods match exactly',
    source: '5.2; spec: [method]',
    routes: { get: { methods: ['GET'] }, head: { methods: ['HEAD'] }, any: { paths: ['/'] } },
    request: { method: 'HEAD' },
    order: ['any', 'head'],
  },
  {
    rule: 'a plain host matches whole, with any port',
    source: '5.2; spec: [host] ignores default port',
    routes: {
      whole: { hosts: ['example.com'] },
      part: { hosts: ['ample.com'] },
      longer: { hosts: ['example.com.br'] },
    },
    request: { host: 'example.com:1234' },
    order: ['whole'],
  },
  {
    rule: 'a wildcard in front is a suffix',
    source: '5.2; spec: [wildcard host] matches leftmost wildcards',
    routes: {
      fits: { hosts: ['*.route.com'] },
      shorter: { hosts: ['*.com'] },
      deeper: { hosts: ['*.foo.route.com'] },
    },
    request: { host: 'foo.route.com' },
    order: ['shorter', 'fits'],
  },
  {
    rule: 'a wildcard behind is a prefix',
    source: '5.2; spec: [wildcard host] matches rightmost wildcards',
    routes: { fits: { hosts: ['route.*'] }, other: { hosts: ['foo.route.*'] } },
    request: { host: 'route.co.uk' },
    order: ['fits'],
  },
  {
    rule: 'a port in the route must be the port in the Host header',
    source: '5.2; spec: [host] matches specific port',
    routes: {
      same: { hosts: ['example.com:321'] },
      other: { hosts: ['example.com:322'] },
      any: { hosts: ['example.com'] },
    },
    request: { host: 'example.com:321', port: 322 },
    order: ['any', 'same'],
  },
  {
    rule: "without a port in the Host header the listener's counts",
    source: '5.2; fields.lua net.dst.port',
    routes: {
      listener: { hosts: ['example.com:8443'] },
      'of the scheme': { hosts: ['example.com:443'] },
    },
    request: { host: 'example.com', scheme: 'https', port: 8443 },
    order: ['listener'],
  },
  {
    rule: 'a path is a prefix of characters, not of segments',
    source: '5.2; spec: only matches [uri prefix] as a prefix (anchored mode)',
    routes: {
      same: { paths: ['/something'] },
      part: { paths: ['/some'] },
      inside: { paths: ['/thing'] },
      longer: { paths: ['/something/else'] },
    },
    request: { path: '/something' },
    order: ['same', 'part'],
  },
  {
    rule: 'a path with ~ is a regex, anchored at the start and not at the end',
    source: '5.2; spec: matches from the beginning of the request URI [uri regex]',
    routes: {
      start: { paths: ['~/some.*'] },
      'not to the end': { paths: ['~/so'] },
      inside: { paths: ['~/thing'] },
      'too long': { paths: ['~/something$'] },
    },
    request: { path: '/something/else' },
    order: ['not to the end', 'start'],
  },
  {
    rule: 'header names have no case and dashes are underscores',
    source: '5.2; transform.lua replace_dashes_lower; spec: names are case-insensitive',
    routes: { a: { headers: { 'USER-Agent': ['foo'] } }, b: { headers: { user_agent: ['foo'] } } },
    request: { headers: ['user_AGENT', 'foo'] },
    order: ['b', 'a'],
  },
  {
    rule: 'header values have no case',
    source: '5.2; spec: matches values in a case-insensitive way',
    routes: { a: { headers: { agent: ['FOO'] } }, b: { headers: { agent: ['foo'] } } },
    request: { headers: ['agent', 'Foo'] },
    order: ['b', 'a'],
  },
  {
    rule: 'any value of a header that is sent several times may match',
    source: '5.2; spec: multiple [headers] values',
    routes: {
      west: { headers: { location: ['west'] } },
      east: { headers: { location: ['east'] } },
    },
    request: { headers: ['location', 'north', 'Location', 'west'] },
    order: ['west'],
  },
  {
    rule: 'several header names are ANDed',
    source: '5.2; spec: single [headers] value',
    routes: {
      both: { headers: { a: ['1'], b: ['2'] } },
      'one wrong': { headers: { a: ['1'], b: ['1'] } },
      'one absent': { headers: { a: ['1'], c: ['3'] } },
    },
    request: { headers: ['a', '1', 'b', '2'] },
    order: ['both'],
  },
  {
    rule: 'a header value with ~* is a regex, found anywhere, without case, beside plain ones too',
    source: '5.2; transform.lua get_expression (OP_REGEX)',
    routes: {
      found: { headers: { agent: ['~*url/\\d'] } },
      'one of two': { headers: { agent: ['wget', '~*^CURL'] } },
      anchored: { headers: { agent: ['~*^url'] } },
    },
    request: { headers: ['Agent', 'Curl/8'] },
    order: ['one of two', 'found'],
  },
  {
    rule: 'SNIs match whole or by a wildcard; a dot at the end does not count',
    source: '5.2; transform.lua sni_val_transform; spec: [wildcard sni]',
    routes: {
      whole: { snis: ['foo.sni.com'] },
      dotted: { snis: ['foo.sni.com.'] },
      suffix: { snis: ['*.sni.com'] },
      prefix: { snis: ['foo.*'] },
      other: { snis: ['sni.com'] },
    },
    request: { scheme: 'https', sni: 'foo.sni.com.' },
    order: ['prefix', 'suffix', 'dotted', 'whole'],
  },
  {
    rule: 'SNIs do not count without TLS',
    source: '5.2; spec: [sni] is ignored for http request … Fixes #6425',
    routes: { sni: { hosts: ['example.com'], snis: ['sni.com'] } },
    request: { scheme: 'http' },
    order: ['sni'],
  },
  {
    rule: 'with TLS and no SNI, a route by SNI does not match',
    source: 'transform.lua get_expression; interpreter.rs (a field without value)',
    routes: { sni: { hosts: ['example.com'], snis: ['sni.com'] } },
    request: { scheme: 'https', sni: null },
    order: [],
  },
  {
    rule: 'the protocol is no part of the match',
    source: '5.2',
    routes: {
      https: { protocols: ['https'], paths: ['/'] },
      http: { protocols: ['http'], paths: ['/'] },
      grpc: { protocols: ['grpc'], paths: ['/'] },
    },
    request: { scheme: 'http' },
    order: ['grpc', 'http', 'https'],
  },
  {
    rule: 'stream routes are in another router',
    source: '5.2; atc.lua (is_http)',
    routes: { tls: { protocols: ['tls'], snis: ['sni.com'] } },
    request: { scheme: 'https', sni: 'sni.com' },
    order: [],
  },
  {
    rule: 'empty lists are no condition',
    source: 'transform.lua is_empty_field; spec: check empty route fields',
    routes: { one: { methods: [], hosts: [], headers: {}, snis: [], paths: ['/'] } },
    request: {},
    order: ['one'],
  },
];

const RANKS: readonly RequestRule[] = [
  {
    rule: 'bits 61–63: more kinds of attributes come first, before anything else',
    source: '5.2; transform.lua get_priority',
    routes: {
      'two kinds': { methods: ['GET'], paths: ['/'] },
      'one plain host': { hosts: ['example.com'] },
      'one of 3 headers': { headers: { a: ['1'], b: ['2'], c: ['3'] } },
      'a regex of priority': { paths: ['~/'], regex_priority: 1000 },
      'three kinds, a wildcard': { hosts: ['*.com'], methods: ['GET'], paths: ['/'] },
    },
    request: { headers: ['a', '1', 'b', '2', 'c', '3'] },
    order: [
      'three kinds, a wildcard',
      'two kinds',
      'one plain host',
      'one of 3 headers',
      'a regex of priority',
    ],
  },
  {
    rule: 'each of methods, hosts, headers, paths and SNIs is a kind',
    source: '5.2; spec: [host + headers + uri + method]',
    routes: {
      1: { methods: ['GET'] },
      2: { methods: ['GET'], paths: ['/'] },
      3: { methods: ['GET'], paths: ['/'], headers: { a: ['1'] } },
      4: { methods: ['GET'], paths: ['/'], headers: { a: ['1'] }, hosts: ['*.com'] },
      5: {
        methods: ['GET'],
        paths: ['/'],
        headers: { a: ['1'] },
        hosts: ['*.com'],
        snis: ['sni.com'],
      },
    },
    request: { headers: ['a', '1'], scheme: 'https', sni: 'sni.com' },
    order: ['5', '4', '3', '2', '1'],
  },
  {
    rule: 'bit 60: plain hosts only, before the number of headers',
    source: '5.2; spec: [wildcard host] does not take precedence over a plain host',
    routes: {
      plain: { hosts: ['example.com'], headers: { a: ['1'] } },
      'plain and wildcard': { hosts: ['example.com', '*.com'], headers: { a: ['1'], b: ['2'] } },
      wildcard: { hosts: ['*.com'], headers: { a: ['1'], b: ['2'] } },
    },
    request: { headers: ['a', '1', 'b', '2'] },
    order: ['plain', 'wildcard', 'plain and wildcard'],
  },
  {
    rule: 'bit 60: an empty list of hosts is plain, none at all is not',
    source: 'transform.lua get_priority (plain_host_only)',
    routes: { empty: { hosts: [], paths: ['/'] }, none: { hosts: null, paths: ['/'] } },
    request: {},
    order: ['empty', 'none'],
  },
  {
    rule: 'bits 52–59: more header names, before a regex and longer paths',
    source:
      '5.2; spec: evaluates Routes with more [headers] first; more [headers] has priority over longer [paths]',
    routes: {
      two: { headers: { a: ['1'], b: ['2'] }, paths: ['/'] },
      'one and a long path': { headers: { a: ['1'] }, paths: ['/long/path'] },
      'one and a regex': { headers: { a: ['1', '2', '3'] }, paths: ['~/long.*'] },
    },
    request: { headers: ['a', '1', 'b', '2'], path: '/long/path' },
    order: ['two', 'one and a regex', 'one and a long path'],
  },
  {
    rule: 'bit 51: a regex comes before any prefix, even the whole path',
    source: '5.2; spec: matches a [uri regex] even if a [uri] got an exact match',
    routes: { regex: { paths: ['~/a'] }, exact: { paths: ['/a/long/path'] } },
    request: { path: '/a/long/path' },
    order: ['regex', 'exact'],
  },
  {
    rule: 'bits 19–50: regex_priority among regexes',
    source: '5.2; spec: matches the right route when several ones have a [uri regex]',
    routes: {
      5: { paths: ['~/r'], regex_priority: 5 },
      10: { paths: ['~/.*'], regex_priority: 10 },
      0: { paths: ['~/route'] },
    },
    request: { path: '/route' },
    order: ['10', '5', '0'],
  },
  {
    rule: 'regex_priority of prefixes does not count',
    source: '5.2; spec: [prefix matching ignore regex_priority]',
    routes: { short: { paths: ['/'], regex_priority: 5 }, long: { paths: ['/v1'] } },
    request: { path: '/v1' },
    order: ['long', 'short'],
  },
  {
    rule: 'a regex_priority from 2^32 spills over the bit of the regex into the headers',
    source: 'transform.lua get_priority (regex_priority is shifted, not masked)',
    routes: {
      'two headers': { paths: ['~/'], headers: { a: ['1'], b: ['2'] } },
      'one header': { paths: ['~/'], headers: { a: ['1'] }, regex_priority: 2 ** 34 },
    },
    request: { headers: ['a', '1', 'b', '2'] },
    order: ['one header', 'two headers'],
  },
  {
    rule: 'a negative regex_priority fills all bits above it',
    source: 'transform.lua get_priority (two’s complement)',
    routes: {
      negative: { paths: ['~/'], regex_priority: -1 },
      kinds: { paths: ['~/'], methods: ['GET'], hosts: ['example.com'] },
    },
    request: {},
    order: ['negative', 'kinds'],
  },
  {
    rule: 'bits 0–18: the longer prefix, in bytes',
    source: '5.2; spec: does not supersede another route with a longer [uri]',
    routes: {
      root: { paths: ['/'] },
      short: { paths: ['/my'] },
      long: { paths: ['/my-route/é'] },
    },
    request: { path: '/my-route/é/x' },
    order: ['long', 'short', 'root'],
  },
  {
    rule: 'the length counts within the same hosts and methods only',
    source:
      'spec: does not supersede another route with a longer [uri] when a better [uri] match exists for another [host]',
    routes: {
      here: { hosts: ['example.com'], paths: ['/my-route'] },
      longer: { hosts: ['example.com'], paths: ['/my-route/hello'] },
      elsewhere: { hosts: ['other.com'], paths: ['/my-route/hello/world'] },
    },
    request: { path: '/my-route/hello/world' },
    order: ['longer', 'here'],
  },
  {
    rule: 'ties go to the larger id, whatever was created or updated first',
    source: '5.2; router.rs MatcherKey (walked backwards)',
    routes: {
      small: { paths: ['/'], created_at: 1 },
      middle: { paths: ['/'], created_at: 3 },
      large: { paths: ['/'], created_at: 2 },
    },
    request: {},
    order: ['large', 'middle', 'small'],
  },
];

const SPLITS: readonly RequestRule[] = [
  {
    rule: 'prefixes of one route rank each by its own length',
    source: '5.2; spec: [overlapping prefixes] [assigns different priorities to each path]',
    routes: {
      split: { hosts: ['example.com'], paths: ['/foo', '/foo/bar/baz'] },
      middle: { hosts: ['example.com'], paths: ['/foo/bar'] },
    },
    request: { path: '/foo/bar' },
    order: ['middle', 'split'],
  },
  {
    rule: 'the longer prefix of the same route comes before it',
    source: '5.2; transform.lua split_routes_and_services_by_path',
    routes: {
      split: { hosts: ['example.com'], paths: ['/foo', '/foo/bar/baz'] },
      middle: { hosts: ['example.com'], paths: ['/foo/bar'] },
    },
    request: { path: '/foo/bar/baz' },
    order: ['split', 'middle'],
  },
  {
    rule: 'regexes and prefixes of one route rank apart',
    source:
      'spec: [both regex and prefix] [assigns different priorities to regex and non-regex path]',
    routes: {
      split: { paths: ['~/foo/x', '/foo'] },
      regex: { paths: ['~/foo/bar'] },
      prefix: { paths: ['/foo/bar'] },
    },
    request: { path: '/foo/bar' },
    order: ['regex', 'prefix', 'split'],
  },
  {
    rule: 'a part has an id of its own, made from the route’s and its number, which breaks ties',
    source: '5.2; transform.lua uuid_generator',
    routes: {
      // Its parts are 872e48a6-… and 6ac326b2-…; whole it would be the smallest.
      split: { id: '00000000-0000-4000-8000-000000000000', paths: ['/a', '/bb'] },
      whole: { id: '10000000-0000-4000-8000-000000000000', paths: ['/a'] },
    },
    request: { path: '/a' },
    order: ['split', 'whole'],
  },
  {
    rule: 'paths of one kind are not split, and keep the id',
    source: 'transform.lua split_routes_and_services_by_path (grouped_paths_count == 1)',
    routes: {
      one: { id: '00000000-0000-4000-8000-000000000000', paths: ['/a', '/b'] },
      two: { id: '10000000-0000-4000-8000-000000000000', paths: ['/a'] },
    },
    request: { path: '/a' },
    order: ['two', 'one'],
  },
];

describe('a rule of the flavor traditional_compatible', () => {
  it.each([...CONDITIONS, ...RANKS, ...SPLITS])('$rule ($source)', (rule) => {
    showRequestRule(rule, 'traditional_compatible');
  });

  it('counts at most 255 headers (5.2; transform.lua MAX_HEADER_COUNT)', () => {
    const headers = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, i) => [`h${i}`, ['1']]));
    const received = Array.from({ length: 300 }, (_, i) => [`h${i}`, '1']).flat();
    const routes = {
      300: { headers: headers(300) },
      255: { headers: headers(255) },
      254: { headers: headers(254) },
    };
    const request = { headers: received };
    const order = ['300', '255', '254'];
    const rule: RequestRule = { rule: '', source: '', routes, request, order };
    // Names of digits are in ascending order, and 300 ties with 255.
    showRequestRule(rule, 'traditional_compatible');
  });
});

describe('what a match hands on', () => {
  const match = (paths: string[], path: string) =>
    buildRouter([routeEntry({ paths })]).router.match(requestFacts({ path }));

  it('is the prefix (5.3; atc.lua matched_path)', () => {
    expect(match(['/a'], '/ab/c')).toMatchObject({ matchedPath: '/a', captures: null });
  });

  it('is all that a regex matched, and its groups by name and number (spec: returns uri_captures from a [uri regex])', () => {
    const found = match(['~/u/(?<id>\\d+)/(\\w*)'], '/u/42/posts/1');

    expect(found?.matchedPath).toBe('/u/42/posts');
    expect({ ...found?.captures?.named }).toEqual({ id: '42' });
    expect(found?.captures?.indexed).toEqual(['42', 'posts']);
  });

  it('takes groups in Rust’s spelling as well (5.2; transform.lua path_val_transform)', () => {
    expect({ ...match(['~/(?P<id>\\d+)'], '/7')?.captures?.named }).toEqual({ id: '7' });
  });

  it('is of the first regex that matches, in the order of the route (interpreter.rs, Or)', () => {
    expect(match(['~/a(b)?', '~/a(.*)'], '/abc')?.matchedPath).toBe('/ab');
  });

  it('is nothing where the route has no paths', () => {
    const { router } = buildRouter([routeEntry({ methods: ['GET'] })]);
    expect(router.match(requestFacts({}))).toMatchObject({ matchedPath: null, captures: null });
  });
});
