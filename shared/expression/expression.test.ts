import { describe, expect, it } from 'vitest';
import { parseExpression } from './check.ts';
import { EXPRESSION_DEPTH_MAX, EXPRESSION_LENGTH_MAX, parseSyntax } from './syntax.ts';
import type { SyntaxNode } from './syntax.ts';

/** The tree with all brackets. */
function shown(node: SyntaxNode): string {
  switch (node.type) {
    case 'not':
      return `!${shown(node.term)}`;
    case 'predicate': {
      const { functions, field, operator, literal } = node;
      const left = functions.reduceRight((inner, { name }) => `${name}(${inner})`, field.name);
      return `${left} ${operator} ${literal.type} ${literal.text}`;
    }
    default:
      return `(${node.terms.map(shown).join(node.type === 'and' ? ' && ' : ' || ')})`;
  }
}

function refusal(source: string, subsystem: 'http' | 'stream' = 'http'): string {
  const parsed = parseExpression(source, subsystem);
  return parsed.ok ? 'accepted' : parsed.reason;
}

// Cases of atc-router 1.7 src/ast.rs and src/atc_grammar.pest.
describe('the syntax', () => {
  it.each([
    ['a > 0', 'a > int 0'],
    ['a == 1 && b != 2 || c >= 3', '(a == int 1 && (b != int 2 || c >= int 3))'],
    [
      'a > 1 || b < 2 && c <= 3 || d not in 10.0.0.0/8',
      '((a > int 1 || b < int 2) && (c <= int 3 || d not in cidr 10.0.0.0/8))',
    ],
    ['a > 1 || (b < 2 && c <= 3) || d=~1', null],
    [
      'a > 1 || (b < 2 && c <= 3) || d==1',
      '(a > int 1 || (b < int 2 && c <= int 3) || d == int 1)',
    ],
    ['!(a == 1) && b == 2', '(!a == int 1 && b == int 2)'],
    ['!(a == 1 || b == 2 && c == 3)', '!((a == int 1 || b == int 2) && c == int 3)'],
    ['! a == 1', null],
    ['!!(a == 1)', null],
    ['kong.foo in 1.1.1.1', 'kong.foo in ip 1.1.1.1'],
    ['k in 2001:db8::/32', 'k in cidr 2001:db8::/32'],
    ['k == ::1', 'k == ip ::1'],
    ['k == 0x123', 'k == int 0x123'],
    ['k == -0123', 'k == int -0123'],
    ['k == 019', null],
    ['k == 089', 'k == int 089'],
    ['any(lower(k)) == "a"', 'any(lower(k)) == string a'],
    ['any ( lower ( k ) )=="a"', 'any(lower(k)) == string a'],
    ['k contains "a"', 'k contains string a'],
    ['k not\n\t in 1.0.0.0/8', 'k not in cidr 1.0.0.0/8'],
    [String.raw`k == "a\"\\\n\t"`, 'k == string a"\\\n\t'],
    [String.raw`k == "a\d"`, null],
    [String.raw`k == r#"a\d""#`, 'k == string a\\d"'],
    ['k == "é你"', 'k == string é你'],
    ['k == "line\nbreak"', 'k == string line\nbreak'],
    ['k ~ "a"', 'k ~ string a'],
    ['1 == k', null],
    ['k == "a', null],
    ['k == r#"a"', null],
    ['k == k', null],
    ['(k == 1', null],
    ['k == 1)', null],
    ['k == 1 &&', null],
    ['k == 1 & k == 2', null],
    ['', null],
    ['_k == 1', null],
  ])('%j', (source, expected) => {
    let result: string | null;
    try {
      result = shown(parseSyntax(source));
    } catch {
      result = null;
    }
    expect(result).toBe(expected);
  });

  it('says where it breaks', () => {
    expect(refusal('http.method == "GET" &&\n  ! http.path == "/"')).toBe(
      'expected ( after ! (line 2, column 5)',
    );
    const parsed = parseExpression('http.method = "GET"', 'http');
    expect(parsed).toMatchObject({ ok: false, position: 12 });
  });

  it('has an end', () => {
    const predicate = 'http.method == "GET"';
    const long = Array.from({ length: 700 }, () => predicate).join('||');
    expect(long.length).toBeLessThanOrEqual(EXPRESSION_LENGTH_MAX);
    expect(refusal(long)).toBe('accepted');
    expect(refusal(`${' '.repeat(EXPRESSION_LENGTH_MAX)}${predicate}`)).toMatch(
      /longer than 16384/,
    );
    const many = (count: number) =>
      Array.from({ length: count }, () => 'http.path ~ "[a-z]{999}x"').join('||');
    expect(refusal(many(15))).toBe('accepted');
    expect(refusal(many(25))).toMatch(/regexes are too large/);
    const deep = (depth: number) => `${'('.repeat(depth)}${predicate}${')'.repeat(depth)}`;
    expect(refusal(deep(EXPRESSION_DEPTH_MAX))).toBe('accepted');
    expect(refusal(deep(EXPRESSION_DEPTH_MAX + 1))).toMatch(/deeper than 100/);
    const wrapped = (depth: number) =>
      `${'any('.repeat(depth)}http.method${')'.repeat(depth)} == "GET"`;
    expect(refusal(wrapped(EXPRESSION_DEPTH_MAX))).toBe('accepted');
    expect(refusal(wrapped(EXPRESSION_DEPTH_MAX + 1))).toMatch(/deeper than 100/);
  });
});

// atc-router 1.7 src/semantics.rs; Kong 3.9 router/fields.lua, entities/routes.lua.
describe('the check', () => {
  it.each([
    ['http.method == "GET"', null],
    ['unknown == "GET"', 'no field unknown'],
    ['http.method == 1', 'http.method is String, and this an integer'],
    ['http.method == 10.0.0.1', 'http.method is String, and this an IP address'],
    ['http.method in "abc"', 'http.method is String, and this a string'],
    ['http.method > "abc"', '> does not compare so'],
    ['http.method ~ 1', '~ does not compare so'],
    ['net.src.ip == 192.168.0.1', null],
    ['net.src.ip == fd00::1', null],
    ['net.src.ip in fd00::/64', null],
    ['net.src.ip not in 192.168.0.0/24', null],
    ['net.src.ip in 192.168.0.1', 'and this an IP address'],
    ['net.src.ip == 192.168.0.0/24', 'and this a network'],
    ['net.src.ip == "abc"', 'and this a string'],
    ['net.src.ip in 192.168.0.1/24', 'bits set beyond'],
    ['net.src.ip in 192.168.0.0/33', 'no network'],
    ['net.src.ip == 192.168.0.256', 'no IP address'],
    ['net.src.ip == 1:2', 'no IP address'],
    ['lower(net.src.ip) == fd00::1', 'lower() is for strings'],
    ['net.src.port == 123', null],
    ['net.src.port contains "1"', 'contains does not compare so'],
    ['net.src.port == "abc"', 'net.src.port is Int'],
    ['net.src.port == 9223372036854775807', null],
    ['net.src.port == 9223372036854775808', 'an integer is at most'],
    ['lower(net.src.port) == 1', 'lower() is for strings'],
    ['any(net.src.port) == 1', null],
    ['upper(http.path) == "a"', 'no function upper'],
    ['http.path ~ "("', 'invalid regex'],
    ['http.path ~ "(?=a)"', 'look-around'],
    ['http.headers.x_y == "a"', null],
    ['http.headers. == "a"', 'no field http.headers.'],
    ['http.headers.x.y == "a"', 'no field http.headers.x.y'],
    ['http.queries.a == "a"', null],
    ['http.path.segments.len == 1', null],
    ['http.path.segments.len == "1"', 'is Int'],
    ['http.path.segments.0 == "a"', null],
    ['http.path.segments.01 == "a"', 'with the smaller first'],
    ['http.path.segments.0_1 == "a"', null],
    ['http.path.segments.1_1 == "a"', 'with the smaller first'],
    ['http.path.segments.2_1 == "a"', 'with the smaller first'],
    ['http.path.segments.x == "a"', 'with the smaller first'],
    ['http.path.segments. == "a"', 'with the smaller first'],
    ['net.port == 8000', null],
  ])('%s: %s', (source, expected) => {
    if (expected === null) expect(refusal(source)).toBe('accepted');
    else expect(refusal(source)).toContain(expected);
  });

  it('knows the fields of a connection', () => {
    expect(refusal('net.protocol == "tcp" && tls.sni == "a" && net.dst.port == 1', 'stream')).toBe(
      'accepted',
    );
    expect(refusal('http.path == "/"', 'stream')).toBe(
      'http.path is not of TCP, TLS or UDP (line 1, column 1)',
    );
    expect(refusal('x == "/"', 'stream')).toContain('no field x');
  });
});
