import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { nodeClock } from '#shared/platform/node/clock.ts';
import { eventually } from '../../test/support/eventually.ts';
import { skipWithoutPostgres } from '../../test/support/missing-postgres.ts';
import { openPgStore } from '../../test/support/pg-store.ts';
import { silent, type TestStore } from '../../test/support/pglite.ts';
import { startPostgres } from '../../test/support/postgres.ts';
import { RawNode, RawPeer, SyncEndpoint } from '../../test/support/sync-endpoint.ts';
import { SyncNode } from '../../test/support/sync-node.ts';
import { openTestAdmin, type TestAdmin } from '../admin/admin.suite.ts';
import { Receipts, WAITERS_MAX } from './receipts.ts';

const postgres = await startPostgres();

/** A control plane of two. */
interface Plane {
  readonly test: TestStore;
  readonly endpoint: SyncEndpoint;
  readonly receipts: Receipts;
  readonly admin: TestAdmin;
}

const planes: Plane[] = [];
const nodes: SyncNode[] = [];

async function openPlane(url: string): Promise<Plane> {
  const test = await openPgStore(url);
  const endpoint = await SyncEndpoint.start(test);
  const { registry, publisher } = endpoint;
  const receipts = new Receipts({
    db: test.store.db,
    registry,
    onPublished: (fn) => publisher.onPublished(fn),
    clock: nodeClock,
    logger: silent,
  });
  await receipts.start();
  const admin = await openTestAdmin({ store: test.store, keyring: test.keyring, receipts });
  const plane = { test, endpoint, receipts, admin };
  planes.push(plane);
  return plane;
}

async function join({ endpoint }: Plane): Promise<SyncNode> {
  const node = await new SyncNode(endpoint.address, await endpoint.token()).start();
  nodes.push(node);
  await eventually('the node is connected', () => endpoint.registry.live(idOf(node)));
  return node;
}

function idOf({ client }: SyncNode): string {
  return client.identity?.node ?? '';
}

const hanging: (() => void)[] = [];

/** Keeps it from finishing what it builds until `goOn`; resolves when it builds something. */
function hang(node: SyncNode): Promise<void> {
  const done = { ok: true, quarantined: [] } as const;
  return new Promise((begun) => {
    const gate = new Promise<void>((resolve) => hanging.push(resolve));
    node.build = async () => {
      begun();
      await gate;
      return done;
    };
  });
}

function goOn(): void {
  for (const release of hanging.splice(0)) release();
}

let count = 0;
function write({ admin }: Plane, query: string, headers = {}) {
  count += 1;
  return admin.call('POST', `/services?${query}`, { name: `s${count}`, host: 'a.test' }, headers);
}

const told = ({ headers }: { headers: Headers }) => ({
  receipt: headers.get('headgate-receipt'),
  applied: headers.get('headgate-applied'),
  within: headers.get('headgate-applied-within'),
});
const ALL = (nodeCount: number) => ({
  receipt: 'applied',
  applied: `${nodeCount}/${nodeCount}`,
  within: null,
});

if ('missing' in postgres) {
  skipWithoutPostgres(postgres);
} else {
  let a: Plane;
  let b: Plane;

  beforeEach(async () => {
    const url = await postgres.createDatabase();
    a = await openPlane(url);
    b = await openPlane(url);
  });
  afterEach(async () => {
    goOn();
    await Promise.all(nodes.splice(0).map((node) => node.client.stop()));
    for (const plane of planes.splice(0)) {
      plane.receipts.close();
      await plane.endpoint.close();
      await plane.admin.close();
      await plane.test.close();
    }
  });

  describe('a write that waits', () => {
    it('is answered when all nodes serve it, of this control plane and of others', async () => {
      const here = await join(a);
      const there = await join(b);
      const answer = await write(a, 'wait=applied&timeout=20');
      expect(answer.status).toBe(201);
      expect(told(answer)).toEqual(ALL(2));
      const revisions = [here, there].map((node) => node.swapped.at(-1));
      const { rows } = await a.test.store.db.query<{ revision: number }>(
        'SELECT revision FROM groups',
      );
      expect(revisions).toEqual([rows[0]?.revision, rows[0]?.revision]);
      expect(told(await write(b, 'wait=applied&timeout=20'))).toEqual(ALL(2));
    });

    it('has the body and status that it has without, and no header more', async () => {
      await join(a);
      const waited = await write(a, 'wait=applied');
      const not = await write(a, '');
      expect(Object.keys(waited.body)).toEqual(Object.keys(not.body));
      expect([told(not).receipt, told(not).applied]).toEqual([null, null]);
      const preferred = await write(a, '', { prefer: 'respond-async, wait=20' });
      expect(told(preferred)).toEqual(ALL(1));
      expect(preferred.headers.get('preference-applied')).toBe('wait=20');
    });

    it('is not answered before a node has built it', async () => {
      const node = await join(a);
      const building = hang(node);
      let isAnswered = false;
      const answer = write(a, 'wait=applied&timeout=30').then((got) => {
        isAnswered = true;
        return got;
      });
      await building;
      expect(isAnswered).toBe(false);
      expect(told(await write(b, 'wait=applied&timeout=0.5'))).toEqual({
        receipt: 'incomplete',
        applied: '0/1',
        within: null,
      });
      expect(isAnswered).toBe(false);
      goOn();
      expect(told(await answer)).toEqual(ALL(1));
    });

    it.each(['here', 'elsewhere'])(
      'names a node %s that refuses it, without waiting on',
      async (at) => {
        const plane = at === 'here' ? a : b;
        const good = await join(a);
        const bad = await join(plane);
        const entity = { kind: 'services', id: 'x' };
        bad.build = () => ({ ok: false, entity, detail: 'not to its taste' });
        const answer = await write(a, 'wait=applied&timeout=30');
        expect(answer.status).toBe(201);
        expect(told(answer)).toMatchObject({ receipt: 'incomplete', applied: '1/2' });
        const version = answer.headers.get('headgate-version');
        const { body } = await a.admin.call('GET', `/headgate/receipts/${version}`);
        expect(body).toMatchObject({
          status: 'incomplete',
          applied: 1,
          connected: 2,
          groups: [
            {
              name: 'default',
              lagging: [
                {
                  node: idOf(bad),
                  control_plane: plane.endpoint.registry.self,
                  state: 'refused',
                  refused: { code: 'build_failed', entity, detail: 'not to its taste' },
                },
              ],
            },
          ],
        });
        expect(good.swapped.length).toBeGreaterThan(0);
      },
    );

    it('does not count a node as served that left before it served it', async () => {
      const node = await join(a);
      hang(node);
      const answer = write(a, 'wait=applied&timeout=3');
      await eventually('it waits', () => a.receipts.waiting === 1 || null);
      nodes.splice(0);
      const stopped = node.client.stop();
      expect(told(await answer)).toMatchObject({ receipt: 'incomplete', applied: '0/1' });
      goOn();
      await stopped;
    });

    it('finds a node again that went to the other control plane', async () => {
      const node = await RawNode.joined(a.endpoint);
      const peer = await RawPeer.connect(a.endpoint);
      peer.send(await node.hello(peer, a.endpoint));
      node.take(await peer.next('welcome'));
      const answer = write(a, 'wait=applied&timeout=30');
      await eventually('it waits', () => a.receipts.waiting === 1 || null);
      peer.close();
      await peer.closed();
      await a.endpoint.publisher.flush();
      const other = await RawPeer.connect(b.endpoint);
      other.send(await node.hello(other, b.endpoint));
      node.take(await other.next('welcome'));
      const { manifest } = (await other.next('manifest')).head;
      const { epoch, revision } = JSON.parse(manifest) as { epoch: number; revision: number };
      const digest = await crypto.subtle.digest('SHA-256', Buffer.from(manifest));
      const position = { epoch, revision, hash: Buffer.from(digest).toString('hex') };
      other.send({ type: 'ack', position, persisted: true, quarantined: [] });
      expect(told(await answer)).toEqual(ALL(1));
    });

    it('gives a time for a deployment at the edge, instead of a false yes', async () => {
      const { address } = a.endpoint;
      const token = await a.endpoint.token();
      const node = new SyncNode(address, token, undefined, {}, 'edge');
      nodes.push(await node.start());
      await eventually('the node is connected', () => a.endpoint.registry.live(idOf(node)));
      for (const plane of [a, b]) {
        expect(told(await write(plane, 'wait=applied&timeout=20'))).toEqual({
          ...ALL(1),
          within: '60',
        });
      }
    });

    it('is complete at once where nobody is connected', async () => {
      expect(told(await write(a, 'wait=applied&timeout=20'))).toEqual(ALL(0));
    });

    it.each([
      ['wait=yes', 'wait'],
      ['wait=applied&timeout=-1', 'timeout'],
      ['wait=applied&timeout=61', 'timeout'],
      ['wait=applied&timeout=', 'timeout'],
    ])('with %s is refused, and not done', async (query, name) => {
      const answer = await write(a, query);
      expect(answer.status).toBe(400);
      expect(answer.text).toContain(name);
      expect((await a.admin.call('GET', `/services/s${count}`)).status).toBe(404);
    });

    it('is bounded in number', async () => {
      const node = await join(a);
      hang(node);
      const { store } = a.test;
      const wanted = new Map([[store.defaultWorkspace(), 1_000_000]]);
      const waiting = Array.from({ length: WAITERS_MAX }, () => a.receipts.wait(wanted, 60_000));
      await eventually('all wait', () => a.receipts.waiting === WAITERS_MAX || null);
      expect(must(await a.receipts.wait(wanted, 60_000), 'a receipt').status).toBe('incomplete');
      a.receipts.close();
      await Promise.all(waiting);
    });

    it('asks the database once for all that wait', async () => {
      const node = await join(a);
      hang(node);
      const { db } = a.test.store;
      const wanted = new Map([[a.test.store.defaultWorkspace(), 1_000_000]]);
      const waiting = Array.from({ length: 100 }, () => a.receipts.wait(wanted, 60_000));
      await eventually('all wait', () => a.receipts.waiting === 100 || null);
      let looks = 0;
      const query = db.query.bind(db);
      db.query = (text, params) => {
        if (text.includes('FROM groups WHERE id = ANY')) looks += 1;
        return query(text, params);
      };
      await eventually('it looks again', () => looks > 0 || null);
      expect(looks).toBeLessThan(5);
      db.query = query;
      a.receipts.close();
      await Promise.all(waiting);
    });
  });
}
