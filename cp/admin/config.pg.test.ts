/** Loads of whole workspaces while others write: on a PostgreSQL server. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { REGISTRY } from '#shared/registry.ts';
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
  describe('loads at once', () => {
    let dataDir = '';
    let opened: OpenedStore;
    let admin: TestAdmin;
    beforeAll(async () => {
      dataDir = await mkdtemp(`${tmpdir()}/headgate-`);
      const url = await postgres.createDatabase();
      const db = openPg({ url, isPooled: false, logger: silent });
      const database = { url: null, driver: null, dataDir };
      const kek = Buffer.alloc(32, 7).toString('base64');
      opened = await openStoreOn(db, { database, kek, registry: REGISTRY, logger: silent });
      admin = await openTestAdmin(opened);
    });
    afterAll(async () => {
      await admin.close();
      await opened.store.close();
      await postgres.stop();
      await rm(dataDir, { recursive: true, force: true });
    });

    const file = (owner: string) => ({
      _format_version: '3.0',
      services: Array.from({ length: 20 }, (_, i) => ({
        name: `s-${i}`,
        host: `${owner}.test`,
        routes: [{ name: `r-${i}`, paths: [`/${owner}`] }],
      })),
    });
    const load = (owner: string) => admin.call('POST', '/config?force=1', file(owner));
    const versions = async () => {
      const { rows } = await opened.store.db.query<{ version: number }>(
        'SELECT DISTINCT version FROM changes WHERE ws_id = $1 ORDER BY version',
        [admin.ws],
      );
      return rows.map(({ version }) => version);
    };

    it('leave the workspace as one of them says, and each has its version', async () => {
      const owners = Array.from({ length: 8 }, (_, i) => `owner-${i}`);
      const answers = await Promise.all(owners.map(load));
      expect(answers.map(({ status, text }) => (status === 201 ? 201 : text))).toEqual(
        owners.map(() => 201),
      );
      const { rows } = await opened.store.db.query<{ host: string }>(
        "SELECT DISTINCT doc->>'host' AS host FROM services WHERE ws_id = $1",
        [admin.ws],
      );
      expect(rows).toHaveLength(1);
      expect(await versions()).toEqual(owners.map((_, i) => i + 1));
    });

    it('and others that write at the same time lose nothing but to a load that came later', async () => {
      const before = (await versions()).length;
      const writes = Array.from({ length: 24 }, (_, i) =>
        i % 6 === 0
          ? load(`late-${i}`)
          : i % 2 === 0
            ? admin.call('PATCH', `/services/s-${i % 20}`, { port: 1000 + i })
            : admin.call('POST', '/services', { name: `single-${i}`, host: 'a.test' }),
      );
      const answers = await Promise.all(writes);
      expect(answers.filter(({ status }) => status >= 500).map(({ text }) => text)).toEqual([]);
      const all = await versions();
      expect(all).toEqual(all.map((_, i) => i + 1));
      const made = answers.filter(({ status }) => status < 300).length;
      expect(all.length - before).toBe(made);
      // In the order of their versions, the last load decides what is there before it.
      const of = (answer: (typeof answers)[number]) =>
        Number(answer.headers.get('headgate-version'));
      const lastLoad = Math.max(...answers.filter((_, i) => i % 6 === 0).map(of));
      for (const [i, answer] of answers.entries()) {
        if (i % 2 === 0 || answer.status !== 201) continue;
        const { status } = await admin.call('GET', `/services/single-${i}`);
        expect([i, status]).toEqual([i, of(answer) > lastLoad ? 200 : 404]);
      }
    });
  });
}
