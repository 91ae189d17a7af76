/** Text of SQL → statement, remembered: the same few texts come again and again. */
import type {
  ColumnDefinition,
  Cte,
  Definition,
  Delete,
  Expr,
  From,
  Insert,
  Locking,
  Select,
  SelectItem,
  Statement,
  UniqueKey,
  Update,
} from './sql-ast.ts';
import { ExpressionParser } from './sql-expressions.ts';

const parsed = new Map<string, Statement>();

export function parseSql(text: string): Statement {
  const known = parsed.get(text);
  if (known !== undefined) return known;
  const statement = new StatementParser(text).whole();
  parsed.set(text, statement);
  return statement;
}

class StatementParser extends ExpressionParser {
  whole(): Statement {
    const statement = this.#statement();
    this.op(';');
    if (this.token.type !== 'end') this.fail('the end');
    return statement;
  }

  #statement(): Statement {
    if (this.isWord('create') || this.isWord('alter')) return this.#definition();
    for (const word of ['grant', 'revoke', 'comment', 'set', 'do', 'drop']) {
      if (this.isWord(word)) return this.#ignore();
    }
    return this.#query(this.#ctes());
  }

  #ignore(): Definition {
    while (this.token.type !== 'end') this.next();
    return { t: 'ignored' };
  }

  #ctes(): Cte[] {
    if (!this.word('with')) return [];
    return this.list(() => {
      const name = this.name();
      this.expectWord('as');
      if (!this.word('materialized')) this.word('not', 'materialized');
      this.expectOp('(');
      const statement = this.#query(this.#ctes());
      this.expectOp(')');
      return { name, statement };
    });
  }

  #query(ctes: readonly Cte[]): Select | Insert | Update | Delete {
    if (this.word('insert', 'into')) return this.#insert(ctes);
    if (this.word('update')) return this.#update(ctes);
    if (this.word('delete', 'from')) return this.#delete(ctes);
    return this.#select(ctes);
  }

  protected select(): Select {
    return this.#select(this.#ctes());
  }

  #select(ctes: readonly Cte[]): Select {
    const first = this.#term(ctes);
    if (!this.word('union', 'all')) return { ...first, ...this.#tail() };
    const union = this.#select([]);
    const { orderBy, limit, offset } = union;
    return {
      ...first,
      union: { ...union, orderBy: [], limit: null, offset: null },
      orderBy,
      limit,
      offset,
    };
  }

  #term(ctes: readonly Cte[]): Select {
    if (this.op('(')) {
      const inner = this.#select(ctes);
      this.expectOp(')');
      // Its order and limit are its own, whatever follows it.
      const from: From = { t: 'query', query: inner, alias: 'inner_query', isLateral: false };
      return { ...EMPTY_SELECT, items: [{ t: 'star', table: null }], from };
    }
    if (this.word('values')) {
      const values = this.list(() => {
        this.expectOp('(');
        const row = this.list(() => this.expr());
        this.expectOp(')');
        return row;
      });
      return { ...EMPTY_SELECT, ctes, values };
    }
    this.expectWord('select');
    const isDistinct = this.word('distinct');
    const distinctOn = isDistinct && this.word('on') ? this.#parenthesized() : [];
    const isBare = this.isWord('from') || this.isOp(')') || this.token.type === 'end';
    const items = isBare ? [] : unlike(this.list(() => this.#item()));
    const from = this.word('from') ? this.#from() : null;
    const where = this.word('where') ? this.expr() : null;
    const groupBy = this.word('group', 'by') ? this.list(() => this.expr()) : [];
    const having = this.word('having') ? this.expr() : null;
    return {
      ...EMPTY_SELECT,
      ctes,
      isDistinct: isDistinct && distinctOn.length === 0,
      distinctOn,
      items,
      from,
      where,
      groupBy,
      having,
    };
  }

  #parenthesized(): Expr[] {
    this.expectOp('(');
    const items = this.list(() => this.expr());
    this.expectOp(')');
    return items;
  }

  #tail(): Pick<Select, 'orderBy' | 'limit' | 'offset' | 'locking'> {
    const orderBy = this.word('order', 'by') ? this.orderItems() : [];
    let limit: Expr | null = null;
    let offset: Expr | null = null;
    let locking: Locking | null = null;
    for (;;) {
      if (this.word('limit')) limit = this.expr();
      else if (this.word('offset')) offset = this.expr();
      else if (this.word('for')) locking = this.#locking();
      else return { orderBy, limit, offset, locking };
    }
  }

  #locking(): Locking {
    const mode = this.#lockMode();
    const of = this.word('of') ? this.list(() => this.name()) : [];
    const wait = this.word('skip', 'locked') ? 'skip' : this.word('nowait') ? 'fail' : 'wait';
    return { mode, of, wait };
  }

  #lockMode(): Locking['mode'] {
    if (this.word('update') || this.word('no', 'key', 'update')) return 'update';
    if (this.word('share')) return 'share';
    this.expectWord('key', 'share');
    return 'key share';
  }

  #item(): SelectItem {
    if (this.op('*')) return { t: 'star', table: null };
    if (this.isName() && this.peek(1).text === '.' && this.peek(2).text === '*') {
      const table = this.name();
      this.next();
      this.next();
      return { t: 'star', table };
    }
    const expr = this.expr();
    if (this.word('as') || this.isName()) return { t: 'expr', expr, name: this.name() };
    return { t: 'expr', expr, name: nameOf(expr) };
  }

  #returning(): SelectItem[] | null {
    return this.word('returning') ? this.list(() => this.#item()) : null;
  }

  #from(): From {
    let a = this.#joined();
    while (this.op(',')) a = { t: 'join', kind: 'inner', a, b: this.#joined(), on: null };
    return a;
  }

  #joined(): From {
    let a = this.#source();
    for (;;) {
      if (this.word('cross', 'join')) {
        a = { t: 'join', kind: 'inner', a, b: this.#source(), on: null };
        continue;
      }
      const isLeft = this.word('left', 'join') || this.word('left', 'outer', 'join');
      if (!isLeft && !this.word('join') && !this.word('inner', 'join')) return a;
      const b = this.#source();
      this.expectWord('on');
      a = { t: 'join', kind: isLeft ? 'left' : 'inner', a, b, on: this.expr() };
    }
  }

  #source(): From {
    const isLateral = this.word('lateral');
    if (this.op('(')) {
      const query = this.select();
      this.expectOp(')');
      return { t: 'query', query, alias: this.#alias(''), isLateral };
    }
    const name = this.name();
    if (!this.isOp('(')) return { t: 'table', name, alias: this.#alias(name) };
    const call = this.call(name);
    const hasOrdinality = this.word('with', 'ordinality');
    const alias = this.#alias(name);
    const columns = this.op('(') ? this.#columnNames() : [];
    return { t: 'function', call, alias, columns, hasOrdinality };
  }

  #columnNames(): Extract<From, { t: 'function' }>['columns'] {
    const columns = this.list(() => {
      const name = this.name();
      const isTyped = !this.isOp(',') && !this.isOp(')');
      return { name, type: isTyped ? this.typeName() : null };
    });
    this.expectOp(')');
    return columns;
  }

  #alias(otherwise: string): string {
    if (this.word('as')) return this.name();
    return this.isName() ? this.name() : otherwise;
  }

  #assignments(): [string, Expr][] {
    return this.list((): [string, Expr] => {
      const name = this.name();
      this.expectOp('=');
      return [name, this.expr()];
    });
  }

  #insert(ctes: readonly Cte[]): Insert {
    const table = this.name();
    const alias = this.#alias(table);
    const columns = this.isOp('(') ? this.names() : [];
    const source = this.word('default', 'values')
      ? { ...EMPTY_SELECT, values: [[]] }
      : this.select();
    const conflict = this.word('on', 'conflict') ? this.#conflict() : null;
    return {
      t: 'insert',
      ctes,
      table,
      alias,
      columns,
      source,
      conflict,
      returning: this.#returning(),
    };
  }

  #conflict(): Insert['conflict'] {
    let columns: string[] | null = null;
    if (this.isOp('(')) columns = this.names();
    else if (this.word('on', 'constraint')) this.name();
    this.expectWord('do');
    if (this.word('nothing')) return { columns, set: null, where: null };
    this.expectWord('update', 'set');
    const set = this.#assignments();
    return { columns, set, where: this.word('where') ? this.expr() : null };
  }

  #update(ctes: readonly Cte[]): Update {
    const table = this.name();
    const alias = this.#alias(table);
    this.expectWord('set');
    const set = this.#assignments();
    const from = this.word('from') ? this.#from() : null;
    const where = this.word('where') ? this.expr() : null;
    return { t: 'update', ctes, table, alias, set, from, where, returning: this.#returning() };
  }

  #delete(ctes: readonly Cte[]): Delete {
    const table = this.name();
    const alias = this.#alias(table);
    const from = this.word('using') ? this.#from() : null;
    const where = this.word('where') ? this.expr() : null;
    return { t: 'delete', ctes, table, alias, from, where, returning: this.#returning() };
  }

  #definition(): Definition {
    if (this.word('create', 'table')) return this.#createTable();
    if (this.word('alter', 'table')) return this.#alterTable();
    const isUnique = this.isWord('create', 'unique', 'index');
    if (!isUnique && !this.isWord('create', 'index')) return this.#ignore();
    while (!this.word('index')) this.next();
    this.word('if', 'not', 'exists');
    const name = this.name();
    this.expectWord('on');
    const table = this.name();
    if (!isUnique) {
      this.#ignore();
      return { t: 'create_index', table, key: null };
    }
    const columns = this.names();
    const where = this.word('where') ? this.expr() : null;
    return { t: 'create_index', table, key: { name, columns, where } };
  }

  #createTable(): Definition {
    const ifAbsent = this.word('if', 'not', 'exists');
    const table = this.name();
    const columns: ColumnDefinition[] = [];
    const keys: UniqueKey[] = [];
    this.expectOp('(');
    this.list(() => {
      if (!this.#constraint(table, keys)) columns.push(this.#column(table, keys));
    });
    this.expectOp(')');
    return { t: 'create_table', table, ifAbsent, columns, keys };
  }

  #alterTable(): Definition {
    const table = this.name();
    const add: ColumnDefinition[] = [];
    const keys: UniqueKey[] = [];
    const optional: string[] = [];
    const dropped: string[] = [];
    this.list(() => {
      if (this.word('add')) {
        if (this.#constraint(table, keys)) return;
        this.word('column');
        this.word('if', 'not', 'exists');
        add.push(this.#column(table, keys));
        return;
      }
      if (this.word('drop', 'constraint')) return void dropped.push(this.name());
      this.expectWord('alter');
      this.word('column');
      const name = this.name();
      if (this.word('drop', 'not', 'null')) optional.push(name);
      else this.fail('drop not null');
    });
    return { t: 'alter_table', table, add, keys, dropped, optional };
  }

  /** Of a table. Foreign keys and checks are read over: the model does not keep them. */
  #constraint(table: string, keys: UniqueKey[]): boolean {
    const isOne = ['constraint', 'primary', 'unique', 'foreign', 'check'].some((word) =>
      this.isWord(word),
    );
    if (!isOne) return false;
    const name = this.word('constraint') ? this.name() : `${table}_pkey`;
    if (this.word('primary', 'key') || this.word('unique')) {
      keys.push({ name, columns: this.names(), where: null });
      return true;
    }
    if (this.word('check')) {
      this.#parentheses();
      return true;
    }
    this.expectWord('foreign', 'key');
    this.names();
    this.#references();
    return true;
  }

  #references(): void {
    this.expectWord('references');
    this.name();
    if (this.isOp('(')) this.names();
  }

  #parentheses(): void {
    this.expectOp('(');
    for (let depth = 1; depth > 0;) {
      if (this.isOp('(')) depth += 1;
      if (this.isOp(')')) depth -= 1;
      this.next();
    }
  }

  #column(table: string, keys: UniqueKey[]): ColumnDefinition {
    const name = this.name();
    const type = this.typeName();
    let isRequired = false;
    let isIdentity = false;
    let defaultValue: Expr | null = null;
    let constraint = `${table}_${name}_key`;
    const key = (): void => void keys.push({ name: constraint, columns: [name], where: null });
    for (;;) {
      if (this.word('not', 'null')) isRequired = true;
      else if (this.word('null')) isRequired = false;
      else if (this.word('constraint')) constraint = this.name();
      else if (this.word('primary', 'key') || this.word('unique')) key();
      else if (this.word('default')) defaultValue = this.expr();
      else if (this.word('check')) this.#parentheses();
      else if (this.isWord('references')) this.#references();
      else if (this.word('generated', 'always', 'as', 'identity')) isIdentity = true;
      else if (this.word('generated', 'by', 'default', 'as', 'identity')) isIdentity = true;
      else return { name, type, isRequired, isIdentity, defaultValue };
    }
  }
}

const EMPTY_SELECT: Select = {
  t: 'select',
  ctes: [],
  isDistinct: false,
  distinctOn: [],
  items: [],
  from: null,
  where: null,
  groupBy: [],
  having: null,
  orderBy: [],
  limit: null,
  offset: null,
  locking: null,
  union: null,
  values: null,
};

/** Rows here go by names, so no two of them may be the same. */
function unlike(items: readonly SelectItem[]): SelectItem[] {
  const seen = new Set<string>();
  return items.map((item, index) => {
    if (item.t === 'star') return item;
    const name = seen.has(item.name) ? `${item.name} ${index}` : item.name;
    seen.add(name);
    return { ...item, name };
  });
}

/** As Postgres names a column that has no name. */
function nameOf(expr: Expr): string {
  if (expr.t === 'column' || expr.t === 'call') return expr.name;
  if (expr.t === 'cast') return nameOf(expr.a);
  if (expr.t === 'case') return 'case';
  return '?column?';
}
