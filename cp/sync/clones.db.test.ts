/**
 * The join counter before the real endpoint: an honest node that is killed at any step is never
 * troubled, two holders of one state are found out as soon as either comes back.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { REGISTRY } from '#shared/registry.ts';
import { isRejoin } from '#shared/sync/rejoin.ts';
import { CLOSE } from '#shared/wire/close-codes.ts';
import { eventually } from '../../test/support/eventually.ts';
import { openTestStore, type TestStore } from '../../test/support/pglite.ts';
import { SeededRandom } from '../../test/support/seeded-random.ts';
import { RawNode, RawPeer, SyncEndpoint } from '../../test/support/sync-endpoint.ts';
import { NodeDisk, SyncNode } from '../../test/support/sync-node.ts';
import { FLAPPING_COUNT } from '../nodes/suspicions.ts';
import { HANDED_MAX } from './join-counter.ts';

const ROUNDS = Number(process.env['HEADGATE_TEST_CRASH_ROUNDS'] ?? 100);

let db: TestStore;
let endpoint: SyncEndpoint;
const nodes: SyncNode[] = [];

beforeAll(async () => {
  db = await openTestStore(REGISTRY.entities);
}, 60_000);
afterAll(() => db.close());
beforeEach(async () => {
  await db.store.db.query('TRUNCATE nodes, node_health');
  await db.store.db.query("UPDATE groups SET policy = '{}'");
  endpoint = await SyncEndpoint.start(db);
});
afterEach(async () => {
  await Promise.all(nodes.splice(0).map((node) => node.client.stop()));
  await endpoint.close();
});

async function lock(): Promise<void> {
  await db.store.db.query(`UPDATE groups SET policy = '{"clones":"lock"}'`);
}

async function rowOf(id: string) {
  const rows = await endpoint.registry.list();
  return must(
    rows.find((row) => row['id'] === id),
    'a listed node',
  );
}

/** One session: says hello with a number, and what came of it. */
async function hello(node: RawNode, joinSeq: number): Promise<RawPeer> {
  const peer = await RawPeer.connect(endpoint);
  peer.send(await node.hello(peer, endpoint, { join_seq: joinSeq }));
  return peer;
}

/** As far as the confirmed number. @returns the number */
async function confirmed(node: RawNode, joinSeq: number): Promise<number> {
  const peer = await hello(node, joinSeq);
  const { join_seq: next } = await peer.next('welcome');
  await confirm(node, peer, next);
  peer.close();
  await peer.closed();
  return next;
}

async function confirm(node: RawNode, peer: RawPeer, joinSeq: number): Promise<void> {
  peer.send({ ...node.status(), join_seq: joinSeq });
  await eventually('the number is confirmed', async () => {
    const { rows } = await db.store.db.query<{ join_seq: number }>(
      'SELECT join_seq FROM nodes WHERE id = $1',
      [node.id],
    );
    return rows[0]?.join_seq === joinSeq;
  });
}

/** Steps at which an honest node is killed. @returns what it has kept */
const STEPS: readonly ((node: RawNode, kept: number) => Promise<number>)[] = [
  async (node, kept) => {
    // Right behind its hello.
    const peer = await hello(node, kept);
    peer.close();
    return kept;
  },
  async (node, kept) => {
    // After the welcome, which it did not keep.
    const peer = await hello(node, kept);
    await peer.next('welcome');
    peer.close();
    return kept;
  },
  async (node, kept) => {
    // The welcome is kept, and nobody heard of it.
    const peer = await hello(node, kept);
    const { join_seq: next } = await peer.next('welcome');
    peer.close();
    return next;
  },
  async (node, kept) => {
    // Right behind its confirmation.
    const peer = await hello(node, kept);
    const { join_seq: next } = await peer.next('welcome');
    peer.send({ ...node.status(), join_seq: next });
    peer.close();
    return next;
  },
  (node, kept) => confirmed(node, kept),
  async (node, kept) => {
    // The control plane is gone before it has answered.
    const peer = await hello(node, kept);
    await endpoint.close();
    peer.close();
    endpoint = await SyncEndpoint.start(db);
    return kept;
  },
];

describe('an honest node', () => {
  it(
    `D-10: is killed at every step, ${ROUNDS} times, and never suspected`,
    async () => {
      const seed = Number(process.env['HEADGATE_TEST_SEED'] ?? Date.now() % 1_000_000);
      const random = new SeededRandom(seed);
      const node = await RawNode.joined(endpoint);
      let kept = node.joinSeq;
      for (let round = 0; round < ROUNDS; round += 1) {
        // Each of them in turn first, then at random.
        const index = round < STEPS.length ? round : Math.floor(random.next() * STEPS.length);
        const step = must(STEPS[index], 'a step');
        kept = await step(node, kept).catch((error: unknown) => {
          throw new Error(`round ${round}, step ${index}, seed ${seed}`, { cause: error });
        });
      }
      await confirmed(node, kept);
      expect(await rowOf(node.id), `seed ${seed}`).toMatchObject({ alert: null, locked: false });
    },
    60_000 + ROUNDS * 200,
  );

  it('is not suspected for a hello of its own that the control plane got to only later', async () => {
    const node = await RawNode.joined(endpoint);
    const { db: real } = db.store;
    let release = (): void => {};
    const gate = new Promise<void>((resolve) => (release = resolve));
    let isHeld = true;
    const query = real.query.bind(real);
    real.query = (async (text: string, params?: never) => {
      if (isHeld && text.includes('joined_at = now()')) {
        isHeld = false;
        await gate;
      }
      return query(text, params);
    }) as typeof real.query;
    try {
      // It has waited long enough, and asks once more; that is quick.
      const slow = await hello(node, node.joinSeq);
      await eventually('the first is held up', () => !isHeld);
      await confirmed(node, node.joinSeq);
      release();
      expect((await slow.closed()).code).toBe(CLOSE.overloaded);
    } finally {
      real.query = query;
    }
    expect(await rowOf(node.id)).toMatchObject({ alert: null });
  });

  it('may have kept a number although it thinks that it could not', async () => {
    const node = await RawNode.joined(endpoint);
    const first = await (await hello(node, node.joinSeq)).next('welcome');
    // The write was reported as failed; the disk has it all the same.
    await (await hello(node, node.joinSeq)).next('welcome');
    await confirmed(node, first.join_seq);
    expect(await rowOf(node.id)).toMatchObject({ alert: null });
  });

  it('is not suspected when an earlier hello of its own gets a number after the one that it kept', async () => {
    const node = await RawNode.joined(endpoint);
    const kept = (await (await hello(node, node.joinSeq)).next('welcome')).join_seq;
    for (let late = 0; late < HANDED_MAX - 1; late += 1) {
      await (await hello(node, node.joinSeq)).next('welcome');
    }
    await confirmed(node, kept);
    expect(await rowOf(node.id)).not.toMatchObject({ alert: { reason: 'clone' } });
  });

  it('is believed a number that a restored database has never heard of', async () => {
    const node = await RawNode.joined(endpoint);
    const later = await confirmed(node, await confirmed(node, node.joinSeq));
    await db.store.db.query('UPDATE nodes SET join_seq = 1, join_pending = NULL');
    await db.store.db.query('UPDATE groups SET epoch = epoch + 1');
    await confirmed(node, later);
    expect(await rowOf(node.id)).toMatchObject({ alert: null });
  });
});

describe('a copied state', () => {
  it('D-10: is found out at its next hello when the honest node has gone on', async () => {
    const node = await RawNode.joined(endpoint);
    const copied = node.joinSeq;
    await confirmed(node, copied);
    await confirmed(node, must(await nextOf(node), 'a number'));
    const { code, reason } = await (await hello(node, copied)).closed();
    expect(code).toBe(CLOSE.unauthorized);
    expect(isRejoin(reason)).toBe(true);
    expect(await rowOf(node.id)).toMatchObject({
      locked: false,
      alert: { reason: 'clone', count: 1, ip: '127.0.0.1', hostname: 'dp.test' },
    });
  });

  it('D-10: is found out by the honest node when the copy was first: either side’s next hello', async () => {
    const disk = new NodeDisk();
    const honest = await new SyncNode(endpoint.address, await endpoint.token(), disk).start();
    nodes.push(honest);
    await honest.serves(() => true);
    const id = must(honest.client.identity, 'an identity').node;
    await eventually('it is confirmed', async () => (await pendingOf(id)) === null);
    const copy = new NodeDisk();
    copy.identity = disk.identity;
    const clone = await new SyncNode(endpoint.address, null, copy).start();
    nodes.push(clone);
    await clone.serves(() => true);
    await eventually('the copy is confirmed', async () => (await pendingOf(id)) === null);
    await honest.client.stop();
    const again = await new SyncNode(endpoint.address, null, disk).start();
    nodes.push(again);
    const row = await eventually('the alert', async () => {
      const found = await rowOf(id);
      return found['alert'] === null ? null : found;
    });
    expect(row['alert']).toMatchObject({ reason: 'clone' });
    // Without a token it says so, and goes on serving what it has.
    await eventually('it says what to do', () =>
      again.logs.some(({ message }) => message.includes('give it a new join token')),
    );
    expect(again.client.identity?.node).toBe(id);
  });

  it('D-10: locks the node where the group says so, on both sides, until somebody unlocks it', async () => {
    await lock();
    const node = await RawNode.joined(endpoint);
    const copied = node.joinSeq;
    const live = await hello(node, await confirmed(node, copied));
    await confirm(node, live, (await live.next('welcome')).join_seq);
    expect((await (await hello(node, copied)).closed()).reason).toContain('locked');
    expect((await live.closed()).code).toBe(CLOSE.unauthorized);
    const current = must(await nextOf(node), 'a number');
    expect((await (await hello(node, current)).closed()).reason).toContain('locked');
    expect(await rowOf(node.id)).toMatchObject({ locked: true, connected: false });

    expect(await endpoint.identities.unlock(node.id)).toBe(true);
    // Whoever is left may come with the number that it has.
    await confirmed(node, copied);
    expect(await rowOf(node.id)).toMatchObject({ locked: false, alert: null });
  });

  it('D-10: cannot guess the number in force', async () => {
    const node = await RawNode.joined(endpoint);
    const copied = node.joinSeq;
    await confirmed(node, copied);
    for (const guess of [copied + 1, copied + 2]) {
      expect((await (await hello(node, guess)).closed()).code).toBe(CLOSE.unauthorized);
    }
    expect((await rowOf(node.id))['alert']).toMatchObject({ count: 2 });
  });

  it('D-10: that keeps taking over before anything is confirmed raises the alarm too', async () => {
    const node = await RawNode.joined(endpoint);
    for (let session = 0; session <= FLAPPING_COUNT; session += 1) {
      await (await hello(node, node.joinSeq)).next('welcome');
    }
    const alert = await eventually('the alert', async () => (await rowOf(node.id))['alert']);
    expect(alert).toMatchObject({ reason: 'flapping' });
  });

  it('D-10: that never confirms a number is found out too: it is given others than the honest node', async () => {
    await lock();
    const node = await RawNode.joined(endpoint);
    let kept = node.joinSeq;
    let stolen = kept;
    const outcomes: boolean[] = [];
    for (let round = 0; round < 2; round += 1) {
      const thief = await hello(node, stolen);
      const next = await thief.next('welcome').catch(() => null);
      outcomes.push(next !== null);
      stolen = next?.join_seq ?? stolen;
      if (next === null) break;
      // It cuts off the honest node, which comes back, and confirms what it is given.
      kept = await confirmed(node, kept);
    }
    expect(outcomes).toEqual([true, false]);
    expect(await rowOf(node.id)).toMatchObject({ locked: true, alert: { reason: 'clone' } });
  });

  it('D-14: of the node’s keys, with its join token, does not get in by enrolling once more', async () => {
    const node = await RawNode.make();
    const token = await endpoint.token(3);
    const peer = await RawPeer.connect(endpoint);
    peer.send(await node.enrol(peer, endpoint, token));
    node.take(await peer.next('welcome'));
    await confirm(node, peer, node.joinSeq);
    const thief = await RawPeer.connect(endpoint);
    thief.send(await node.enrol(thief, endpoint, token));
    expect(await thief.closed()).toMatchObject({
      code: CLOSE.unauthorized,
      reason: 'the join token is not accepted',
    });
    expect(await rowOf(node.id)).toMatchObject({ alert: { reason: 'clone' } });
  });

  it('D-14: of the disk alone, used later, gets nothing newer and may serve what it has', async () => {
    const disk = new NodeDisk();
    const honest = await new SyncNode(endpoint.address, await endpoint.token(), disk).start();
    nodes.push(honest);
    await honest.serves(() => true);
    await eventually('it is stored', () => disk.config);
    const copy = new NodeDisk();
    copy.identity = disk.identity;
    copy.config = disk.config;
    const id = must(honest.client.identity, 'an identity').node;
    await eventually('it is confirmed', async () => (await pendingOf(id)) === null);
    await honest.client.stop();
    // The honest node connects once more; from then on the copy is cold.
    const again = await new SyncNode(endpoint.address, null, disk).start();
    nodes.push(again);
    await eventually('it is confirmed again', async () => {
      const kept = (await nextOf({ id })) ?? 0;
      return kept > joinSeqIn(copy) && (await pendingOf(id)) === null;
    });
    const thief = await new SyncNode(endpoint.address, null, copy).start();
    nodes.push(thief);
    await eventually('it is refused', () =>
      thief.logs.some(({ message }) => message.includes('in use elsewhere')),
    );
    expect(thief.swapped).toHaveLength(1);
    expect((await rowOf(id))['alert']).toMatchObject({ reason: 'clone' });
  });
});

describe('a restored machine, or one of many from an image', () => {
  it('enrols again by itself when it has a token, once, and is another node from then on', async () => {
    const disk = new NodeDisk();
    const token = await endpoint.token(3);
    const first = await new SyncNode(endpoint.address, token, disk).start();
    nodes.push(first);
    await first.serves(() => true);
    const id = must(first.client.identity, 'an identity').node;
    await eventually('it is confirmed', async () => (await pendingOf(id)) === null);
    const snapshot = disk.identity;
    await first.client.stop();
    const second = await new SyncNode(endpoint.address, token, disk).start();
    nodes.push(second);
    await second.serves(() => true);
    await eventually('the snapshot is old', async () => {
      return ((await nextOf({ id })) ?? 0) > joinSeqIn({ identity: snapshot });
    });
    await second.client.stop();

    const restored = new NodeDisk();
    restored.identity = snapshot;
    restored.config = disk.config;
    const again = await new SyncNode(endpoint.address, token, restored).start();
    nodes.push(again);
    const other = await eventually('it has another identity', () => {
      const node = again.client.identity?.node;
      return node !== undefined && node !== id ? node : null;
    });
    await eventually('it is live', () => again.client.status().tag === 'live');
    expect((await rowOf(id))['alert']).toMatchObject({ reason: 'clone', count: 1 });
    expect(await rowOf(other)).toMatchObject({ alert: null });
    // It never stopped serving what it had.
    expect(again.swapped[0]).toBeGreaterThan(0);
  });

  it('keeps its identity when its token is no good, and says so in one line', async () => {
    const disk = new NodeDisk();
    const token = await endpoint.token();
    const first = await new SyncNode(endpoint.address, token, disk).start();
    nodes.push(first);
    await first.serves(() => true);
    const id = must(first.client.identity, 'an identity').node;
    await eventually('it is confirmed', async () => (await pendingOf(id)) === null);
    await db.store.db.query('UPDATE nodes SET join_seq = join_seq + 5, join_pending = NULL');
    await first.client.stop();
    const again = await new SyncNode(endpoint.address, token, disk).start();
    nodes.push(again);
    await eventually('the token is refused', () =>
      endpoint.logs.some(({ fields }) => fields['reason'] === 'the token is spent'),
    );
    expect(again.client.identity?.node).toBe(id);
    const lines = again.logs.filter(({ message }) => message.includes('in use elsewhere'));
    expect(lines).toHaveLength(1);
  });
});

async function pendingOf(id: string): Promise<number | null> {
  const { rows } = await db.store.db.query<{ join_pending: number | null }>(
    'SELECT join_pending FROM nodes WHERE id = $1',
    [id],
  );
  return rows[0]?.join_pending ?? null;
}

async function nextOf({ id }: { readonly id: string }): Promise<number | null> {
  const { rows } = await db.store.db.query<{ join_seq: number }>(
    'SELECT join_seq FROM nodes WHERE id = $1',
    [id],
  );
  return rows[0]?.join_seq ?? null;
}

function joinSeqIn({ identity }: { readonly identity: string | null }): number {
  const { join_seq: joinSeq } = JSON.parse(identity ?? '{}') as { join_seq: number };
  return joinSeq;
}
