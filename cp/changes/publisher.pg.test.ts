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

/** @param before  awaited with everything written, and the version not yet taken */
async function insert(
  { store }: OpenedStore,
  name: string,
  before: () => Promise<void> = async () => {},
): Promise<void> {
  const made = processInsert(SERVICES, { name, host: 'upstream.test' }, REGISTRY, DEPS);
  if (!made.ok) throw new Error(JSON.stringify(made.violations));
  const { entity } = made;
  await store.write(store.defaultWorkspace(), ACTOR, async (tx) => {
    await tx.insert(SERVICES, store.defaultWorkspace(), entity);
    await before();
  });
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

    it('misses nothing of two that overlap, when the one that began later commits first', async () => {
      const url = await postgres.createDatabase();
      const kek = Buffer.alloc(32, 7).toString('base64');
      const planes = [await open(url, kek), await open(url, kek)] as const;
      const [{ publisher, store }, other] = planes;
      await publisher.flush();
      const names = async (): Promise<string> => {
        await publisher.flush();
        const { rows } = await store.db.query<{ name: string }>(
          `SELECT text::jsonb -> 'body' ->> 'name' AS name FROM group_records
           WHERE kind = 'services' ORDER BY name`,
        );
        return rows.map(({ name }) => name).join();
      };

      let commit: () => void = () => {};
      const gate = new Promise<void>((resolve) => (commit = resolve));
      let wrote: () => void = () => {};
      const written = new Promise<void>((resolve) => (wrote = resolve));
      const early = insert(planes[0], 'a-began-first', () => {
        wrote();
        return gate;
      });
      await written;
      await insert(other, 'b-committed-first');
      // What is published now is all there is: a version of the first one does not exist yet.
      expect(await names()).toBe('b-committed-first');
      commit();
      await early;

      expect(await names()).toBe('a-began-first,b-committed-first');
      const { rows } = await store.db.query<{ name: string }>(
        `SELECT doc ->> 'name' AS name FROM changes WHERE kind = 'services' ORDER BY version`,
      );
      expect(rows.map(({ name }) => name)).toEqual(['b-committed-first', 'a-began-first']);
    });
  });
}
