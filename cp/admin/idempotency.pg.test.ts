/** Requests repeated because nobody knows what became of them: on a PostgreSQL server. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { REGISTRY } from '#shared/registry.ts';
import { PostgresProxy } from '../../test/chaos/postgres-faults.ts';
import { silent } from '../../test/support/pglite.ts';
import { skipWithoutPostgres } from '../../test/support/missing-postgres.ts';
import { startPostgres } from '../../test/support/postgres.ts';
import { openPg } from '../store/drivers/pg.ts';
import { type OpenedStore, openStoreOn } from '../store/open-store.ts';
import { openTestAdmin, type TestAdmin } from './admin.suite.ts';

const postgres = await startPostgres();

if ('missing' in postgres) {
  skipWithoutPostgres(postgres);
} else {
  describe('a request that is repeated', async () => {
    const proxy = await PostgresProxy.start(postgres.port);
    let dataDir = '';
    let opened: OpenedStore;
    let admin: TestAdmin;
    beforeAll(async () => {
      dataDir = await mkdtemp(`${tmpdir()}/headgate-`);
      const url = new URL(await postgres.createDatabase());
      url.port = String(proxy.port);
      const db = openPg({ url: url.href, isPooled: false, logger: silent });
      const database = { url: null, driver: null, dataDir };
      const kek = Buffer.alloc(32, 7).toString('base64');
      opened = await openStoreOn(db, { database, kek, registry: REGISTRY, logger: silent });
      admin = await openTestAdmin(opened);
    });
    afterEach(() => {
      proxy.cut = 'none';
    });
    afterAll(async () => {
      await admin.close();
      await opened.store.close();
      await proxy.stop();
      await postgres.stop();
      await rm(dataDir, { recursive: true, force: true });
    });
    const send = (key: string, path: string, body: unknown) =>
      admin.call('POST', path, body, { 'idempotency-key': key });
    const named = async (name: string) => {
      const { rows } = await opened.store.db.query<{ id: string }>(
        "SELECT id FROM services WHERE doc->>'host' = $1",
        [name],
      );
      return rows.map(({ id }) => id);
    };

    it('after COMMIT was lost on its way is done, once', async () => {
      const body = { host: 'before.test' };
      proxy.cut = 'before';
      const lost = await send('lost', '/services', body);
      expect([lost.status, lost.body['outcome']]).toEqual([503, 'unknown']);
      proxy.cut = 'none';
      const again = await send('lost', '/services', body);
      expect([again.status, again.headers.get('idempotency-replayed')]).toEqual([201, null]);
      expect(await named('before.test')).toEqual([again.body['id']]);
    });

    it('after the answer to COMMIT was lost gets the answer, and is not done again', async () => {
      const body = { host: 'after.test' };
      proxy.cut = 'after';
      const lost = await send('unheard', '/services', body);
      expect([lost.status, lost.body['outcome']]).toEqual([503, 'unknown']);
      proxy.cut = 'none';
      const again = await send('unheard', '/services', body);
      expect([again.status, again.headers.get('idempotency-replayed')]).toEqual([201, 'true']);
      expect(await named('after.test')).toEqual([again.body['id']]);
    });

    it('while it is under way waits for it, however often', async () => {
      const operations = Array.from({ length: 20 }, () => ({
        op: 'create',
        kind: 'services',
        body: { host: 'at-once.test' },
      }));
      const answers = await Promise.all(
        Array.from({ length: 8 }, () => send('at-once', '/headgate/bulk', { operations })),
      );
      expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
      expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
      const first = answers.filter(({ headers }) => headers.get('idempotency-replayed') === null);
      expect(first).toHaveLength(1);
      expect(await named('at-once.test')).toHaveLength(20);
    });
  });
}
