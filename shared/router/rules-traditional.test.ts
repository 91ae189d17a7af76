import { describe, expect, it } from 'vitest';
import { routeEntry } from './route-entry.suite.ts';
import { buildRouter } from './router.ts';
import { requestFacts, showRequestRule } from './rules.suite.ts';
import type { RequestRule } from './rules.suite.ts';

/** Sources: "5.2" is kong-contract 5.2; functions are of Kong's router/traditional.lua; "spec" is its spec/01-unit/08-router_spec.lua. */

const RANKS: readonly RequestRule[] = [
  {
    rule: 'more kinds of attributes come first',
    source: '5.2; sort_categories (match_weight)',
    routes: {
      'method, path': { methods: ['GET'], paths: ['/'] },
      host: { hosts: ['example.com'] },
      'a regex of priority': { paths: ['~/'], regex_priority: 1000 },
      'three kinds': { methods: ['GET'], paths: ['/'], headers: { a: ['1'] } },
    },
    request: { headers: ['a', '1'] },
    order: ['three kinds', 'method, path', 'host', 'a regex of priority'],
  },
  {
    rule: 'of as many kinds host comes before headers, path, method and SNI',
    source: '5.2; sort_categories (category_bit)',
    routes: {
      sni: { snis: ['sni.com'] },
      method: { methods: ['GET'] },
      path: { paths: ['/'] },
      header: { headers: { a: ['1'] } },
      host: { hosts: ['*.com'] },
    },
    request: { headers: ['a', '1'], scheme: 'https', sni: 'sni.com' },
    order: ['host', 'header', 'path', 'method', 'sni'],
  },
  {
    rule: 'two kinds go by the better one first, then by the other',
    source: '5.2; sort_categories (category_bit)',
    routes: {
      'path, method': { paths: ['/'], methods: ['GET'] },
      'header, method': { headers: { a: ['1'] }, methods: ['GET'] },
      'header, path': { headers: { a: ['1'] }, paths: ['/'] },
      'host, method': { hosts: ['*.com'], methods: ['GET'] },
    },
    request: { headers: ['a', '1'] },
    order: ['host, method', 'header, path', 'header, method', 'path, method'],
  },
  {
    rule: 'plain hosts, then wildcards with a port, then wildcards',
    source:
      '5.2; marshall_route (submatch_weight), reduce; spec: submatch_weight [wildcard host port] > [wildcard host]',
    routes: {
      wildcard: { hosts: ['example.*'] },
      'wildcard with port': { hosts: ['example.*:80', 'other.*'] },
      plain: { hosts: ['example.com'] },
    },
    request: { host: 'example.com:80' },
    order: ['plain', 'wildcard with port', 'wildcard'],
  },
  {
    rule: 'a plain host with the port of the request comes before one without',
    source:
      'reduce (routes_by_hosts of the whole Host header); spec: [IPv6 literal host] matches by port',
    routes: { port: { hosts: ['example.com:321'] }, any: { hosts: ['example.com'] } },
    request: { host: 'example.com:321' },
    order: ['port', 'any'],
  },
  {
    rule: 'hosts come before a regex, a regex before more headers',
    source: '5.2; sort_routes (submatch_weight, then headers)',
    routes: {
      'two headers': { hosts: ['*.com'], headers: { a: ['1'], b: ['2'] }, paths: ['/'] },
      regex: { hosts: ['*.com'], headers: { a: ['1'] }, paths: ['~/'] },
      plain: { hosts: ['example.com'], headers: { a: ['1'] }, paths: ['/'] },
    },
    request: { headers: ['a', '1', 'b', '2'] },
    order: ['plain', 'regex', 'two headers'],
  },
  {
    rule: 'more headers come before regex_priority',
    source: '5.2; sort_routes',
    routes: {
      priority: { headers: { a: ['1'] }, paths: ['~/'], regex_priority: 9 },
      headers: { headers: { a: ['1'], b: ['2'] }, paths: ['~/'] },
    },
    request: { headers: ['a', '1', 'b', '2'] },
    order: ['headers', 'priority'],
  },
  {
    rule: 'regex_priority counts among regexes and stays within its place, below 0 too',
    source: '5.2; sort_routes',
    routes: {
      '-1': { paths: ['~/.*'], regex_priority: -1 },
      huge: { paths: ['~/'], regex_priority: 2 ** 40 },
      zero: { paths: ['~/a'] },
      method: { paths: ['~/'], methods: ['GET'] },
    },
    request: { path: '/a' },
    order: ['method', 'huge', 'zero', '-1'],
  },
  {
    rule: 'the longer prefix comes first',
    source: '5.2; sort_routes (max_uri_length)',
    routes: { '/': { paths: ['/'] }, '/ab': { paths: ['/ab'] }, '/a': { paths: ['/a'] } },
    request: { path: '/abc' },
    order: ['/ab', '/a', '/'],
  },
  {
    rule: 'the older route comes first',
    source: '5.2; sort_routes (created_at)',
    routes: {
      young: { paths: ['/'], created_at: 1_700_000_003 },
      old: { paths: ['/'], created_at: 1_700_000_001 },
      middle: { paths: ['/'], created_at: 1_700_000_002 },
    },
    request: {},
    order: ['old', 'middle', 'young'],
  },
  {
    rule: 'age does not count against a longer prefix',
    source: '5.2; sort_routes',
    routes: {
      old: { paths: ['/'], created_at: 1 },
      young: { paths: ['/a'], created_at: 1_700_000_000 },
    },
    request: { path: '/a' },
    order: ['young', 'old'],
  },
  {
    rule: 'each path of a route ranks by itself, without an id of its own',
    source:
      '_M.new (split routes by paths); spec: does not supersede another route with a longer [uri prefix]',
    routes: {
      split: { paths: ['/a', '/bbbbbbb', '~/r'] },
      other: { paths: ['/a/bb'] },
    },
    request: { path: '/a/bb/foobar' },
    order: ['other', 'split'],
  },
];

const CONDITIONS: readonly RequestRule[] = [
  {
    rule: 'a plain host with a port needs the port in the Host header',
    source: 'matchers HOST; spec: [host] fails just because of port on port-only route',
    routes: { port: { hosts: ['example.com:80'] } },
    request: { host: 'example.com', port: 80 },
    order: [],
  },
  {
    rule: 'a wildcard with a port takes the scheme’s where the Host header has none',
    source: 'split_port (default_port); spec: prefers port-specific even for http default port',
    routes: { 80: { hosts: ['example.*:80'] }, 8000: { hosts: ['example.*:8000'] } },
    request: { host: 'example.com', port: 8000 },
    order: ['80'],
  },
  {
    rule: 'over TLS that port is 443',
    source: 'split_port (default_port); spec: prefers port-specific even for https default port',
    routes: { 80: { hosts: ['example.*:80'] }, 443: { hosts: ['example.*:443'] } },
    request: { host: 'example.com', scheme: 'https', port: 8443 },
    order: ['443'],
  },
  {
    rule: 'brackets of an IPv6 host do not count',
    source: 'split_port; spec: [IPv6 literal host]',
    routes: {
      bare: { hosts: ['::12'] },
      brackets: { hosts: ['[::12]'] },
      port: { hosts: ['[::12]:321'] },
      'other port': { hosts: ['[::12]:322'] },
    },
    request: { host: '[::12]:321' },
    order: ['port', 'brackets', 'bare'],
  },
  {
    rule: 'a header value with ~* is a regex where it stands alone',
    source: '5.2; marshall_route (header_values_count == 1)',
    routes: {
      alone: { headers: { agent: ['~*^curl'] } },
      'one of two': { headers: { agent: ['~*^curl', 'wget'] } },
    },
    request: { headers: ['Agent', 'Curl/8'] },
    order: ['alone'],
  },
  {
    rule: 'in a list it is a text like any other',
    source: '5.2; marshall_route (header_values_map)',
    routes: { two: { headers: { agent: ['~*^curl', 'wget'] } } },
    request: { headers: ['Agent', '~*^CURL'] },
    order: ['two'],
  },
  {
    rule: 'SNIs have no wildcards; a dot at the end of the route’s does not count',
    source: 'marshall_route (snis_t)',
    routes: { wildcard: { snis: ['*.sni.com'] }, plain: { snis: ['a.sni.com.'] } },
    request: { scheme: 'https', sni: 'a.sni.com' },
    order: ['plain'],
  },
  {
    rule: 'SNIs do not count over http',
    source: 'matchers SNI; spec: [sni] is ignored for http request … Fixes #6425',
    routes: { sni: { hosts: ['example.com'], snis: ['sni.com'] } },
    request: { scheme: 'http' },
    order: ['sni'],
  },
  {
    rule: 'the protocol is no part of the match',
    source: '5.2',
    routes: { https: { protocols: ['https'], paths: ['/'] } },
    request: { scheme: 'http' },
    order: ['https'],
  },
];

describe('a rule of the flavor traditional', () => {
  it.each([...RANKS, ...CONDITIONS])('$rule ($source)', (rule) => {
    showRequestRule(rule, 'traditional');
  });

  it('closes an HTTP route by source: this router sees no addresses (exec, find_route)', () => {
    const entry = routeEntry({ paths: ['/a'], sources: [{ ip: '10.0.0.1', port: null }] });
    const { router, failures } = buildRouter([entry], 'traditional');

    expect(failures).toMatchObject([{ entry, isCovered: true }]);
    expect(router.match(requestFacts({ path: '/a' }))?.entry).toBe(entry);
  });
});
