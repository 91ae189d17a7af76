/** Statements of the model: what they change, and what they answer. */
import { DbError, type Result } from '../../../cp/store/db.ts';
import type {
  ColumnDefinition,
  Definition,
  Delete,
  Expr,
  Insert,
  Select,
  Statement,
  Update,
} from './sql-ast.ts';
import { evaluate, type Relation, type Running, type Scope } from './sql-compile.ts';
import type { Moment } from './sql-functions.ts';
import { parseSql } from './sql-parser.ts';
import { project, select, setWithCtes, sourceScopes } from './sql-select.ts';
import { ROW, XMIN, type DbState, type Row, type Table } from './sql-tables.ts';
import type { Transaction } from './sql-transaction.ts';
import { coerce, keyText } from './sql-values.ts';

/**
 * Runs one statement, whole or not at all.
 *
 * @throws Blocked when it has to wait and be run again; DbError as Postgres would
 */
export function execute(
  tx: Transaction,
  text: string,
  params: readonly unknown[],
  moment: Omit<Moment, 'lock' | 'notify' | 'xid'>,
): Result<Row> {
  const statement = parseSql(text);
  tx.look();
  const before = new Map([...tx.writes].map(([table, rows]) => [table, new Map(rows)]));
  const notified = tx.notifications.length;
  const running: Running = {
    tx,
    params,
    moment: {
      ...moment,
      xid: tx.xid,
      lock: (key) => lockKey(tx, key),
      notify: (channel, payload) => void tx.notifications.push({ channel, payload }),
    },
    ctes: new Map(),
  };
  try {
    const { rows, count } = run(statement, running, null);
    return { rows: [...rows], count };
  } catch (error) {
    tx.writes = before;
    tx.notifications.length = notified;
    throw error;
  }
}

function lockKey(tx: Transaction, key: string): boolean {
  const tried = /^try (.*)$/.exec(key)?.[1];
  return tx.lock(tried ?? key, 'exclusive', tried === undefined ? 'wait' : 'skip');
}

interface Done {
  readonly columns: readonly string[];
  readonly rows: readonly Row[];
  readonly count: number;
}

function run(statement: Statement, running: Running, parent: Scope | null): Done {
  switch (statement.t) {
    case 'select': {
      const { columns, rows } = select(statement, running, parent);
      return { columns, rows, count: rows.length };
    }
    case 'insert':
      return insert(statement, withCtes(statement, running, parent), parent);
    case 'update':
      return update(statement, withCtes(statement, running, parent));
    case 'delete':
      return remove(statement, withCtes(statement, running, parent));
    default:
      define(statement, running);
      return { columns: [], rows: [], count: 0 };
  }
}

function withCtes(
  { ctes }: { readonly ctes: Select['ctes'] },
  running: Running,
  parent: Scope | null,
): Running {
  if (ctes.length === 0) return running;
  const inner: Running = { ...running, ctes: new Map(running.ctes) };
  for (const { name, statement } of ctes) {
    const { columns, rows } = run(statement, inner, parent);
    const relation: Relation = { columns, rows, table: null };
    inner.ctes.set(name, relation);
  }
  return inner;
}

setWithCtes(withCtes);

function tableOf(running: Running, name: string): Table {
  const table = running.tx.seen.tables.get(name);
  if (table === undefined) throw new Error(`the model has no table ${name}`);
  return table;
}

function returned(
  items: Insert['returning'],
  scopes: readonly Scope[],
  table: Table,
): Pick<Done, 'columns' | 'rows'> {
  if (items === null) return { columns: [], rows: [] };
  const columns = items.flatMap((item) =>
    item.t === 'expr' ? [item.name] : table.columns.map(({ name }) => name),
  );
  return { columns, rows: scopes.map((scope) => project(items, scope)) };
}

function insert(statement: Insert, running: Running, parent: Scope | null): Done {
  const table = tableOf(running, statement.table);
  const source = select(statement.source, running, parent);
  const names =
    statement.columns.length > 0 ? statement.columns : table.columns.map(({ name }) => name);
  const scopes: Scope[] = [];
  for (const given of source.rows) {
    const row = newRow(table, names, source.columns, given, running);
    const rival = rivalOf(running, table, row, statement.conflict);
    if (rival === null) {
      const id = running.tx.server.rowId();
      const made = { ...row, [ROW]: id, [XMIN]: running.tx.xid };
      running.tx.write(table.name, id, made);
      scopes.push({ rows: { [statement.alias]: made }, parent: null, running });
    } else {
      const changed = updateRival(statement, table, rival, row, running);
      if (changed !== null) scopes.push(changed);
    }
  }
  return { ...returned(statement.returning, scopes, table), count: scopes.length };
}

function newRow(
  table: Table,
  names: readonly string[],
  columns: readonly string[],
  given: Row,
  running: Running,
): Row {
  const row: Record<string, unknown> = {};
  for (const column of table.columns) {
    const index = names.indexOf(column.name);
    const value = index < 0 ? undefined : given[columns[index] ?? ''];
    row[column.name] =
      value === undefined ? defaultOf(column, running) : coerce(value, column.type);
  }
  assertRequired(table, row);
  return row;
}

function defaultOf(
  { defaultValue, isIdentity, type }: ColumnDefinition,
  running: Running,
): unknown {
  // A sequence: what is rolled back is not given back.
  if (isIdentity) return running.tx.server.rowId();
  if (defaultValue === null) return null;
  return coerce(evaluate(defaultValue, { rows: {}, parent: null, running }), type);
}

function assertRequired(table: Table, row: Row): void {
  for (const { name, isRequired } of table.columns) {
    if (!isRequired || (row[name] ?? null) !== null) continue;
    throw new DbError(`${table.name}.${name} must not be null`, { sqlState: '23502' });
  }
}

/**
 * A row that has the same unique values. One that somebody else has written and not committed yet is
 * waited for.
 *
 * @returns the row for `ON CONFLICT`; null for none
 * @throws DbError 23505
 */
function rivalOf(
  running: Running,
  table: Table,
  row: Row,
  conflict: Insert['conflict'],
  own: number | null = null,
): Row | null {
  const { tx } = running;
  for (const key of table.keys) {
    const { columns, where } = key;
    const isCovered = (other: Row): boolean =>
      where === null ||
      evaluate(where, { rows: { [table.name]: other }, parent: null, running }) === true;
    if (columns.some((name) => (row[name] ?? null) === null) || !isCovered(row)) continue;
    const text = keyOf(columns, row);
    const isRival = (other: Row): boolean =>
      other[ROW] !== own && keyOf(columns, other) === text && isCovered(other);
    for (const other of tx.server.open) {
      if (other === tx) continue;
      for (const written of other.writes.get(table.name)?.values() ?? []) {
        if (written !== null && isRival(written)) tx.waitFor(other);
      }
    }
    const rival = findRival(running, table.name, isRival);
    if (rival === null) continue;
    const isExpected =
      conflict !== null &&
      (conflict.columns === null || keyOf(conflict.columns, row) === text) &&
      (conflict.columns === null || conflict.columns.length === columns.length);
    if (isExpected) return rival;
    throw new DbError(`duplicate key value violates unique constraint "${key.name}"`, {
      sqlState: '23505',
      constraint: key.name,
    });
  }
  return null;
}

/** Of what is committed by now, whatever this transaction's snapshot is, and of its own. */
function findRival(running: Running, table: string, isRival: (row: Row) => boolean): Row | null {
  const { tx } = running;
  const own = tx.writes.get(table);
  for (const [id, row] of tx.server.state.rows.get(table) ?? []) {
    if (own?.has(id) !== true && isRival(row)) return row;
  }
  for (const row of own?.values() ?? []) if (row !== null && isRival(row)) return row;
  return null;
}

function keyOf(columns: readonly string[], row: Row): string {
  return columns.map((name) => keyText(row[name] ?? null)).join('\n');
}

function updateRival(
  { conflict, alias }: Insert,
  table: Table,
  rival: Row,
  excluded: Row,
  running: Running,
): Scope | null {
  if (conflict === null || conflict.set === null) return null;
  running.tx.lockRow(table.name, rival, 'exclusive', 'wait');
  const scope: Scope = { rows: { [alias]: rival, excluded }, parent: null, running };
  if (conflict.where !== null && evaluate(conflict.where, scope) !== true) return null;
  const next = changedRow(table, rival, conflict.set, scope);
  running.tx.write(table.name, rival[ROW] ?? 0, next);
  return { rows: { [alias]: next }, parent: null, running };
}

function changedRow(
  table: Table,
  row: Row,
  set: readonly (readonly [string, Expr])[],
  scope: Scope,
): Row {
  const changes: Record<string, unknown> = {};
  for (const [name, expr] of set) {
    const column = table.columns.find((known) => known.name === name);
    if (column === undefined) throw new Error(`the model has no column ${table.name}.${name}`);
    changes[name] = coerce(evaluate(expr, scope), column.type);
  }
  const next = { ...row, ...changes, [XMIN]: scope.running.tx.xid };
  assertRequired(table, next);
  return next;
}

/** Each row of the table with what it is joined with first. */
function matches(
  statement: Pick<Update | Delete, 'table' | 'alias' | 'from' | 'where'>,
  running: Running,
): Scope[] {
  const { table, alias, from, where } = statement;
  const beside = from === null ? null : sourceScopes(from, running, null);
  const found: Scope[] = [];
  for (const row of running.tx.rows(table)) {
    const own: Scope = { rows: { [alias]: row }, parent: null, running };
    const candidates =
      beside === null
        ? [own]
        : beside.map(({ rows }): Scope => ({
            rows: Object.assign({ [alias]: row }, rows),
            parent: null,
            running,
          }));
    const match = candidates.find((scope) => where === null || evaluate(where, scope) === true);
    if (match !== undefined) found.push(match);
  }
  return found;
}

function update(statement: Update, running: Running): Done {
  const table = tableOf(running, statement.table);
  const { alias, set } = statement;
  const changed = matches(statement, running).map((scope): Scope => {
    const row = rowIn(scope, alias);
    running.tx.lockRow(table.name, row, 'exclusive', 'wait');
    const next = changedRow(table, row, set, scope);
    const isKey = table.keys.some(({ columns }) => keyOf(columns, row) !== keyOf(columns, next));
    if (isKey) rivalOf(running, table, next, null, row[ROW] ?? null);
    running.tx.write(table.name, row[ROW] ?? 0, next);
    const rows = Object.assign({}, scope.rows, { [alias]: next });
    return { rows, parent: null, running };
  });
  return { ...returned(statement.returning, changed, table), count: changed.length };
}

function remove(statement: Delete, running: Running): Done {
  const table = tableOf(running, statement.table);
  const gone = matches(statement, running);
  for (const scope of gone) {
    const row = rowIn(scope, statement.alias);
    running.tx.lockRow(table.name, row, 'exclusive', 'wait');
    running.tx.write(table.name, row[ROW] ?? 0, null);
  }
  return { ...returned(statement.returning, gone, table), count: gone.length };
}

function rowIn(scope: Scope, alias: string): Row {
  const row = scope.rows[alias];
  if (row === undefined) throw new Error(`no row of ${alias}`);
  return row;
}

/** Definitions take effect at once; what is rolled back is not undone. They run before any fault does. */
function define(statement: Definition, running: Running): void {
  const { server } = running.tx;
  const { tables } = server.state;
  switch (statement.t) {
    case 'ignored':
      return;
    case 'create_table':
      if (tables.has(statement.table)) {
        if (statement.ifAbsent) return;
        throw new DbError(`${statement.table} exists`, { sqlState: '42P07' });
      }
      setTable(server, {
        name: statement.table,
        columns: statement.columns,
        keys: statement.keys,
      });
      break;
    case 'create_index': {
      const table = tableOf(running, statement.table);
      if (statement.key !== null)
        setTable(server, { ...table, keys: [...table.keys, statement.key] });
      break;
    }
    case 'alter_table':
      alter(statement, tableOf(running, statement.table), running);
  }
  running.tx.look();
}

function setTable(server: Transaction['server'], table: Table): void {
  const tables = new Map(server.state.tables).set(table.name, table);
  const state: DbState = { tables, rows: server.state.rows };
  server.state = state;
}

function optionalColumn(column: ColumnDefinition): ColumnDefinition {
  return { ...column, isRequired: false };
}

function alter(
  { add, keys, dropped, optional }: Extract<Definition, { t: 'alter_table' }>,
  table: Table,
  running: Running,
): void {
  const fresh = add.filter(({ name }) => !table.columns.some((known) => known.name === name));
  const columns = [...table.columns, ...fresh].map((column) =>
    optional.includes(column.name) ? optionalColumn(column) : column,
  );
  const kept = table.keys.filter(({ name }) => !dropped.includes(name));
  setTable(running.tx.server, { ...table, columns, keys: [...kept, ...keys] });
  if (fresh.length === 0) return;
  for (const row of running.tx.rows(table.name)) {
    const values = fresh.map((column) => [column.name, defaultOf(column, running)] as const);
    running.tx.write(table.name, row[ROW] ?? 0, { ...row, ...Object.fromEntries(values) });
  }
}
