/**
 * The model of Postgres against Postgres: the control plane's own statements go to both, through a life
 * of writes, publications, data planes that come, go, turn up twice and are revoked.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { REGISTRY } from '#shared/registry.ts';
import { openPglite } from '../../../cp/store/drivers/pglite.ts';
import { openStoreOn } from '../../../cp/store/open-store.ts';
import { eventually } from '../../support/eventually.ts';
import { silent, type TestStore } from '../../support/pglite.ts';
import { SeededRandom } from '../../support/seeded-random.ts';
import { SyncEndpoint } from '../../support/sync-endpoint.ts';
import { NodeDisk, SyncNode } from '../../support/sync-node.ts';
import { definition, newEntity } from '../base.ts';
import { SimProcess } from '../process.ts';
import { Scheduler } from '../scheduler.ts';
import { ModelDatabase } from './model-database.ts';
import { ShadowDb } from './shadow.ts';
import { EMPTY_STATE } from './sql-tables.ts';

const ACTOR = { name: 'test', source: null };

let shadow: ShadowDb;
let opened: TestStore;
let endpoint: SyncEndpoint;
const end = new AbortController();

beforeAll(async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'headgate-model-'));
  const real = await openPglite(null, silent);
  const scheduler = new Scheduler();
  const random = new SeededRandom(1);
  const model = new ModelDatabase({ scheduler, random, state: EMPTY_STATE, nextRow: 1 });
  const { rows } = await real.query<{ id: string }>(
    'SELECT system_identifier::text AS id FROM pg_control_system()',
  );
  model.systemIdentifier = must(rows[0], 'a system').id;
  const process = new SimProcess('test', scheduler);
  shadow = new ShadowDb(real, model.connect(process));
  void (async () => {
    while (!end.signal.aborted) await scheduler.step();
  })();
  const { store, keyring, epochs } = await openStoreOn(shadow, {
    database: { url: null, driver: null, dataDir },
    kek: null,
    registry: REGISTRY,
    logger: silent,
  });
  const close = async (): Promise<void> => {
    await store.close();
    await rm(dataDir, { recursive: true, force: true });
  };
  opened = { store, keyring, epochs, close };
  endpoint = await SyncEndpoint.start(opened);
}, 60_000);

afterAll(async () => {
  await endpoint.close();
  await opened.close();
  end.abort();
});

async function writeSomething(random: SeededRandom, mark: string): Promise<void> {
  const ws = opened.store.defaultWorkspace();
  await opened.store.write(ws, ACTOR, async (tx) => {
    const service = newEntity('services', { name: mark, host: 'a.test', tags: [mark, 'all'] });
    await tx.insert(definition('services'), ws, service);
    const route = { name: mark, paths: [`/${mark}`], service: { id: service.id } };
    await tx.insert(definition('routes'), ws, newEntity('routes', route));
    const consumer = newEntity('consumers', { username: mark });
    await tx.insert(definition('consumers'), ws, consumer);
    const key = { key: `key-${mark}`, consumer: { id: consumer.id } };
    await tx.insert(definition('keyauth_credentials'), ws, newEntity('keyauth_credentials', key));
  });
  if (!random.chance(0.7)) return;
  await opened.store.write(ws, ACTOR, async (tx) => {
    const { rows } = await tx.list(definition('services'), ws, { size: 50, after: null });
    const one = must(rows[random.below(rows.length)], 'a service');
    if (random.chance(0.5)) {
      await tx.update(definition('services'), ws, { ...one, tags: [mark] });
      return;
    }
    const where = { field: 'service', id: one.id };
    const routes = await tx.list(definition('routes'), ws, { size: 50, after: null, where });
    for (const { id } of routes.rows) await tx.remove(definition('routes'), ws, id);
    await tx.remove(definition('services'), ws, one.id);
  });
}

describe('the model', () => {
  it('answers every statement of a life as Postgres does', async () => {
    const random = new SeededRandom(20_261_124);
    const token = await endpoint.token(10);
    const disks = [new NodeDisk(), new NodeDisk()];
    let nodes = await Promise.all(
      disks.map((disk) => new SyncNode(endpoint.address, token, disk).start()),
    );
    for (let turn = 0; turn < 8; turn += 1) {
      await writeSomething(random, `m${turn}`);
      await endpoint.publisher.flush();
      const head = Math.max(...nodes.map(({ client }) => client.status().revision));
      await Promise.all(
        nodes.map((node) => node.serves((state) => state.replica.revision >= head)),
      );
      if (turn !== 3) continue;
      // The same disks again, and once more what one of them was before.
      for (const { client } of nodes) await client.stop();
      nodes = await Promise.all(
        disks.map((disk) => new SyncNode(endpoint.address, token, disk).start()),
      );
      await endpoint.registry.flush();
      await opened.epochs.settle();
    }
    const [first] = nodes;
    const revoked = must(first?.client.identity?.node, 'a node');
    await endpoint.identities.revoke(revoked);
    await eventually('the revoked node is gone', () => first?.client.status().tag !== 'live');
    await endpoint.registry.flush();
    expect((await endpoint.registry.list()).length).toBe(1);
    await endpoint.identities.rotateSecret('default');
    await endpoint.publisher.flush();
    for (const { client } of nodes) await client.stop();
    await opened.store.sweepExpired();
    // Seen to the end: what is compared is most of what the control plane says.
    expect(shadow.seen.size).toBeGreaterThan(80);
  }, 60_000);

  it('refuses what Postgres refuses', async () => {
    const refused = [
      ["INSERT INTO groups (id, name, workspaces) VALUES ($1, 'default', '{}')", '23505'],
      ['INSERT INTO groups (id, name, workspaces) VALUES ($1, NULL, NULL)', '23502'],
    ] as const;
    for (const [text, sqlState] of refused) {
      const id = '10000000-0000-4000-8000-000000000001';
      await expect(shadow.query(text, [id])).rejects.toMatchObject({ sqlState });
    }
    await expect(shadow.query('SELECT $1::uuid', ['no'])).rejects.toMatchObject({
      sqlState: '22P02',
    });
  });
});
