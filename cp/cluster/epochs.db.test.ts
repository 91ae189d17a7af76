import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { nodeClock } from '#shared/platform/node/clock.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import { REGISTRY } from '#shared/registry.ts';
import type { Position } from '#shared/wire/frames.ts';
import { openTestStore, silent, type TestStore } from '../../test/support/pglite.ts';
import { Publisher } from '../changes/publisher.ts';
import { CLAIMED_EPOCHS_PER_HOUR_MAX, DatabaseMovedError, Epochs } from './epochs.ts';

let db: TestStore;
let dataDir = '';
let group = '';

beforeAll(async () => {
  db = await openTestStore(REGISTRY.entities);
  dataDir = await mkdtemp(join(tmpdir(), 'headgate-epochs-'));
  const { rows } = await db.store.db.query<{ id: string }>('SELECT id FROM groups');
  group = must(rows[0], 'a group').id;
}, 60_000);
afterAll(async () => {
  await db.close();
  await rm(dataDir, { recursive: true, force: true });
});
beforeEach(async () => {
  await db.store.db.query('DELETE FROM epochs');
  await rm(join(dataDir, 'cp'), { recursive: true, force: true, maxRetries: 5 });
});

/** A control plane that starts. */
async function opened(policy: 'stop' | 'take-over' = 'stop', folder = dataDir): Promise<Epochs> {
  const { clusterId } = db.keyring;
  const epochs = new Epochs({
    db: db.store.db,
    clusterId,
    dataDir: folder,
    policy,
    logger: silent,
  });
  await epochs.witness.load();
  await epochs.settle();
  return epochs;
}

async function publish(epochs: Epochs): Promise<Position> {
  await db.store.db.query('UPDATE groups SET published_as = NULL');
  const publisher = new Publisher({
    ...db,
    epochs,
    registry: REGISTRY,
    crypto: nodeCrypto,
    clock: nodeClock,
    random: nodeRandom,
    logger: silent,
    pollMs: 60_000,
  });
  publisher.start();
  await publisher.flush();
  await publisher.close();
  const { rows } = await db.store.db.query<Position>(
    'SELECT epoch, revision, hash FROM manifests ORDER BY epoch DESC, revision DESC LIMIT 1',
  );
  return must(rows[0], 'a manifest');
}

const reasons = async (epochs: Epochs): Promise<string[]> =>
  (await epochs.list()).map(({ reason }) => reason);

/** Takes away what was published last, as a lost tail does. */
async function forget(position: Position): Promise<void> {
  await db.store.db.query('DELETE FROM manifests WHERE (epoch, revision) >= ($1, $2)', [
    position.epoch,
    position.revision,
  ]);
}

describe('a database that is looked at', () => {
  it('is the one it was, however often a control plane starts', async () => {
    const first = await opened();
    await publish(first);
    await first.close();
    expect(await reasons(await opened())).toEqual([]);
  });

  it('begins an epoch on a later timeline of the same system, by itself', async () => {
    await db.store.db.query(
      "UPDATE cluster SET database_identity = split_part(database_identity, '/', 1) || '/0'",
    );
    const epochs = await opened();
    expect(await reasons(epochs)).toEqual(['promoted']);
    const after = await publish(epochs);
    expect(after.epoch).toBe((await epochs.list())[0]?.epoch);
    expect(await reasons(await opened())).toEqual(['promoted']);
  });

  it('begins one when its rows were written anew', async () => {
    await db.store.db.query('UPDATE database_marker SET server_started = server_started');
    expect(await reasons(await opened())).toEqual(['restored']);
    expect(await reasons(await opened())).toEqual(['restored']);
  });

  it.each([
    ['another system', "UPDATE cluster SET database_identity = '77/1'"],
    ['another branch', "UPDATE cluster SET database_identity = 'neon/0123456789abcdef'"],
    ['another database', 'UPDATE database_marker SET database_oid = 1'],
  ])('stops at %s until somebody says that it takes over', async (_, moved) => {
    await db.store.db.query(moved);
    await expect(opened()).rejects.toThrow(DatabaseMovedError);
    await expect(opened()).rejects.toThrow('HEADGATE_DATABASE_MOVED=take-over');
    const epochs = await opened('take-over');
    expect(await reasons(epochs)).toEqual(['moved']);
    // The setting may stay; the next copy is another matter.
    expect(await reasons(await opened('take-over'))).toEqual(['moved']);
  });

  it('publishes nothing when it becomes another one while a control plane runs', async () => {
    const epochs = await opened();
    const before = await publish(epochs);
    await db.store.db.query(
      "UPDATE cluster SET database_identity = split_part(database_identity, '/', 1) || '/0'",
    );
    await db.store.db.query("UPDATE groups SET published = '{}'");
    const after = await publish(epochs);
    expect(after.epoch).toBeGreaterThan(before.epoch);
    expect(await reasons(epochs)).toEqual(['promoted']);
  });

  it('begins one when it lacks what was seen, at a start or while running', async () => {
    const epochs = await opened();
    const seen = await publish(epochs);
    await epochs.close();
    await forget(seen);
    const again = await opened();
    expect(await reasons(again)).toEqual(['lost']);

    const next = await publish(again);
    await forget(next);
    const last = await publish(again);
    expect(last.epoch).toBeGreaterThan(next.epoch);
    expect(await reasons(again)).toEqual(['lost', 'lost']);
  });

  it('begins one when it has other content under a number that was seen', async () => {
    const epochs = await opened();
    const seen = await publish(epochs);
    await epochs.close();
    await db.store.db.query('UPDATE manifests SET hash = $3 WHERE epoch = $1 AND revision = $2', [
      seen.epoch,
      seen.revision,
      'f'.repeat(64),
    ]);
    expect(await reasons(await opened())).toEqual(['lost']);
  });

  it('begins another one in each copy of it', async () => {
    const drawn = new Set<number>();
    const { rows } = await db.store.db.query<{ epoch: number }>('SELECT epoch FROM groups');
    for (let copy = 0; copy < 4; copy += 1) {
      await db.store.db.query('UPDATE groups SET epoch = $1', [must(rows[0], 'a group').epoch]);
      drawn.add((await (await opened()).begin('test')).epoch);
    }
    expect(drawn.size).toBe(4);
  });

  it('believes nothing seen of another cluster, or damaged', async () => {
    const epochs = await opened();
    const seen = await publish(epochs);
    await epochs.close();
    const other = new Epochs({
      db: db.store.db,
      clusterId: nodeRandom.uuid(),
      dataDir,
      policy: 'stop',
      logger: silent,
    });
    await other.witness.load();
    expect(other.witness.of(group)).toBeNull();
    const own = await opened();
    expect(own.witness.of(group)).toEqual(seen);
  });
});

describe('a node that holds what is not known', () => {
  const claim = async (epochs: Epochs, position: Partial<Position>): Promise<number> => {
    const { rows } = await db.store.db.query<Position>(
      'SELECT epoch, revision, hash FROM manifests ORDER BY epoch DESC, revision DESC LIMIT 1',
    );
    const head = must(rows[0], 'a manifest');
    await epochs.claimed(group, { ...head, hash: 'e'.repeat(64), ...position }, 'a node');
    return (await epochs.list()).length;
  };

  it('begins an epoch: by a later number, or by other content under a known one', async () => {
    const epochs = await opened();
    const head = await publish(epochs);
    expect(await claim(epochs, { hash: head.hash })).toBe(0);
    expect(await claim(epochs, { revision: head.revision + 5 })).toBe(1);
    // Thousands say so at once: it has been heard.
    expect(await claim(epochs, { ...head, revision: head.revision + 6 })).toBe(1);
    await publish(epochs);
    expect(await claim(epochs, {})).toBe(2);
  });

  it('gets no epoch for a number that was swept, nor for an epoch of the far future', async () => {
    const epochs = await opened();
    const head = await publish(epochs);
    expect(await claim(epochs, { revision: head.revision - 1 })).toBe(0);
    expect(await claim(epochs, { epoch: Number.MAX_SAFE_INTEGER })).toBe(0);
  });

  it('gets no more than a few of them in an hour', async () => {
    const epochs = await opened();
    for (let i = 0; i < CLAIMED_EPOCHS_PER_HOUR_MAX + 3; i += 1) {
      const head = await publish(epochs);
      await claim(epochs, { ...head, revision: head.revision + 1, hash: 'e'.repeat(64) });
    }
    expect(await epochs.list()).toHaveLength(CLAIMED_EPOCHS_PER_HOUR_MAX);
  });
});
