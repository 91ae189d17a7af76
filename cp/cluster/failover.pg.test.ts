import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import { REGISTRY } from '#shared/registry.ts';
import { processInsert } from '#shared/schema/process.ts';
import type { Position } from '#shared/wire/frames.ts';
import { eventually } from '../../test/support/eventually.ts';
import { skipWithoutPostgres } from '../../test/support/missing-postgres.ts';
import { openPgStore } from '../../test/support/pg-store.ts';
import type { TestStore } from '../../test/support/pglite.ts';
import { sql, type Standby, startStandby, Switch } from '../../test/support/postgres-standby.ts';
import { startPostgres } from '../../test/support/postgres.ts';
import { SyncEndpoint } from '../../test/support/sync-endpoint.ts';
import { SyncNode } from '../../test/support/sync-node.ts';

const postgres = await startPostgres();
const ACTOR = { name: 'test', source: null };
const SERVICES = must(REGISTRY.entities.get('services'), 'services');
const ROUNDS = Number(process.env['HEADGATE_TEST_ROUNDS'] ?? 5);
const NODES = 4;

async function write({ store }: TestStore): Promise<void> {
  const input = { name: nodeRandom.uuid(), host: 'upstream.test' };
  const made = processInsert(SERVICES, input, REGISTRY, {
    nowSeconds: 1_800_000_000,
    uuid: () => nodeRandom.uuid(),
    randomText: () => 'text',
  });
  if (!made.ok) throw new Error(JSON.stringify(made.violations));
  const ws = store.defaultWorkspace();
  await store.write(ws, ACTOR, (tx) => tx.insert(SERVICES, ws, made.entity));
}

async function head(url: string): Promise<Position> {
  const rows = await sql<{ epoch: string; revision: string; hash: string }>(
    url,
    'SELECT epoch, revision, hash FROM manifests ORDER BY epoch DESC, revision DESC LIMIT 1',
  );
  const row = must(rows[0], 'a manifest');
  return { epoch: Number(row.epoch), revision: Number(row.revision), hash: row.hash };
}

/** Everything that any database of the history ever published: a number means one thing. */
class Ledger {
  readonly #hashes = new Map<string, string>();

  async record(url: string): Promise<void> {
    const rows = await sql<{ name: string; hash: string }>(
      url,
      "SELECT epoch || '.' || revision AS name, hash FROM manifests",
    );
    for (const { name, hash } of rows) {
      const known = this.#hashes.get(name);
      if (known !== undefined) expect(hash, `revision ${name}`).toBe(known);
      this.#hashes.set(name, hash);
    }
  }
}

if ('missing' in postgres) {
  skipWithoutPostgres(postgres);
} else {
  const closing: (() => Promise<unknown>)[] = [];
  const nodes: SyncNode[] = [];
  afterEach(async () => {
    await Promise.all(nodes.splice(0).map((node) => node.client.stop()));
    for (const close of closing.splice(0).toReversed()) await close();
  });
  afterAll(() => postgres.stop());

  const allServe = async (url: string): Promise<Position> => {
    return eventually('every node serves the head', async () => {
      const now = await head(url);
      const isAll = nodes.every(({ client }) => client.status().hash === now.hash);
      return isAll ? now : null;
    });
  };

  describe('a failover that loses the tail', () => {
    it('begins a new epoch each time: no node is stuck, no number means two things', async () => {
      const direct = await postgres.createDatabase();
      const front = new Switch(postgres.port);
      const through = new URL(direct);
      through.port = String(await front.listen());
      const test = await openPgStore(through.href);
      const endpoint = await SyncEndpoint.start(test, { pollMs: 200 });
      closing.push(
        () => front.stop(),
        () => test.close(),
        () => endpoint.close(),
      );
      const token = await endpoint.token(NODES);
      nodes.push(...Array.from({ length: NODES }, () => new SyncNode(endpoint.address, token)));
      await Promise.all(nodes.map((node) => node.start()));
      const ledger = new Ledger();
      let url = direct;
      let former: Standby | null = null;

      for (let round = 0; round < ROUNDS; round += 1) {
        const standby: Standby = await startStandby(url);
        closing.splice(0, 0, () => standby.kill());
        await write(test);
        await endpoint.publisher.flush();
        const common = await allServe(url);
        await eventually('the standby has it', async () => {
          return (await head(standby.url)).hash === common.hash;
        });
        await standby.detach();
        for (let i = 0; i <= round; i += 1) {
          await write(test);
          await endpoint.publisher.flush();
        }
        const lost = await allServe(url);
        expect(lost.revision).toBeGreaterThan(common.revision);
        await ledger.record(url);

        // From here on nobody ever sees the tail again, but in the nodes.
        front.to(0);
        await former?.kill();
        await standby.promote();
        front.to(standby.port);
        url = standby.url;
        former = standby;
        // Some rounds with a write at once, which would take the next number; some without any.
        if (round % 2 === 0) await eventually('a write', async () => (await write(test), true));
        const after = await eventually('a new epoch', async () => {
          const now = await head(url);
          return now.epoch > lost.epoch ? now : null;
        });
        expect((await allServe(url)).epoch).toBe(after.epoch);
        await ledger.record(url);
      }
      const reasons = (await test.epochs.list()).map(({ reason }) => reason);
      expect(reasons).toEqual(Array.from({ length: ROUNDS }, () => 'promoted'));
    }, 120_000);
  });
}
