/** Reads expressions and names; statements are read by what extends this. */
import type { Call, Expr, OrderItem, Select, TypeName } from './sql-ast.ts';
import { tokensOf, type Token } from './sql-lexer.ts';

/** Words that end an expression, or stand where a name could but is not meant. */
const RESERVED = new Set(
  (
    'select from where group having order limit offset for union on join left inner cross as set ' +
    'returning values and or not is in like ilike between then else end when using with case ' +
    'asc desc nulls conflict do lateral distinct exists any all over filter collate window'
  ).split(' '),
);

const COMPARISONS = new Set(['=', '<>', '!=', '<', '>', '<=', '>=']);
const OTHERS = new Set(['||', '->', '->>', '#>', '#>>', '@>', '<@', '&&', '~', '<<']);

/** Of two words; all others are one. */
const LONG_TYPES: Readonly<Record<string, string>> = {
  double: 'precision',
  character: 'varying',
};

export abstract class ExpressionParser {
  readonly #text: string;
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(text: string) {
    this.#text = text;
    this.#tokens = tokensOf(text);
  }

  protected abstract select(): Select;

  protected get token(): Token {
    return this.#tokens[this.#at] ?? { type: 'end', text: '' };
  }

  protected peek(offset: number): Token {
    return this.#tokens[this.#at + offset] ?? { type: 'end', text: '' };
  }

  protected next(): Token {
    const { token } = this;
    this.#at += 1;
    return token;
  }

  protected fail(wanted: string): never {
    const found = this.#tokens
      .slice(this.#at, this.#at + 8)
      .map(({ text }) => text)
      .join(' ');
    throw new Error(
      `the model reads no such SQL (${wanted} expected at "${found}"): ${this.#text}`,
    );
  }

  protected isWord(...words: readonly string[]): boolean {
    return words.every((word, index) => {
      const token = this.peek(index);
      return token.type === 'word' && token.text === word;
    });
  }

  /** Takes these words if they come next. */
  protected word(...words: readonly string[]): boolean {
    if (!this.isWord(...words)) return false;
    this.#at += words.length;
    return true;
  }

  protected isOp(op: string): boolean {
    return this.token.type === 'op' && this.token.text === op;
  }

  protected op(op: string): boolean {
    if (!this.isOp(op)) return false;
    this.#at += 1;
    return true;
  }

  protected expectWord(...words: readonly string[]): void {
    if (!this.word(...words)) this.fail(words.join(' '));
  }

  protected expectOp(op: string): void {
    if (!this.op(op)) this.fail(op);
  }

  protected isName(): boolean {
    const { type, text } = this.token;
    return type === 'quoted' || (type === 'word' && !RESERVED.has(text));
  }

  protected name(): string {
    if (this.token.type !== 'word' && this.token.type !== 'quoted') this.fail('a name');
    return this.next().text;
  }

  protected names(): string[] {
    this.expectOp('(');
    const names = this.list(() => this.name());
    this.expectOp(')');
    return names;
  }

  protected list<T>(read: () => T): T[] {
    const items = [read()];
    while (this.op(',')) items.push(read());
    return items;
  }

  protected typeName(): TypeName {
    let name = this.name();
    const second = LONG_TYPES[name];
    if (second !== undefined) this.word(second);
    if (name === 'timestamp' && this.word('with', 'time', 'zone')) name = 'timestamptz';
    if (this.op('(')) {
      this.list(() => this.next());
      this.expectOp(')');
    }
    let isArray = false;
    while (this.op('[')) {
      this.expectOp(']');
      isArray = true;
    }
    return { name, isArray };
  }

  protected orderItems(): OrderItem[] {
    return this.list(() => {
      const expr = this.expr();
      const isDescending = this.word('desc');
      if (!isDescending) this.word('asc');
      if (this.word('nulls')) this.next();
      return { expr, isDescending };
    });
  }

  expr(): Expr {
    let a = this.#and();
    while (this.word('or')) a = { t: 'binary', op: 'or', a, b: this.#and() };
    return a;
  }

  #and(): Expr {
    let a = this.#not();
    while (this.word('and')) a = { t: 'binary', op: 'and', a, b: this.#not() };
    return a;
  }

  #not(): Expr {
    if (this.word('not')) return { t: 'not', a: this.#not() };
    return this.#comparison();
  }

  #comparison(): Expr {
    let a = this.#other();
    for (;;) {
      if (this.token.type === 'op' && COMPARISONS.has(this.token.text)) {
        const found = this.next().text;
        a = this.#compared(a, found === '!=' ? '<>' : found);
        continue;
      }
      const worded = this.#worded(a);
      if (worded === null) return a;
      a = worded;
    }
  }

  #compared(a: Expr, op: string): Expr {
    if (!this.isWord('any') && !this.isWord('all')) {
      return { t: 'binary', op, a, b: this.#other() };
    }
    const isAll = this.next().text === 'all';
    this.expectOp('(');
    const of: Expr = this.isWord('select')
      ? { t: 'call', name: 'array_of', args: [{ t: 'scalar', query: this.select() }], ...PLAIN }
      : this.expr();
    this.expectOp(')');
    return { t: 'any', op, a, of, isAll };
  }

  /** Operators that are words. */
  #worded(a: Expr): Expr | null {
    if (this.word('is')) {
      const isNot = this.word('not');
      if (this.word('null')) return { t: 'is_null', a, isNot };
      if (this.word('distinct', 'from')) return { t: 'distinct', a, b: this.#other(), isNot };
      if (this.word('true')) return { t: 'distinct', a, b: literal(true), isNot: !isNot };
      this.expectWord('false');
      return { t: 'distinct', a, b: literal(false), isNot: !isNot };
    }
    const isNot =
      this.isWord('not', 'in') || this.isWord('not', 'like') || this.isWord('not', 'between');
    if (isNot) this.next();
    if (this.word('in')) {
      this.expectOp('(');
      const of = this.isWord('select') ? this.select() : this.list(() => this.expr());
      this.expectOp(')');
      return { t: 'in', a, of, isNot };
    }
    if (this.word('like')) return negated({ t: 'binary', op: 'like', a, b: this.#other() }, isNot);
    if (this.word('between')) {
      const low = this.#other();
      this.expectWord('and');
      const high = this.#other();
      const above: Expr = { t: 'binary', op: '>=', a, b: low };
      const below: Expr = { t: 'binary', op: '<=', a, b: high };
      return negated({ t: 'binary', op: 'and', a: above, b: below }, isNot);
    }
    return null;
  }

  #other(): Expr {
    let a = this.#sum();
    while (this.token.type === 'op' && OTHERS.has(this.token.text)) {
      a = { t: 'binary', op: this.next().text, a, b: this.#sum() };
    }
    return a;
  }

  #sum(): Expr {
    let a = this.#product();
    while (this.isOp('+') || this.isOp('-')) {
      a = { t: 'binary', op: this.next().text, a, b: this.#product() };
    }
    return a;
  }

  #product(): Expr {
    let a = this.#unary();
    while (this.isOp('*') || this.isOp('/') || this.isOp('%')) {
      a = { t: 'binary', op: this.next().text, a, b: this.#unary() };
    }
    return a;
  }

  #unary(): Expr {
    if (this.op('-')) return { t: 'negate', a: this.#unary() };
    let a = this.#primary();
    for (;;) {
      if (this.op('::')) {
        a = { t: 'cast', a, type: this.typeName() };
      } else if (this.word('collate')) {
        this.next();
      } else if (this.op('[')) {
        a = { t: 'item', a, index: this.expr() };
        this.expectOp(']');
      } else {
        return a;
      }
    }
  }

  #primary(): Expr {
    const { type, text } = this.token;
    if (type === 'param') return { t: 'param', index: Number(this.next().text) - 1 };
    if (type === 'string') return literal(this.next().text);
    if (type === 'number') return literal(Number(this.next().text));
    if (this.op('(')) return this.#parenthesis();
    if (type === 'quoted') return this.#named();
    if (type !== 'word') return this.fail('an expression');
    switch (text) {
      case 'null':
        this.next();
        return literal(null);
      case 'true':
      case 'false':
        return literal(this.next().text === 'true');
      case 'case':
        return this.#case();
      case 'exists': {
        this.next();
        this.expectOp('(');
        const query = this.select();
        this.expectOp(')');
        return { t: 'exists', query };
      }
      case 'array':
        return this.#array();
      default:
        return this.#special(text) ?? this.#named();
    }
  }

  /** What looks like a function and has a syntax of its own. */
  #special(text: string): Expr | null {
    if (text === 'interval' && this.peek(1).type === 'string') {
      this.next();
      return {
        t: 'cast',
        a: literal(this.next().text),
        type: { name: 'interval', isArray: false },
      };
    }
    if (text === 'extract' && this.peek(1).text === '(') {
      this.next();
      this.next();
      const part = literal(this.name());
      this.expectWord('from');
      const a = this.expr();
      this.expectOp(')');
      return { t: 'call', name: 'extract', args: [part, a], ...PLAIN };
    }
    if (text === 'cast' && this.peek(1).text === '(') {
      this.next();
      this.next();
      const a = this.expr();
      this.expectWord('as');
      const type = this.typeName();
      this.expectOp(')');
      return { t: 'cast', a, type };
    }
    return null;
  }

  #parenthesis(): Expr {
    if (this.isWord('select') || this.isWord('with')) {
      const query = this.select();
      this.expectOp(')');
      return { t: 'scalar', query };
    }
    const items = this.list(() => this.expr());
    this.expectOp(')');
    const [only] = items;
    return items.length === 1 && only !== undefined ? only : { t: 'row', items };
  }

  #array(): Expr {
    this.next();
    if (this.op('(')) {
      const query = this.select();
      this.expectOp(')');
      return { t: 'call', name: 'array_of', args: [{ t: 'scalar', query }], ...PLAIN };
    }
    this.expectOp('[');
    const items = this.isOp(']') ? [] : this.list(() => this.expr());
    this.expectOp(']');
    return { t: 'array', items };
  }

  #case(): Expr {
    this.next();
    const operand = this.isWord('when') ? null : this.expr();
    const whens: [Expr, Expr][] = [];
    while (this.word('when')) {
      const when = this.expr();
      this.expectWord('then');
      whens.push([when, this.expr()]);
    }
    const otherwise = this.word('else') ? this.expr() : null;
    this.expectWord('end');
    return { t: 'case', operand, whens, otherwise };
  }

  #named(): Expr {
    const name = this.name();
    if (this.isOp('(')) return this.call(name);
    if (!this.op('.')) return { t: 'column', table: null, name };
    return { t: 'column', table: name, name: this.name() };
  }

  protected call(name: string): Call {
    this.expectOp('(');
    const args: Expr[] = [];
    const named: Record<string, Expr> = {};
    const isDistinct = this.word('distinct');
    if (!this.op('*') && !this.isOp(')')) {
      this.list(() => {
        if (this.peek(1).text === '=>') {
          const key = this.name();
          this.next();
          named[key] = this.expr();
        } else {
          args.push(this.expr());
        }
      });
    }
    const orderBy = this.word('order', 'by') ? this.orderItems() : [];
    this.expectOp(')');
    return { t: 'call', name, args, named, isDistinct, orderBy, ...this.#suffix() };
  }

  #suffix(): Pick<Call, 'filter' | 'over'> {
    let filter: Expr | null = null;
    if (this.word('filter')) {
      this.expectOp('(');
      this.expectWord('where');
      filter = this.expr();
      this.expectOp(')');
    }
    if (!this.word('over')) return { filter, over: null };
    this.expectOp('(');
    const by = this.word('partition', 'by') ? this.list(() => this.expr()) : [];
    const orderBy = this.word('order', 'by') ? this.orderItems() : [];
    this.expectOp(')');
    return { filter, over: { by, orderBy } };
  }
}

const PLAIN = { named: {}, isDistinct: false, filter: null, orderBy: [], over: null } as const;

function literal(value: unknown): Expr {
  return { t: 'literal', value };
}

function negated(a: Expr, isNot: boolean): Expr {
  return isNot ? { t: 'not', a } : a;
}
