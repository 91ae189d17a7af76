/** The drill of the README: dump, lose the machine, restore on another one with the keys. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { AdminClient } from '../support/admin-client.ts';
import { answers } from '../support/cluster.ts';
import { startEcho } from '../support/echo.ts';
import { eventually } from '../support/eventually.ts';
import { send } from '../support/http-client.ts';
import { Load } from '../support/load.ts';
import { skipWithoutPostgres } from '../support/missing-postgres.ts';
import { TEST_KEK } from '../support/pg-store.ts';
import { postgresTool } from '../support/postgres-standby.ts';
import { startPostgres } from '../support/postgres.ts';
import { type Program, startProgram } from '../support/program.ts';

/** Until the data planes follow the restored control plane. */
const FOLLOW_MS_MAX = 60_000;

const former = await startPostgres();

if ('missing' in former) {
  skipWithoutPostgres(former);
} else {
  const closing: (() => Promise<unknown>)[] = [];
  afterAll(async () => {
    for (const close of closing.toReversed()) await close();
  });
  const folder = async (): Promise<string> => {
    const made = await mkdtemp(join(tmpdir(), 'headgate-restore-'));
    closing.push(() => rm(made, { recursive: true, force: true }));
    return made;
  };
  const start = async (
    command: 'cp' | 'dp',
    env: Readonly<Record<string, string>>,
  ): Promise<Program> => {
    const program = await startProgram(command, { HEADGATE_DATA_DIR: await folder(), ...env });
    closing.push(() => program.kill('SIGKILL'));
    return program;
  };

  describe('a cluster whose machine is lost', () => {
    it('is restored from a dump: data planes serve all along, and follow in a new epoch', async () => {
      const echo = await startEcho('one');
      closing.push(() => echo.close());
      const url = await former.createDatabase();
      const first = await start('cp', {
        HEADGATE_DATABASE_URL: url,
        HEADGATE_KEK: TEST_KEK,
        HEADGATE_ADMIN_LISTEN: '127.0.0.1:0',
        HEADGATE_CLUSTER_LISTEN: '127.0.0.1:0',
      });
      const listen = {
        HEADGATE_ADMIN_LISTEN: new URL(first.url('admin')).host,
        HEADGATE_CLUSTER_LISTEN: new URL(first.url('cluster')).host,
      };
      const admin = new AdminClient(first.url('admin'));
      const node = await start('dp', {
        HEADGATE_CONTROL_PLANES: `ws://${listen.HEADGATE_CLUSTER_LISTEN}`,
        HEADGATE_JOIN_TOKEN: await admin.joinToken(),
        HEADGATE_PROXY_LISTEN: '127.0.0.1:0',
        HEADGATE_STATUS_LISTEN: '127.0.0.1:0',
      });
      const proxy = node.url('proxy');
      await admin.post('/services', { name: 'echo', url: `http://${echo.address}` });
      await admin.post('/services/echo/routes', { name: 'a', paths: ['/a'] });
      await answers(proxy, '/a', 200);

      const dump = join(await folder(), 'headgate.dump');
      await postgresTool('pg_dump', ['--format=custom', `--file=${dump}`, `--dbname=${url}`]);
      // After the dump: it is lost with the machine, but the data plane has seen it.
      await admin.post('/services/echo/routes', { name: 'lost', paths: ['/lost'] });
      await answers(proxy, '/lost', 200);
      const load = new Load(`${proxy}/a`);
      load.start();
      await first.kill('SIGKILL');
      await former.stop();

      const another = await startPostgres();
      if ('missing' in another) throw new Error(another.missing);
      closing.push(() => another.stop());
      const restored = await another.createDatabase();
      await postgresTool('pg_restore', ['--no-owner', `--dbname=${restored}`, dump]);
      const env = { HEADGATE_DATABASE_URL: restored, HEADGATE_KEK: TEST_KEK, ...listen };
      // A copy may have an original that is alive: it takes over when it is told to.
      await expect(start('cp', env)).rejects.toThrow('HEADGATE_DATABASE_MOVED=take-over');
      const startedAt = performance.now();
      await start('cp', { ...env, HEADGATE_DATABASE_MOVED: 'take-over' });
      await admin.post('/services/echo/routes', { name: 'b', paths: ['/b'] });
      await eventually(
        'the data plane follows',
        async () => (await send(proxy, '/b')).status === 200,
        FOLLOW_MS_MAX,
      );
      console.log(`restored to followed: ${Math.round(performance.now() - startedAt)} ms`);
      // What was lost is lost everywhere.
      await answers(proxy, '/lost', 404);
      const { failures } = await load.stop();
      expect(failures).toEqual([]);
      const epochs = (await admin.ok('GET', '/clustering/epochs'))['data'];
      expect(epochs).toMatchObject([{ reason: 'moved' }]);
    }, 180_000);
  });
}
