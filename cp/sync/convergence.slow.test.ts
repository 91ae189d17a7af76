import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { groupPepper, lookupHash } from '#shared/config/secrets.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import { REGISTRY } from '#shared/registry.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import { processInsert } from '#shared/schema/process.ts';
import { eventually } from '../../test/support/eventually.ts';
import { openTestStore, type TestStore } from '../../test/support/pglite.ts';
import { SyncEndpoint } from '../../test/support/sync-endpoint.ts';
import { NodeDisk, SyncNode } from '../../test/support/sync-node.ts';

const ACTOR = { name: 'test', source: null };
const DEPS = {
  nowSeconds: 1_800_000_000,
  uuid: () => nodeRandom.uuid(),
  randomText: (length: number) => nodeRandom.uuid().replaceAll('-', '').slice(0, length),
};

let db: TestStore;
let endpoint: SyncEndpoint;
const nodes: SyncNode[] = [];

beforeAll(async () => {
  db = await openTestStore(REGISTRY.entities);
}, 60_000);
afterAll(() => db.close());
beforeEach(async () => {
  await db.store.db.query('TRUNCATE nodes, node_health');
  endpoint = await SyncEndpoint.start(db);
});
afterEach(async () => {
  await Promise.all(nodes.splice(0).map((node) => node.client.stop()));
  await endpoint.close();
});

async function write(kind: string, ...inputs: JsonObject[]): Promise<AnyEntity[]> {
  const def = must(REGISTRY.entities.get(kind), kind);
  const ws = db.store.defaultWorkspace();
  const entities = inputs.map((input) => {
    const made = processInsert(def, input, REGISTRY, DEPS);
    if (!made.ok) throw new Error(JSON.stringify(made.violations));
    return made.entity;
  });
  await db.store.write(ws, ACTOR, async (tx) => {
    for (const entity of entities) await tx.insert(def, ws, entity);
  });
  return entities;
}

const service = (): JsonObject => ({ name: nodeRandom.uuid(), host: 'upstream.test' });

async function joined(address = endpoint.address, disk = new NodeDisk()): Promise<SyncNode> {
  const node = new SyncNode(address, disk.identity === null ? await endpoint.token() : null, disk);
  nodes.push(node);
  return node.start();
}

/** Root of the newest revision. */
async function head(): Promise<{ root: string; revision: number }> {
  await endpoint.publisher.flush();
  const { rows } = await db.store.db.query<{ manifest: string }>(
    'SELECT manifest FROM manifests ORDER BY epoch DESC, revision DESC LIMIT 1',
  );
  return JSON.parse(must(rows[0], 'a manifest').manifest);
}

async function listed(): Promise<JsonObject> {
  return must((await endpoint.registry.list())[0], 'a node');
}

describe('a data plane', () => {
  it('joins, receives the configuration, and acks each change', async () => {
    await write('services', service());
    const node = await joined();
    const { root } = await head();
    await node.serves((state) => state.tree.hash === root);

    await write('services', service());
    const changed = await head();
    await node.serves((state) => state.tree.hash === changed.root);

    const row = await eventually('the ack', async () => {
      const found = await listed();
      return found['actual_revision'] === changed.revision ? found : null;
    });
    expect(row).toMatchObject({
      connected: true,
      sync_status: 'normal',
      persisted: true,
      desired_revision: changed.revision,
    });
  });

  it('finds a credential by the hash under the secret it was handed', async () => {
    const [consumer] = await write('consumers', { username: nodeRandom.uuid() });
    const key = nodeRandom.uuid();
    await write('keyauth_credentials', { key, consumer: { id: must(consumer, 'it').id } });
    const node = await joined();
    const { root } = await head();
    const state = await node.serves((it_) => it_.tree.hash === root);

    const identity = must(node.client.identity, 'an identity');
    const secret = must(identity.groupSecrets[0], 'a secret');
    const pepper = groupPepper(secret.secret, secret.generation, nodeCrypto);
    const ws = db.store.defaultWorkspace();
    const hash = lookupHash(pepper, { kind: 'keyauth_credentials', ws, value: key }, nodeCrypto);
    const bodies = [...state.tree.records()].map(({ body }) => body['key']);
    expect(bodies).toContain(hash);
    expect(JSON.stringify(bodies)).not.toContain(key);
  });

  it('refuses what it cannot build, is shown with the reason, and takes the next revision', async () => {
    const node = await joined();
    const { root } = await head();
    await node.serves((state) => state.tree.hash === root);
    const [bad] = await write('services', service());
    const entity = { kind: 'services', id: must(bad, 'it').id };
    node.build = () => ({ ok: false, entity, detail: 'cannot be built' });
    const refused = await head();

    const row = await eventually('the refusal', async () => {
      const found = await listed();
      return typeof found['last_error'] === 'string' ? found : null;
    });
    expect(row['last_error']).toContain('build_failed (services');
    expect(row['actual_revision']).toBe(refused.revision - 1);

    node.build = () => ({ ok: true, quarantined: [] });
    await write('services', service());
    const next = await head();
    await node.serves((state) => state.tree.hash === next.root);
    await eventually('the error is gone', async () => (await listed())['last_error'] === null);
  });

  it('comes back after a restart of the control plane and catches up, with its own key', async () => {
    const disk = new NodeDisk();
    const node = await joined(endpoint.address, disk);
    const before = await head();
    await node.serves((state) => state.tree.hash === before.root);
    const { port } = endpoint;
    await endpoint.close();
    for (let i = 0; i < 5; i += 1) await write('services', service());
    endpoint = await SyncEndpoint.start(db, { port });

    const after = await head();
    await node.serves((state) => state.tree.hash === after.root);
    expect(await endpoint.registry.list()).toHaveLength(1);

    await node.client.stop();
    const again = await joined(endpoint.address, disk);
    await again.serves((state) => state.tree.hash === after.root);
    expect(await endpoint.registry.list()).toHaveLength(1);
    const retired = endpoint.logs.filter(({ message }) => message === 'retired join counter');
    expect(retired).toEqual([]);
  });

  it('reaches the same state by pull, and is listed with it', async () => {
    await write('services', service(), service());
    const puller = await joined(`http://${endpoint.host}`);
    const { root, revision } = await head();
    await puller.serves((state) => state.tree.hash === root);
    const row = await eventually('the ack', async () => {
      const found = await listed();
      return found['actual_revision'] === revision ? found : null;
    });
    expect(row).toMatchObject({ connected: false, persisted: true, sync_status: 'normal' });
  });

  it('is one of many that all end with the same state, at a cost to the database of one', async () => {
    const many = await Promise.all(Array.from({ length: 20 }, () => joined()));
    const first = await head();
    await Promise.all(many.map((node) => node.serves((state) => state.tree.hash === first.root)));
    let reads = 0;
    const { db: database } = db.store;
    const query = database.query.bind(database);
    database.query = (text, params) => {
      if (/FROM (manifests|group_nodes)/.test(text)) reads += 1;
      return query(text, params);
    };

    await write('services', service());
    const { root } = await eventually('published', async () => {
      const now = await head();
      return now.root !== first.root ? now : null;
    });
    await Promise.all(many.map((node) => node.serves((state) => state.tree.hash === root)));
    database.query = query;

    // The hub's own reads, and those of `head` above; twenty nodes add nothing.
    expect(reads).toBeGreaterThan(0);
    expect(reads).toBeLessThanOrEqual(6);
  });

  it('ends with the state of the last of many commits, whatever came in between', async () => {
    const node = await joined();
    await node.serves(() => true);
    const names = Array.from({ length: 60 }, () => service());
    for (const name of names) await write('services', name);
    const { root, revision } = await head();
    await node.serves((state) => state.tree.hash === root);
    const { swapped } = node;
    expect(swapped).toEqual(swapped.toSorted((a, b) => a - b));
    expect(swapped.at(-1)).toBe(revision);
  });
});
