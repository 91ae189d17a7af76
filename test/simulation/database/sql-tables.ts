/** Tables of the model: their columns and keys, and states of their rows that never change. */
import type { ColumnDefinition, UniqueKey } from './sql-ast.ts';

/** Names a row through its versions. */
export const ROW = Symbol('row');

/** The transaction that wrote this version of a row. */
export const XMIN = Symbol('xmin');

export interface Row {
  readonly [column: string]: unknown;
  readonly [ROW]?: number;
  readonly [XMIN]?: number;
}

export interface Table {
  readonly name: string;
  readonly columns: readonly ColumnDefinition[];
  readonly keys: readonly UniqueKey[];
}

/** The schema and all rows at one moment. Immutable, so that a moment can be gone back to. */
export interface DbState {
  readonly tables: ReadonlyMap<string, Table>;
  readonly rows: ReadonlyMap<string, ReadonlyMap<number, Row>>;
}

export const EMPTY_STATE: DbState = { tables: new Map(), rows: new Map() };

const NO_ROWS: ReadonlyMap<number, Row> = new Map();

export function rowsOf(state: DbState, table: string): ReadonlyMap<number, Row> {
  return state.rows.get(table) ?? NO_ROWS;
}

/** By table and row; null for a row that is gone. */
export type Writes = Map<string, Map<number, Row | null>>;

export function applyWrites(state: DbState, writes: Writes): DbState {
  const rows = new Map(state.rows);
  for (const [table, changed] of writes) {
    const next = new Map(rowsOf(state, table));
    for (const [id, row] of changed) {
      if (row === null) next.delete(id);
      else next.set(id, row);
    }
    rows.set(table, next);
  }
  return { tables: state.tables, rows };
}
