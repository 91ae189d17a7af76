/**
 * The syntax of Kong's router expressions: text to tree. What fields exist and which operators suit
 * their types is `./check.ts`'s concern.
 *
 * Source: Kong/atc-router 1.7 `src/atc_grammar.pest`, `src/parser.rs`.
 */
import { utf8 } from '../base/bytes.ts';

/** Longest expression, in bytes. */
export const EXPRESSION_LENGTH_MAX = 16 * 1024;
/** Brackets and functions within each other. */
export const EXPRESSION_DEPTH_MAX = 100;

export type Operator =
  | '=='
  | '!='
  | '~'
  | '^='
  | '=^'
  | '>'
  | '>='
  | '<'
  | '<='
  | 'in'
  | 'not in'
  | 'contains';

export type SyntaxNode =
  | { readonly type: 'and' | 'or'; readonly terms: readonly SyntaxNode[] }
  | { readonly type: 'not'; readonly term: SyntaxNode }
  | PredicateNode;

/** `lower(any(http.headers.x)) == "a"` */
export interface PredicateNode {
  readonly type: 'predicate';
  readonly functions: readonly Named[];
  readonly field: Named;
  readonly operator: Operator;
  readonly literal: Literal;
}

export interface Named {
  readonly name: string;
  /** Offset in the source, in UTF-16 units. */
  readonly at: number;
}

export interface Literal {
  readonly type: 'string' | 'int' | 'ip' | 'cidr';
  /** Of a string, what it says, escapes undone; otherwise as written. */
  readonly text: string;
  readonly at: number;
}

/** Why an expression is refused, and where; thrown and caught within this folder. */
export class ExpressionRefusal extends Error {
  override readonly name = 'ExpressionRefusal';
  readonly at: number;

  constructor(reason: string, at: number) {
    super(reason);
    this.at = at;
  }
}

const SPACE = /[ \t\r\n]*/y;
const IDENTIFIER = /[A-Za-z][A-Za-z0-9_.]*/y;
/** In the order of the grammar: `>=` before `>`. */
const OPERATOR = /==|!=|~|\^=|=\^|>=|>|<=|<|in|not[ \t\r\n]+in|contains/y;
const STRING = /"(?:\\["\\nrt]|[^"\\])*"/y;
const V4 = String.raw`[0-9]{1,3}(?:\.[0-9]{1,3}){3}`;
const V6 = '(?::|[0-9a-fA-F]{1,4}):(?:[0-9a-fA-F]{1,4}|:)*';
const CIDR = new RegExp(`${V4}/[0-9]{1,2}|${V6}/[0-9]{1,3}`, 'y');
const IP = new RegExp(`${V4}|${V6}`, 'y');
/** A leading zero makes it octal, as long as the digits are. */
const INT = /-?(?:0[0-7]+|0x[0-9a-fA-F]+|[0-9]+)/y;
const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
]);

/** Throws `ExpressionRefusal`. */
export function parseSyntax(source: string): SyntaxNode {
  // No text has more UTF-16 units than bytes, so that a long one is not encoded to be measured.
  if (source.length > EXPRESSION_LENGTH_MAX || utf8(source).length > EXPRESSION_LENGTH_MAX) {
    throw new ExpressionRefusal(`longer than ${EXPRESSION_LENGTH_MAX} bytes`, 0);
  }
  return new Parser(source).run();
}

class Parser {
  readonly #source: string;
  #at = 0;
  #depth = 0;

  constructor(source: string) {
    this.#source = source;
  }

  run(): SyntaxNode {
    const tree = this.#expression();
    if (this.#at < this.#source.length) this.#fail('expected &&, || or the end');
    return tree;
  }

  /** `||` binds tighter than `&&`, and so it does in Kong (atc-router `parser.rs`, PrattParser). */
  #expression(): SyntaxNode {
    const all: SyntaxNode[] = [];
    let any: SyntaxNode[] = [this.#term()];
    for (;;) {
      this.#space();
      if (this.#take('||')) any.push(this.#term());
      else if (this.#take('&&')) {
        all.push(joined('or', any));
        any = [this.#term()];
      } else break;
    }
    all.push(joined('or', any));
    return joined('and', all);
  }

  #term(): SyntaxNode {
    this.#space();
    const start = this.#at;
    const isNegated = this.#take('!');
    if (isNegated) this.#space();
    if (this.#take('(')) {
      this.#descend(start);
      const inner = this.#expression();
      this.#space();
      if (!this.#take(')')) this.#fail('expected &&, || or )');
      this.#depth -= 1;
      return isNegated ? { type: 'not', term: inner } : inner;
    }
    if (isNegated) this.#fail('expected ( after !');
    return this.#predicate();
  }

  #predicate(): SyntaxNode {
    const functions: Named[] = [];
    let field = this.#identifier();
    this.#space();
    while (this.#take('(')) {
      this.#descend(field.at);
      functions.push(field);
      this.#space();
      field = this.#identifier();
      this.#space();
    }
    for (let i = 0; i < functions.length; i += 1) {
      if (!this.#take(')')) this.#fail('expected )');
      this.#depth -= 1;
      this.#space();
    }
    const operator = this.#match(OPERATOR) ?? this.#fail('expected an operator');
    this.#space();
    const literal = this.#literal();
    return { type: 'predicate', functions, field, operator: toOperator(operator), literal };
  }

  #identifier(): Named {
    const at = this.#at;
    return { name: this.#match(IDENTIFIER) ?? this.#fail('expected a field'), at };
  }

  #literal(): Literal {
    const at = this.#at;
    if (this.#source.startsWith('r#"', at)) return this.#rawString();
    if (this.#source.startsWith('"', at)) return this.#string();
    const cidr = this.#match(CIDR);
    if (cidr !== null) return { type: 'cidr', text: cidr, at };
    const ip = this.#match(IP);
    if (ip !== null) return { type: 'ip', text: ip, at };
    const text = this.#match(INT) ?? this.#fail('expected a value');
    return { type: 'int', text, at };
  }

  #string(): Literal {
    const at = this.#at;
    const quoted =
      this.#match(STRING) ??
      this.#fail(String.raw`a string does not end, or escapes more than \" \\ \n \r \t`);
    const text = quoted
      .slice(1, -1)
      .replaceAll(/\\(.)/g, (_, letter: string) => ESCAPES.get(letter) ?? letter);
    return { type: 'string', text, at };
  }

  #rawString(): Literal {
    const at = this.#at;
    const end = this.#source.indexOf('"#', at + 3);
    if (end < 0) this.#fail('a raw string does not end');
    this.#at = end + 2;
    return { type: 'string', text: this.#source.slice(at + 3, end), at };
  }

  #descend(at: number): void {
    this.#depth += 1;
    if (this.#depth > EXPRESSION_DEPTH_MAX) {
      throw new ExpressionRefusal(`brackets go deeper than ${EXPRESSION_DEPTH_MAX}`, at);
    }
  }

  #space(): void {
    this.#match(SPACE);
  }

  #take(text: string): boolean {
    if (!this.#source.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  /** @param pattern  sticky */
  #match(pattern: RegExp): string | null {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#source)?.[0] ?? null;
    if (found !== null) this.#at += found.length;
    return found;
  }

  #fail(expected: string): never {
    throw new ExpressionRefusal(expected, this.#at);
  }
}

function joined(type: 'and' | 'or', terms: readonly SyntaxNode[]): SyntaxNode {
  const [first] = terms;
  return first !== undefined && terms.length === 1 ? first : { type, terms };
}

function toOperator(text: string): Operator {
  // The pattern admits nothing else; `not in` may be spaced in any way.
  return (text.startsWith('not') ? 'not in' : text) as Operator;
}
