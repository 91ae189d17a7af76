import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { parseRecordText } from '#shared/config/record.ts';
import { ConfigTree } from '#shared/config/tree.ts';
import { nodeClock } from '#shared/platform/node/clock.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import { REGISTRY } from '#shared/registry.ts';
import { processInsert } from '#shared/schema/process.ts';
import { decodeDownFrame } from '#shared/wire/codec.ts';
import { eventually } from '../../test/support/eventually.ts';
import { silent } from '../../test/support/pglite.ts';
import { skipWithoutPostgres } from '../../test/support/missing-postgres.ts';
import { startPostgres } from '../../test/support/postgres.ts';
import { openPg } from '../store/drivers/pg.ts';
import { openStoreOn, type OpenedStore } from '../store/open-store.ts';
import { Publisher } from './publisher.ts';

const postgres = await startPostgres();
const ACTOR = { name: 'test', source: null };
const DEPS = {
  nowSeconds: 1_800_000_000,
  uuid: () => nodeRandom.uuid(),
  randomText: (length: number) => nodeRandom.uuid().replaceAll('-', '').slice(0, length),
};
const SERVICES = must(REGISTRY.entities.get('services'), 'services');

async function insert({ store }: OpenedStore, name: string): Promise<void> {
  const made = processInsert(SERVICES, { name, host: 'upstream.test' }, REGISTRY, DEPS);
  if (!made.ok) throw new Error(JSON.stringify(made.violations));
  const { entity } = made;
  await store.write(store.defaultWorkspace(), ACTOR, (tx) =>
    tx.insert(SERVICES, store.defaultWorkspace(), entity),
  );
}

if ('missing' in postgres) {
  skipWithoutPostgres(postgres);
} else {
  const closing: (() => Promise<unknown>)[] = [() => postgres.stop()];
  afterAll(async () => {
    for (const close of closing.toReversed()) await close();
  });

  /** A control plane's database side: connections, store and publisher of its own. */
  const open = async (
    url: string,
    kek: string,
  ): Promise<OpenedStore & { publisher: Publisher }> => {
    const dataDir = await mkdtemp(join(tmpdir(), 'headgate-publisher-'));
    closing.push(() => rm(dataDir, { recursive: true, force: true }));
    const db = await openPg({ url, isPooled: false, logger: silent });
    const database = { url, driver: null, dataDir };
    const opened = await openStoreOn(db, {
      database,
      kek,
      registry: REGISTRY,
      logger: silent,
    });
    const publisher = new Publisher({
      ...opened,
      registry: REGISTRY,
      crypto: nodeCrypto,
      clock: nodeClock,
      random: nodeRandom,
      logger: silent,
      pollMs: 60_000,
    });
    closing.push(async () => {
      await publisher.close();
      await opened.store.close();
    });
    return { ...opened, publisher };
  };

  describe('publishing from several control planes', () => {
    it('publishes every version once, in order, whoever wrote it', async () => {
      const url = await postgres.createDatabase();
      const kek = Buffer.alloc(32, 7).toString('base64');
      const planes = [await open(url, kek), await open(url, kek)];
      for (const { publisher } of planes) publisher.start();
      const { db } = must(planes[0], 'a plane').store;
      await eventually('the first revision', async () => {
        return (await db.query('SELECT 1 FROM manifests')).count > 0;
      });
      // The workspace itself.
      const first = await db.query<{ text: string }>('SELECT text FROM group_records');
      const initial = first.rows.map(({ text }) => must(parseRecordText(text, nodeCrypto), text));
      const total = initial.length + 120;

      const writers = Array.from({ length: 8 }, async (_, writer) => {
        for (let i = 0; i < 15; i += 1) {
          await insert(must(planes[writer % 2], 'a plane'), `s-${writer}-${i}`);
        }
      });
      await Promise.all(writers);

      const rows = await eventually('all is published', async () => {
        const found = await db.query<{ revision: number; manifest: string; delta: string | null }>(
          'SELECT revision, manifest, delta FROM manifests ORDER BY revision',
        );
        const last = found.rows.at(-1);
        return last !== undefined && JSON.parse(last.manifest).records === total && found.rows;
      });
      expect(rows.map(({ revision }) => revision)).toEqual(rows.map((_, index) => index + 1));
      let tree = ConfigTree.empty(nodeCrypto).apply(initial, []);
      for (const { manifest, delta } of rows) {
        if (delta !== null) {
          const decoded = decodeDownFrame(delta);
          if (!decoded.ok || decoded.frame.type !== 'delta') throw new Error('not a delta');
          const { upserts, removals } = decoded.frame;
          const records = upserts.map((text) => must(parseRecordText(text, nodeCrypto), text));
          tree = tree.apply(records, removals);
        }
        expect(tree.hash).toBe(JSON.parse(manifest).root);
      }
      expect(tree.size).toBe(total);
    });
  });
}
