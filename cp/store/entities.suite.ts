/** What every driver must make true of entities: storing, finding, refusing, removing. */
import { randomUUID } from 'node:crypto';
import { expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { consumer } from '#shared/entities/consumer.ts';
import { plugin } from '#shared/entities/plugin.ts';
import { route } from '#shared/entities/route.ts';
import { service } from '#shared/entities/service.ts';
import { target } from '#shared/entities/target.ts';
import { upstream } from '#shared/entities/upstream.ts';
import { workspace } from '#shared/entities/workspace.ts';
import { keyauthCredential } from '#shared/plugins/key-auth/entities.ts';
import type { EntityDefinition, JsonValue } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import { type SuiteContext, ACTOR, entityOf, failureOf, changesOf } from './context.suite.ts';

export function describeEntities(context: SuiteContext): void {
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
    for (const name of ['a\0b', 'a\ud800']) {
      const entity = entityOf(service, { name, host: 'h' });
      expect(await failureOf(context.insert(ws, service, entity))).toMatchObject({
        code: 'invalid',
      });
    }
    const entity = entityOf(service, { name: long, host: 'h' });
    const failure = { code: 'too_long', field: 'name' };
    expect(await failureOf(context.insert(ws, service, entity))).toEqual(failure);
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

  it('keeps what the next release wrote into a row, whatever this one changes in it', async () => {
    const ws = await context.workspace();
    const { store } = context;
    const made = [
      await context.made(ws, service, { name: 'a', host: 'h', path: '/old' }),
      await context.made(ws, service, { name: 'b', host: 'h' }),
      await context.made(ws, service, { name: 'c', host: 'h' }),
    ];
    await store.db.query(
      `UPDATE services SET doc = doc || '{"next": {"deep": [1]}}'::jsonb WHERE ws_id = $1`,
      [ws],
    );
    const [one, ...many] = made.map((entity) => ({ ...entity, path: null, retries: 7 }));
    await store.write(ws, ACTOR, async (tx) => {
      await tx.update(service, ws, must(one, 'one'));
      await tx.updateMany(service, ws, many);
    });
    const { rows } = await store.db.query<{ doc: Record<string, JsonValue> }>(
      'SELECT doc FROM services WHERE ws_id = $1',
      [ws],
    );
    const kept = { next: { deep: [1] }, path: null, retries: 7 };
    expect(rows.map(({ doc }) => doc)).toEqual(made.map(() => expect.objectContaining(kept)));
    expect(await store.get(service, ws, must(one, 'one').id)).toEqual(one);
  });

  it('keeps secrets inside a configuration as ciphertext, and restores them in their places', async () => {
    const ws = await context.workspace();
    const redis = { host: 'r', password: 'inner-secret', username: null };
    const config = { minute: 5, redis };
    const use = await context.made(ws, plugin, { name: 'rate-limiting', config });
    // Nothing is known of this one's configuration, so all of it is a secret.
    const other = await context.made(ws, plugin, { name: 'unheard', config });
    const bare = await context.made(ws, plugin, { name: 'key-auth', config: { key_names: ['k'] } });

    for (const entity of [use, other, bare]) {
      expect(await context.store.get(plugin, ws, entity.id)).toEqual(entity);
    }
    const { rows } = await context.store.db.query(
      `SELECT doc->'config' AS config, config_cipher IS NULL AS is_clear FROM plugins
       WHERE ws_id = $1 ORDER BY array_position($2::uuid[], id)`,
      [ws, [use.id, other.id, bare.id]],
    );
    expect(rows).toEqual([
      { config: { minute: 5, redis: { ...redis, password: null } }, is_clear: false },
      { config: null, is_clear: false },
      { config: { key_names: ['k'] }, is_clear: true },
    ]);
    const log = await context.store.db.query('SELECT doc, secrets FROM changes WHERE ws_id = $1', [
      ws,
    ]);
    expect(JSON.stringify(log.rows)).not.toContain('inner-secret');

    const changed = { ...use, config: { minute: 5, redis: { ...redis, password: null } } };
    await context.store.write(ws, ACTOR, (tx) => tx.update(plugin, ws, changed));
    expect(await context.store.get(plugin, ws, use.id)).toEqual(changed);
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

export function describeDeletes(context: SuiteContext): void {
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
