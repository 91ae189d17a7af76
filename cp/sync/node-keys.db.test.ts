/** Nodes that change their key, with everything that may get lost on the way. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { base64url } from '#shared/base/bytes.ts';
import { DOMAIN, signText } from '#shared/config/signed-text.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { REGISTRY } from '#shared/registry.ts';
import { rotationText } from '#shared/sync/proof.ts';
import { eventually } from '../../test/support/eventually.ts';
import { openTestStore, type TestStore } from '../../test/support/pglite.ts';
import { SyncEndpoint } from '../../test/support/sync-endpoint.ts';
import { NodeDisk, SyncNode } from '../../test/support/sync-node.ts';
import { NODE_KEY_DAYS } from './node-row.ts';

let db: TestStore;
let endpoint: SyncEndpoint;
const nodes: SyncNode[] = [];

beforeAll(async () => {
  db = await openTestStore(REGISTRY.entities);
}, 60_000);
afterAll(() => db.close());
beforeEach(async () => {
  await db.store.db.query('TRUNCATE nodes, node_health');
  endpoint = await SyncEndpoint.start(db);
});
afterEach(async () => {
  await Promise.all(nodes.splice(0).map((node) => node.client.stop()));
  await endpoint.close();
});

async function start(disk: NodeDisk, token: string | null = null): Promise<SyncNode> {
  const node = await new SyncNode(endpoint.address, token, disk).start();
  nodes.push(node);
  await eventually('it is live', () => node.client.status().tag === 'live');
  return node;
}

async function rowOf(): Promise<{ public_key: string; next_public_key: string | null }> {
  const { rows } = await db.store.db.query<{ public_key: string; next_public_key: string | null }>(
    'SELECT public_key, next_public_key FROM nodes',
  );
  return must(rows[0], 'a node');
}

const keyOf = (node: SyncNode): string =>
  base64url(must(node.client.identity, 'an identity').signing.publicKey);

describe('a node’s key', () => {
  it('is replaced by hand while it is connected, and the old one is none from the next session on', async () => {
    const disk = new NodeDisk();
    const node = await start(disk, await endpoint.token());
    const old = keyOf(node);
    const before = disk.identity;
    expect(await endpoint.identities.renewKey(must(node.client.identity, 'one').node)).toBe(true);
    await eventually('it has another key', () => keyOf(node) !== old);
    expect((await rowOf()).next_public_key).toBe(keyOf(node));
    await node.client.stop();
    const again = await start(disk);
    expect(await rowOf()).toEqual({ public_key: keyOf(again), next_public_key: null });
    await again.client.stop();

    const thief = new NodeDisk();
    thief.identity = before;
    const late = await new SyncNode(endpoint.address, null, thief).start();
    nodes.push(late);
    // Whoever of the two changed it: there are two.
    await eventually('the alert', async () => {
      const [row] = await endpoint.registry.list();
      return row?.['alert'] ?? null;
    });
    const [row] = await endpoint.registry.list();
    expect(row).toMatchObject({ alert: { reason: 'clone' } });
    expect(late.client.status().tag).not.toBe('live');
  });

  it('is replaced by itself when it is old', async () => {
    const disk = new NodeDisk();
    const node = await start(disk, await endpoint.token());
    const old = keyOf(node);
    await node.client.stop();
    await db.store.db.query('UPDATE nodes SET key_made_at = now() - make_interval(days => $1)', [
      NODE_KEY_DAYS + 1,
    ]);
    const again = await start(disk);
    await eventually('it has another key', () => keyOf(again) !== old);
  });

  it('is neither lost nor doubled when the node dies between asking and keeping', async () => {
    const disk = new NodeDisk();
    const node = await start(disk, await endpoint.token());
    const id = must(node.client.identity, 'an identity').node;
    const old = keyOf(node);
    // What is on the disk at each step: before, with both keys, and with the new one alone.
    const steps: (string | null)[] = [];
    const save = disk.identities.save.bind(disk.identities);
    disk.identities.save = async (identity) => {
      await save(identity);
      steps.push(disk.identity);
    };
    await endpoint.identities.renewKey(id);
    await eventually('it has another key', () => keyOf(node) !== old);
    await node.client.stop();
    const both = must(
      steps.find((text) => text?.includes('"rotate"')),
      'a step with both keys',
    );
    const killed = new NodeDisk();
    killed.identity = both;
    const again = await start(killed);
    await eventually('it is through with it', () => keyOf(again) !== old);
    await again.client.stop();
    await start(killed);
    const [row] = await endpoint.registry.list();
    expect(row).toMatchObject({ id, alert: null });
  });

  it('that a thief of its disk changes does not shut it out unseen', async () => {
    await db.store.db.query(`UPDATE groups SET policy = '{"clones":"lock"}'`);
    try {
      const disk = new NodeDisk();
      const node = await start(disk, await endpoint.token());
      const id = must(node.client.identity, 'an identity').node;
      const copy = new NodeDisk();
      copy.identity = disk.identity;
      await node.client.stop();
      const thief = await start(copy);
      const old = keyOf(thief);
      await endpoint.identities.renewKey(id);
      await eventually('it has another key', () => keyOf(thief) !== old);
      await thief.client.stop();
      await start(copy);

      const honest = await new SyncNode(endpoint.address, null, disk).start();
      nodes.push(honest);
      const row = await eventually('the node is locked', async () => {
        const [found] = await endpoint.registry.list();
        return found?.['locked'] === true ? found : null;
      });
      expect(row).toMatchObject({ id, alert: { reason: 'clone' } });
    } finally {
      await db.store.db.query(`UPDATE groups SET policy = '{}'`);
    }
  });

  it('is taken only with the signatures of both, for this node', async () => {
    const node = await start(new NodeDisk(), await endpoint.token());
    const { node: id, signing } = must(node.client.identity, 'an identity');
    const next = await nodeCrypto.generateSigningKey();
    const publicKey = base64url(next.publicKey);
    const by = (key: Uint8Array, about: string) =>
      signText(DOMAIN.rotate, rotationText(about, publicKey), key, nodeCrypto);
    const [old, own] = [signing.privateKey, next.privateKey];
    const pairs = [
      [await by(own, id), await by(own, id)],
      [await by(old, id), await by(old, id)],
      [await by(old, 'another'), await by(own, 'another')],
    ] as const;
    for (const [byOld, byNew] of pairs) {
      const asked = { public_key: publicKey, by_old: byOld, by_new: byNew };
      const outcome = await node.client.ask('rotate_key', asked);
      expect(outcome).toMatchObject({ ok: false, code: 'failed' });
    }
    expect((await rowOf()).next_public_key).toBeNull();
  });
});
