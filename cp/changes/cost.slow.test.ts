/** What one change costs among 100,000 entities, with a selector and without, and what many groups cost at rest. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { nodeClock } from '#shared/platform/node/clock.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import { REGISTRY } from '#shared/registry.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import { processInsert } from '#shared/schema/process.ts';
import { openTestStore, silent, type TestStore } from '../../test/support/pglite.ts';
import type { Db } from '../store/db.ts';
import type { Store } from '../store/store.ts';
import { Publisher } from './publisher.ts';

const ROUTES = 10_000;
const SERVICES = 1_000;
const CONSUMERS = 89_000;
const GROUPS = 100;
/** On the wire per node, beside the entity's own bytes. */
const FRAME_BYTES_MAX = 2_048;
const ACTOR = { name: 'test', source: null };
const DEPS = { nowSeconds: 1, uuid: () => nodeRandom.uuid(), randomText: () => '' };

const asked = { statements: 0, rows: 0 };

/** Counts what is read through it. */
function counting(db: Db): Db {
  return new Proxy(db, {
    get(target, key) {
      if (key === 'query') {
        return async (...params: Parameters<Db['query']>) => {
          const result = await target.query(...params);
          asked.statements += 1;
          asked.rows += result.rows.length;
          return result;
        };
      }
      if (key === 'tx') {
        return (work: (tx: Db) => Promise<unknown>, options: Parameters<Db['tx']>[1]) =>
          target.tx((tx) => work(counting(tx)), options);
      }
      const value: unknown = Reflect.get(target, key);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

function countingStore(store: Store): Store {
  return new Proxy(store, {
    get(target, key) {
      if (key === 'db') return counting(target.db);
      const value: unknown = Reflect.get(target, key);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

function make(kind: string, input: JsonObject): AnyEntity {
  const made = processInsert(definitionOf(kind), input, REGISTRY, DEPS);
  return must(made.ok ? made.entity : null, kind);
}

function definitionOf(kind: string) {
  return must(REGISTRY.entities.get(kind), kind);
}

let db: TestStore;
let publisher: Publisher;
let ws: string;
const all = nodeRandom.uuid();
const selecting = nodeRandom.uuid();
let routes: AnyEntity[] = [];
let services: AnyEntity[] = [];

async function group(id: string, name: string, tags: string[] | null): Promise<void> {
  await db.store.db.query(
    'INSERT INTO groups (id, name, workspaces, tags) VALUES ($1, $2, ARRAY[$3::uuid], $4)',
    [id, name, ws, tags],
  );
}

beforeAll(async () => {
  db = await openTestStore(REGISTRY.entities);
  const { store, keyring } = db;
  ws = store.defaultWorkspace();
  await store.db.query("DELETE FROM groups WHERE name = 'default'");
  const times = <T>(length: number, one: (index: number) => T) =>
    Array.from({ length }, (_, index) => one(index));
  services = times(SERVICES, (i) => make('services', { name: `s${i}`, host: `s${i}.test` }));
  routes = times(ROUTES, (i) =>
    make('routes', {
      paths: [`/${i}`],
      hosts: [`h${i % 100}.example.com`],
      tags: i % 2 === 0 ? ['edge'] : [],
      service: { id: must(services[i % SERVICES], 'a service').id },
    }),
  );
  const consumers = times(CONSUMERS, (i) => make('consumers', { username: `c${i}` }));
  await store.write(ws, ACTOR, async (tx) => {
    await tx.insertMany(definitionOf('services'), ws, services);
    await tx.insertMany(definitionOf('routes'), ws, routes);
    await tx.insertMany(definitionOf('consumers'), ws, consumers);
  });
  await group(all, 'all', null);
  await group(selecting, 'selecting', ['edge']);
  publisher = new Publisher({
    store: countingStore(store),
    keyring,
    registry: REGISTRY,
    crypto: nodeCrypto,
    clock: nodeClock,
    random: nodeRandom,
    logger: silent,
    pollMs: 600_000,
  });
  await publisher.flush();
}, 240_000);
afterAll(async () => {
  await publisher?.close();
  await db?.close();
});

/** The newest delta of a group, with what its records take by themselves. */
async function lastDelta(id: string): Promise<{ bytes: number; own: number; changed: number }> {
  const { rows } = await db.store.db.query<{ delta: string }>(
    'SELECT delta FROM manifests WHERE group_id = $1 ORDER BY revision DESC LIMIT 1',
    [id],
  );
  const text = must(rows[0], 'a manifest').delta;
  const { upserts, removals } = JSON.parse(text) as { upserts: string[]; removals: unknown[] };
  const bytes = (part: unknown) => Buffer.byteLength(JSON.stringify(part));
  const own = upserts.reduce((sum, upsert) => sum + bytes(upsert), 0);
  return { bytes: Buffer.byteLength(text), own, changed: upserts.length + removals.length };
}

async function publishChange(kind: string, entity: AnyEntity): Promise<number> {
  await db.store.write(ws, ACTOR, (tx) => tx.update(definitionOf(kind), ws, entity));
  asked.statements = 0;
  asked.rows = 0;
  const started = performance.now();
  await publisher.flush();
  return performance.now() - started;
}

describe('one change among 100,000 entities', () => {
  const route = (change: JsonObject): AnyEntity => ({ ...must(routes[4], 'a route'), ...change });

  it.each<[string, () => [string, AnyEntity], number]>([
    ['a selected route', () => ['routes', route({ paths: ['/other'] })], 1],
    ['a route that loses the tag', () => ['routes', route({ tags: [] })], 1],
    ['a route that gets it', () => ['routes', route({ tags: ['edge'] })], 1],
    ['a service', () => ['services', { ...must(services[4], 'one'), host: 'elsewhere.test' }], 1],
  ])('reads and sends what changed: %s', async (what, of, changed) => {
    const ms = await publishChange(...of());
    console.info(
      `${what}: ${asked.statements} statements, ${asked.rows} rows, ${ms.toFixed(0)} ms`,
    );
    for (const id of [all, selecting]) {
      const delta = await lastDelta(id);
      expect(delta.changed).toBe(changed);
      expect(delta.bytes - delta.own).toBeLessThanOrEqual(FRAME_BYTES_MAX);
      console.info(`  ${delta.bytes} bytes, ${delta.own} of them the entity's own`);
    }
    expect(asked.rows).toBeLessThan(200);
    expect(asked.statements).toBeLessThan(100);
  });

  it('costs a poll of a hundred groups one statement when nothing happened', async () => {
    for (let index = 0; index < GROUPS; index += 1) {
      await group(nodeRandom.uuid(), `idle ${index}`, ['no such tag']);
    }
    await db.store.db.query(
      `UPDATE groups SET workspaces = '{}', tags = NULL WHERE name LIKE 'idle %'`,
    );
    await publisher.flush();
    asked.statements = 0;
    await publisher.flush();
    expect(asked.statements).toBe(1);
  });
});
