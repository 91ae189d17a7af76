/**
 * What an expression says, checked: which fields there are, which operators suit them.
 *
 * Source: Kong/atc-router 1.7 `src/semantics.rs`; Kong 3.9 `router/fields.lua` (HTTP_FIELDS,
 * STREAM_FIELDS), `router/transform.lua` (amending_expression: `net.port`),
 * `db/schema/entities/routes.lua` (path segments).
 */
import { isIPv4, parseCidr, parseIp } from '../base/ip.ts';
import { PROGRAM_SIZE_MAX } from '../regex/engine.ts';
import { compileExpressionRegex } from '../regex/regex.ts';
import { ExpressionRefusal, parseSyntax } from './syntax.ts';
import type { Literal, Named, PredicateNode as PredicateSyntax, SyntaxNode } from './syntax.ts';
import type { ExpressionNode, Field, Subsystem, Test } from './tree.ts';

export type ParsedExpression =
  | { readonly ok: true; readonly tree: ExpressionNode }
  | {
      readonly ok: false;
      /** With line and column. */
      readonly reason: string;
      /** Offset in the source, in UTF-16 units. */
      readonly position: number;
    };

type FieldType = 'String' | 'Int' | 'IpAddr';

const STREAM_FIELDS: ReadonlyMap<string, Field> = new Map<string, Field>([
  ['net.protocol', { type: 'protocol' }],
  ['tls.sni', { type: 'sni' }],
  ['net.src.ip', { type: 'source-ip' }],
  ['net.src.port', { type: 'source-port' }],
  ['net.dst.ip', { type: 'destination-ip' }],
  ['net.dst.port', { type: 'destination-port' }],
  // Its old name.
  ['net.port', { type: 'destination-port' }],
]);

const HTTP_FIELDS: ReadonlyMap<string, Field> = new Map<string, Field>([
  ...STREAM_FIELDS,
  ['http.method', { type: 'method' }],
  ['http.host', { type: 'host' }],
  ['http.path', { type: 'path' }],
  ['http.path.segments.len', { type: 'segment-count' }],
]);

/** No larger than any path has. */
const SEGMENTS = /^http\.path\.segments\.(0|[1-9][0-9]{0,5})(?:_([1-9][0-9]{0,5}))?$/;
const HEADER = /^http\.headers\.([A-Za-z0-9_]+)$/;
const QUERY = /^http\.queries\.([A-Za-z0-9_]+)$/;

/** All regexes of an expression together, as many as one may have: each costs its size per character. */
const REGEX_SIZE_MAX = PROGRAM_SIZE_MAX;

/** Literals are `i64` in Kong; what is compared with them is far smaller. */
const INT_MAX = 2n ** 63n - 1n;

/** Parses and checks. Never throws; costs time linear in the length. */
export function parseExpression(source: string, subsystem: Subsystem): ParsedExpression {
  try {
    const tree = checked(parseSyntax(source), subsystem);
    if (regexSize(tree) > REGEX_SIZE_MAX)
      throw new ExpressionRefusal('its regexes are too large', 0);
    return { ok: true, tree };
  } catch (error) {
    if (!(error instanceof ExpressionRefusal)) throw error;
    const { message, at } = error;
    return { ok: false, reason: `${message} (${place(source, at)})`, position: at };
  }
}

function regexSize(node: ExpressionNode): number {
  switch (node.type) {
    case 'not':
      return regexSize(node.term);
    case 'predicate':
      return node.test.type === 'regex' ? node.test.regex.size : 0;
    default:
      return node.terms.reduce((sum, term) => sum + regexSize(term), 0);
  }
}

function place(source: string, at: number): string {
  const lines = source.slice(0, at).split('\n');
  return `line ${lines.length}, column ${(lines.at(-1) ?? '').length + 1}`;
}

function checked(node: SyntaxNode, subsystem: Subsystem): ExpressionNode {
  switch (node.type) {
    case 'not':
      return { type: 'not', term: checked(node.term, subsystem) };
    case 'predicate':
      return predicate(node, subsystem);
    default:
      return { type: node.type, terms: node.terms.map((term) => checked(term, subsystem)) };
  }
}

function predicate(node: PredicateSyntax, subsystem: Subsystem): ExpressionNode {
  const field = fieldOf(node.field, subsystem);
  const type = typeOf(field);
  const unknown = node.functions.find(({ name }) => name !== 'lower' && name !== 'any');
  if (unknown !== undefined) {
    throw new ExpressionRefusal(`no function ${unknown.name}; there are lower, any`, unknown.at);
  }
  const lower = node.functions.find(({ name }) => name === 'lower');
  if (lower !== undefined && type !== 'String') {
    throw new ExpressionRefusal(`lower() is for strings; ${node.field.name} is ${type}`, lower.at);
  }
  return {
    type: 'predicate',
    field,
    isAny: node.functions.some(({ name }) => name === 'any'),
    isLower: lower !== undefined,
    test: testOf(node, field, type, lower !== undefined),
  };
}

function fieldOf({ name, at }: Named, subsystem: Subsystem): Field {
  const field = (subsystem === 'http' ? HTTP_FIELDS : STREAM_FIELDS).get(name);
  if (field !== undefined) return field;
  if (subsystem === 'stream') {
    const isOfHttp = HTTP_FIELDS.has(name) || name.startsWith('http.');
    const why = isOfHttp ? `${name} is not of TCP, TLS or UDP` : `no field ${name}`;
    throw new ExpressionRefusal(why, at);
  }
  const segments = SEGMENTS.exec(name);
  if (segments !== null) {
    const first = Number(segments[1]);
    const last = segments[2] === undefined ? first : Number(segments[2]);
    if (segments[2] === undefined || first < last) return { type: 'segments', first, last };
  }
  if (name.startsWith('http.path.segments.')) {
    throw new ExpressionRefusal(
      `${name}: after segments. comes len, a number, or two with the smaller first (0_2)`,
      at,
    );
  }
  const header = HEADER.exec(name)?.[1];
  if (header !== undefined) {
    return { type: 'header', name: header.toLowerCase().replaceAll('_', '-') };
  }
  const query = QUERY.exec(name)?.[1];
  if (query !== undefined) return { type: 'query', name: query };
  throw new ExpressionRefusal(`no field ${name}`, at);
}

function typeOf(field: Field): FieldType {
  switch (field.type) {
    case 'source-port':
    case 'destination-port':
    case 'segment-count':
      return 'Int';
    case 'source-ip':
    case 'destination-ip':
      return 'IpAddr';
    default:
      return 'String';
  }
}

const NAMES: Readonly<Record<Literal['type'], string>> = {
  string: 'a string',
  int: 'an integer',
  ip: 'an IP address',
  cidr: 'a network',
};

function testOf(node: PredicateSyntax, field: Field, type: FieldType, isLower: boolean): Test {
  const { operator, literal } = node;
  const is = `${node.field.name} is ${type}`;
  switch (operator) {
    case '~':
      if (type !== 'String' || literal.type !== 'string') break;
      return regexTest(field, literal);
    case '^=':
    case '=^':
    case 'contains':
      if (type !== 'String' || literal.type !== 'string') break;
      return { type: 'text', operator, text: textOf(node, field, isLower) };
    case '>':
    case '>=':
    case '<':
    case '<=':
      if (type !== 'Int' || literal.type !== 'int') break;
      return { type: 'int', operator, value: intOf(literal) };
    case 'in':
    case 'not in':
      if (type !== 'IpAddr' || literal.type !== 'cidr') break;
      return cidrTest(operator, literal);
    default:
      if (type === 'String' && literal.type === 'string') {
        return { type: 'text', operator, text: textOf(node, field, isLower) };
      }
      if (type === 'Int' && literal.type === 'int') {
        return { type: 'int', operator, value: intOf(literal) };
      }
      if (type === 'IpAddr' && literal.type === 'ip') {
        return { type: 'ip', operator, address: ipOf(literal) };
      }
  }
  throw new ExpressionRefusal(
    `${operator} does not compare so: ${is}, and this ${NAMES[literal.type]}`,
    literal.at,
  );
}

/** Names of hosts have no case; what they are compared with here is in lower case. */
function isName(field: Field): boolean {
  return field.type === 'host' || field.type === 'sni';
}

function textOf({ operator, literal }: PredicateSyntax, field: Field, isLower: boolean): string {
  const { text } = literal;
  if (!isName(field)) return text;
  // The final dot of a full name is no part of it (Kong `router/transform.lua`, sni_val_transform).
  const isEnd = operator === '==' || operator === '!=' || operator === '=^';
  const isFull = field.type === 'sni' && isEnd && text.length > 1 && text.endsWith('.');
  const name = isFull ? text.slice(0, -1) : text;
  // Under lower() capitals never match, and go on doing so.
  return isLower ? name : name.toLowerCase();
}

function regexTest(field: Field, { text, at }: Literal): Test {
  const compiled = compileExpressionRegex(text, isName(field));
  if (!compiled.ok) throw new ExpressionRefusal(`invalid regex: ${compiled.reason}`, at);
  return { type: 'regex', regex: compiled.regex };
}

function intOf({ text, at }: Literal): number {
  const isNegative = text.startsWith('-');
  const digits = isNegative ? text.slice(1) : text;
  const value = BigInt(/^0[0-7]+$/.test(digits) ? `0o${digits}` : digits);
  if (value > INT_MAX) throw new ExpressionRefusal(`an integer is at most ${INT_MAX}`, at);
  return Number(isNegative ? -value : value);
}

function ipOf({ text, at }: Literal): bigint {
  const address = parseIp(text);
  if (address === null) throw new ExpressionRefusal(`no IP address: ${text}`, at);
  return address;
}

function cidrTest(operator: 'in' | 'not in', { text, at }: Literal): Test {
  const network = parseCidr(text);
  if (network === null) throw new ExpressionRefusal(`no network: ${text}`, at);
  if (parseIp(text.slice(0, text.indexOf('/'))) !== network.address) {
    throw new ExpressionRefusal(`${text} has bits set beyond its prefix`, at);
  }
  return { type: 'cidr', operator, network, isV6: !isIPv4(network.address) };
}
