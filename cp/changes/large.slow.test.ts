import { afterAll, beforeAll, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { nodeClock } from '#shared/platform/node/clock.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import { REGISTRY } from '#shared/registry.ts';
import { processInsert } from '#shared/schema/process.ts';
import { openTestStore, silent, type TestStore } from '../../test/support/pglite.ts';
import { Publisher } from './publisher.ts';

/** More than one call takes arguments. */
const COUNT = 130_000;

let db: TestStore;
beforeAll(async () => {
  db = await openTestStore(REGISTRY.entities);
});
afterAll(() => db.close());

it('publishes more records of one commit than a call takes arguments', async () => {
  const { store, keyring } = db;
  const consumers = must(REGISTRY.entities.get('consumers'), 'consumers');
  const deps = { nowSeconds: 1, uuid: nodeRandom.uuid, randomText: () => '' };
  const entities = Array.from({ length: COUNT }, (_, i) => {
    const made = processInsert(consumers, { username: `c${i}` }, REGISTRY, deps);
    return must(made.ok ? made.entity : null, 'a consumer');
  });
  const ws = store.defaultWorkspace();
  await store.write(ws, { name: 'test', source: null }, (tx) =>
    tx.insertMany(consumers, ws, entities),
  );
  const publisher = new Publisher({
    store,
    keyring,
    registry: REGISTRY,
    crypto: nodeCrypto,
    clock: nodeClock,
    random: nodeRandom,
    logger: silent,
    pollMs: 60_000,
  });
  await publisher.flush();
  await publisher.close();
  const { rows } = await store.db.query<{ count: number }>(
    "SELECT count(*) AS count FROM group_records WHERE kind = 'consumers'",
  );
  expect(rows).toEqual([{ count: COUNT }]);
}, 180_000);
