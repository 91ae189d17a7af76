/** What every driver must make true of the store. Run by `store.{pglite,pg,neon}.test.ts`. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { ENTITIES } from '#shared/entities/index.ts';
import { consumer } from '#shared/entities/consumer.ts';
import { plugin } from '#shared/entities/plugin.ts';
import { route } from '#shared/entities/route.ts';
import { service } from '#shared/entities/service.ts';
import { target } from '#shared/entities/target.ts';
import { upstream } from '#shared/entities/upstream.ts';
import { workspace } from '#shared/entities/workspace.ts';
import { keyauthCredential } from '#shared/plugins/key-auth/entities.ts';
import type { Logger } from '#shared/platform/platform.ts';
import type { EntityDefinition, JsonValue } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import { type Keyring, loadKeyring } from '../keys/keyring.ts';
import type { Db } from './db.ts';
import { MIGRATIONS, migrate, MigrationError } from './migrate.ts';
import { openStoreOn } from './open-store.ts';
import { type Actor, type Store, StoreError, type StoreFailure } from './store.ts';

export interface SuiteDatabase {
  /** A handle of its own; on an embedded database the one handle there is. */
  open(): Promise<Db>;
  drop(): Promise<void>;
}

export interface SuiteOptions {
  readonly name: string;
  /** Makes an empty database. */
  create(): Promise<SuiteDatabase>;
  /** Several connections: transactions overlap, and other processes exist. */
  readonly isConcurrent: boolean;
}

const KEK = Buffer.alloc(32, 7).toString('base64');
const ACTOR: Actor = { name: 'tester', source: '127.0.0.1' };
const silent: Logger = { log() {} };

/** A complete entity: every field of the definition, the given values or the defaults. */
export function entityOf(
  definition: EntityDefinition,
  values: Readonly<Record<string, JsonValue>> = {},
): AnyEntity {
  const fields = Object.entries(definition.fields).map(([field, attributes]) => [
    field,
    values[field] ?? attributes.default ?? null,
  ]);
  const expiry = definition.ttl === true ? { expires_at: values['expires_at'] ?? null } : {};
  const id = values['id'];
  return {
    ...Object.fromEntries(fields),
    ...expiry,
    id: typeof id === 'string' ? id : randomUUID(),
  };
}

/** What the store says when `work` fails. */
export async function failureOf(work: Promise<unknown>): Promise<StoreFailure> {
  const error = await work.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (error instanceof StoreError) return error.failure;
  throw new Error('expected a StoreError', { cause: error });
}

interface ChangeRow {
  readonly version: number;
  readonly position: number;
  readonly kind: string;
  readonly entity_id: string;
  readonly operation: string;
  readonly doc: { readonly id: string } | null;
}

export async function changesOf(db: Db, ws: string): Promise<ChangeRow[]> {
  const { rows } = await db.query<ChangeRow>(
    `SELECT version, position, kind, entity_id, operation, doc FROM changes
     WHERE ws_id = $1 ORDER BY version, position`,
    [ws],
  );
  return rows;
}

export function storeSuite(options: SuiteOptions): void {
  describe(`the store over ${options.name}`, () => {
    const context = new Context(options);
    beforeAll(() => context.start(), 60_000);
    afterAll(() => context.stop());

    describeEntities(context);
    describeVersions(context);
    describeDeletes(context);
    describeDatabase(context);
    describeStart(context, options);
    if (options.isConcurrent) describeOthers(context);
  });
}

class Context {
  readonly options: SuiteOptions;
  database: SuiteDatabase | null = null;
  #opened: { store: Store; keyring: Keyring } | null = null;
  #dataDir = '';

  constructor(options: SuiteOptions) {
    this.options = options;
  }

  get store(): Store {
    return must(this.#opened, 'started').store;
  }

  get keyring(): Keyring {
    return must(this.#opened, 'started').keyring;
  }

  async start(): Promise<void> {
    this.#dataDir = await mkdtemp(join(tmpdir(), 'headgate-suite-'));
    this.database = await this.options.create();
    this.#opened = await this.openStore();
  }

  async openStore(): Promise<{ store: Store; keyring: Keyring }> {
    const db = await must(this.database, 'a database').open();
    const database = { url: null, driver: null, dataDir: this.#dataDir };
    return openStoreOn(db, { database, kek: KEK, entities: ENTITIES, logger: silent });
  }

  async stop(): Promise<void> {
    await this.#opened?.store.close();
    await this.database?.drop();
    await rm(this.#dataDir, { recursive: true, force: true });
  }

  /** A workspace of its own keeps tests apart on one database. */
  async workspace(): Promise<string> {
    const entity = entityOf(workspace, { name: `w-${randomUUID()}` });
    await this.store.write(entity.id, ACTOR, (tx) => tx.insert(workspace, entity.id, entity));
    return entity.id;
  }

  insert(ws: string, definition: EntityDefinition, entity: AnyEntity): Promise<unknown> {
    return this.store.write(ws, ACTOR, (tx) => tx.insert(definition, ws, entity));
  }

  /** Inserts an entity of the given values and answers it. */
  async made(
    ws: string,
    definition: EntityDefinition,
    values: Readonly<Record<string, JsonValue>> = {},
  ): Promise<AnyEntity> {
    const entity = entityOf(definition, values);
    await this.insert(ws, definition, entity);
    return entity;
  }
}

function describeEntities(context: Context): void {
  it('gives back every kind of entity exactly as it was stored', async () => {
    const ws = await context.workspace();
    const { store } = context;
    const owner = await context.made(ws, consumer, { username: 'Zoë 😀', tags: ['a"b', '{c}\\'] });
    const parent = await context.made(ws, service, { host: 'example.com', name: 'svc' });
    const pool = await context.made(ws, upstream, { name: 'pool' });
    const headers = { 'x-long-name': ['1'], b: ['2', '3'], constructor: ['4'] };
    const way = await context.made(ws, route, { service: { id: parent.id }, headers });
    const spot = await context.made(ws, target, { upstream: { id: pool.id }, target: 'a:80' });
    const config = { minute: 5, ratio: 0.1, big: 9007199254740991, deep: { list: [null, {}] } };
    const use = await context.made(ws, plugin, { name: 'x', route: { id: way.id }, config });
    const key = { consumer: { id: owner.id }, key: 'schlüssel', expires_at: 4_000_000_000 };
    const credential = await context.made(ws, keyauthCredential, key);

    const stored: [EntityDefinition, AnyEntity][] = [
      [consumer, owner],
      [service, parent],
      [upstream, pool],
      [route, way],
      [target, spot],
      [plugin, use],
      [keyauthCredential, credential],
    ];
    for (const [definition, entity] of stored) {
      const read = await store.get(definition, ws, entity.id);
      expect(read).toEqual(entity);
      expect(Object.keys(must(read, 'stored'))).toEqual(Object.keys(entity));
    }
    expect(await store.getBy(service, ws, 'name', 'svc')).toEqual(parent);
    expect(await store.getBy(keyauthCredential, ws, 'key', 'schlüssel')).toEqual(credential);
    expect(await store.getBy(keyauthCredential, ws, 'key', 'schlussel')).toBeNull();
    expect(await store.get(service, ws, 'not-a-uuid')).toBeNull();
    expect(await store.getBy(service, ws, 'name', 'a\0b')).toBeNull();
  });

  it('names what collides: ids, unique fields, blind indexes, composite keys with nulls', async () => {
    const ws = await context.workspace();
    const first = await context.made(ws, service, { name: 'one', host: 'h' });
    const owner = await context.made(ws, consumer, { username: 'u' });
    await context.made(ws, keyauthCredential, { consumer: { id: owner.id }, key: 'k' });
    await context.made(ws, plugin, { name: 'p' });

    const attempt = (definition: EntityDefinition, values: Record<string, JsonValue>) =>
      failureOf(context.insert(ws, definition, entityOf(definition, values)));
    expect(await attempt(service, { id: first.id, host: 'h' })).toEqual({
      code: 'primary_key',
      id: first.id,
    });
    expect(await attempt(service, { name: 'one', host: 'h' })).toEqual({
      code: 'unique',
      fields: { name: 'one' },
    });
    expect(await attempt(keyauthCredential, { consumer: { id: owner.id }, key: 'k' })).toEqual({
      code: 'unique',
      fields: { key: 'k' },
    });
    expect(await attempt(plugin, { name: 'p' })).toEqual({
      code: 'unique',
      fields: { name: 'p', route: null, service: null, consumer: null },
    });
    await context.made(ws, plugin, { name: 'p', service: { id: first.id } });
    const missing = randomUUID();
    expect(await attempt(route, { service: { id: missing } })).toEqual({
      code: 'foreign_missing',
      field: 'service',
      reference: 'services',
      id: missing,
    });
  });

  it('keeps workspaces apart: same names, same ids, no reference across', async () => {
    const [one, two] = [await context.workspace(), await context.workspace()];
    const entity = await context.made(one, service, { name: 'same', host: 'h' });

    await context.insert(two, service, { ...entity, host: 'other' });

    expect(await context.store.get(service, one, entity.id)).toEqual(entity);
    const alone = await context.made(one, service, { host: 'h' });
    const across = entityOf(route, { service: { id: alone.id } });
    expect(await failureOf(context.insert(two, route, across))).toMatchObject({
      code: 'foreign_missing',
    });
  });

  it('pages in order of id, narrowed by parent and by tags', async () => {
    const ws = await context.workspace();
    const parent = await context.made(ws, service, { host: 'h' });
    const made: AnyEntity[] = [];
    for (let index = 0; index < 7; index += 1) {
      const tags = index % 2 === 0 ? ['even', `t${index}`] : ['odd'];
      const values = { tags, service: index < 5 ? { id: parent.id } : null };
      made.push(await context.made(ws, route, values));
    }
    const ids = (rows: readonly AnyEntity[]) => rows.map(({ id }) => id);
    const sorted = ids(made).toSorted();

    const first = await context.store.list(route, ws, { size: 3, after: null });
    const second = await context.store.list(route, ws, { size: 4, after: first.next });
    expect([...ids(first.rows), ...ids(second.rows)]).toEqual(sorted);
    // A page that is exactly full is the last one.
    expect(second.next).toBeNull();

    const listed = async (query: object) =>
      ids((await context.store.list(route, ws, { size: 10, after: null, ...query })).rows);
    const where = { field: 'service', id: parent.id };
    expect(await listed({ where })).toEqual(ids(made.slice(0, 5)).toSorted());
    expect(await listed({ tags: { all: ['even', 't2'] } })).toEqual(ids(made.slice(2, 3)));
    expect(await listed({ tags: { any: ['t0', 'odd'] } })).toHaveLength(4);
    expect(await listed({ tags: { all: ['even', 'odd'] } })).toEqual([]);
  });

  it('refuses text that Postgres cannot hold, and changes nothing', async () => {
    const ws = await context.workspace();
    // Random, because Postgres compresses what it puts into an index.
    const long = Array.from({ length: 3_000 }, () => randomUUID()).join('');
    for (const name of ['a\0b', 'a\ud800', long]) {
      const entity = entityOf(service, { name, host: 'h' });
      expect(await failureOf(context.insert(ws, service, entity))).toMatchObject({
        code: 'invalid',
      });
    }
    expect(await changesOf(context.store.db, ws)).toEqual([]);
  });

  it('hides what has expired, frees its key, and sweeps it with a change', async () => {
    const ws = await context.workspace();
    const { store } = context;
    const owner = await context.made(ws, consumer, { username: 'u' });
    const past = Math.floor(Date.now() / 1000) - 5;
    const values = { consumer: { id: owner.id }, key: 'k', expires_at: past };
    const expired = await context.made(ws, keyauthCredential, values);

    expect(await store.get(keyauthCredential, ws, expired.id)).toBeNull();
    expect(await store.getBy(keyauthCredential, ws, 'key', 'k')).toBeNull();
    const page = await store.list(keyauthCredential, ws, { size: 10, after: null });
    expect(page.rows).toEqual([]);

    const again = await context.made(ws, keyauthCredential, { ...values, expires_at: null });
    expect(await store.getBy(keyauthCredential, ws, 'key', 'k')).toEqual(again);
    const gone = await context.made(ws, keyauthCredential, { ...values, key: 'other' });
    expect(await store.sweepExpired()).toBe(1);
    const changes = await changesOf(store.db, ws);
    expect(changes.filter(({ operation }) => operation === 'delete')).toMatchObject([
      { entity_id: expired.id, version: 3, position: 0 },
      { entity_id: gone.id, version: 5, position: 0 },
    ]);
  });

  it('keeps secrets out of every table in plain', async () => {
    const ws = await context.workspace();
    const owner = await context.made(ws, consumer, { username: 'u' });
    await context.made(ws, keyauthCredential, { consumer: { id: owner.id }, key: 'canary-4711' });
    const { rows } = await context.store.db.query<{ name: string }>(
      "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public'",
    );
    const encodings = ['utf8', 'base64', 'hex'] as const;
    const canaries = encodings.map((encoding) => Buffer.from('canary-4711').toString(encoding));
    expect(rows.length).toBeGreaterThan(15);
    for (const { name } of rows) {
      const dump = await context.store.db.query<{ text: string }>(
        `SELECT t::text AS text FROM "${name}" t`,
      );
      const text = dump.rows.map((row) => row.text).join('\n');
      for (const canary of canaries) expect(text).not.toContain(canary);
    }
  });
}

function describeVersions(context: Context): void {
  it('takes one version per transaction, and none when nothing changes', async () => {
    const ws = await context.workspace();
    const { store } = context;
    const entity = entityOf(service, { host: 'h' });

    const first = await store.write(ws, ACTOR, async (tx) => {
      await tx.insert(service, ws, entity);
      await tx.update(service, ws, { ...entity, host: 'i' });
      await tx.insert(consumer, ws, entityOf(consumer, { username: 'u' }));
      return 'value';
    });
    const second = await store.write(ws, ACTOR, (tx) => tx.get(service, ws, entity.id));

    expect(first).toEqual({ value: 'value', version: 1 });
    expect(second).toEqual({ value: { ...entity, host: 'i' }, version: 1 });
    expect(await changesOf(store.db, ws)).toMatchObject([
      { version: 1, position: 0, kind: 'services', operation: 'create', doc: entity },
      { version: 1, position: 1, kind: 'services', operation: 'update', doc: { host: 'i' } },
      { version: 1, position: 2, kind: 'consumers', operation: 'create' },
    ]);
  });

  it('changes nothing at all when the work fails', async () => {
    const ws = await context.workspace();
    const entity = entityOf(service, { host: 'h' });
    const work = context.store.write(ws, ACTOR, async (tx) => {
      await tx.insert(service, ws, entity);
      throw new Error('changed my mind');
    });

    await expect(work).rejects.toThrow('changed my mind');
    expect(await context.store.get(service, ws, entity.id)).toBeNull();
    expect(await changesOf(context.store.db, ws)).toEqual([]);
    const after = await context.store.write(ws, ACTOR, async () => null);
    expect(after.version).toBe(0);
  });

  it('does not commit when the work swallowed a failed statement', async () => {
    const ws = await context.workspace();
    const kept = await context.made(ws, service, { name: 'n', host: 'h' });
    const work = context.store.write(ws, ACTOR, async (tx) => {
      await tx.insert(service, ws, entityOf(service, { name: 'n', host: 'h' })).catch(() => {});
      return 'fine';
    });

    await expect(work).rejects.toThrow();
    expect((await context.store.list(service, ws, { size: 9, after: null })).rows).toEqual([kept]);
  });

  it('numbers parallel writes without a gap, in the order in which they become visible', async () => {
    const ws = await context.workspace();
    const { store } = context;
    const WRITES = 60;
    const seen: number[] = [];
    let isDone = false;
    // A reader that follows the log must never have to go back.
    const watch = async (): Promise<void> => {
      const wasDone = isDone;
      const { rows } = await store.db.query<{ version: number }>(
        'SELECT version FROM changes WHERE ws_id = $1 AND version > $2 ORDER BY version, position',
        [ws, seen.at(-1) ?? 0],
      );
      seen.push(...rows.map(({ version }) => version));
      await nextTurn();
      if (!wasDone) await watch();
    };
    const write = async (index: number): Promise<number> => {
      const entity = entityOf(service, { name: `s${index}`, host: 'h' });
      return (await store.write(ws, ACTOR, (tx) => tx.insert(service, ws, entity))).version;
    };
    const writing = Promise.all(Array.from({ length: WRITES }, (_, index) => write(index)));
    const watching = watch();
    const versions = await writing.finally(() => {
      isDone = true;
    });
    await watching;

    const expected = Array.from({ length: WRITES }, (_, index) => index + 1);
    expect(versions.toSorted((a, b) => a - b)).toEqual(expected);
    expect(seen).toEqual(expected);
  });

  it('holds a transaction of thousands of entities in one version', async () => {
    const ws = await context.workspace();
    const COUNT = 2_100;
    const { version } = await context.store.write(ws, ACTOR, async (tx) => {
      for (let index = 0; index < COUNT; index += 1) {
        await tx.insert(consumer, ws, entityOf(consumer, { username: `u${index}` }));
      }
    });
    const changes = await changesOf(context.store.db, ws);

    expect(version).toBe(1);
    expect(changes.map(({ position }) => position)).toEqual(Array.from(changes.keys()));
    expect(changes).toHaveLength(COUNT);
    expect(new Set(changes.map((change) => change.version))).toEqual(new Set([1]));
  });

  it('refuses a workspace that is not there', async () => {
    const ws = randomUUID();
    const entity = entityOf(service, { host: 'h' });
    expect(await failureOf(context.insert(ws, service, entity))).toMatchObject({
      code: 'foreign_missing',
      reference: 'workspaces',
    });
  });

  it('wakes its own listeners once per commit, and never for a failure', async () => {
    const ws = await context.workspace();
    let count = 0;
    const stop = context.store.onCommit(() => {
      count += 1;
    });
    await context.made(ws, service, { host: 'h' });
    await expect(
      context.store.write(ws, ACTOR, () => Promise.reject(new Error())),
    ).rejects.toThrow();
    await context.store.write(ws, ACTOR, async () => null);
    stop();
    await context.made(ws, service, { host: 'h' });
    expect(count).toBe(1);
  });
}

function describeDeletes(context: Context): void {
  it('removes children itself, each with a change, children first', async () => {
    const ws = await context.workspace();
    const owner = await context.made(ws, consumer, { username: 'u' });
    const parent = await context.made(ws, service, { host: 'h' });
    const way = await context.made(ws, route, { service: { id: parent.id } });
    const byRoute = { name: 'p', route: { id: way.id }, consumer: { id: owner.id } };
    const use = await context.made(ws, plugin, byRoute);
    const key = await context.made(ws, keyauthCredential, { consumer: { id: owner.id }, key: 'k' });

    const remove = (definition: EntityDefinition, id: string) =>
      context.store.write(ws, ACTOR, (tx) => tx.remove(definition, ws, id));
    expect(await failureOf(remove(service, parent.id))).toEqual({
      code: 'foreign_referenced',
      by: 'routes',
      kind: 'services',
    });
    const { value, version } = await remove(consumer, owner.id);

    expect(value).toBe(true);
    const changes = await changesOf(context.store.db, ws);
    expect(changes.filter((change) => change.version === version)).toMatchObject([
      { kind: 'plugins', entity_id: use.id, operation: 'delete', doc: null },
      { kind: 'keyauth_credentials', entity_id: key.id, operation: 'delete', doc: null },
      { kind: 'consumers', entity_id: owner.id, operation: 'delete', doc: null },
    ]);
    expect((await remove(consumer, owner.id)).value).toBe(false);
    expect((await remove(route, way.id)).value).toBe(true);
    expect((await remove(service, parent.id)).value).toBe(true);
  });

  it('removes a workspace only when it is empty', async () => {
    const ws = await context.workspace();
    const entity = await context.made(ws, service, { host: 'h' });
    const remove = () => context.store.write(ws, ACTOR, (tx) => tx.remove(workspace, ws, ws));

    expect(await failureOf(remove())).toEqual({
      code: 'foreign_referenced',
      by: 'services',
      kind: 'workspaces',
    });
    await context.store.write(ws, ACTOR, (tx) => tx.remove(service, ws, entity.id));
    await context.store.write(context.store.defaultWorkspace(), ACTOR, (tx) =>
      tx.remove(workspace, ws, ws),
    );
    expect(await context.store.get(workspace, ws, ws)).toBeNull();
  });
}

function describeDatabase(context: Context): void {
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

function describeStart(context: Context, options: SuiteOptions): void {
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

/** What takes more than one connection. */
function describeOthers(context: Context): void {
  it('wakes the stores of other processes', async () => {
    const other = await context.openStore();
    try {
      const woken = new Promise<void>((resolve) => {
        other.store.onCommit(resolve);
      });
      const ws = await context.workspace();
      await woken;
      expect(other.store.defaultWorkspace()).toBe(context.store.defaultWorkspace());
      expect(await other.store.get(workspace, ws, ws)).not.toBeNull();
    } finally {
      await other.store.close();
    }
  });

  it('runs a write again after a deadlock', async () => {
    const ws = await context.workspace();
    const [one, two] = [
      await context.made(ws, service, { host: 'h' }),
      await context.made(ws, service, { host: 'h' }),
    ];
    let runs = 0;
    let arrived = 0;
    const gate = Promise.withResolvers<void>();
    const touch = (first: AnyEntity, second: AnyEntity) =>
      context.store.write(ws, ACTOR, async (tx) => {
        runs += 1;
        await tx.update(service, ws, { ...first, host: 'x' });
        arrived += 1;
        if (arrived === 2) gate.resolve();
        await gate.promise;
        await tx.update(service, ws, { ...second, host: 'x' });
      });
    const written = await Promise.all([touch(one, two), touch(two, one)]);

    expect(runs).toBe(3);
    expect(written.map(({ version }) => version).toSorted((a, b) => a - b)).toEqual([3, 4]);
  });

  it('does not let a child in while its parent goes', async () => {
    const ws = await context.workspace();
    const parent = await context.made(ws, upstream, { name: 'u' });
    const child = entityOf(target, { upstream: { id: parent.id }, target: 'a:80' });
    const removed = Promise.withResolvers<void>();
    const released = Promise.withResolvers<void>();
    const removing = context.store.write(ws, ACTOR, async (tx) => {
      await tx.remove(upstream, ws, parent.id);
      removed.resolve();
      await released.promise;
    });
    await removed.promise;
    const inserting = failureOf(context.insert(ws, target, child));
    await untilBlocked(context.store.db);
    released.resolve();
    await removing;

    expect(await inserting).toMatchObject({ code: 'foreign_missing', field: 'upstream' });
  });
}

/** Until some transaction waits for another's lock. */
async function untilBlocked(db: Db): Promise<void> {
  const deadline = Date.now() + 10_000;
  for (;;) {
    const { count } = await db.query(
      "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()",
    );
    if (count > 0) return;
    if (Date.now() > deadline) throw new Error('nobody waits for a lock');
    await nextTurn();
  }
}
