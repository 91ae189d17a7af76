/** What every driver must make true of writes and reads of many entities at once. */
import { randomUUID } from 'node:crypto';
import { expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { consumer } from '#shared/entities/consumer.ts';
import { plugin } from '#shared/entities/plugin.ts';
import { route } from '#shared/entities/route.ts';
import { service } from '#shared/entities/service.ts';
import { keyauthCredential } from '#shared/plugins/key-auth/entities.ts';
import type { EntityDefinition } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import { type SuiteContext, ACTOR, changesOf, entityOf } from './context.suite.ts';
import { BATCH_ROWS_MAX } from './row-batch.ts';
import { StoreError, type StoreFailure } from './store.ts';

/** More than one statement takes. */
const MANY = BATCH_ROWS_MAX + 5;

const numbered = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, index) => make(index));

async function refusal(
  work: Promise<unknown>,
): Promise<{ failure: StoreFailure; entityId: string | null }> {
  const error: unknown = await work.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!(error instanceof StoreError)) throw new Error('expected a StoreError', { cause: error });
  return { failure: error.failure, entityId: error.entityId };
}

export function describeBatches(context: SuiteContext): void {
  const insertMany = (ws: string, definition: EntityDefinition, entities: readonly AnyEntity[]) =>
    context.store.write(ws, ACTOR, (tx) => tx.insertMany(definition, ws, entities));
  const updateMany = (ws: string, definition: EntityDefinition, entities: readonly AnyEntity[]) =>
    context.store.write(ws, ACTOR, (tx) => tx.updateMany(definition, ws, entities));

  it('inserts many as it inserts one: same rows, same changes, in order', async () => {
    const ws = await context.workspace();
    const { store } = context;
    const owner = await context.made(ws, consumer, { username: 'u' });
    const parent = await context.made(ws, service, { host: 'h' });
    const routes = numbered(MANY, (index) =>
      entityOf(route, {
        name: `r${index}`,
        service: { id: parent.id },
        tags: ['a"b', `t${index}`],
      }),
    );
    const credentials = numbered(3, (index) =>
      entityOf(keyauthCredential, {
        consumer: { id: owner.id },
        key: `schlüssel-${index}`,
        expires_at: index === 0 ? 4_000_000_000 : null,
      }),
    );
    const config = { minute: 5, redis: { password: 'p"\\' } };
    const plugins = numbered(2, (index) =>
      entityOf(plugin, { name: 'rate-limiting', config, route: { id: routes[index]?.id ?? '' } }),
    );
    const { version } = await store.write(ws, ACTOR, async (tx) => {
      await tx.insertMany(route, ws, routes);
      await tx.insertMany(keyauthCredential, ws, credentials);
      await tx.insertMany(plugin, ws, plugins);
    });

    const stored: [EntityDefinition, AnyEntity[]][] = [
      [route, routes],
      [keyauthCredential, credentials],
      [plugin, plugins],
    ];
    for (const [definition, entities] of stored) {
      const ids = entities.map(({ id }) => id);
      const found = await store.getMany(definition, ws, [...ids, randomUUID(), 'no-uuid']);
      expect(ids.map((id) => found.get(id))).toEqual(entities);
      expect(found.size).toBe(ids.length);
    }
    const changes = (await changesOf(store.db, ws)).filter((change) => change.version === version);
    expect(changes.map(({ entity_id: id }) => id)).toEqual(
      [...routes, ...credentials, ...plugins].map(({ id }) => id),
    );
    expect(changes.map(({ position }) => position)).toEqual([...changes.keys()]);
    expect(changes[0]).toMatchObject({ kind: 'routes', operation: 'create', doc: routes[0] });
    expect(changes.at(-1)?.doc).not.toHaveProperty('config.redis.password', 'p"\\');
  });

  it('finds many by a unique field, in clear or by blind index', async () => {
    const ws = await context.workspace();
    const owner = await context.made(ws, consumer, { username: 'u' });
    const credentials = numbered(4, (index) =>
      entityOf(keyauthCredential, { consumer: { id: owner.id }, key: `k${index}` }),
    );
    await insertMany(ws, keyauthCredential, credentials);

    const { store } = context;
    const keys = await store.getManyBy(keyauthCredential, ws, 'key', ['k3', 'k0', 'x', 'a\0b']);
    expect([...keys.keys()].toSorted()).toEqual(['k0', 'k3']);
    expect(keys.get('k3')).toEqual(credentials[3]);
    expect(await store.getManyBy(consumer, ws, 'username', ['u', 'U'])).toEqual(
      new Map([['u', owner]]),
    );
    expect(await store.getManyBy(consumer, ws, 'username', [])).toEqual(new Map());
  });

  it('names the one of many that collides or points nowhere, and writes none', async () => {
    const ws = await context.workspace();
    const taken = await context.made(ws, service, { name: 'taken', host: 'h' });
    const made = () => numbered(5, (index) => entityOf(service, { name: `n${index}`, host: 'h' }));
    const attempt = async (spoil: (services: AnyEntity[]) => AnyEntity) => {
      const services = made();
      const bad = spoil(services);
      const { failure, entityId } = await refusal(insertMany(ws, service, services));
      expect(entityId).toBe(bad.id);
      return failure;
    };
    const put = (services: AnyEntity[], at: number, values: Readonly<Record<string, string>>) => {
      const entity: AnyEntity = { ...must(services[at], 'a service'), ...values };
      services[at] = entity;
      return entity;
    };
    const byName = { code: 'unique', fields: { name: 'taken' } };
    expect(await attempt((all) => put(all, 3, { name: 'taken' }))).toEqual(byName);
    const twice = { code: 'unique', fields: { name: 'n1' } };
    expect(await attempt((all) => put(all, 4, { name: 'n1' }))).toEqual(twice);
    const byId = { code: 'primary_key', id: taken.id };
    expect(await attempt((all) => put(all, 2, { id: taken.id }))).toEqual(byId);

    const missing = randomUUID();
    const routes = [entityOf(route), entityOf(route, { service: { id: missing } })];
    expect(await refusal(insertMany(ws, route, routes))).toEqual({
      failure: { code: 'foreign_missing', field: 'service', reference: 'services', id: missing },
      entityId: routes[1]?.id,
    });
    const names = (await context.store.list(service, ws, { size: 10, after: null })).rows;
    expect(names).toEqual([taken]);
    expect((await changesOf(context.store.db, ws)).length).toBe(1);
  });

  it('updates many, names that move among them too', async () => {
    const ws = await context.workspace();
    const services = numbered(6, (index) => entityOf(service, { name: `n${index}`, host: 'h' }));
    await insertMany(ws, service, services);
    const changed: AnyEntity[] = services.map((entity, index) => ({
      ...entity,
      host: `h${index}`,
    }));
    const at = (index: number): AnyEntity => must(changed[index], 'a service');
    // 0 leaves its name to 1, whose own goes to 2: only in this order.
    changed[0] = { ...at(0), name: 'free' };
    changed[1] = { ...at(1), name: 'n0' };
    changed[2] = { ...at(2), name: 'n1' };
    const again = { ...at(5), host: 'last' };
    await updateMany(ws, service, [...changed, again]);

    const found = await context.store.getMany(
      service,
      ws,
      services.map(({ id }) => id),
    );
    expect(changed.slice(0, 5).map(({ id }) => found.get(id))).toEqual(changed.slice(0, 5));
    expect(found.get(again.id)).toEqual(again);
    const log = await changesOf(context.store.db, ws);
    expect(log.filter(({ version }) => version === 2).map(({ entity_id: id }) => id)).toEqual(
      [...changed, again].map(({ id }) => id),
    );

    const clash = [at(3), { ...at(4), name: 'free' }];
    expect(await refusal(updateMany(ws, service, clash))).toEqual({
      failure: { code: 'unique', fields: { name: 'free' } },
      entityId: at(4).id,
    });
    await expect(updateMany(ws, service, [at(3), entityOf(service)])).rejects.toThrow('not there');
  });

  it('removes many with their children, and names the one that is still needed', async () => {
    const ws = await context.workspace();
    const { store } = context;
    const services = numbered(3, () => entityOf(service, { host: 'h' }));
    await insertMany(ws, service, services);
    const ids = services.map(({ id }) => id);
    const child = await context.made(ws, route, { service: { id: ids[1] ?? '' } });
    const removeMany = (definition: EntityDefinition, gone: readonly string[]) =>
      store.write(ws, ACTOR, (tx) => tx.removeMany(definition, ws, gone));

    expect(await refusal(removeMany(service, ids))).toEqual({
      failure: { code: 'foreign_referenced', by: 'routes', kind: 'services' },
      entityId: ids[1],
    });
    const use = await context.made(ws, plugin, { name: 'x', route: { id: child.id } });
    expect((await removeMany(route, [child.id, randomUUID(), 'no-uuid'])).value).toBe(1);
    expect(await store.get(plugin, ws, use.id)).toBeNull();
    expect((await removeMany(service, [...ids, ...ids])).value).toBe(3);
    expect(await store.getMany(service, ws, ids)).toEqual(new Map());
  });
}
