/** What every driver must make true of the change log when it is read back. */
import { expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { consumer } from '#shared/entities/consumer.ts';
import { plugin } from '#shared/entities/plugin.ts';
import { service } from '#shared/entities/service.ts';
import { keyauthCredential } from '#shared/plugins/key-auth/entities.ts';
import type { EntityDefinition } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import { type SuiteContext, ACTOR, entityOf } from './context.suite.ts';
import { type AtVersion, HISTORY_SIZE_MAX } from './history.ts';

function valueOf<T>(answer: AtVersion<T>): T {
  if (!answer.known) throw new Error(`known: ${answer.oldest} to ${answer.newest}`);
  return answer.value;
}

export function describeHistory(context: SuiteContext): void {
  const update = (ws: string, definition: EntityDefinition, entity: AnyEntity) =>
    context.store.write(ws, ACTOR, (tx) => tx.update(definition, ws, entity));
  const byKind = (answer: AtVersion<{ kind: string; entity: AnyEntity }[]>) =>
    Object.fromEntries(valueOf(answer).map(({ kind, entity }) => [kind, entity]));

  it('tells what every version was like, secrets included', async () => {
    const ws = await context.workspace();
    const history = context.store.history();
    const owner = await context.made(ws, consumer, { username: 'u' });
    const key = { consumer: { id: owner.id }, key: 'one' };
    const credential = await context.made(ws, keyauthCredential, key);
    const config = { minute: 5, redis: { password: 'inner' } };
    const use = await context.made(ws, plugin, { name: 'rate-limiting', config });
    const changed = { ...credential, key: 'two' };
    await update(ws, keyauthCredential, changed);
    await context.store.write(ws, ACTOR, (tx) => tx.remove(consumer, ws, owner.id));

    expect(valueOf(await history.entitiesAt(ws, 0))).toEqual([]);
    const all = { consumers: owner, keyauth_credentials: credential, plugins: use };
    expect(byKind(await history.entitiesAt(ws, 3))).toEqual(all);
    expect(byKind(await history.entitiesAt(ws, 4))['keyauth_credentials']).toEqual(changed);
    expect(byKind(await history.entitiesAt(ws, 5))).toEqual({ plugins: use });

    const forward = valueOf(await history.diff(ws, 2, 4));
    expect(forward).toEqual([
      { kind: 'keyauth_credentials', id: credential.id, before: credential, after: changed },
      { kind: 'plugins', id: use.id, before: null, after: use },
    ]);
    const backward = valueOf(await history.diff(ws, 4, 2));
    expect(backward).toEqual(
      forward.map(({ kind, id, before, after }) => ({ kind, id, before: after, after: before })),
    );
    await update(ws, plugin, { ...use, enabled: false });
    await update(ws, plugin, use);
    expect(valueOf(await history.diff(ws, 5, 7))).toEqual([]);
  });

  it('says which versions it can tell of', async () => {
    const ws = await context.workspace();
    const history = context.store.history();
    for (const name of ['a', 'b', 'c']) await context.made(ws, service, { name, host: 'h' });
    expect(await history.entitiesAt(ws, 4)).toEqual({ known: false, oldest: 0, newest: 3 });
    expect(await history.diff(ws, 1, 4)).toEqual({ known: false, oldest: 0, newest: 3 });

    const start = 'UPDATE workspace_versions SET log_start = 2 WHERE ws_id = $1';
    await context.store.db.query(start, [ws]);
    const gone = { known: false, oldest: 2, newest: 3 };
    expect(await history.entitiesAt(ws, 1)).toEqual(gone);
    expect(await history.diff(ws, 3, 1)).toEqual(gone);
    expect(valueOf(await history.entitiesAt(ws, 2))).toHaveLength(2);
  });

  it('pages through versions and changes', async () => {
    const ws = await context.workspace();
    const history = context.store.history();
    const started = Date.now();
    const entities = ['a', 'b', 'c'].map((name) => entityOf(service, { name, host: 'h' }));
    await context.store.write(ws, ACTOR, (tx) => tx.insertMany(service, ws, entities));
    const first = must(entities[0], 'a service');
    await update(ws, service, { ...first, host: 'i' });

    const versions = await history.versions(ws, { before: null, limit: 10 });
    expect(versions).toMatchObject([
      { version: 2, actor: 'tester', source: '127.0.0.1', changes: 1 },
      { version: 1, actor: 'tester', source: '127.0.0.1', changes: 3 },
    ]);
    expect(Math.abs((versions[0]?.atMs ?? 0) - started)).toBeLessThan(60_000);
    expect(await history.versions(ws, { before: 2, limit: 10 })).toEqual(versions.slice(1));

    const page = await history.changesOf(ws, { after: null, limit: 2 });
    const rest = await history.changesOf(ws, { after: page[1] ?? null, limit: 2 });
    expect([...page, ...rest]).toMatchObject([
      { version: 1, position: 0, kind: 'services', id: first.id, operation: 'create' },
      { version: 1, position: 1, kind: 'services', operation: 'create' },
      { version: 1, position: 2, kind: 'services', operation: 'create' },
      { version: 2, position: 0, kind: 'services', id: first.id, operation: 'update' },
    ]);
    expect(await history.changesOf(ws, { after: rest[1] ?? null, limit: 2 })).toEqual([]);
    for (const limit of [0, HISTORY_SIZE_MAX + 1]) {
      await expect(history.changesOf(ws, { after: null, limit })).rejects.toThrow('limit');
      await expect(history.versions(ws, { before: null, limit })).rejects.toThrow('limit');
    }
  });

  it('reads more than one statement takes', async () => {
    const ws = await context.workspace();
    const count = HISTORY_SIZE_MAX + 3;
    const services = Array.from({ length: count }, () => entityOf(service, { host: 'h' }));
    await context.store.write(ws, ACTOR, (tx) => tx.insertMany(service, ws, services));

    const ids = services.map(({ id }) => id).toSorted();
    const history = context.store.history();
    const all = valueOf(await history.entitiesAt(ws, 1));
    expect(all.map(({ entity }) => entity.id)).toEqual(ids);
    const difference = valueOf(await history.diff(ws, 0, 1));
    expect(difference.map(({ id }) => id)).toEqual(ids);
  });

  it('is read inside a write that nobody can overtake', async () => {
    const ws = await context.workspace();
    const entity = await context.made(ws, service, { host: 'h' });
    await update(ws, service, { ...entity, host: 'i' });
    await context.store.write(ws, ACTOR, async (tx) => {
      const newest = await tx.lockWorkspace(ws);
      const changes = valueOf(await context.store.history(tx.db).diff(ws, newest, 1));
      for (const { after } of changes) await tx.update(service, ws, must(after, 'a service'));
    });
    expect(await context.store.get(service, ws, entity.id)).toEqual(entity);
    expect(valueOf(await context.store.history().diff(ws, 1, 3))).toEqual([]);
  });
}
