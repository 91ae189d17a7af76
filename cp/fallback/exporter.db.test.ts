import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { headName, nodeName } from '#shared/config/fallback.ts';
import { SCHEMA_LEVEL } from '#shared/config/levels.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { type ObjectStore, openObjectStore } from '#shared/platform/node/object-store.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import { nodeClock } from '#shared/platform/node/clock.ts';
import { REGISTRY } from '#shared/registry.ts';
import { processInsert } from '#shared/schema/process.ts';
import { FakeClock } from '../../test/support/fake-clock.ts';
import { openTestStore, silent, type TestStore } from '../../test/support/pglite.ts';
import { Publisher } from '../changes/publisher.ts';
import { FallbackExporter, LOOK_INTERVAL_MS } from './exporter.ts';

const DEFAULT = 'default';

let db: TestStore;
let ws: string;
let publisher: Publisher;
let folder: string;
let clock: FakeClock;
let written: string[];
/** Name of the first object that the storage refuses. */
let refused: string | null;

beforeAll(async () => {
  db = await openTestStore(REGISTRY.entities);
  const { rows } = await db.store.db.query<{ id: string }>(
    `SELECT id FROM workspaces WHERE name = 'default'`,
  );
  ws = must(rows[0]?.id ?? null, 'a workspace');
  publisher = new Publisher({
    store: db.store,
    keyring: db.keyring,
    registry: REGISTRY,
    crypto: nodeCrypto,
    clock: nodeClock,
    random: nodeRandom,
    logger: silent,
    pollMs: 60_000,
  });
  await change('one');
}, 60_000);
afterAll(async () => {
  await publisher.close();
  await db.close();
});
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headgate-exporter-'));
  clock = new FakeClock();
  written = [];
  refused = null;
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function change(name: string): Promise<void> {
  const def = must(REGISTRY.entities.get('services'), 'services');
  const made = processInsert(def, { name, host: 'upstream.test' }, REGISTRY, {
    nowSeconds: 1_800_000_000,
    uuid: () => nodeRandom.uuid(),
    randomText: () => 'x',
  });
  if (!made.ok) throw new Error(JSON.stringify(made.violations));
  await db.store.write(ws, { name: 'test', source: null }, (tx) => tx.insert(def, ws, made.entity));
  await publisher.flush();
}

/** A folder that writes down what it is given. */
function storage(): ObjectStore {
  const real = openObjectStore({ url: pathToFileURL(folder).href, credentials: null });
  return {
    get: (name) => real.get(name),
    list: (prefix) => real.list(prefix),
    put: async (name, text) => {
      if (refused !== null && name.startsWith(refused)) throw new Error('refused');
      written.push(name);
      await real.put(name, text);
    },
    remove: async (name) => {
      written.push(`-${name}`);
      await real.remove(name);
    },
  };
}

async function exporting(store: ObjectStore): Promise<FallbackExporter> {
  const ports = { clock, crypto: nodeCrypto, random: nodeRandom, logger: silent };
  const exporter = new FallbackExporter({ db: db.store.db, keyring: db.keyring, store, ...ports });
  exporter.wake();
  await exporter.idle();
  return exporter;
}

const head = headName(DEFAULT, SCHEMA_LEVEL);

describe('copies in the fallback storage', () => {
  it('are written whole, the pointer last, and then only what changed', async () => {
    const exporter = await exporting(storage());
    const first = [...written];
    expect(first.at(-1)).toBe(head);
    expect(first.filter((name) => name.startsWith(nodeName(DEFAULT, ''))).length).toBe(
      first.length - 2,
    );

    written = [];
    await change('two');
    exporter.wake();
    await exporter.idle();
    expect(written.at(-1)).toBe(head);
    expect(written.length).toBeLessThan(first.length + 1);
    expect(new Set(written).size).toBe(written.length);

    written = [];
    await clock.advance(LOOK_INTERVAL_MS);
    await exporter.idle();
    expect(written).toEqual([]);
    await exporter.close();
  });

  it('have no pointer to what is not there, and are made good at the next look', async () => {
    const store = storage();
    refused = nodeName(DEFAULT, '');
    const exporter = await exporting(store);
    expect(await store.get(head)).toBeNull();

    refused = null;
    await clock.advance(LOOK_INTERVAL_MS);
    await exporter.idle();
    expect(await store.get(head)).not.toBeNull();
    await exporter.close();
  });

  it('lose what the database has swept', async () => {
    const store = storage();
    const exporter = await exporting(store);
    const before = await store.list(nodeName(DEFAULT, ''));
    await change('three');
    await db.store.db.query('DELETE FROM group_nodes WHERE retired_revision IS NOT NULL');
    exporter.wake();
    await exporter.idle();

    const { rows } = await db.store.db.query<{ id: string }>('SELECT id FROM group_nodes');
    const after = await store.list(nodeName(DEFAULT, ''));
    expect(after.toSorted()).toEqual(rows.map(({ id }) => nodeName(DEFAULT, id)).toSorted());
    expect(after).not.toEqual(before);
    await exporter.close();
  });

  it('are found as another control plane left them', async () => {
    const store = storage();
    await (await exporting(store)).close();
    written = [];

    await (await exporting(store)).close();

    // The boot record is sealed anew, the pointer is the same; no node is written twice.
    expect(written.filter((name) => name.startsWith(nodeName(DEFAULT, '')))).toEqual([]);
  });

  it('of one group that cannot be written keep no other from being there', async () => {
    await db.store.db.query(
      `INSERT INTO groups (id, name, workspaces)
       VALUES ('00000000-0000-4000-8000-000000000001', '..', '{}')`,
    );
    // It has been there since before such names were refused.
    await change('beside');
    const store = storage();
    const exporter = await exporting(store);
    const { rows } = await db.store.db.query(
      "SELECT 1 FROM manifests WHERE group_id::text ^@ '0000'",
    );
    expect(rows).toHaveLength(1);
    expect(await store.get(head)).not.toBeNull();
    await exporter.close();
  });
});
