/**
 * Expressions read as plainly as can be: every field of a request is a list of values, every predicate a
 * sentence about them. Independent of the checked tree, of laziness and of the engine; for comparison.
 *
 * Source: Kong/atc-router `src/interpreter.rs`; Kong `router/fields.lua`.
 */
import { parseSyntax } from '../../expression/syntax.ts';
import type { PredicateNode, SyntaxNode } from '../../expression/syntax.ts';
import type { RequestFacts } from '../facts.ts';

export function referenceMatches(source: string, facts: RequestFacts): boolean {
  return holds(parseSyntax(source), facts);
}

function holds(node: SyntaxNode, facts: RequestFacts): boolean {
  switch (node.type) {
    case 'and':
      return node.terms.every((term) => holds(term, facts));
    case 'or':
      return node.terms.some((term) => holds(term, facts));
    case 'not':
      return !holds(node.term, facts);
    default:
      return isTrue(node, facts);
  }
}

function isTrue(node: PredicateNode, facts: RequestFacts): boolean {
  const values = valuesOf(node.field.name, facts);
  const names = new Set(node.functions.map(({ name }) => name));
  const lowered = names.has('lower') ? values.map((value) => String(value).toLowerCase()) : values;
  if (names.has('any')) return lowered.some((value) => isTrueOf(node, value));
  return values.length > 0 && lowered.every((value) => isTrueOf(node, value));
}

type Value = string | number;

function valuesOf(field: string, facts: RequestFacts): Value[] {
  const [host, port] = (facts.host?.toLowerCase() ?? '').split(':');
  const segments = facts.path.slice(1).replace(/\/+$/, '').split('/');
  if (segments[0] === '') segments.pop();
  const single: Readonly<Record<string, Value | null | undefined>> = {
    'net.protocol': facts.scheme,
    'tls.sni': facts.sni?.toLowerCase().replace(/(?<=.)\.$/, ''),
    'net.src.ip': facts.sourceAddress,
    'net.src.port': facts.sourcePort,
    'net.dst.ip': facts.address,
    'net.dst.port': port === undefined || port === '' ? facts.port : Number(port),
    'http.method': facts.method,
    'http.host': facts.host === null ? null : host,
    'http.path': facts.path,
    'http.path.segments.len': segments.length,
  };
  if (Object.hasOwn(single, field)) return [single[field] ?? []].flat();
  const [, kind, name = ''] = /^http\.(path\.segments|headers|queries)\.(.*)$/.exec(field) ?? [];
  if (kind === undefined) throw new Error(field);
  if (kind === 'path.segments') return range(segments, name);
  if (kind === 'headers') return headerValues(facts, name);
  return new URLSearchParams(facts.query ?? '').getAll(name);
}

function range(segments: readonly string[], suffix: string): string[] {
  const [first = 0, last = first] = suffix.split('_').map(Number);
  return last < segments.length ? [segments.slice(first, last + 1).join('/')] : [];
}

function headerValues(facts: RequestFacts, name: string): string[] {
  const values: string[] = [];
  for (let i = 0; i < facts.headers.size; i += 1) {
    const received = facts.headers.lowerNameAt(i).replaceAll('-', '_');
    if (received === name.toLowerCase()) values.push(facts.headers.valueAt(i));
  }
  return values;
}

function isTrueOf({ field, operator, literal, functions }: PredicateNode, value: Value): boolean {
  const isName = field.name === 'http.host' || field.name === 'tls.sni';
  const isLower = functions.some(({ name }) => name === 'lower');
  const isEnd = operator === '==' || operator === '!=' || operator === '=^';
  const full =
    field.name === 'tls.sni' && isEnd ? literal.text.replace(/(?<=.)\.$/, '') : literal.text;
  const text = isName && !isLower ? full.toLowerCase() : full;
  const mine = String(value);
  switch (operator) {
    case '==':
      return literal.type === 'int' ? value === Number(text) : mine === text;
    case '!=':
      return literal.type === 'int' ? value !== Number(text) : mine !== text;
    case '~':
      return new RegExp(text, isName ? 'iu' : 'u').test(mine);
    case '^=':
      return mine.startsWith(text);
    case '=^':
      return mine.endsWith(text);
    case 'contains':
      return mine.includes(text);
    case '>':
      return Number(value) > Number(text);
    case '>=':
      return Number(value) >= Number(text);
    case '<':
      return Number(value) < Number(text);
    case '<=':
      return Number(value) <= Number(text);
    case 'in':
      return isWithin(mine, text);
    default:
      return !isWithin(mine, text);
  }
}

/** IPv4 alone, bit by bit. */
function isWithin(address: string, network: string): boolean {
  const [base = '', bits = '32'] = network.split('/');
  return bitsOf(address).slice(0, Number(bits)) === bitsOf(base).slice(0, Number(bits));
}

function bitsOf(address: string): string {
  return address
    .split('.')
    .map((part) => Number(part).toString(2).padStart(8, '0'))
    .join('');
}
