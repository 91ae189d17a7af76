/** A control plane that is killed in the middle of writes. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AdminClient } from '../test/support/admin-client.ts';
import { eventually } from '../test/support/eventually.ts';
import { silent } from '../test/support/pglite.ts';
import { type Program, startProgram } from '../test/support/program.ts';
import { openPglite } from './store/drivers/pglite.ts';

const WRITERS = 10;
const ACKNOWLEDGED_MIN = 60;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headgate-crash-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function start(): Promise<Program> {
  return startProgram('cp', {
    HEADGATE_DATA_DIR: folder,
    HEADGATE_ADMIN_LISTEN: '127.0.0.1:0',
    HEADGATE_CLUSTER_LISTEN: '127.0.0.1:0',
  });
}

/** Writes until the control plane is gone. @returns what it acknowledged */
async function writeUntilKilled(program: Program): Promise<string[]> {
  const client = new AdminClient(program.url('admin'));
  const acknowledged: string[] = [];
  let next = 0;
  const writer = async (): Promise<void> => {
    for (;;) {
      const name = `c${next++}`;
      const { status } = await client.call('PUT', `/consumers/${name}`, {});
      expect(status).toBe(200);
      acknowledged.push(name);
      if (acknowledged.length === ACKNOWLEDGED_MIN) void program.kill('SIGKILL');
    }
  };
  // Each ends with its connection.
  await Promise.allSettled(Array.from({ length: WRITERS }, writer));
  return acknowledged;
}

function revisions(program: Program): number {
  return program.output.split('"message":"published"').length - 1;
}

describe('a control plane killed in the middle of writes', () => {
  it('has everything it acknowledged, in versions without a gap, and goes on publishing', async () => {
    const killed = await start();
    const acknowledged = await writeUntilKilled(killed);
    expect((await killed.ended).signal).toBe('SIGKILL');
    expect(acknowledged.length).toBeGreaterThanOrEqual(ACKNOWLEDGED_MIN);

    const again = await start();
    const client = new AdminClient(again.url('admin'));
    for (const name of acknowledged) {
      expect((await client.call('GET', `/consumers/${name}`)).status, name).toBe(200);
    }
    await eventually('what was committed before is published', () => revisions(again) > 0);
    const before = revisions(again);
    await client.ok('PUT', '/consumers/afterwards', {});
    await eventually('a new change is published', () => revisions(again) > before);
    expect((await again.kill('SIGTERM')).code).toBe(0);

    const db = await openPglite(join(folder, 'cp', 'pglite'), silent);
    const { rows } = await db.query<{ count: number; last: number; version: number }>(
      `SELECT count(DISTINCT c.version) AS count, max(c.version) AS last, max(v.version) AS version
       FROM changes c JOIN workspace_versions v USING (ws_id) JOIN consumers e ON e.id = c.entity_id`,
    );
    await db.close();
    expect(rows[0]?.count).toBe(rows[0]?.last);
    expect(rows[0]?.version).toBe(rows[0]?.last);
    expect(rows[0]?.count).toBeGreaterThan(acknowledged.length);
  });
});
