/** Queries of the model. */
import type { Call, Expr, From, Select, SelectItem, TypeName } from './sql-ast.ts';
import {
  callsIn,
  compareKeys,
  evaluate,
  ordered,
  SETS,
  setRunSelect,
  type Relation,
  type Running,
  type Scope,
} from './sql-compile.ts';
import { aggregate, AGGREGATES, list } from './sql-functions.ts';
import type { Row } from './sql-tables.ts';
import { coerce, JSON_NULL, stable } from './sql-values.ts';

/** Set by the executor: a CTE may write. */
type RunCtes = (query: Pick<Select, 'ctes'>, running: Running, parent: Scope | null) => Running;
let withCtes: RunCtes = (_query, running) => running;

export function setWithCtes(run: RunCtes): void {
  withCtes = run;
}

export function select(query: Select, outer: Running, parent: Scope | null): Relation {
  const running = query.ctes.length === 0 ? outer : withCtes(query, outer, parent);
  if (query.values !== null) return valuesOf(query.values, running, parent);
  if (query.union !== null) return unionOf(query, running, parent);
  let scopes = scopesOf(query, running, parent);
  scopes = grouped(query, scopes, running, parent);
  scopes = windowed(query.items, expanded(query.items, scopes));
  const columns = columnsOf(query.items, query.from, running);
  let made = scopes.map((scope) => ({ scope, row: project(query.items, scope) }));
  if (query.isDistinct) made = [...new Map(made.map((one) => [stable(one.row), one])).values()];
  if (query.orderBy.length > 0) made = sorted(query, made);
  if (query.distinctOn.length > 0) made = firstOfEach(query.distinctOn, made);
  const limit = query.limit === null ? null : evaluate(query.limit, emptyScope(running, parent));
  const start =
    query.offset === null ? 0 : Number(evaluate(query.offset, emptyScope(running, parent)));
  const end = limit === null ? Number.POSITIVE_INFINITY : start + Number(limit);
  if (query.locking === null) made = made.slice(start, end);
  else made = locked(query, made.slice(start), end - start, running);
  return { columns, rows: made.map(({ row }) => row), table: null };
}

function firstOfEach(by: readonly Expr[], made: readonly Made[]): Made[] {
  const seen = new Set<string>();
  return made.filter(({ scope }) => {
    const key = stable(by.map((expr) => evaluate(expr, scope) ?? null));
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}

function emptyScope(running: Running, parent: Scope | null): Scope {
  return { rows: {}, parent, running };
}

function valuesOf(
  values: readonly (readonly Expr[])[],
  running: Running,
  parent: Scope | null,
): Relation {
  const columns = (values[0] ?? []).map((_, index) => `column${index + 1}`);
  const rows = values.map((row) =>
    Object.fromEntries(
      row.map((expr, index) => [
        columns[index] ?? '',
        isDefault(expr) ? undefined : evaluate(expr, emptyScope(running, parent)),
      ]),
    ),
  );
  return { columns, rows, table: null };
}

/** `DEFAULT` among values. */
function isDefault(expr: Expr): boolean {
  return expr.t === 'column' && expr.table === null && expr.name === 'default';
}

function unionOf(query: Select, running: Running, parent: Scope | null): Relation {
  const { union } = query;
  if (union === null) throw new Error('no union');
  const plain = { ctes: [], orderBy: [], limit: null, offset: null, union: null };
  const a = select({ ...query, ...plain }, running, parent);
  const b = select(union, running, parent);
  const renamed = b.rows.map((row) =>
    Object.fromEntries(a.columns.map((name, index) => [name, row[b.columns[index] ?? '']])),
  );
  const made = [...a.rows, ...renamed].map((row) => ({
    row,
    scope: { ...emptyScope(running, parent), rows: { union: row } },
  }));
  const inOrder = query.orderBy.length > 0 ? sorted(query, made) : made;
  const limit =
    query.limit === null ? undefined : Number(evaluate(query.limit, emptyScope(running, parent)));
  return { columns: a.columns, rows: inOrder.slice(0, limit).map(({ row }) => row), table: null };
}

function scopesOf(query: Select, running: Running, parent: Scope | null): readonly Scope[] {
  const { from, where } = query;
  const all = from === null ? [emptyScope(running, parent)] : sourceScopes(from, running, parent);
  return where === null ? all : all.filter((scope) => evaluate(where, scope) === true);
}

/** All combinations of rows of what stands in FROM. */
export function sourceScopes(from: From, running: Running, parent: Scope | null): readonly Scope[] {
  if (from.t !== 'join') {
    const { rows } = relationOf(from, running, parent);
    const { alias } = from;
    return rows.map((row) => ({ rows: { [alias]: row }, parent, running }));
  }
  const { on, kind, b } = from;
  const joined: Scope[] = [];
  // What refers to the rows beside it (a function of their columns) is made anew for each.
  const isLateral = b.t === 'function' || (b.t === 'query' && b.isLateral);
  const fixed = isLateral ? null : sourceScopes(b, running, parent);
  for (const left of sourceScopes(from.a, running, parent)) {
    let isMatched = false;
    const right = fixed ?? sourceScopes(b, running, left);
    for (const { rows } of right) {
      const scope: Scope = { rows: { ...left.rows, ...rows }, parent, running };
      if (on !== null && evaluate(on, scope) !== true) continue;
      isMatched = true;
      joined.push(scope);
    }
    if (!isMatched && kind === 'left') {
      joined.push({ rows: { ...left.rows, ...nullRows(b, running, parent) }, parent, running });
    }
  }
  return joined;
}

function nullRows(from: From, running: Running, parent: Scope | null): Record<string, Row> {
  if (from.t === 'join') {
    return { ...nullRows(from.a, running, parent), ...nullRows(from.b, running, parent) };
  }
  const { columns } = relationOf(from, running, parent);
  return { [from.alias]: Object.fromEntries(columns.map((name) => [name, null])) };
}

function relationOf(
  from: Exclude<From, { t: 'join' }>,
  running: Running,
  parent: Scope | null,
): Relation {
  if (from.t === 'query') return select(from.query, running, parent);
  if (from.t === 'function') return functionRows(from, running, parent);
  const made = running.ctes.get(from.name);
  if (made !== undefined) return made;
  const table = running.tx.seen.tables.get(from.name) ?? null;
  if (table === null && from.name === 'pg_database') {
    return tableOf(['oid', 'datname'], [[1, 'headgate']]);
  }
  if (table === null) throw new Error(`the model has no table ${from.name}`);
  const columns = table.columns.map(({ name }) => name);
  return { columns, rows: [...running.tx.rows(from.name)], table };
}

function functionRows(
  from: Extract<From, { t: 'function' }>,
  running: Running,
  parent: Scope | null,
): Relation {
  const scope = emptyScope(running, parent);
  const { call, columns, hasOrdinality } = from;
  const args = (): readonly unknown[] => call.args.map((arg) => evaluate(arg, scope));
  switch (call.name) {
    case 'json_to_recordset':
    case 'jsonb_to_recordset':
      return recordset(args()[0], columns);
    case 'unnest':
      return unnest(args(), columns, hasOrdinality, from.alias);
    case 'jsonb_each':
    case 'jsonb_each_text':
    case 'json_each': {
      const [value] = args();
      const names = [columns[0]?.name ?? 'key', columns[1]?.name ?? 'value'];
      const entries = typeof value === 'object' && value !== null ? Object.entries(value) : [];
      const isText = call.name === 'jsonb_each_text';
      return tableOf(
        names,
        entries.map(([key, member]) => [key, isText ? member : (member ?? JSON_NULL)]),
      );
    }
    case 'jsonb_array_elements':
    case 'jsonb_array_elements_text':
      return tableOf(
        [columns[0]?.name ?? 'value'],
        list(args()[0]).map((item) => [item]),
      );
    case 'generate_series': {
      const [first, last] = args().map(Number);
      const count = Math.max(0, (last ?? 0) - (first ?? 0) + 1);
      const name = columns[0]?.name ?? from.alias;
      return tableOf(
        [name],
        Array.from({ length: count }, (_, i) => [(first ?? 0) + i]),
      );
    }
    case 'pg_control_system':
      return tableOf(['system_identifier'], [[running.moment.setting('system_identifier')]]);
    default:
      return tableOf([columns[0]?.name ?? from.alias], [[evaluate(call, scope)]]);
  }
}

function tableOf(columns: readonly string[], rows: readonly (readonly unknown[])[]): Relation {
  const made = rows.map((row) =>
    Object.fromEntries(columns.map((name, index) => [name, row[index] ?? null])),
  );
  return { columns, rows: made, table: null };
}

function recordset(value: unknown, columns: Extract<From, { t: 'function' }>['columns']): Relation {
  const items = typeof value === 'string' ? list(JSON.parse(value)) : list(value);
  const rows = items.map((item) => {
    const record: Readonly<Record<string, unknown>> = Object(item);
    return columns.map(({ name, type }) => {
      const member = record[name] ?? null;
      return type === null ? member : coerceMember(member, type);
    });
  });
  return tableOf(
    columns.map(({ name }) => name),
    rows,
  );
}

/** Of a JSON value: a text that is asked for as `jsonb` is that text, not its content. */
function coerceMember(value: unknown, type: TypeName): unknown {
  return type.name === 'jsonb' || type.name === 'json' ? value : coerce(value, type);
}

function unnest(
  arrays: readonly unknown[],
  columns: Extract<From, { t: 'function' }>['columns'],
  hasOrdinality: boolean,
  alias: string,
): Relation {
  const lists = arrays.map(list);
  const length = Math.max(0, ...lists.map((items) => items.length));
  const fallback = arrays.length === 1 ? [alias] : arrays.map((_, index) => `unnest_${index}`);
  const names = columns.length > 0 ? columns.map(({ name }) => name) : fallback;
  if (hasOrdinality && columns.length === 0) names.push('ordinality');
  const rows = Array.from({ length }, (_, index) => [
    ...lists.map((items) => items[index] ?? null),
    ...(hasOrdinality ? [index + 1] : []),
  ]);
  return tableOf(names, rows);
}

function grouped(
  query: Select,
  scopes: readonly Scope[],
  running: Running,
  parent: Scope | null,
): readonly Scope[] {
  const { groupBy, having } = query;
  const isAggregate = ({ name, over }: Call): boolean => over === null && AGGREGATES.has(name);
  if (groupBy.length === 0 && callsIn(query.items, isAggregate).length === 0) return scopes;
  const groups = new Map<string, Scope[]>();
  for (const scope of scopes) {
    const key = stable(groupBy.map((expr) => evaluate(expr, scope) ?? null));
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [scope]);
    else group.push(scope);
  }
  if (groupBy.length === 0 && groups.size === 0) groups.set('', []);
  const made = [...groups.values()].map((group): Scope => {
    const { rows } = group[0] ?? emptyScope(running, parent);
    return { rows, parent, running, group };
  });
  return having === null ? made : made.filter((scope) => evaluate(having, scope) === true);
}

/** A row for each that a function among the items answers. */
function expanded(items: readonly SelectItem[], scopes: readonly Scope[]): readonly Scope[] {
  const calls = callsIn(items, ({ name }) => SETS.has(name));
  const [call, second] = calls;
  if (call === undefined) return scopes;
  if (second !== undefined) throw new Error('the model takes one such function at a time');
  const [arg] = call.args;
  return scopes.flatMap((scope) => {
    const values = arg === undefined ? [] : list(evaluate(arg, scope));
    return values.map((value): Scope => {
      const { rows, parent, running } = scope;
      return { rows, parent, running, windows: new Map([[call, value]]) };
    });
  });
}

function windowed(items: readonly SelectItem[], scopes: readonly Scope[]): readonly Scope[] {
  const calls = callsIn(items, ({ over }) => over !== null);
  if (calls.length === 0) return scopes;
  const values = new Map<Scope, Map<Call, unknown>>(scopes.map((scope) => [scope, new Map()]));
  for (const call of calls) {
    const { over } = call;
    if (over === null) continue;
    const partitions = Map.groupBy(ordered(scopes, over), (scope) =>
      stable(over.by.map((expr) => evaluate(expr, scope) ?? null)),
    );
    for (const partition of partitions.values()) {
      for (const [index, scope] of partition.entries()) {
        values.get(scope)?.set(call, windowValue(call, partition, index));
      }
    }
  }
  return scopes.map((scope) => ({ ...scope, windows: values.get(scope) ?? new Map() }));
}

function windowValue(call: Call, partition: readonly Scope[], index: number): unknown {
  if (call.name === 'row_number') return index + 1;
  const isWhole = AGGREGATES.has(call.name) && call.over?.orderBy.length === 0;
  if (!isWhole) throw new Error(`the model has no such window as ${call.name}`);
  return aggregate(
    call.name,
    partition.map((scope) => call.args.map((arg) => evaluate(arg, scope))),
  );
}

/** @returns what the items make of it, without the name of any row */
export function project(items: readonly SelectItem[], scope: Scope): Row {
  const row: Record<string, unknown> = {};
  for (const item of items) {
    if (item.t === 'expr') {
      row[item.name] = evaluate(item.expr, scope);
      continue;
    }
    for (const [alias, source] of Object.entries(scope.rows)) {
      if (item.table === null || item.table === alias) {
        for (const [name, value] of Object.entries(source)) row[name] = value;
      }
    }
  }
  return row;
}

function columnsOf(
  items: readonly SelectItem[],
  from: From | null,
  running: Running,
): readonly string[] {
  return items.flatMap((item) =>
    item.t === 'expr' ? [item.name] : from === null ? [] : starColumns(item.table, from, running),
  );
}

function starColumns(table: string | null, from: From, running: Running): readonly string[] {
  if (from.t === 'join') {
    return [...starColumns(table, from.a, running), ...starColumns(table, from.b, running)];
  }
  if (table !== null && table !== from.alias) return [];
  return relationOf(from, running, null).columns;
}

interface Made {
  readonly scope: Scope;
  readonly row: Row;
}

/** Names of what is selected may stand in ORDER BY, and so may their numbers. */
function sorted({ orderBy, items }: Select, made: readonly Made[]): Made[] {
  const keyed = made.map((one) => ({
    one,
    keys: orderBy.map(({ expr }) => {
      if (expr.t === 'literal' && typeof expr.value === 'number') {
        return Object.values(one.row)[expr.value - 1];
      }
      const isOutput =
        expr.t === 'column' &&
        expr.table === null &&
        items.some((item) => item.t === 'expr' && item.name === expr.name);
      return isOutput ? one.row[expr.name] : evaluate(expr, one.scope);
    }),
  }));
  return keyed.toSorted((a, b) => compareKeys(a.keys, b.keys, orderBy)).map(({ one }) => one);
}

function locked(query: Select, made: readonly Made[], limit: number, running: Running): Made[] {
  const { locking, from } = query;
  if (locking === null || from === null) return [...made];
  const targets = tablesOf(from, running).filter(
    ({ alias }) => locking.of.length === 0 || locking.of.includes(alias),
  );
  const kept: Made[] = [];
  // Those that foreign keys take do not keep anyone from what this program does.
  const mode = locking.mode === 'update' ? 'exclusive' : 'shared';
  for (const one of made) {
    if (kept.length >= limit) break;
    const isHeld =
      locking.mode === 'key share' ||
      targets.every(({ alias, table }) => {
        const row = one.scope.rows[alias];
        return row === undefined || running.tx.lockRow(table, row, mode, locking.wait);
      });
    if (isHeld) kept.push(one);
  }
  return kept;
}

function tablesOf(from: From, running: Running): { alias: string; table: string }[] {
  if (from.t === 'join') return [...tablesOf(from.a, running), ...tablesOf(from.b, running)];
  if (from.t !== 'table' || running.ctes.has(from.name)) return [];
  return [{ alias: from.alias, table: from.name }];
}

setRunSelect(select);
