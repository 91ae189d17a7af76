/** What every driver must make true of transactions, versions and other processes. */
import { randomUUID } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { consumer } from '#shared/entities/consumer.ts';
import { service } from '#shared/entities/service.ts';
import { target } from '#shared/entities/target.ts';
import { upstream } from '#shared/entities/upstream.ts';
import { workspace } from '#shared/entities/workspace.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import type { Db } from './db.ts';
import type { WriteTx } from './entity-store.ts';
import { type SuiteContext, ACTOR, entityOf, failureOf, changesOf } from './context.suite.ts';

export function describeVersions(context: SuiteContext): void {
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

    expect(first).toEqual({ value: 'value', version: 1, versions: new Map([[ws, 1]]) });
    expect(second).toEqual({
      value: { ...entity, host: 'i' },
      version: 1,
      versions: new Map(),
    });
    expect(await changesOf(store.db, ws)).toMatchObject([
      { version: 1, position: 0, kind: 'services', operation: 'create', doc: entity },
      { version: 1, position: 1, kind: 'services', operation: 'update', doc: { host: 'i' } },
      { version: 1, position: 2, kind: 'consumers', operation: 'create' },
    ]);
  });

  it('settles what belongs to a write in its transaction, knowing the version', async () => {
    const ws = await context.workspace();
    const { store } = context;
    const entity = entityOf(service, { host: 'h' });
    const insert = (tx: WriteTx) => tx.insert(service, ws, entity);
    const refused = store.write(ws, ACTOR, insert, async () => {
      throw new Error('changed my mind');
    });
    await expect(refused).rejects.toThrow('changed my mind');
    expect(await store.get(service, ws, entity.id)).toBeNull();

    let seen: unknown = null;
    await store.write(ws, ACTOR, insert, async (db, { version }) => {
      const { rows } = await db.query('SELECT version FROM changes WHERE ws_id = $1', [ws]);
      seen = { version, rows };
    });
    expect(seen).toEqual({ version: 1, rows: [{ version: 1 }] });
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

  it('loses no update of writers that read first', async () => {
    const ws = await context.workspace();
    const { id } = await context.made(ws, service, { host: 'h', retries: 0 });
    const increment = () =>
      context.store.write(ws, ACTOR, async (tx) => {
        const entity = must(await tx.get(service, ws, id), 'stored');
        await tx.update(service, ws, { ...entity, retries: Number(entity['retries']) + 1 });
      });
    await Promise.all(Array.from({ length: 20 }, increment));

    expect(await context.store.get(service, ws, id)).toMatchObject({ retries: 20 });
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

/** What takes more than one connection. */
export function describeOthers(context: SuiteContext): void {
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
