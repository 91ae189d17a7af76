import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { eventually } from '../../test/support/eventually.ts';
import { skipWithoutPostgres } from '../../test/support/missing-postgres.ts';
import { openPgStore } from '../../test/support/pg-store.ts';
import { silent } from '../../test/support/pglite.ts';
import { sql } from '../../test/support/postgres-standby.ts';
import { startPostgres } from '../../test/support/postgres.ts';
import { SyncEndpoint } from '../../test/support/sync-endpoint.ts';
import { NodeDisk, SyncNode } from '../../test/support/sync-node.ts';
import { CLUSTER_ROLE_TABLES, openClusterDatabase } from './cluster-role.ts';

const postgres = await startPostgres();

if ('missing' in postgres) {
  skipWithoutPostgres(postgres);
} else {
  const closing: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0).toReversed()) await close();
  });
  afterAll(() => postgres.stop());

  const roleOn = (url: string, role: string): string => {
    const narrow = new URL(url);
    narrow.username = role;
    narrow.password = 'narrow';
    return narrow.href;
  };

  describe('the role of the cluster endpoint', () => {
    it('has the rights that sessions need, and no others', async () => {
      const url = await postgres.createDatabase();
      await sql(url, "CREATE ROLE headgate_cluster LOGIN PASSWORD 'narrow'");
      const test = await openPgStore(url);
      const narrow = roleOn(url, 'headgate_cluster');
      const settings = { url: narrow, driver: null, dataDir: '/nowhere' };
      const db = await openClusterDatabase(test.store.db, settings, silent);
      if (db === null) throw new Error('no role');
      const endpoint = await SyncEndpoint.start(test, { db, beatMs: 200, pollMs: 100 });
      closing.push(
        () => test.close(),
        () => db.close(),
        () => endpoint.close(),
      );

      // Joins, gets the configuration and each change, acks, comes back, and pulls.
      const disk = new NodeDisk();
      const node = await new SyncNode(endpoint.address, await endpoint.token(), disk).start();
      await node.serves(() => true);
      await sql(url, 'UPDATE groups SET published_as = NULL');
      await endpoint.publisher.flush();
      await node.serves((state) => state.manifest.revision > 1);
      await node.client.stop();
      const again = await new SyncNode(endpoint.address, null, disk).start();
      await eventually('it is back', () => again.client.status().tag === 'live');
      await endpoint.registry.flush();
      const rows = await sql<{ revision: string; connected_to: string }>(
        url,
        'SELECT revision, connected_to FROM nodes',
      );
      expect(Number(rows[0]?.revision)).toBeGreaterThan(1);
      expect(rows[0]?.connected_to).toBe(endpoint.registry.self);
      await again.client.stop();
      const puller = new SyncNode(`http://${endpoint.host}`, await endpoint.token());
      await puller.start();
      await puller.serves(() => true);
      await puller.client.stop();
      const failures = endpoint.logs.filter(({ fields }) => /denied/.test(JSON.stringify(fields)));
      expect(failures).toEqual([]);

      // Everything else there is.
      const tables = await sql<{ name: string }>(
        url,
        "SELECT quote_ident(tablename) AS name FROM pg_tables WHERE schemaname = 'public'",
      );
      const others = tables.filter(({ name }) => !CLUSTER_ROLE_TABLES.includes(name));
      expect(others.map(({ name }) => name)).toEqual(
        expect.arrayContaining(['services', 'routes', 'consumers', 'changes', 'admin_tokens']),
      );
      expect(others.map(({ name }) => name)).toContain('signing_keys');
      for (const { name } of others) {
        await expect(db.query(`SELECT 1 FROM ${name}`), name).rejects.toThrow('permission denied');
      }
      for (const forbidden of [
        'UPDATE nodes SET revoked_at = NULL',
        'UPDATE nodes SET group_id = id',
        'DELETE FROM nodes',
        'UPDATE join_tokens SET max_uses = 9',
        'UPDATE groups SET revision = 9',
        'DELETE FROM manifests',
        'SELECT 1 FROM audit',
        'DELETE FROM audit',
        'UPDATE cluster SET key_list = key_list',
      ]) {
        await expect(db.query(forbidden), forbidden).rejects.toThrow('permission denied');
      }
    });

    it('is refused when it has more rights anyway, or is not there', async () => {
      const url = await postgres.createDatabase();
      const test = await openPgStore(url);
      closing.push(() => test.close());
      for (const role of ['headgate', 'nobody_there']) {
        const settings = { url: roleOn(url, role), driver: null, dataDir: '/nowhere' };
        await expect(openClusterDatabase(test.store.db, settings, silent)).rejects.toThrow(
          'HEADGATE_CLUSTER_DATABASE_URL',
        );
      }
    });
  });
}
