/** Expressions → functions of the rows at hand. Three-valued: null is unknown. */
import type { Call, Expr, Select, SelectItem } from './sql-ast.ts';
import {
  AGGREGATES,
  aggregate,
  callFunction,
  list,
  operate,
  type Moment,
} from './sql-functions.ts';
import { XMIN, type Row, type Table } from './sql-tables.ts';
import type { Transaction } from './sql-transaction.ts';
import { coerce, compareNullsLast, Interval, stable } from './sql-values.ts';

/** What a running statement works with. */
export interface Running {
  readonly tx: Transaction;
  readonly params: readonly unknown[];
  readonly moment: Moment;
  readonly ctes: Map<string, Relation>;
}

/** Rows under a name. */
export interface Relation {
  readonly columns: readonly string[];
  readonly rows: readonly Row[];
  /** Whose rows they are; null for what was made. */
  readonly table: Table | null;
}

/** One row of each relation in scope. */
export interface Scope {
  readonly rows: Readonly<Record<string, Row>>;
  readonly parent: Scope | null;
  readonly running: Running;
  /** The rows that an aggregate is of. */
  readonly group?: readonly Scope[];
  /** Values of window functions, and of those that answer a row each. */
  readonly windows?: ReadonlyMap<Call, unknown>;
}

export type Compiled = (scope: Scope) => unknown;

/** Functions that answer a row each, where they stand among what is selected. */
export const SETS = new Set(['unnest', 'jsonb_array_elements', 'jsonb_array_elements_text']);

/** Set by the executor: expressions hold queries, queries hold expressions. */
export type RunSelect = (query: Select, running: Running, parent: Scope) => Relation;

const compiled = new WeakMap<Expr, Compiled>();
let runSelect: RunSelect = () => {
  throw new Error('no executor');
};

export function setRunSelect(run: RunSelect): void {
  runSelect = run;
}

export function evaluate(expr: Expr, scope: Scope): unknown {
  let fn = compiled.get(expr);
  if (fn === undefined) {
    fn = compile(expr);
    compiled.set(expr, fn);
  }
  return fn(scope);
}

function compile(expr: Expr): Compiled {
  switch (expr.t) {
    case 'literal': {
      const { value } = expr;
      return () => value;
    }
    case 'param': {
      const { index } = expr;
      return ({ running }) => running.params[index] ?? null;
    }
    case 'column':
      return columnOf(expr.table, expr.name);
    case 'binary':
      return binary(expr.op, compile(expr.a), compile(expr.b));
    case 'not': {
      const a = compile(expr.a);
      return (scope) => {
        const value = a(scope);
        return value === null ? null : value !== true;
      };
    }
    case 'negate': {
      const a = compile(expr.a);
      return (scope) => {
        const value = a(scope);
        return value instanceof Interval ? new Interval(-value.ms) : -Number(value);
      };
    }
    case 'is_null': {
      const a = compile(expr.a);
      const { isNot } = expr;
      return (scope) => ((a(scope) ?? null) === null) !== isNot;
    }
    case 'distinct': {
      const [a, b, isNot] = [compile(expr.a), compile(expr.b), expr.isNot];
      return (scope) => (compareNullsLast(a(scope), b(scope)) !== 0) !== isNot;
    }
    case 'cast': {
      const [a, { type }] = [compile(expr.a), expr];
      return (scope) => coerce(a(scope), type);
    }
    case 'row':
    case 'array': {
      const items = expr.items.map(compile);
      return (scope) => items.map((item) => item(scope));
    }
    case 'item': {
      const [a, index] = [compile(expr.a), compile(expr.index)];
      return (scope) => list(a(scope))[Number(index(scope)) - 1] ?? null;
    }
    default:
      return compileMore(expr);
  }
}

function compileMore(
  expr: Extract<Expr, { t: 'in' | 'any' | 'exists' | 'scalar' | 'case' | 'call' }>,
): Compiled {
  switch (expr.t) {
    case 'exists':
      return (scope) => runSelect(expr.query, scope.running, scope).rows.length > 0;
    case 'scalar':
      return (scope) => firstValue(runSelect(expr.query, scope.running, scope));
    case 'in': {
      const { of, isNot } = expr;
      const a = compile(expr.a);
      const items = 't' in of ? queryValues(of) : listValues(of);
      return (scope) => negateIf(isNot, quantified('=', a(scope), items(scope), false));
    }
    case 'any': {
      const { op, isAll } = expr;
      const a = compile(expr.a);
      const of = arrayValues(expr.of);
      return (scope) => quantified(op, a(scope), of(scope), isAll);
    }
    case 'case':
      return caseOf(expr);
    case 'call':
      return callOf(expr);
  }
}

function negateIf(isNot: boolean, value: unknown): unknown {
  return isNot && value !== null ? value !== true : value;
}

function queryValues(query: Select): (scope: Scope) => readonly unknown[] {
  return (scope) => {
    const { columns, rows } = runSelect(query, scope.running, scope);
    return rows.map((row) => row[columns[0] ?? ''] ?? null);
  };
}

function listValues(items: readonly Expr[]): (scope: Scope) => readonly unknown[] {
  const compiledItems = items.map(compile);
  return (scope) => compiledItems.map((item) => item(scope));
}

/** Of `ANY(…)`: an array, or a query, which stands in it as a scalar one. */
function arrayValues(expr: Expr): (scope: Scope) => readonly unknown[] {
  const [inner] = expr.t === 'call' && expr.name === 'array_of' ? expr.args : [];
  if (inner?.t === 'scalar') return queryValues(inner.query);
  const of = compile(expr);
  return (scope) => list(of(scope));
}

function quantified(op: string, a: unknown, items: readonly unknown[], isAll: boolean): unknown {
  if (a === null || a === undefined) return items.length === 0 ? isAll : null;
  let hasNull = false;
  for (const item of items) {
    if (item === null || item === undefined) hasNull = true;
    else if ((operate(op, a, item) === true) !== isAll) return !isAll;
  }
  return hasNull ? null : isAll;
}

function firstValue({ columns, rows }: Relation): unknown {
  return rows[0]?.[columns[0] ?? ''] ?? null;
}

function columnOf(table: string | null, name: string): Compiled {
  if (name === 'xmin') return ({ rows }) => rows[table ?? '']?.[XMIN] ?? null;
  return (scope) => {
    for (let at: Scope | null = scope; at !== null; at = at.parent) {
      if (table !== null) {
        const row = at.rows[table];
        if (row !== undefined) return name in row ? (row[name] ?? null) : unknown(table, name);
        continue;
      }
      for (const alias in at.rows) {
        const row = at.rows[alias];
        if (row !== undefined && name in row) return row[name] ?? null;
      }
    }
    return unknown(table, name);
  };
}

function unknown(table: string | null, name: string): never {
  throw new Error(`the model finds no column ${table === null ? '' : `${table}.`}${name}`);
}

function binary(op: string, a: Compiled, b: Compiled): Compiled {
  if (op === 'and') {
    return (scope) => {
      const left = a(scope);
      if (left === false) return false;
      const right = b(scope);
      if (right === false) return false;
      return left === null || right === null ? null : true;
    };
  }
  if (op === 'or') {
    return (scope) => {
      const left = a(scope);
      if (left === true) return true;
      const right = b(scope);
      if (right === true) return true;
      return left === null || right === null ? null : false;
    };
  }
  return (scope) => {
    const left = a(scope) ?? null;
    if (left === null) return null;
    const right = b(scope) ?? null;
    return right === null ? null : operate(op, left, right);
  };
}

function caseOf(expr: Extract<Expr, { t: 'case' }>): Compiled {
  const operand = expr.operand === null ? null : compile(expr.operand);
  const whens = expr.whens.map(([when, then]) => [compile(when), compile(then)] as const);
  const otherwise = expr.otherwise === null ? null : compile(expr.otherwise);
  return (scope) => {
    const value = operand?.(scope);
    for (const [when, then] of whens) {
      const found = when(scope);
      const isSo = operand === null ? found === true : compareNullsLast(found, value) === 0;
      if (isSo) return then(scope);
    }
    return otherwise?.(scope) ?? null;
  };
}

/** `ARRAY(SELECT …)`. */
function arrayOf(inner: Expr | undefined): Compiled {
  if (inner?.t !== 'scalar') throw new Error('ARRAY of what is no query');
  return queryValues(inner.query);
}

function callOf(call: Call): Compiled {
  if (call.name === 'array_of') return arrayOf(call.args[0]);
  if (call.over !== null || SETS.has(call.name)) {
    return ({ windows }) => {
      if (windows?.has(call) !== true) throw new Error(`no window for ${call.name} here`);
      return windows.get(call);
    };
  }
  const args = call.args.map(compile);
  const filter = call.filter === null ? null : compile(call.filter);
  if (AGGREGATES.has(call.name)) {
    return ({ group }) => {
      if (group === undefined) throw new Error(`no group for ${call.name} here`);
      const counted = filter === null ? group : group.filter((scope) => filter(scope) === true);
      const rows = ordered(counted, call).map((scope) => args.map((arg) => arg(scope)));
      return aggregate(call.name, call.isDistinct ? distinct(rows) : rows);
    };
  }
  const named = Object.entries(call.named).map(([name, arg]) => [name, compile(arg)] as const);
  return (scope) =>
    callFunction(
      call.name,
      args.map((arg) => arg(scope)),
      Object.fromEntries(named.map(([name, arg]) => [name, arg(scope)])),
      scope.running.moment,
    );
}

function distinct(rows: readonly (readonly unknown[])[]): (readonly unknown[])[] {
  return [...new Map(rows.map((row) => [stable(row), row])).values()];
}

export function ordered(scopes: readonly Scope[], by: Pick<Call, 'orderBy'>): readonly Scope[] {
  const { orderBy } = by;
  if (orderBy.length === 0) return scopes;
  const keyed = scopes.map((scope) => ({
    scope,
    keys: orderBy.map(({ expr }) => evaluate(expr, scope)),
  }));
  return keyed.toSorted((a, b) => compareKeys(a.keys, b.keys, orderBy)).map(({ scope }) => scope);
}

export function compareKeys(
  a: readonly unknown[],
  b: readonly unknown[],
  orderBy: readonly { readonly isDescending: boolean }[],
): number {
  for (const [index, { isDescending }] of orderBy.entries()) {
    const order = compareNullsLast(a[index], b[index]);
    if (order !== 0) return isDescending ? -order : order;
  }
  return 0;
}

/** Aggregates and window functions in what is selected. */
export function callsIn(items: readonly SelectItem[], isWanted: (call: Call) => boolean): Call[] {
  const found: Call[] = [];
  const visit = (value: unknown): void => {
    if (Array.isArray(value)) {
      for (const item of value) visit(item);
      return;
    }
    if (typeof value !== 'object' || value === null) return;
    // A query within has its own.
    if ('t' in value && value.t === 'select') return;
    if (isCall(value) && isWanted(value)) found.push(value);
    for (const item of Object.values(value)) visit(item);
  };
  visit(items);
  return found;
}

function isCall(value: object): value is Call {
  return 't' in value && value.t === 'call';
}
