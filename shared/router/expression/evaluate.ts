/**
 * A checked expression as functions, made when tables are built.
 *
 * Source: Kong/atc-router 1.7 `src/interpreter.rs`.
 */
import { unreachable } from '../../base/assert.ts';
import { isInCidr, isIPv4 } from '../../base/ip.ts';
import type { IpNumber } from '../../base/ip.ts';
import type { RegexMatch } from '../../regex/regex.ts';
import type { ExpressionNode, Field, PredicateNode, Test } from '../../expression/tree.ts';
import type { ExpressionInput } from './input.ts';

/**
 * What a match leaves behind. Every predicate that held writes here, also one in a branch that then
 * failed, and a later one over an earlier one: that is how Kong fills it.
 */
export class MatchRecord {
  /** Of the last `==`, `^=`, `=^` or `~` on the path that held: the literal, or the regex's match. */
  path: string | null = null;
  named: Record<string, string> | null = null;
  indexed: string[] | null = null;

  addGroups({ named, indexed }: RegexMatch): void {
    if (this.named === null || this.indexed === null) {
      this.named = named;
      this.indexed = indexed;
      return;
    }
    Object.assign(this.named, named);
    for (const [index, value] of indexed.entries()) this.indexed[index] = value;
  }
}

/** @param record  null when only the answer is wanted */
export type Evaluate = (input: ExpressionInput, record: MatchRecord | null) => boolean;
type ValueTest = (value: string, record: MatchRecord | null) => boolean;

export function toEvaluate(node: ExpressionNode): Evaluate {
  switch (node.type) {
    case 'and':
      return conjunction(node.terms.map(toEvaluate));
    case 'or':
      return disjunction(node.terms.map(toEvaluate));
    case 'not': {
      const term = toEvaluate(node.term);
      return (input, record) => !term(input, record);
    }
    default:
      return predicate(node);
  }
}

function conjunction(terms: readonly Evaluate[]): Evaluate {
  return (input, record) => {
    for (const term of terms) if (!term(input, record)) return false;
    return true;
  };
}

function disjunction(terms: readonly Evaluate[]): Evaluate {
  return (input, record) => {
    for (const term of terms) if (term(input, record)) return true;
    return false;
  };
}

function predicate({ field, test, isAny, isLower }: PredicateNode): Evaluate {
  switch (field.type) {
    case 'header':
    case 'query': {
      const holds = valueTest(field, test, isLower);
      if (field.type === 'header') return headerPredicate(field.name, holds, isAny);
      return queryPredicate(field.name, holds, isAny);
    }
    case 'source-ip':
      return ipPredicate((input) => input.sourceIp, test);
    case 'destination-ip':
      return ipPredicate((input) => input.destinationIp, test);
    case 'source-port':
      return intPredicate((input) => input.sourcePort, test);
    case 'destination-port':
      return intPredicate((input) => input.destinationPort, test);
    case 'segment-count':
      return intPredicate((input) => input.segments.length, test);
    default:
      return textPredicate(textOf(field), valueTest(field, test, isLower));
  }
}

type TextField = Exclude<
  Field,
  {
    readonly type:
      | 'header'
      | 'query'
      | 'source-ip'
      | 'destination-ip'
      | 'source-port'
      | 'destination-port'
      | 'segment-count';
  }
>;

/** Null: the request has no such thing, and no operator holds. */
function textOf(field: TextField): (input: ExpressionInput) => string | null {
  switch (field.type) {
    case 'protocol':
      return (input) => input.protocol;
    case 'sni':
      return (input) => input.sni;
    case 'method':
      return (input) => input.method;
    case 'host':
      return (input) => input.host;
    case 'path':
      return (input) => input.path;
    case 'segments': {
      const { first, last } = field;
      if (first === last) return (input) => input.segments[first] ?? null;
      return ({ segments }) =>
        last < segments.length ? segments.slice(first, last + 1).join('/') : null;
    }
    default:
      return unreachable(field);
  }
}

function textPredicate(
  read: (input: ExpressionInput) => string | null,
  holds: ValueTest,
): Evaluate {
  return (input, record) => {
    const value = read(input);
    return value !== null && holds(value, record);
  };
}

function headerPredicate(name: string, holds: ValueTest, isAny: boolean): Evaluate {
  return ({ headers }, record) => {
    if (headers === null) return false;
    let isPresent = false;
    for (let i = 0; i < headers.size; i += 1) {
      if (!isSameName(headers.lowerNameAt(i), name)) continue;
      if (holds(headers.valueAt(i), record)) {
        if (isAny) return true;
        isPresent = true;
      } else if (!isAny) return false;
    }
    return isPresent;
  };
}

/** Dashes and underscores in names of headers are one, as in Kong. */
function isSameName(received: string, name: string): boolean {
  if (received === name) return true;
  if (received.length !== name.length || !received.includes('_')) return false;
  return received.replaceAll('_', '-') === name;
}

function queryPredicate(name: string, holds: ValueTest, isAny: boolean): Evaluate {
  return (input, record) => {
    const values = input.queryValues(name);
    for (const value of values) {
      const isHeld = holds(value, record);
      if (isHeld === isAny) return isHeld;
    }
    return !isAny && values.length > 0;
  };
}

function valueTest(field: Field, test: Test, isLower: boolean): ValueTest {
  const holds = plainTest(field.type === 'path', test);
  return isLower ? (value, record) => holds(value.toLowerCase(), record) : holds;
}

function plainTest(isPath: boolean, test: Test): ValueTest {
  if (test.type === 'regex') return regexTest(isPath, test.regex);
  if (test.type !== 'text') throw new TypeError(`a ${test.type} test of a text`);
  const { text, operator } = test;
  switch (operator) {
    case '!=':
      return (value) => value !== text;
    case 'contains':
      return (value) => value.includes(text);
    case '==':
      return recorded(isPath, text, (value) => value === text);
    case '^=':
      return recorded(isPath, text, (value) => value.startsWith(text));
    default:
      return recorded(isPath, text, (value) => value.endsWith(text));
  }
}

function recorded(isPath: boolean, text: string, holds: (value: string) => boolean): ValueTest {
  if (!isPath) return holds;
  return (value, record) => {
    if (!holds(value)) return false;
    if (record !== null) record.path = text;
    return true;
  };
}

function regexTest(isPath: boolean, regex: Extract<Test, { type: 'regex' }>['regex']): ValueTest {
  return (value, record) => {
    if (record === null) return regex.test(value);
    const match = regex.search(value);
    if (match === null) return false;
    if (isPath) record.path = match.matched;
    record.addGroups(match);
    return true;
  };
}

function intPredicate(read: (input: ExpressionInput) => number, test: Test): Evaluate {
  if (test.type !== 'int') throw new TypeError(`a ${test.type} test of an integer`);
  const { value } = test;
  switch (test.operator) {
    case '==':
      return (input) => read(input) === value;
    case '!=':
      return (input) => read(input) !== value;
    case '>':
      return (input) => read(input) > value;
    case '>=':
      return (input) => read(input) >= value;
    case '<':
      return (input) => read(input) < value;
    default:
      return (input) => read(input) <= value;
  }
}

function ipPredicate(read: (input: ExpressionInput) => IpNumber | null, test: Test): Evaluate {
  const holds = ipTest(test);
  return (input) => {
    const address = read(input);
    return address !== null && holds(address);
  };
}

function ipTest(test: Test): (address: IpNumber) => boolean {
  if (test.type === 'ip') {
    const wanted = test.operator === '==';
    return (address) => (address === test.address) === wanted;
  }
  if (test.type !== 'cidr') throw new TypeError(`a ${test.type} test of an IP address`);
  const { network, isV6 } = test;
  const wanted = test.operator === 'in';
  return (address) => (isInCidr(address, network) && !(isV6 && isIPv4(address))) === wanted;
}
