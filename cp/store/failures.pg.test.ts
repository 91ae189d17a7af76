import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { REGISTRY } from '#shared/registry.ts';
import { service } from '#shared/entities/service.ts';
import type { Logger } from '#shared/platform/platform.ts';
import { PostgresProxy } from '../../test/chaos/postgres-faults.ts';
import { eventually } from '../../test/support/eventually.ts';
import { skipWithoutPostgres } from '../../test/support/missing-postgres.ts';
import { startPostgres } from '../../test/support/postgres.ts';
import { openPg } from './drivers/pg.ts';
import { CONNECT_TIMEOUT_MS, POOL_SIZE_MAX } from './drivers/pool.ts';
import { openStoreOn } from './open-store.ts';
import type { Store } from './store.ts';
import { changesOf, entityOf, failureOf } from './context.suite.ts';

const postgres = await startPostgres();

if ('missing' in postgres) {
  skipWithoutPostgres(postgres);
} else {
  describe('the store, when the database fails', async () => {
    const proxy = await PostgresProxy.start(postgres.port);
    const lines: string[] = [];
    const logger: Logger = { log: (_level, message) => void lines.push(message) };
    let store: Store | null = null;
    let url = '';
    let dataDir = '';
    const ws = () => must(store, 'started').defaultWorkspace();
    const actor = { name: 'tester', source: null };
    const insert = (name: string) =>
      must(store, 'started').write(ws(), actor, (tx) =>
        tx.insert(service, ws(), entityOf(service, { name, host: 'h' })),
      );

    beforeAll(async () => {
      dataDir = await mkdtemp(join(tmpdir(), 'headgate-failures-'));
      const direct = new URL(await postgres.createDatabase());
      direct.port = String(proxy.port);
      url = direct.href;
      const db = openPg({ url, isPooled: false, logger });
      const kek = Buffer.alloc(32, 1).toString('base64');
      const database = { url, driver: null, dataDir };
      ({ store } = await openStoreOn(db, { database, kek, registry: REGISTRY, logger }));
    });
    afterEach(() => {
      proxy.cut = 'none';
      proxy.tcp.isDown = false;
    });
    afterAll(async () => {
      await store?.close();
      await proxy.stop();
      await postgres.stop();
      await rm(dataDir, { recursive: true });
    });

    it('says that the outcome is unknown when COMMIT was sent and not answered', async () => {
      let wakes = 0;
      const stop = must(store, 'started').onCommit(() => {
        wakes += 1;
      });
      proxy.cut = 'after';
      expect(await failureOf(insert('happened'))).toEqual({ code: 'outcome_unknown' });
      proxy.cut = 'before';
      expect(await failureOf(insert('lost'))).toEqual({ code: 'outcome_unknown' });
      proxy.cut = 'none';
      stop();

      expect(wakes).toBeGreaterThanOrEqual(2);
      const { rows } = await must(store, 'started').list(service, ws(), { size: 9, after: null });
      expect(rows.map(({ name }) => name)).toEqual(['happened']);
      // Both: what was lost took no version.
      expect((await insert('next')).version).toBe(2);
      const changes = await changesOf(must(store, 'started').db, ws());
      expect(changes.map(({ version }) => version)).toEqual([1, 2]);
    });

    it('says that it is unavailable while it cannot be reached, and recovers by itself', async () => {
      proxy.tcp.isDown = true;
      proxy.tcp.breakAll();

      expect(await failureOf(insert('down'))).toEqual({ code: 'unavailable' });
      const reading = must(store, 'started').list(service, ws(), { size: 1, after: null });
      expect(await failureOf(reading)).toEqual({ code: 'unavailable' });
      proxy.tcp.isDown = false;
      expect((await insert('up')).version).toBe(3);
    });

    it('listens again after its connection broke, and says that something may be missed', async () => {
      const { db } = must(store, 'started');
      const heard: string[] = [];
      const stop = await db.listen('headgate_test', (payload) => heard.push(payload));
      await db.notify('headgate_test', 'before');
      await eventually('the first notification', () => heard.includes('before'));
      // An earlier reconnect may have hinted too.
      heard.length = 0;
      lines.length = 0;

      await db.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE query LIKE 'LISTEN%' AND datname = current_database()`,
      );
      await eventually('the hint after the reconnect', () => heard.includes(''));
      await db.notify('headgate_test', 'after');
      await eventually('the second notification', () => heard.includes('after'));
      await stop();
      expect(lines).toContain('database notifications lost: polling until they are back');
      expect(lines).toContain('database notifications are back');
    });

    it('ends a statement that waits for a lock too long, as unavailable', async () => {
      const { db } = must(store, 'started');
      const held = Promise.withResolvers<void>();
      const locked = Promise.withResolvers<void>();
      const holding = db.tx(async (tx) => {
        await tx.query('SELECT 1 FROM workspace_versions WHERE ws_id = $1 FOR UPDATE', [ws()]);
        locked.resolve();
        await held.promise;
      });
      await locked.promise;
      const waiting = must(store, 'started').write(ws(), actor, async (tx) => {
        await tx.insert(service, ws(), entityOf(service, { name: 'w', host: 'h' }));
      });
      const failing = failureOf(waiting);
      await eventually('the writer waits', async () => {
        const { count } = await db.query(
          `SELECT pg_cancel_backend(pid) FROM pg_stat_activity
           WHERE wait_event_type = 'Lock' AND datname = current_database()`,
        );
        return count > 0;
      });
      expect(await failing).toEqual({ code: 'unavailable' });
      held.resolve();
      await holding;
    });

    it('queues for a connection no longer than it says', async () => {
      const db = openPg({ url, isPooled: false, logger });
      const release = Promise.withResolvers<void>();
      const holders = Array.from({ length: POOL_SIZE_MAX }, () => db.tx(() => release.promise));
      const started = performance.now();
      const late = await db.query('SELECT 1').catch((error: unknown) => error);
      const waited = performance.now() - started;
      release.resolve();
      await Promise.all(holders);
      await db.close();

      expect(late).toMatchObject({ name: 'DbError', sqlState: null });
      expect(waited).toBeGreaterThan(CONNECT_TIMEOUT_MS - 100);
      expect(waited).toBeLessThan(CONNECT_TIMEOUT_MS + 3_000);
    });
  });
}
