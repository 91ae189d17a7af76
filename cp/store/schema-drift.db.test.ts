/** Tables are written by hand in migrations: this is what keeps them equal to the definitions. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ENTITIES } from '#shared/entities/index.ts';
import type { Db } from './db.ts';
import { openPglite } from './drivers/pglite.ts';
import { migrate } from './migrate.ts';
import { plansOf } from './sql.ts';

interface Column {
  readonly table: string;
  readonly name: string;
  readonly type: string;
}

interface Constraint {
  readonly name: string;
  readonly definition: string;
}

const plans = [...plansOf(ENTITIES).values()];

describe('the database', () => {
  let db: Db;
  let columns: Column[] = [];
  let constraints = new Map<string, string>();
  let indexes: string[] = [];

  beforeAll(async () => {
    db = await openPglite(null, { log() {} });
    await migrate(db, { log() {} });
    const found = await db.query<Column>(
      `SELECT table_name AS table, column_name AS name, udt_name AS type
       FROM information_schema.columns WHERE table_schema = 'public'`,
    );
    columns = found.rows;
    const rules = await db.query<Constraint>(
      'SELECT conname AS name, pg_get_constraintdef(oid) AS definition FROM pg_constraint',
    );
    constraints = new Map(rules.rows.map(({ name, definition }) => [name, definition]));
    const made = await db.query<{ indexdef: string }>('SELECT indexdef FROM pg_indexes');
    indexes = made.rows.map(({ indexdef }) => indexdef);
  });
  afterAll(() => db.close());

  it.each(plans.map((plan) => [plan.table, plan] as const))(
    'has the columns of %s, and no others',
    (table, plan) => {
      const types = new Map<string, string>([
        ['ws_id', 'uuid'],
        ['id', 'uuid'],
        ['doc', 'jsonb'],
        ...plan.uniques.map(({ column, isBlind }) => [column, isBlind ? 'bytea' : 'text'] as const),
        ...plan.foreigns.map(({ column }) => [column, 'uuid'] as const),
        ...plan.secrets.map(({ cipher }) => [cipher, 'bytea'] as const),
        ...plan.secrets.flatMap(({ index }) => (index === null ? [] : [[index, 'bytea'] as const])),
        ...(plan.hasTags ? [['tags', '_text'] as const] : []),
        ...(plan.hasExpiry ? [['expires_at', 'timestamptz'] as const] : []),
        ...(plan.cacheKey === null ? [] : [['cache_key', 'text'] as const]),
      ]);
      const found = columns
        .filter((column) => column.table === table)
        .map(({ name, type }) => [name, type] as const);
      expect(Object.fromEntries(found)).toEqual(Object.fromEntries(types));
      expect(new Set(['ws_id', 'id', ...plan.columns])).toEqual(new Set(types.keys()));
    },
  );

  it.each(plans.map((plan) => [plan.table, plan] as const))(
    'keeps the keys of %s under the names that errors are read by',
    (table, plan) => {
      expect(constraints.get(`${table}_pkey`)).toBe('PRIMARY KEY (ws_id, id)');
      for (const { constraint, column, acrossWorkspaces } of plan.uniques) {
        const key = acrossWorkspaces ? `UNIQUE (${column})` : `UNIQUE (ws_id, ${column})`;
        expect(constraints.get(constraint)).toBe(key);
      }
      if (plan.cacheKey !== null) {
        expect(constraints.get(`${table}_cache_key`)).toBe('UNIQUE (ws_id, cache_key)');
      }
      for (const { field, column, reference } of plan.foreigns) {
        expect(constraints.get(`${table}_${field}_fkey`)).toBe(
          `FOREIGN KEY (ws_id, ${column}) REFERENCES ${reference}(ws_id, id)`,
        );
        expect(indexes).toContainEqual(expect.stringContaining(`(ws_id, ${column}, id)`));
      }
      if (plan.hasTags) {
        expect(indexes).toContainEqual(
          expect.stringMatching(new RegExp(`ON public.${table} USING gin \\(tags\\)`)),
        );
      }
    },
  );

  it('never deletes or changes a row behind the store’s back', () => {
    const rules = [...constraints.values()].filter((rule) => /ON (DELETE|UPDATE)/.test(rule));
    expect(rules).toEqual([]);
  });
});
