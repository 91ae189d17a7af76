import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { route } from '#shared/entities/route.ts';
import { REGISTRY } from '#shared/registry.ts';
import { openTestStore, type TestStore } from '../../test/support/pglite.ts';
import { entityOf } from './context.suite.ts';

const ROUTES = 10_000;
const ACTOR = { name: 'test', source: null };

describe('one transaction of ten thousand entities', () => {
  let db: TestStore;
  beforeAll(async () => {
    db = await openTestStore(REGISTRY.entities);
  });
  afterAll(() => db.close());

  // Under a second on two idle cores; whatever else a whole load does has to fit in ten.
  it('is written in a few seconds, changes included', async () => {
    const { store } = db;
    const ws = store.defaultWorkspace();
    const routes = Array.from({ length: ROUTES }, (_, index) =>
      entityOf(route, { name: `r${index}`, paths: [`/${index}`] }),
    );
    const started = performance.now();
    await store.write(ws, ACTOR, (tx) => tx.insertMany(route, ws, routes));
    const elapsed = performance.now() - started;

    const { rows } = await store.db.query(
      'SELECT count(*), max(position) AS last FROM changes WHERE ws_id = $1',
      [ws],
    );
    expect(rows).toEqual([{ count: ROUTES, last: ROUTES - 1 }]);
    expect(elapsed).toBeLessThan(5_000);
  });
});
