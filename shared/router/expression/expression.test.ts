import { describe, expect, it } from 'vitest';
import { HeaderList } from '../../http/headers.ts';
import type { RequestFacts, StreamFacts } from '../facts.ts';
import { compileExpression } from './compile.ts';
import type { Expression } from './compile.ts';
import { ExpressionInput } from './input.ts';

const REQUEST: RequestFacts = {
  method: 'GET',
  host: 'Example.com:8443',
  path: '/foo/bar/baz/',
  query: 'a=1&a=2&b&c=x+y%2Bz&%64=d',
  scheme: 'https',
  headers: new HeaderList(['X-Kind', 'Aaa', 'x_kind', 'aab', 'X-One', 'UP']),
  sni: 'Secure.Example.com.',
  sourceAddress: '192.168.1.7',
  sourcePort: 40_000,
  address: '10.1.2.3',
  port: 8000,
};

const STREAM: StreamFacts = {
  protocol: 'tls',
  sni: 'db.example.com',
  sourceAddress: 'fd00::7',
  sourcePort: 50_000,
  address: '::ffff:10.1.2.3',
  port: 5432,
};

function compiled(source: string, subsystem: 'http' | 'stream' = 'http'): Expression {
  const result = compileExpression(source, subsystem);
  if (!result.ok) throw new Error(`${source}: ${result.reason}`);
  return result.expression;
}

function matches(source: string, change: Partial<RequestFacts> = {}): boolean {
  const input = new ExpressionInput();
  input.setRequest({ ...REQUEST, ...change });
  return compiled(source).matches(input);
}

function matchesStream(source: string, change: Partial<StreamFacts> = {}): boolean {
  const input = new ExpressionInput();
  input.setStream({ ...STREAM, ...change });
  return compiled(source, 'stream').matches(input);
}

function matchOf(source: string, change: Partial<RequestFacts> = {}) {
  const input = new ExpressionInput();
  input.setRequest({ ...REQUEST, ...change });
  const expression = compiled(source);
  expect(expression.matches(input)).toBe(true);
  return expression.matchOf(input);
}

describe('an expression', () => {
  // Kong 3.9 router/fields.lua; atc-router 1.7 src/interpreter.rs.
  it.each([
    ['http.method == "GET"', true],
    ['http.method == "get"', false],
    ['lower(http.method) == "get"', true],
    ['http.method != "GET"', false],
    ['http.host == "example.com"', true],
    ['http.host == "EXAMPLE.com"', true],
    ['lower(http.host) == "EXAMPLE.com"', false],
    ['http.host =^ ".com"', true],
    ['http.host ^= "example."', true],
    ['http.host contains "mple.c"', true],
    ['http.host contains ":"', false],
    ['http.host ~ "^EX.*com$"', true],
    ['http.path == "/foo/bar/baz/"', true],
    ['http.path ^= "/foo"', true],
    ['http.path ^= "/FOO"', false],
    ['lower(http.path) ^= "/FOO"', false],
    ['http.path =^ "baz/"', true],
    ['http.path contains "/bar/"', true],
    ['http.path ~ "bar"', true],
    ['http.path ~ "^bar"', false],
    [String.raw`http.path ~ r#"^/f\w+/b"#`, true],
    ['http.path.segments.len == 3', true],
    ['http.path.segments.0 == "foo"', true],
    ['http.path.segments.2 == "baz"', true],
    ['http.path.segments.3 == ""', false],
    ['http.path.segments.3 != "x"', false],
    ['!(http.path.segments.3 == "x")', true],
    ['http.path.segments.0_1 == "foo/bar"', true],
    ['http.path.segments.1_2 == "bar/baz"', true],
    ['http.path.segments.1_3 ^= "bar"', false],
    ['net.protocol == "https"', true],
    ['tls.sni == "secure.example.com"', true],
    ['tls.sni == "secure.EXAMPLE.com."', true],
    ['tls.sni =^ ".example.com"', true],
    ['net.src.ip == 192.168.1.7', true],
    ['net.src.ip != 192.168.1.7', false],
    ['net.src.ip in 192.168.0.0/16', true],
    ['net.src.ip not in 192.168.0.0/16', false],
    ['net.src.ip in ::/0', false],
    ['net.src.ip not in ::/0', true],
    ['net.src.ip in 0.0.0.0/0', true],
    ['net.src.port == 40000', true],
    ['net.src.port >= 40001', false],
    ['net.src.port < 0x9C41', true],
    ['net.src.port > 0116100', false],
    ['net.src.port > -1', true],
    ['net.dst.ip == 10.1.2.3', true],
    ['net.dst.port == 8443', true],
    ['net.port == 8443', true],
    ['net.dst.port <= 8442', false],
    ['net.dst.port != 8443', false],
  ])('%s is %s', (source, expected) => {
    expect(matches(source)).toBe(expected);
  });

  it.each([
    ['http.headers.x_one == "UP"', true],
    ['http.headers.X_One == "UP"', true],
    ['lower(http.headers.x_one) == "up"', true],
    ['http.headers.x_kind == "Aaa"', false],
    ['any(http.headers.x_kind) == "Aaa"', true],
    ['any(lower(http.headers.x_kind)) == "aaa"', true],
    ['lower(any(http.headers.x_kind)) == "aaa"', true],
    ['lower(http.headers.x_kind) ^= "aa"', true],
    ['http.headers.x_kind != "Aaa"', false],
    ['any(http.headers.x_kind) != "Aaa"', true],
    ['http.headers.x_kind != "z"', true],
    ['http.headers.absent != "z"', false],
    ['any(http.headers.absent) != "z"', false],
    ['http.queries.a ~ "[12]"', true],
    ['http.queries.a == "1"', false],
    ['any(http.queries.a) == "2"', true],
    ['http.queries.A == "1"', false],
    ['http.queries.b == ""', true],
    ['http.queries.c == "x y+z"', true],
    ['http.queries.d == "d"', true],
    ['http.queries.absent contains ""', false],
  ])('asks all values of a field, or any: %s is %s', (source, expected) => {
    expect(matches(source)).toBe(expected);
  });

  it.each([
    // atc-router 1.7 src/ast.rs, expr_op_and_prec: || binds tighter.
    ['http.method == "GET" && http.method == "X" || net.protocol == "https"', true],
    ['http.method == "X" && net.protocol == "x" || net.protocol == "https"', false],
    ['http.method == "GET" || net.protocol == "x" && net.protocol == "y"', false],
    ['http.method == "GET" || (net.protocol == "x" && net.protocol == "y")', true],
    ['!(http.method == "X" || http.method == "Y") && net.protocol == "https"', true],
    ['! ( http.method == "GET" )', false],
    ['(((http.method=="GET")))', true],
  ])('joins: %s is %s', (source, expected) => {
    expect(matches(source)).toBe(expected);
  });

  it.each([
    ['net.protocol == "tls"', true],
    ['tls.sni == "db.example.com"', true],
    ['net.src.ip in fd00::/8', true],
    ['net.src.ip == fd00:0:0:0::7', true],
    ['net.dst.ip in 10.0.0.0/8', true],
    ['net.dst.port == 5432', true],
  ])('of a connection: %s is %s', (source, expected) => {
    expect(matchesStream(source)).toBe(expected);
  });

  it('calls a connection without a server name tcp', () => {
    expect(matchesStream('net.protocol == "tcp"', { sni: null })).toBe(true);
    expect(matchesStream('tls.sni != "a"', { sni: null })).toBe(false);
    expect(matchesStream('net.protocol == "udp"', { protocol: 'udp' })).toBe(true);
  });

  it.each([
    ['k=%61%62', 'ab'],
    ['k=a%20b+c', 'a b c'],
    ['k=%c3%a9%41', 'éA'],
    ['k=100%', '100%'],
    ['k=%zz%4', '%zz%4'],
    ['k=%%41', '%A'],
    ['k=%ff', '\ufffd'],
    ['k=a%3Db%26c', 'a=b&c'],
    ['%6B=x', 'x'],
    ['k=a=b', 'a=b'],
    ['=z&&k=y&', 'y'],
  ])('undoes the escapes of a query: %s', (query, value) => {
    expect(matches(`http.queries.k == r#"${value}"#`, { query })).toBe(true);
  });

  it('finds nothing where a request has no host', () => {
    expect(matches('http.host != "a"', { host: null })).toBe(false);
    expect(matches('net.dst.port == 8000', { host: null })).toBe(true);
  });

  it('leaves behind what of the path it matched, and groups', () => {
    expect(matchOf('http.path ^= "/foo"')).toEqual({ path: '/foo', captures: null });
    expect(matchOf('http.method == "GET"')).toEqual({ path: null, captures: null });
    const match = matchOf('http.path ~ "^/(?<a>[a-z]+)/(bar)"');
    expect(match.path).toBe('/foo/bar');
    expect(match.captures?.named).toEqual({ a: 'foo' });
    expect(match.captures?.indexed).toEqual(['foo', 'bar']);
  });

  it('adds up the groups of several regexes', () => {
    const match = matchOf('http.path ~ "^/(?<a>[a-z]+)/(bar)" && http.headers.x_one ~ "(?<b>U)"');
    expect(match.captures).toEqual({ named: { a: 'foo', b: 'U' }, indexed: ['U', 'bar'] });
  });
});

describe('hints', () => {
  it.each([
    ['http.host == "A.com" && http.path ^= "/x"', [['exact', 'a.com']], ['/x']],
    ['http.host =^ ".a.com"', [['suffix', '.a.com']], null],
    ['http.host =^ "x.a.com"', [['suffix', '.a.com']], null],
    ['http.host ^= "a.b"', [['prefix', 'a.']], null],
    [
      'http.host == "a" || http.host == "b"',
      [
        ['exact', 'a'],
        ['exact', 'b'],
      ],
      null,
    ],
    ['http.host == "a" || http.path ^= "/x"', null, null],
    ['http.path ^= "/" && http.path == "/x/y"', null, ['/x/y']],
    ['http.path.segments.0 == "v1"', null, ['/v1']],
    ['http.path.segments.0_1 == "v1/x"', null, ['/v1/x']],
    ['http.path.segments.1 == "v1"', null, null],
    ['!(http.host == "a")', null, null],
    ['http.host != "a"', null, null],
    ['lower(http.path) ^= "/x"', null, null],
    [String.raw`http.path ~ r#"^/api/v\d+/"#`, null, ['/api/v']],
    ['http.path ~ "/api/"', null, null],
    ['http.path ~ "^/a" || http.path == "/b"', null, ['/a', '/b']],
    ['lower(http.path) ~ "^/a"', null, null],
    ['http.path ^= ""', null, null],
  ])('of %s', (source, hosts, prefixes) => {
    const expression = compiled(source);
    expect(expression.hosts?.map(({ type, text }) => [type, text]) ?? null).toEqual(hosts);
    expect(expression.prefixes).toEqual(prefixes);
  });

  it('keep to a number of pairs', () => {
    const hosts = Array.from({ length: 200 }, (_, i) => `http.host == "h${i}"`).join(' || ');
    const paths = Array.from({ length: 100 }, (_, i) => `http.path == "/${i}"`).join(' || ');
    const expression = compiled(`(${hosts}) && (${paths})`);
    expect(expression.hosts).toBeNull();
    expect(expression.prefixes).toHaveLength(100);
  });
});
