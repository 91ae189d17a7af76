/** What the model of Postgres understands of SQL, as a tree. */

export interface TypeName {
  /** Lower case, one of Postgres' own names: `text`, `int4`, `timestamptz` … */
  readonly name: string;
  readonly isArray: boolean;
}

export type Expr =
  | { readonly t: 'literal'; readonly value: unknown }
  | { readonly t: 'param'; readonly index: number }
  | { readonly t: 'column'; readonly table: string | null; readonly name: string }
  | { readonly t: 'binary'; readonly op: string; readonly a: Expr; readonly b: Expr }
  | { readonly t: 'not'; readonly a: Expr }
  | { readonly t: 'negate'; readonly a: Expr }
  | { readonly t: 'is_null'; readonly a: Expr; readonly isNot: boolean }
  | { readonly t: 'distinct'; readonly a: Expr; readonly b: Expr; readonly isNot: boolean }
  | {
      readonly t: 'in';
      readonly a: Expr;
      readonly of: readonly Expr[] | Select;
      readonly isNot: boolean;
    }
  | {
      readonly t: 'any';
      readonly op: string;
      readonly a: Expr;
      readonly of: Expr;
      readonly isAll: boolean;
    }
  | { readonly t: 'exists'; readonly query: Select }
  | { readonly t: 'scalar'; readonly query: Select }
  | { readonly t: 'cast'; readonly a: Expr; readonly type: TypeName }
  | {
      readonly t: 'case';
      readonly operand: Expr | null;
      readonly whens: readonly (readonly [Expr, Expr])[];
      readonly otherwise: Expr | null;
    }
  | Call
  | { readonly t: 'row'; readonly items: readonly Expr[] }
  | { readonly t: 'array'; readonly items: readonly Expr[] }
  | { readonly t: 'item'; readonly a: Expr; readonly index: Expr };

export interface Call {
  readonly t: 'call';
  readonly name: string;
  readonly args: readonly Expr[];
  readonly named: Readonly<Record<string, Expr>>;
  readonly isDistinct: boolean;
  readonly filter: Expr | null;
  readonly orderBy: readonly OrderItem[];
  readonly over: { readonly by: readonly Expr[]; readonly orderBy: readonly OrderItem[] } | null;
}

export interface OrderItem {
  readonly expr: Expr;
  readonly isDescending: boolean;
}

export type SelectItem =
  | { readonly t: 'star'; readonly table: string | null }
  | { readonly t: 'expr'; readonly expr: Expr; readonly name: string };

export type From =
  | { readonly t: 'table'; readonly name: string; readonly alias: string }
  | {
      readonly t: 'function';
      readonly call: Call;
      readonly alias: string;
      /** Of a record, or new names of columns. */
      readonly columns: readonly { readonly name: string; readonly type: TypeName | null }[];
      readonly hasOrdinality: boolean;
    }
  | {
      readonly t: 'query';
      readonly query: Select;
      readonly alias: string;
      readonly isLateral: boolean;
    }
  | {
      readonly t: 'join';
      readonly kind: 'inner' | 'left';
      readonly a: From;
      readonly b: From;
      readonly on: Expr | null;
    };

export interface Locking {
  readonly mode: 'update' | 'share' | 'key share';
  readonly of: readonly string[];
  readonly wait: 'wait' | 'skip' | 'fail';
}

export interface Select {
  readonly t: 'select';
  readonly ctes: readonly Cte[];
  readonly isDistinct: boolean;
  /** `DISTINCT ON`: the first row of each. */
  readonly distinctOn: readonly Expr[];
  readonly items: readonly SelectItem[];
  readonly from: From | null;
  readonly where: Expr | null;
  readonly groupBy: readonly Expr[];
  readonly having: Expr | null;
  readonly orderBy: readonly OrderItem[];
  readonly limit: Expr | null;
  readonly offset: Expr | null;
  readonly locking: Locking | null;
  /** `UNION ALL`; order and limit then are of the whole. */
  readonly union: Select | null;
  /** `VALUES`; then there is nothing else. */
  readonly values: readonly (readonly Expr[])[] | null;
}

export interface Cte {
  readonly name: string;
  readonly statement: Statement;
}

export interface Insert {
  readonly t: 'insert';
  readonly ctes: readonly Cte[];
  readonly table: string;
  readonly alias: string;
  readonly columns: readonly string[];
  readonly source: Select;
  readonly conflict: {
    /** Null: any. */
    readonly columns: readonly string[] | null;
    readonly set: readonly (readonly [string, Expr])[] | null;
    readonly where: Expr | null;
  } | null;
  readonly returning: readonly SelectItem[] | null;
}

export interface Update {
  readonly t: 'update';
  readonly ctes: readonly Cte[];
  readonly table: string;
  readonly alias: string;
  readonly set: readonly (readonly [string, Expr])[];
  readonly from: From | null;
  readonly where: Expr | null;
  readonly returning: readonly SelectItem[] | null;
}

export interface Delete {
  readonly t: 'delete';
  readonly ctes: readonly Cte[];
  readonly table: string;
  readonly alias: string;
  readonly from: From | null;
  readonly where: Expr | null;
  readonly returning: readonly SelectItem[] | null;
}

export interface ColumnDefinition {
  readonly name: string;
  readonly type: TypeName;
  readonly isRequired: boolean;
  readonly isIdentity: boolean;
  readonly defaultValue: Expr | null;
}

export interface UniqueKey {
  readonly name: string;
  readonly columns: readonly string[];
  readonly where: Expr | null;
}

export type Definition =
  | {
      readonly t: 'create_table';
      readonly table: string;
      readonly ifAbsent: boolean;
      readonly columns: readonly ColumnDefinition[];
      readonly keys: readonly UniqueKey[];
    }
  | {
      readonly t: 'alter_table';
      readonly table: string;
      readonly add: readonly ColumnDefinition[];
      readonly keys: readonly UniqueKey[];
      /** Names of keys that are dropped. */
      readonly dropped: readonly string[];
      readonly optional: readonly string[];
    }
  | { readonly t: 'create_index'; readonly table: string; readonly key: UniqueKey | null }
  /** Understood to mean nothing to the model: roles, comments, settings. */
  | { readonly t: 'ignored' };

export type Statement = Select | Insert | Update | Delete | Definition;
