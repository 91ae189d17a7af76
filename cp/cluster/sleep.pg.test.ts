/** What a database sees of a control plane that has nothing to do, where it may sleep. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { AdminClient } from '../../test/support/admin-client.ts';
import { eventually } from '../../test/support/eventually.ts';
import { skipWithoutPostgres } from '../../test/support/missing-postgres.ts';
import { TEST_KEK } from '../../test/support/pg-store.ts';
import { sql } from '../../test/support/postgres-standby.ts';
import { startPostgres } from '../../test/support/postgres.ts';
import { type Program, startProgram } from '../../test/support/program.ts';
import { SyncNode } from '../../test/support/sync-node.ts';

const postgres = await startPostgres();
/** Longer than any poll, beat or flush, and than the pool keeps a connection that is idle. */
const WATCHED_MS = 13_000;

if ('missing' in postgres) {
  skipWithoutPostgres(postgres);
} else {
  const closing: (() => Promise<unknown>)[] = [];
  afterAll(async () => {
    for (const close of closing.toReversed()) await close();
    await postgres.stop();
  });

  const start = async (env: Readonly<Record<string, string>>): Promise<Program> => {
    const dataDir = await mkdtemp(join(tmpdir(), 'headgate-sleep-'));
    closing.push(() => rm(dataDir, { recursive: true, force: true }));
    const program = await startProgram('cp', {
      HEADGATE_DATA_DIR: dataDir,
      HEADGATE_KEK: TEST_KEK,
      HEADGATE_ADMIN_LISTEN: '127.0.0.1:0',
      HEADGATE_CLUSTER_LISTEN: '127.0.0.1:0',
      ...env,
    });
    closing.push(() => program.kill('SIGKILL'));
    return program;
  };
  /** Transactions of the database, and connections of control planes to it. */
  const seen = async (url: string): Promise<{ count: number; connections: number }> => {
    const name = new URL(url).pathname.slice(1);
    const [row] = await sql<{ count: string; connections: number }>(
      postgres.url,
      `SELECT (SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = '${name}')
         AS count,
         (SELECT count(*)::int FROM pg_stat_activity WHERE datname = '${name}') AS connections`,
    );
    return { count: Number(row?.count), connections: row?.connections ?? -1 };
  };
  /** What is counted while nobody does anything, with a node connected. */
  const idle = async (env: Readonly<Record<string, string>>) => {
    const url = await postgres.createDatabase();
    const program = await start({ HEADGATE_DATABASE_URL: url, ...env });
    const admin = new AdminClient(program.url('admin'));
    const address = program.url('cluster').replace('http', 'ws');
    const node = new SyncNode(address, await admin.joinToken());
    closing.push(() => node.client.stop());
    await node.start();
    await node.serves(() => true);
    const end = performance.now() + WATCHED_MS;
    await eventually('it is over with starting', () => performance.now() > end, WATCHED_MS * 2);
    const before = await seen(url);
    const until = performance.now() + WATCHED_MS;
    await eventually('it was watched', () => performance.now() > until, WATCHED_MS * 2);
    const after = await seen(url);
    return { admin, node, count: after.count - before.count, connections: after.connections };
  };

  describe('a database that may sleep', () => {
    it('is left alone by an idle control plane; what is written is published at once', async () => {
      const [sleepy, usual] = await Promise.all([
        idle({ HEADGATE_DATABASE_SLEEP_MINUTES: '60' }),
        idle({}),
      ]);
      console.log(`transactions in ${WATCHED_MS} ms: ${usual.count}, ${sleepy.count} asleep`);
      expect(sleepy).toMatchObject({ count: 0, connections: 0 });
      expect(usual.connections).toBeGreaterThan(0);
      expect(usual.count).toBeGreaterThan(4);

      const { revision } = sleepy.node.client.status();
      await sleepy.admin.post('/services', { name: 'a', host: 'upstream.test' });
      await sleepy.node.serves((state) => state.manifest.revision > revision);
    }, 90_000);
  });
}
