/** What nodes say of their targets, on whatever database there is. */
import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { FrameOf, UpstreamReport } from '#shared/wire/frames.ts';
import { eventually } from '../../test/support/eventually.ts';
import type { TestStore } from '../../test/support/pglite.ts';
import { ABOUT, RawNode, RawPeer, SyncEndpoint } from '../../test/support/sync-endpoint.ts';
import { NODE_UPSTREAMS_MAX, NodeHealth } from './node-health.ts';

let db: TestStore;
let endpoint: SyncEndpoint;
let ws: string;

/** @param open  a store with keys and defaults */
export function nodeHealthSuite(open: () => Promise<TestStore>): void {
  beforeAll(async () => {
    db = await open();
    ws = db.store.defaultWorkspace();
  }, 60_000);
  afterAll(() => db.close());
  beforeEach(async () => {
    await db.store.db.query('TRUNCATE nodes, node_health');
    endpoint = await SyncEndpoint.start(db);
  });
  afterEach(() => endpoint.close());

  reported();
  lengths();
  byHand();
}

function report(
  name: string,
  health: UpstreamReport['health'] = 'HEALTHY',
  of = ws,
): UpstreamReport {
  const address = { ip: '10.0.0.1', port: 80, weight: 100, health };
  const target = { target: 'a:80', weight: 100, dns: 'A', health, addresses: [address] } as const;
  return { ws: of, name, health, balancer: 'HEALTHY', targets: [target], dropped: 0 };
}

function frame(
  reset: boolean,
  upstreams: readonly UpstreamReport[],
  gone: FrameOf<'health'>['gone'] = [],
): FrameOf<'health'> {
  return { type: 'health', reset, upstreams, gone };
}

/** A connected node; `said` resolves when what it said is written. */
async function connected(
  node: RawNode,
  to = endpoint,
  features: readonly string[] = ['rpc.target_health'],
): Promise<{ peer: RawPeer; said(frame: FrameOf<'health'>): Promise<void> }> {
  const peer = await RawPeer.connect(to);
  peer.send(await node.hello(peer, to, { about: { ...ABOUT, features } }));
  node.take(await peer.next('welcome'));
  peer.send(node.status());
  const said = async (health: FrameOf<'health'>): Promise<void> => {
    peer.send(health);
    // What was sent before it was taken before it is answered.
    peer.send({ type: 'ping', position: { epoch: 0, revision: 0, hash: '' } });
    await peer.next('pong');
    await to.registry.flush();
  };
  return { peer, said };
}

async function words(upstream: string, of = endpoint): Promise<(string | undefined)[]> {
  const reports = await of.registry.health(ws, upstream);
  return reports.map(({ report: { targets } }) => targets[0]?.health);
}

async function changes(): Promise<unknown> {
  const { rows } = await db.store.db.query(
    'SELECT upstream, xmin::text AS by FROM node_health ORDER BY 1',
  );
  return rows;
}

function reported(): void {
  describe('the health that nodes report', () => {
    it('is there for every control plane, by node', async () => {
      const other = await SyncEndpoint.start(db);
      const [a, b] = [await RawNode.joined(endpoint), await RawNode.joined(endpoint)];
      const [first, second] = [await connected(a), await connected(b, other)];
      await first.said(frame(true, [report('u'), report('v')]));
      await second.said(frame(true, [report('u', 'UNHEALTHY')]));
      for (const at of [endpoint, other]) {
        const reports = await at.registry.health(ws, 'u');
        const byNode = new Map(reports.map((each) => [each.node, each.report.health]));
        expect(byNode).toEqual(
          new Map([
            [a.id, 'HEALTHY'],
            [b.id, 'UNHEALTHY'],
          ]),
        );
        expect(await words('v', at)).toEqual(['HEALTHY']);
        expect(await words('nobody', at)).toEqual([]);
      }
      await other.close();
    });

    it('is written when it changes, and at no heartbeat', async () => {
      const { peer, said } = await connected(await RawNode.joined(endpoint));
      await said(frame(true, [report('u'), report('v')]));
      const before = await changes();
      for (let i = 0; i < 3; i += 1) await said(frame(i === 0, [report('u'), report('v')]));
      expect(await changes()).toEqual(before);
      await said(frame(false, [report('v', 'UNHEALTHY'), report('u')]));
      const after = await changes();
      expect(after).not.toEqual(before);
      expect(Array.isArray(after) && after[0]).toEqual(Array.isArray(before) && before[0]);
      expect([await words('u'), await words('v')]).toEqual([['HEALTHY'], ['UNHEALTHY']]);
      peer.close();
    });

    it('leaves with what is gone, and begins anew with a session', async () => {
      const node = await RawNode.joined(endpoint);
      const first = await connected(node);
      await first.said(frame(true, [report('u'), report('v'), report('w')]));
      await first.said(frame(false, [], [{ ws, name: 'v' }]));
      expect([await words('u'), await words('v')]).toEqual([['HEALTHY'], []]);
      await first.said(frame(false, [report('u', 'UNHEALTHY')], [{ ws, name: 'u' }]));
      expect(await words('u')).toEqual(['UNHEALTHY']);
      const second = await connected(node);
      await second.said(frame(true, [report('w', 'UNHEALTHY')]));
      expect([await words('u'), await words('w')]).toEqual([[], ['UNHEALTHY']]);
    });

    it('is forgotten with the node that goes', async () => {
      const { peer, said } = await connected(await RawNode.joined(endpoint));
      await said(frame(true, [report('u')]));
      peer.close();
      await eventually('it forgotten', async () => {
        await endpoint.registry.flush();
        return ((await changes()) as unknown[]).length === 0;
      });
    });

    it('counts no more when the control plane of the node has died', async () => {
      const { said } = await connected(await RawNode.joined(endpoint));
      await said(frame(true, [report('u')]));
      const other = await SyncEndpoint.start(db);
      await other.registry.sweep(db.store.db);
      expect(await words('u')).toEqual(['HEALTHY']);
      const { self } = endpoint.registry;
      await db.store.db.query(
        `UPDATE control_planes SET seen_at = now() - interval '1 day' WHERE id = $1`,
        [self],
      );
      expect(await words('u')).toEqual([]);
      await other.registry.sweep(db.store.db);
      expect(await changes()).toEqual([]);
      await other.close();
    });

    it('is not for a node to say of what its group does not serve', async () => {
      const { said } = await connected(await RawNode.joined(endpoint));
      const foreign = randomUUID();
      await said(frame(true, [report('u', 'HEALTHY', foreign)]));
      expect(await changes()).toEqual([]);
    });

    it('takes texts that the database has not', async () => {
      const node = await RawNode.joined(endpoint);
      await connected(node);
      const health = new NodeHealth(db.store.db);
      health.take(node.id, frame(true, [{ ...report('u\0\ud800'), targets: [] }, report('v')]));
      await health.flush();
      await endpoint.registry.flush();
      expect(await words('v')).toEqual(['HEALTHY']);
    });

    it.each<[string, (name: string) => UpstreamReport[]]>([
      ['a name longer than an index takes', () => [report(randomBytes(6000).toString('hex'))]],
      [
        'a workspace in two spellings',
        (name) => [report(name), report(name, 'HEALTHY', ws.toUpperCase())],
      ],
    ])('does not fail with what a hostile node says: %s', async (_name, hostile) => {
      const [node, other] = [await RawNode.joined(endpoint), await RawNode.joined(endpoint)];
      await connected(node);
      const { said } = await connected(other);
      const health = new NodeHealth(db.store.db);
      health.take(other.id, frame(true, hostile('u')));
      health.take(node.id, frame(true, [report('v')]));
      await health.flush();
      await said(frame(false, hostile('u')));
      await endpoint.registry.flush();
      expect(await words('v')).toEqual(['HEALTHY']);
    });

    it('is bounded', async () => {
      const node = await RawNode.joined(endpoint);
      await connected(node);
      const health = new NodeHealth(db.store.db);
      const bare = (i: number): UpstreamReport => ({ ...report(`u${i}`), targets: [] });
      const all = Array.from({ length: NODE_UPSTREAMS_MAX + 10 }, (_, i) => bare(i));
      health.take(node.id, frame(true, all));
      await health.flush();
      const count = async () => ((await changes()) as unknown[]).length;
      expect(await count()).toBe(NODE_UPSTREAMS_MAX);
      health.take(node.id, frame(false, [report('more'), report('u0', 'UNHEALTHY')]));
      await health.flush();
      expect(await count()).toBe(NODE_UPSTREAMS_MAX);
      await endpoint.registry.flush();
      expect(await words('u0')).toEqual(['UNHEALTHY']);
    });
  });
}

function lengths(): void {
  describe('the length of what a node reports', () => {
    it('is bounded, and may shrink', async () => {
      const node = await RawNode.joined(endpoint);
      await connected(node);
      const long = (name: string): UpstreamReport => {
        const { targets } = report(name);
        return { ...report(name), targets: Array.from({ length: 10 }, () => targets).flat() };
      };
      const length = JSON.stringify(long('u')).length;
      const health = new NodeHealth(db.store.db, 2 * length);
      const say = async (...upstreams: UpstreamReport[]): Promise<void> => {
        health.take(node.id, frame(false, upstreams));
        await health.flush();
      };
      await say(long('u'));
      await say(long('v'));
      await say(long('w'));
      await say(report('x'));
      await endpoint.registry.flush();
      expect([await words('v'), await words('w'), await words('x')]).toEqual([['HEALTHY'], [], []]);
      await say(report('u'));
      await say(report('x'));
      expect([await words('u'), await words('x')]).toEqual([['HEALTHY'], ['HEALTHY']]);
    });
  });
}

function byHand(): void {
  describe('health that somebody says by hand', () => {
    const said = { name: 'u', target: 'a:80', address: null, healthy: false };

    it('is told to the nodes that know of it, on every control plane', async () => {
      const other = await SyncEndpoint.start(db);
      const first = await connected(await RawNode.joined(endpoint));
      const second = await connected(await RawNode.joined(endpoint), other);
      const old = await connected(await RawNode.joined(endpoint), endpoint, []);
      await Promise.all([endpoint.registry.flush(), other.registry.flush()]);
      expect(await endpoint.registry.setHealth({ ws, ...said })).toBe(2);
      for (const { peer } of [first, second]) {
        const { method, params } = await peer.next('call');
        expect([method, JSON.parse(params)]).toEqual(['target_health', { ws, ...said }]);
      }
      old.peer.send({ type: 'ping', position: { epoch: 0, revision: 0, hash: '' } });
      await old.peer.next('pong');
      expect(old.peer.frames.filter(({ type }) => type === 'call')).toEqual([]);
      await other.close();
    });

    it('reaches nobody where nobody serves the workspace', async () => {
      await connected(await RawNode.joined(endpoint));
      await endpoint.registry.flush();
      expect(await endpoint.registry.setHealth({ ws: randomUUID(), ...said })).toBe(0);
    });
  });
}
