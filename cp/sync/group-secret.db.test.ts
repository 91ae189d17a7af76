/** A group's secret that is replaced while data planes are served, and one that was taken away. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { SecretOpener } from '#shared/config/opening.ts';
import { loadReplica, type ReplicaState } from '#shared/config/replica.ts';
import { pepperFor, type GroupSecret } from '#shared/config/secrets.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import { REGISTRY } from '#shared/registry.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import { eventually } from '../../test/support/eventually.ts';
import { openTestStore, type TestStore } from '../../test/support/pglite.ts';
import { SyncEndpoint } from '../../test/support/sync-endpoint.ts';
import { NodeDisk, SyncNode } from '../../test/support/sync-node.ts';
import { entityOf } from '../store/context.suite.ts';

const ACTOR = { name: 'test', source: null };
const certificates = must(REGISTRY.entities.get('certificates'), 'certificates');

let db: TestStore;
let endpoint: SyncEndpoint;
let entity: AnyEntity;
const nodes: SyncNode[] = [];

beforeAll(async () => {
  db = await openTestStore(REGISTRY.entities);
  entity = entityOf(certificates, { cert: 'public part', key: 'private part' });
  const ws = db.store.defaultWorkspace();
  await db.store.write(ws, ACTOR, (tx) => tx.insert(certificates, ws, entity));
}, 60_000);
afterAll(() => db.close());
beforeEach(async () => {
  endpoint = await SyncEndpoint.start(db);
});
afterEach(async () => {
  await Promise.all(nodes.splice(0).map((node) => node.client.stop()));
  await endpoint.close();
});

/** A node that opens what it gets, as data planes do. */
async function join(address: string, disk = new NodeDisk()) {
  const node = new SyncNode(address, await endpoint.token(), disk);
  const opener = new SecretOpener(nodeCrypto);
  /** Per swap: generation of the configuration, the key as opened, whether look-ups can be hashed. */
  const seen: [number | null, unknown, boolean][] = [];
  nodes.push(node);
  let opening: Promise<void> = Promise.resolve();
  node.build = (state, identity) => {
    opening = opening.then(async () => {
      seen.push(await look(opener, state, identity.groupSecrets));
    });
    return { ok: true, quarantined: [] };
  };
  await node.start();
  return { node, seen, disk };
}

async function look(
  opener: SecretOpener,
  state: ReplicaState,
  secrets: readonly GroupSecret[],
): Promise<[number | null, unknown, boolean]> {
  const { tree, secretGeneration } = await opener.open(state, secrets);
  const found = [...tree.records()].find(({ id }) => id === entity.id);
  const pepper = pepperFor(secrets, secretGeneration, nodeCrypto);
  return [secretGeneration, found?.fault ?? found?.body['key'], pepper !== null];
}

async function rotate(): Promise<number> {
  const { rows } = await db.store.db.query<{ generation: number }>(
    `UPDATE groups SET secret_generation = secret_generation + 1
     RETURNING secret_generation AS generation`,
  );
  await endpoint.publisher.flush();
  return must(rows[0], 'a group').generation;
}

describe('a group’s secret that is replaced', () => {
  it.each([
    ['a socket', () => endpoint.address],
    ['pull', () => endpoint.address.replace('ws:', 'http:')],
  ])(
    'reaches nodes before what is sealed with it, by %s: nothing is shut for a moment',
    async (_by, address) => {
      const { node, seen } = await join(address());
      await eventually('the first configuration', () => seen.length > 0);
      const generation = await rotate();
      await eventually('the new one', () => seen.at(-1)?.[0] === generation, 30_000);
      expect(seen.map(([, key, isPeppered]) => [key, isPeppered])).toEqual(
        seen.map(() => ['private part', true]),
      );
      const held = node.client.identity?.groupSecrets.map((secret) => secret.generation) ?? [];
      expect(held.slice(0, 2)).toEqual([generation, generation - 1]);
    },
  );

  it('is no use to a node that was away for both: it opens its cache with what it held', async () => {
    const { node, seen, disk } = await join(endpoint.address);
    await eventually('the first configuration', () => seen.length > 0);
    await eventually('it is stored', () => disk.config !== null);
    await node.client.stop();
    await rotate();
    const generation = await rotate();
    const again = await join(endpoint.address, disk);
    await eventually('the newest', () => again.seen.at(-1)?.[0] === generation);
    expect(again.seen.every(([, key]) => key === 'private part')).toBe(true);
  });
});

describe('a stolen copy', () => {
  it('of a node’s cache opens with no secret but the group’s own', async () => {
    const { seen, disk, node } = await join(endpoint.address);
    await eventually('a configuration', () => seen.length > 0);
    const stored = await eventually('it is stored', () => disk.config);
    const identity = must(node.client.identity, 'an identity');
    const loaded = await loadReplica(stored, identity, nodeCrypto);
    if (!loaded.ok) throw new Error(loaded.detail);
    const attempt = async (secrets: readonly GroupSecret[]) =>
      (await look(new SecretOpener(nodeCrypto), loaded.state, secrets))[1];
    const own = identity.groupSecrets[0];
    if (own === undefined) throw new Error('it has joined');
    const { generation } = own;
    const groupId = nodeRandom.uuid();
    expect(await attempt([])).toMatch(/is missing/);
    expect(await attempt([{ generation, secret: nodeRandom.bytes(32) }])).toMatch(
      /cannot be opened/,
    );
    const others = { generation, secret: db.keyring.groupSecret(groupId, generation) };
    expect(await attempt([others])).toMatch(/cannot be opened/);
    const earlier = {
      generation,
      secret: db.keyring.groupSecret(identity.groupId, generation - 1),
    };
    expect(await attempt([earlier])).toMatch(/cannot be opened/);
    expect(await attempt([own])).toBe('private part');
  });
});
