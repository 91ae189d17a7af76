/** Whole lives of a data plane under faults. A failing seed is named by its test. */
import { describe, expect, it } from 'vitest';
import { testRecord } from '../../test/support/scripted-control-plane.ts';
import { RETRY_MS_MAX } from './backoff.ts';
import { URL_OF_ADDRESS, World } from './client.suite.ts';
import { HANDSHAKE_MS_MAX } from './machine.ts';
import { SILENCE_MAX_MS } from '../wire/protocol.ts';

/** Time for anything to be noticed, retried and made good. */
const HEALED_MS = SILENCE_MAX_MS + 4 * (RETRY_MS_MAX + HANDSHAKE_MS_MAX);

const records = (count: number) => Array.from({ length: count }, (_, i) => testRecord(`r${i}`));

/** Joins, takes a configuration of several nodes, then a delta. */
async function wholeLife(world: World): Promise<void> {
  await world.cp.publish(records(300));
  await world.client.boot();
  world.client.start();
  await world.converge();
  await world.cp.publish([testRecord('r5', 2)], [testRecord('r6')]);
  await world.converge();
  // The acknowledgement, the counter and the disk follow.
  await world.clock.advance(HEALED_MS);
}

async function expectSound(world: World): Promise<void> {
  const { head } = world.cp;
  expect(world.client.status()).toMatchObject({ tag: 'live', hash: head?.position.hash });
  expect(world.client.served?.tree.hash).toBe(head?.tree.hash);
  expect((await world.onDisk())?.replica.hash).toBe(head?.position.hash);
  expect(world.cp.nodes.size).toBe(1);
  expect(world.cp.retired).toBe(0);
  expect(world.clock.timerCount).toBeLessThan(20);
}

describe('a lost connection', () => {
  it.each(['up', 'down'] as const)('at any message that goes %s is made good', async (way) => {
    let count = 0;
    for (let step = 0; step === 0 || step < count; step++) {
      const world = await World.create(100 + step);
      let messages = 0;
      world.fault = (what) => {
        if (what !== way) return null;
        messages += 1;
        return messages - 1 === step ? 'cut' : null;
      };
      await wholeLife(world);
      await expectSound(world);
      expect(world.revisions).toEqual([...world.revisions].toSorted((a, b) => a - b));
      // At least one more than was cut, so the loop sees every message of a whole life.
      count = Math.max(count, Math.min(messages, 40));
    }
    expect(count).toBeGreaterThan(4);
  });

  it.each(['up', 'down'] as const)('of which messages %s just vanish is made good', async (way) => {
    for (let step = 0; step < 12; step++) {
      const world = await World.create(200 + step);
      let messages = 0;
      let healedAtMs = Number.POSITIVE_INFINITY;
      world.fault = (what) => {
        if (what !== way || world.clock.monotonic() > healedAtMs) return null;
        messages += 1;
        if (messages - 1 < step) return null;
        // A one-way partition of half a minute.
        if (healedAtMs === Number.POSITIVE_INFINITY) healedAtMs = world.clock.monotonic() + 30_000;
        return 'swallow';
      };
      await wholeLife(world);
      await expectSound(world);
    }
  });

  it('in the middle of a large configuration does not start it over', async () => {
    const world = await World.create(300);
    world.cp.shardCount = 1;
    await world.cp.publish(records(4000));
    const nodes = world.cp.head?.tree.nodeMap().size ?? 0;
    let sent = 0;
    world.fault = (what, text) => {
      if (what !== 'down' || !text.includes('"shards"')) return null;
      sent += 1;
      return sent % 20 === 0 ? 'cut' : null;
    };
    await world.client.boot();
    world.client.start();
    await world.converge(600_000);

    // Each session brings up to 19 nodes more, and none loses what has arrived: begun anew each time,
    // the 256 of one request would never come through.
    expect(nodes).toBeGreaterThan(200);
    expect(world.heard('hello').length).toBeLessThan(nodes / 8);
    expect(world.client.served?.tree.hash).toBe(world.cp.head?.tree.hash);
  });
});

describe('a data plane under random faults', () => {
  it.each(Array.from({ length: 40 }, (_, i) => i + 1))(
    'is sound in the end (seed %i)',
    async (seed) => {
      const world = await World.create(seed);
      const { random } = world;
      world.latencyMs = () => random.below(200);
      let isFaulty = true;
      world.fault = () => (isFaulty && random.chance(0.03) ? 'cut' : null);
      world.build = (state) =>
        isFaulty && random.chance(0.1)
          ? { ok: false, entity: null, detail: `no luck with ${state.replica.revision}` }
          : { ok: true, quarantined: [] };
      await world.client.boot();
      world.client.start();
      let life = 0;
      for (let turn = 0; turn < 40; turn++) {
        await world.clock.advance(random.below(4000));
        const choice = random.below(10);
        if (choice < 5) {
          const upserts = Array.from({ length: 1 + random.below(60) }, () =>
            testRecord(`r${random.below(400)}`, turn),
          );
          await world.cp.publish(upserts, [testRecord(`r${random.below(400)}`)]);
        } else if (choice === 5) {
          world.cp.epoch += random.below(2);
        } else if (choice === 6) {
          world.disk.isFull = random.chance(0.5);
        } else if (choice === 7) {
          const before = world.swapped.slice(life);
          expectForward(before);
          life = world.swapped.length;
          const held = await world.onDisk();
          const isServing = await world.restart();
          // What the disk holds is served at once, unless building it had no luck.
          if (held === null) expect(isServing).toBe(false);
          world.client.start();
        } else if (choice === 8) {
          world.network.unlisten(URL_OF_ADDRESS);
        } else {
          world.network.listen(URL_OF_ADDRESS, (end) => world.cp.accept(end));
        }
      }
      expectForward(world.swapped.slice(life));
      isFaulty = false;
      world.disk.isFull = false;
      world.network.listen(URL_OF_ADDRESS, (end) => world.cp.accept(end));
      await world.cp.publish([testRecord('last')]);
      await world.converge(HEALED_MS);
      await world.clock.advance(1000);
      await expectSound(world);
    },
  );
});

/** Within one life of a process: never backwards. */
function expectForward(swapped: readonly { epoch: number; revision: number }[]): void {
  const order = swapped.map(({ epoch, revision }) => epoch * 1e6 + revision);
  expect(order).toEqual(order.toSorted((a, b) => a - b));
}
