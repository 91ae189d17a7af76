import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { nodeClock } from '#shared/platform/node/clock.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import { REGISTRY } from '#shared/registry.ts';
import { eventually } from '../../test/support/eventually.ts';
import { openTestStore, silent, type TestStore } from '../../test/support/pglite.ts';
import { ABOUT, RawNode, RawPeer, SyncEndpoint } from '../../test/support/sync-endpoint.ts';
import type { Db } from '../store/db.ts';
import { COUNTS_MAX, LAGGARDS_MAX, servingAtLeast } from './group-stand.ts';
import type { LiveNode } from './live-node.ts';
import { NodeRegistry } from './registry.ts';

let db: TestStore;
let group: string;
let watched: Watched;

beforeAll(async () => {
  db = await openTestStore(REGISTRY.entities);
  const { rows } = await db.store.db.query<{ id: string }>('SELECT id FROM groups');
  group = must(rows[0], 'a group').id;
}, 60_000);
afterAll(() => db.close());
beforeEach(async () => {
  await db.store.db.query('TRUNCATE nodes, node_health, group_acks, control_planes');
  watched = new Watched();
});
afterEach(() => watched.registry.close());

const at = (revision: number) => ({ epoch: 1, revision, hash: `${revision}`.padStart(64, '0') });
const applied = (revision: number) =>
  ({ type: 'applied', position: at(revision), persisted: true, quarantined: [] }) as const;

/** A registry, and what it says to the database. */
class Watched {
  readonly said: string[] = [];
  readonly registry: NodeRegistry;

  constructor() {
    const { db: inner } = db.store;
    const spy: Db = {
      driver: inner.driver,
      canListen: inner.canListen,
      query: (text, params = []) => {
        this.said.push(text + JSON.stringify(params));
        return inner.query(text, params);
      },
      tx: (fn, options) => inner.tx(fn, options),
      listen: (channel, fn) => inner.listen(channel, fn),
      notify: (channel, payload) => inner.notify(channel, payload),
      close: () => inner.close(),
    };
    const ports = { clock: nodeClock, random: nodeRandom, logger: silent };
    this.registry = new NodeRegistry({ db: spy, ...ports });
  }

  connect(count: number, revision: number): LiveNode[] {
    const node = {
      groupId: group,
      ip: '::1',
      about: ABOUT,
      level: 1,
      certificateExpiry: null,
      position: at(revision),
    };
    return Array.from({ length: count }, () =>
      this.registry.connected({ id: randomUUID(), ...node }),
    );
  }

  /** What writing costs. */
  async flush(): Promise<{ statements: number; bytes: number }> {
    this.said.length = 0;
    await this.registry.flush();
    return { statements: this.said.length, bytes: this.said.join('').length };
  }
}

interface Row {
  readonly control_plane: string;
  readonly connected: number;
  readonly lagging: number;
  readonly set_aside: number;
  readonly counts: [number, number, number][];
  readonly laggards: { node: string; state: string; refused: unknown }[];
}

async function summaries(): Promise<Row[]> {
  return (await db.store.db.query<Row>('SELECT * FROM group_acks')).rows;
}

describe('what the nodes of a group serve', () => {
  it.each([1, 1_000])('costs the database the same with %d nodes', async (count) => {
    const { registry } = watched;
    const nodes = watched.connect(count, 1);
    for (const node of nodes) registry.report(node, applied(1));
    await watched.flush();
    const nothing = { statements: 0, bytes: 0 };
    expect(await watched.flush()).toEqual(nothing);
    for (const node of nodes) registry.report(node, { type: 'alive', position: at(1) });
    expect(await watched.flush()).toEqual(nothing);
    registry.published(group, at(2));
    for (const node of nodes) registry.report(node, applied(2));
    const cost = await watched.flush();
    expect(cost.statements).toBe(1);
    expect(cost.bytes).toBeLessThan(1_500);
    expect(await summaries()).toMatchObject([
      { connected: count, lagging: 0, counts: [[1, 2, count]] },
    ]);
  });

  it('is bounded, whatever they serve', async () => {
    const { registry } = watched;
    watched.connect(5, 500);
    for (let revision = 1; revision <= 200; revision += 1) watched.connect(2, revision);
    registry.published(group, at(500));
    await watched.flush();
    const [row] = await summaries();
    expect(row).toMatchObject({ connected: 405, lagging: 400 });
    expect(row?.counts).toHaveLength(COUNTS_MAX);
    expect(row?.laggards).toHaveLength(LAGGARDS_MAX);
    const counts = row?.counts ?? [];
    expect(servingAtLeast({ counts }, { epoch: 1, revision: 500 })).toBe(5);
    expect(servingAtLeast({ counts }, { epoch: 1, revision: 1 })).toBe(405);
    expect(servingAtLeast({ counts }, { epoch: 2, revision: 1 })).toBe(0);
  });

  it('names who refused it, and why, until it serves another', async () => {
    const { registry } = watched;
    const [node] = watched.connect(1, 1);
    const live = must(node, 'a node');
    registry.published(group, at(2));
    const entity = { kind: 'routes', id: 'r' };
    registry.report(live, {
      type: 'refused',
      position: at(2),
      code: 'build_failed',
      entity,
      detail: 'why\0',
    });
    await watched.flush();
    const refused = { epoch: 1, revision: 2, code: 'build_failed', entity, detail: 'why' };
    expect((await summaries())[0]?.laggards).toEqual([
      { node: live.id, epoch: 1, revision: 1, state: 'refused', refused },
    ]);
    registry.report(live, applied(3));
    await watched.flush();
    expect((await summaries())[0]).toMatchObject({ lagging: 0, laggards: [] });
  });

  it('leaves nothing behind when the last node is gone', async () => {
    const [node] = watched.connect(1, 1);
    await watched.flush();
    expect(await summaries()).toHaveLength(1);
    watched.registry.disconnected(must(node, 'a node'));
    await watched.flush();
    expect(await summaries()).toEqual([]);
  });

  it('is tried again after the database could not be reached', async () => {
    const { registry } = watched;
    const [node] = watched.connect(1, 1);
    await watched.flush();
    await db.store.db.query('ALTER TABLE group_acks RENAME TO elsewhere');
    registry.report(must(node, 'a node'), applied(2));
    await watched.flush();
    await db.store.db.query('ALTER TABLE elsewhere RENAME TO group_acks');
    await watched.flush();
    expect((await summaries())[0]).toMatchObject({ counts: [[1, 2, 1]] });
  });
});

describe('the list of data planes', () => {
  async function joined(endpoint: SyncEndpoint, labels = {}): Promise<[RawNode, RawPeer]> {
    const node = await RawNode.joined(endpoint);
    const peer = await RawPeer.connect(endpoint);
    const about = { ...ABOUT, labels, features: ['rpc.drain'] };
    peer.send(await node.hello(peer, endpoint, { about }));
    node.take(await peer.next('welcome'));
    const { manifest } = (await peer.next('manifest')).head;
    const { epoch, revision } = JSON.parse(manifest) as { epoch: number; revision: number };
    const hash = Buffer.from(await crypto.subtle.digest('SHA-256', Buffer.from(manifest)));
    const position = { epoch, revision, hash: hash.toString('hex') };
    peer.send({ type: 'ack', position, persisted: true, quarantined: [] });
    peer.send({ type: 'ping', position });
    await peer.next('pong');
    await endpoint.registry.flush();
    return [node, peer];
  }

  it('is the same at every control plane, and shows who is gone with its control plane', async () => {
    const [a, b] = [await SyncEndpoint.start(db), await SyncEndpoint.start(db)];
    const [first] = await joined(a, { zone: 'x' });
    const [second] = await joined(b, { zone: 'y', tier: 'z' });
    await b.registry.flush();
    const shown = async (query = {}, by = a) =>
      (await by.registry.list(query)).map(({ id, connected, control_plane: at_, lag }) => {
        return { id, connected, at: at_, lag };
      });
    const none = { revisions: 0, seconds: 0 };
    const both = [
      { id: first.id, connected: true, at: a.registry.self, lag: none },
      { id: second.id, connected: true, at: b.registry.self, lag: none },
    ].toSorted((x, y) => (x.id < y.id ? -1 : 1));
    for (const by of [a, b]) expect(await shown({}, by)).toEqual(both);
    expect((await shown({ labels: { zone: 'y' } })).map(({ id }) => id)).toEqual([second.id]);
    expect(await shown({ labels: { zone: 'x', tier: 'z' } })).toEqual([]);
    expect(await shown({ group: 'nobody' })).toEqual([]);
    expect(await shown({ group: 'default', isConnected: true })).toEqual(both);
    expect(await shown({ size: 1 })).toEqual(both.slice(0, 1));
    expect(await shown({ size: 1, after: both[0]?.id ?? '' })).toEqual(both.slice(1));
    await db.store.db.query(
      `UPDATE control_planes SET seen_at = now() - interval '1 day' WHERE id = $1`,
      [b.registry.self],
    );
    const gone = { id: second.id, connected: false, at: null, lag: none };
    expect(await shown({ isConnected: false })).toEqual([gone]);
    expect((await shown({ isConnected: true })).map(({ id }) => id)).toEqual([first.id]);
    await a.registry.sweep(db.store.db);
    expect((await summaries()).map((row) => row.control_plane)).toEqual([a.registry.self]);
    await Promise.all([a.close(), b.close()]);
  });

  it('tells of a node of another control plane what the summary there says', async () => {
    const [a, b] = [await SyncEndpoint.start(db), await SyncEndpoint.start(db)];
    const [node, peer] = await joined(b);
    const [row] = await a.registry.list();
    expect(row).toMatchObject({ id: node.id, rpc_capabilities: ['drain'], quarantined: [] });
    // Its own row is as old as its session; the summary is not.
    await db.store.db.query('UPDATE nodes SET revision = 0, epoch = 0');
    const [after] = await a.registry.list();
    const { actual_revision: actual, desired_revision: desired, config_hash: hash } = row ?? {};
    expect(actual).toBe(desired);
    expect(after).toMatchObject({ actual_revision: actual ?? null, config_hash: hash ?? null });
    peer.close();
    await eventually('the node is shown as gone', async () => {
      const [found] = await a.registry.list();
      return found?.['connected'] === false;
    });
    await Promise.all([a.close(), b.close()]);
  });

  it('forgets who has been away for as long as the group remembers, and its identity much later', async () => {
    const endpoint = await SyncEndpoint.start(db);
    const node = await RawNode.joined(endpoint);
    await eventually('it is gone', async () => {
      await endpoint.registry.flush();
      return (await endpoint.registry.list())[0]?.['connected'] === false;
    });
    const ago = async (days: number) => {
      await db.store.db.query(
        `UPDATE nodes SET last_seen = now() - make_interval(days => $1),
           created_at = now() - make_interval(days => $1)`,
        [days],
      );
      await endpoint.registry.sweep(db.store.db);
      const { rows } = await db.store.db.query('SELECT id FROM nodes');
      return [(await endpoint.registry.list()).length, rows.length];
    };
    expect(await ago(13)).toEqual([1, 1]);
    expect(await ago(15)).toEqual([0, 1]);
    const peer = await RawPeer.connect(endpoint);
    peer.send(await node.hello(peer, endpoint));
    node.take(await peer.next('welcome'));
    expect(await endpoint.registry.list()).toHaveLength(1);
    peer.close();
    await peer.closed();
    await eventually('it is gone again', async () => {
      await endpoint.registry.flush();
      return (await endpoint.registry.list())[0]?.['connected'] === false;
    });
    expect(await ago(105)).toEqual([0, 0]);
    await endpoint.close();
  });
});
