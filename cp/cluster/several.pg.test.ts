import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import { REGISTRY } from '#shared/registry.ts';
import { processInsert } from '#shared/schema/process.ts';
import { eventually } from '../../test/support/eventually.ts';
import { skipWithoutPostgres } from '../../test/support/missing-postgres.ts';
import { openPgStore } from '../../test/support/pg-store.ts';
import type { TestStore } from '../../test/support/pglite.ts';
import { startPostgres } from '../../test/support/postgres.ts';
import { type EndpointOptions, SyncEndpoint } from '../../test/support/sync-endpoint.ts';
import { NodeDisk, SyncNode } from '../../test/support/sync-node.ts';

const postgres = await startPostgres();
const ACTOR = { name: 'test', source: null };
const SERVICES = must(REGISTRY.entities.get('services'), 'services');
/** Renewals follow each other quickly here, so that evening out takes no minutes. */
const BEAT_MS = 100;
/** Scaled up by hand. */
const NODES = Number(process.env['HEADGATE_TEST_NODES'] ?? 90);

const MOVES = 'sending data planes elsewhere';

interface Plane {
  readonly test: TestStore;
  readonly endpoint: SyncEndpoint;
}

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

async function head({ store }: TestStore): Promise<{ revision: number; control_planes: string[] }> {
  const { rows } = await store.db.query<{ manifest: string }>(
    'SELECT manifest FROM manifests ORDER BY epoch DESC, revision DESC LIMIT 1',
  );
  return JSON.parse(must(rows[0], 'a manifest').manifest);
}

if ('missing' in postgres) {
  skipWithoutPostgres(postgres);
} else {
  let url = '';
  const planes: Plane[] = [];
  const nodes: SyncNode[] = [];

  beforeEach(async () => {
    url = await postgres.createDatabase();
  });
  afterEach(async () => {
    await Promise.all(nodes.splice(0).map((node) => node.client.stop()));
    for (const { endpoint, test } of planes.splice(0)) {
      await endpoint.close();
      await test.close();
    }
  });
  afterAll(() => postgres.stop());

  const startPlane = async (options: EndpointOptions = {}): Promise<Plane> => {
    const test = await openPgStore(url);
    const endpoint = await SyncEndpoint.start(test, { beatMs: BEAT_MS, pollMs: 1_000, ...options });
    planes.push({ test, endpoint });
    return { test, endpoint };
  };
  const stopPlane = async (plane: Plane): Promise<void> => {
    planes.splice(
      planes.indexOf(
        must(
          planes.find(({ test }) => test === plane.test),
          'it',
        ),
      ),
      1,
    );
    await plane.endpoint.close();
    await plane.test.close();
  };
  const startNodes = async ({ endpoint }: Plane, count: number): Promise<SyncNode[]> => {
    const token = await endpoint.token(count);
    const made = Array.from({ length: count }, () => new SyncNode(endpoint.address, token));
    nodes.push(...made);
    await Promise.all(made.map((node) => node.start()));
    await Promise.all(made.map((node) => node.serves(() => true)));
    return made;
  };
  const counts = (): number[] => planes.map(({ endpoint }) => endpoint.registry.connectedCount);

  describe('several control planes', () => {
    it('share the nodes that all began at one of them, a few at a time, and no node notices', async () => {
      const first = await startPlane();
      const fleet = await startNodes(first, NODES);
      await startPlane();
      await startPlane();

      await eventually('even shares', () => {
        const fair = NODES / 3;
        return counts().every((count) => count >= fair * 0.7 && count <= fair * 1.2 + 1);
      });
      const moves = first.endpoint.logs.filter(({ message }) => message === MOVES);
      expect(moves.length).toBeGreaterThan(3);
      for (const { fields } of moves) {
        expect(fields['count']).toBeLessThanOrEqual(Math.max(5, Number(fields['connected']) / 10));
      }

      await write(first.test);
      await first.endpoint.publisher.flush();
      const { revision } = await head(first.test);
      await Promise.all(fleet.map((node) => node.serves((s) => s.manifest.revision === revision)));
      for (const node of fleet) {
        expect(node.swapped).toEqual([...new Set(node.swapped)].toSorted((a, b) => a - b));
      }

      // Even is even: nobody goes on moving.
      const connects = (): number =>
        fleet.reduce((sum, { logs }) => sum + logs.filter(isConnect).length, 0);
      const settled = await eventually('calm', async () => {
        const from = connects();
        let beats = 0;
        await eventually('ten beats', () => (beats += 1) > 100);
        return connects() === from ? from : null;
      });
      expect(connects()).toBe(settled);
    });

    it('send their nodes to the others when they stop, and no revision is missed', async () => {
      const staying = await startPlane();
      const stopping = await startPlane();
      // All on one: it is about to go before it can share them.
      const fleet = await startNodes(stopping, 40);
      const traffic = { isOver: false };
      const writing = (async () => {
        while (!traffic.isOver) await write(staying.test);
      })();

      await stopPlane(stopping);
      await eventually('all are on the other', () => counts()[0] === 40);
      traffic.isOver = true;
      await writing;
      await staying.endpoint.publisher.flush();
      const { revision } = await head(staying.test);
      await Promise.all(fleet.map((node) => node.serves((s) => s.manifest.revision === revision)));
      for (const node of fleet) {
        expect(node.swapped).toEqual([...new Set(node.swapped)].toSorted((a, b) => a - b));
      }
    });

    it('are in the manifest, by address: a restart publishes nothing, another address does', async () => {
      const first = await startPlane();
      const { revision, control_planes: addresses } = await head(first.test);
      expect(addresses).toEqual([first.endpoint.address]);
      const { port } = first.endpoint;
      await stopPlane(first);
      const again = await startPlane({ port });
      await again.endpoint.publisher.flush();
      expect(await head(again.test)).toMatchObject({ revision, control_planes: addresses });

      const second = await startPlane();
      await second.endpoint.publisher.flush();
      const both = {
        revision: revision + 1,
        control_planes: [again.endpoint.address, second.endpoint.address].toSorted(),
      };
      expect(await head(second.test)).toMatchObject(both);

      // While one restarts, the other goes on naming it.
      await stopPlane(again);
      await second.endpoint.publisher.flush();
      expect(await head(second.test)).toMatchObject(both);
    });

    it('are known to a node that starts with one address, once it has a configuration', async () => {
      const first = await startPlane();
      const second = await startPlane();
      await first.endpoint.publisher.flush();
      const disk = new NodeDisk();
      const node = new SyncNode(first.endpoint.address, await first.endpoint.token(), disk);
      await node.start();
      await node.serves((state) => state.manifest.control_planes.length === 2);
      await eventually('it is saved', () => disk.config !== null);
      await node.client.stop();
      const { address } = first.endpoint;
      await stopPlane(first);

      // It is set to an address where nobody is, and remembers the other.
      const again = new SyncNode(address, null, disk);
      nodes.push(await again.start());
      await eventually('it found the other', () => second.endpoint.registry.connectedCount === 1);
    });

    it('do not count one whose lease has run out', async () => {
      const first = await startPlane();
      await first.test.store.db.query(
        `INSERT INTO control_planes (id, urls, hostname, version, sessions, ttl_seconds, seen_at)
         VALUES ($1, ARRAY['ws://127.0.0.1:9'], 'dead', '0', 0, 15, now() - interval '16 seconds')`,
        [nodeRandom.uuid()],
      );
      await startNodes(first, 12);
      let beats = 0;
      await eventually('some beats', () => (beats += 1) > 50);
      expect(counts()).toEqual([12]);
      expect(first.endpoint.logs.some(({ message }) => message === MOVES)).toBe(false);
    });
  });
}

function isConnect({ message }: { message: string }): boolean {
  return message === 'connected to the control plane';
}
