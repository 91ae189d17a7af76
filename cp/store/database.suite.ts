/** What every driver must make true of the database port, migrations and the first start. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { service } from '#shared/entities/service.ts';
import { loadKeyring } from '../keys/keyring.ts';
import type { Db } from './db.ts';
import { MIGRATIONS, migrate, MigrationError } from './migrate.ts';
import { type SuiteContext, KEK, silent, type SuiteOptions } from './context.suite.ts';

export function describeDatabase(context: SuiteContext): void {
  it('normalises what the drivers read differently', async () => {
    const bytes = Uint8Array.of(0, 1, 255);
    const { rows } = await context.store.db.query(
      `SELECT 9007199254740991::bigint AS int8, count(*) AS count, $1::bytea AS bytes,
         '{"a": [1]}'::jsonb AS json, '2026-01-02T03:04:05Z'::timestamptz AS time,
         $2::text[] AS list, $3::timestamptz AS when`,
      [bytes, ['a', 'b"c'], new Date(1_700_000_000_000)],
    );
    expect(rows).toEqual([
      {
        int8: 9007199254740991,
        count: 1,
        bytes,
        json: { a: [1] },
        time: new Date('2026-01-02T03:04:05Z'),
        list: ['a', 'b"c'],
        when: new Date(1_700_000_000_000),
      },
    ]);
  });

  it('refuses the outer handle inside a transaction, and the inner one after it', async () => {
    const { db } = context.store;
    const inside = db.tx(() => db.query('SELECT 1'));
    await expect(inside).rejects.toThrow('only its own handle');
    let leaked: Db | null = null;
    await db.tx(async (tx) => {
      leaked = tx;
    });
    await expect(must<Db>(leaked, 'a handle').query('SELECT 1')).rejects.toThrow('is over');
  });

  it('fails a transaction in which a failed statement was swallowed', async () => {
    const { db } = context.store;
    await db.query('CREATE TABLE IF NOT EXISTS swallowed (id int)');
    const work = db.tx(async (tx) => {
      await tx.query('INSERT INTO swallowed VALUES (1)');
      await tx.query('SELECT 1 / 0').catch(() => {});
      return 'fine';
    });
    await expect(work).rejects.toMatchObject({ name: 'DbError', sqlState: '22012' });
    expect((await db.query('SELECT * FROM swallowed')).rows).toEqual([]);
  });

  it('reads one moment in a repeatable read transaction', async () => {
    const ws = await context.workspace();
    const entity = await context.made(ws, service, { host: 'h' });
    const read = await context.store.db.tx(
      (tx) => context.store.reader(tx).get(service, ws, entity.id),
      { isolation: 'repeatable read' },
    );
    const { rows } = await context.store.db.tx((tx) => tx.query('SHOW transaction_isolation'), {
      isolation: 'repeatable read',
    });
    expect(read).toEqual(entity);
    expect(rows).toEqual([{ transaction_isolation: 'repeatable read' }]);
  });
}

export function describeStart(context: SuiteContext, options: SuiteOptions): void {
  it('lets five control planes start at once on an empty database', async () => {
    const database = await options.create();
    const folder = await mkdtemp(join(tmpdir(), 'headgate-suite-'));
    try {
      const handles = await Promise.all(Array.from({ length: 5 }, () => database.open()));
      const settings = { kek: KEK, dataDir: folder, mayMakeKek: false };
      const starts = await Promise.all(
        handles.map(async (db) => {
          const count = await migrate(db, silent);
          return { count, cluster: (await loadKeyring(db, settings, silent)).clusterId };
        }),
      );
      expect(starts.reduce((sum, { count }) => sum + count, 0)).toBe(MIGRATIONS.length);
      expect(new Set(starts.map(({ cluster }) => cluster)).size).toBe(1);
      await Promise.all([...new Set(handles)].map((db) => db.close()));
    } finally {
      await database.drop();
      await rm(folder, { recursive: true, force: true });
    }
  });

  it('runs nothing on a database that needs a newer release', async () => {
    const { db } = context.store;
    const add = 'INSERT INTO schema_migrations (number, name, floor) VALUES ($1, $2, $3)';
    await db.query(add, [9998, 'expand', 1]);
    expect(await migrate(db, silent)).toBe(0);
    await db.query(add, [9999, 'contract', 9999]);
    await expect(migrate(db, silent)).rejects.toThrow(MigrationError);
    await db.query('DELETE FROM schema_migrations WHERE number > 9000');
  });

  it('keeps nothing of a migration that fails half way', async () => {
    const { db } = context.store;
    const statements = ['CREATE TABLE half (id int)', 'SELECT no_such_function()'];
    const broken = { number: MIGRATIONS.length + 1, name: 'broken', floor: 1, statements };
    await expect(migrate(db, silent, [...MIGRATIONS, broken])).rejects.toThrow('no_such_function');
    const { rows } = await db.query(
      "SELECT to_regclass('half') AS half, count(*) FROM schema_migrations",
    );
    expect(rows).toEqual([{ half: null, count: MIGRATIONS.length }]);
  });

  it('stops at a key-encryption key that is not the database’s', async () => {
    const wrong = { kek: Buffer.alloc(32, 8).toString('base64'), dataDir: '/', mayMakeKek: false };
    await expect(loadKeyring(context.store.db, wrong, silent)).rejects.toThrow(
      'HEADGATE_KEK: not the key-encryption key',
    );
  });
}
