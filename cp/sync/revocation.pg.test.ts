/** Revocations and redemptions before two control planes on one PostgreSQL server. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { open } from '#shared/config/seal.ts';
import { groupSecretInfo } from '#shared/config/secrets.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { REGISTRY } from '#shared/registry.ts';
import { CLOSE } from '#shared/wire/close-codes.ts';
import { PULL_PATH } from '#shared/wire/protocol.ts';
import { eventually } from '../../test/support/eventually.ts';
import { skipWithoutPostgres } from '../../test/support/missing-postgres.ts';
import { silent, type TestStore } from '../../test/support/pglite.ts';
import { startPostgres } from '../../test/support/postgres.ts';
import {
  type EndpointOptions,
  RawNode,
  RawPeer,
  SyncEndpoint,
} from '../../test/support/sync-endpoint.ts';
import { openPg } from '../store/drivers/pg.ts';
import { openStoreOn } from '../store/open-store.ts';
import { entityOf } from '../store/context.suite.ts';

const KEK = Buffer.alloc(32, 7).toString('base64');
const ACTOR = { name: 'test', source: null };
const certificates = must(REGISTRY.entities.get('certificates'), 'certificates');
const postgres = await startPostgres();

if ('missing' in postgres) {
  skipWithoutPostgres(postgres);
} else {
  const server = postgres;
  afterAll(() => server.stop());
  let url = '';
  let dataDir = '';
  const stops: (() => Promise<unknown>)[] = [];

  beforeEach(async () => {
    url = await server.createDatabase();
    dataDir = await mkdtemp(join(tmpdir(), 'headgate-revocation-'));
  });
  afterEach(async () => {
    for (const stop of stops.splice(0).toReversed()) await stop();
    await rm(dataDir, { recursive: true, force: true });
  });

  /** One control plane. @param deaf  it gets no notification */
  async function plane(options: EndpointOptions & { readonly deaf?: boolean } = {}) {
    const { deaf = false, ...more } = options;
    const db = await openPg({ url, isPooled: false, logger: silent });
    if (deaf) db.listen = async () => async () => {};
    const database = { url: null, driver: null, dataDir } as const;
    const opened = await openStoreOn(db, {
      database,
      kek: KEK,
      registry: REGISTRY,
      logger: silent,
    });
    const store: TestStore = { ...opened, close: () => opened.store.close() };
    stops.push(() => store.close());
    const endpoint = await SyncEndpoint.start(store, more);
    stops.push(() => endpoint.close());
    return { endpoint, ...opened };
  }

  async function live(node: RawNode, endpoint: SyncEndpoint): Promise<RawPeer> {
    const peer = await RawPeer.connect(endpoint);
    peer.send(await node.hello(peer, endpoint));
    node.take(await peer.next('welcome'));
    await peer.next('manifest');
    return peer;
  }

  describe('D-08: 100 nodes at once with a token for one', () => {
    it('become one node, by whichever control plane', async () => {
      const a = (await plane({ handshakesMax: 200 })).endpoint;
      const b = (await plane({ handshakesMax: 200 })).endpoint;
      const token = await a.token();
      const outcomes = await Promise.all(
        Array.from({ length: 100 }, async (_, index) => {
          const endpoint = index % 2 === 0 ? a : b;
          const node = await RawNode.make();
          const peer = await RawPeer.connect(endpoint);
          peer.send(await node.enrol(peer, endpoint, token));
          return peer.next('welcome').then(
            () => true,
            () => false,
          );
        }),
      );
      expect(outcomes.filter(Boolean)).toHaveLength(1);
      expect(await a.registry.list()).toHaveLength(1);
    });
  });

  describe('D-09: a revoked node', () => {
    it('is cut off within a second here, within ten where no notification arrives, and stays out', async () => {
      const a = (await plane()).endpoint;
      const b = (await plane({ deaf: true, pollMs: 5_000 })).endpoint;
      const node = await RawNode.joined(a);
      const other = await RawNode.joined(a);
      const [onA, onB] = [await live(node, a), await live(other, b)];
      const fromA = performance.now();
      expect(await a.identities.revoke(node.id)).not.toBeNull();
      expect((await onA.closed()).code).toBe(CLOSE.revoked);
      expect(performance.now() - fromA).toBeLessThan(1_000);

      const fromB = performance.now();
      expect(await a.identities.revoke(other.id)).not.toBeNull();
      // By the look for the revoked, or as one that has to come back for the new secret.
      expect([CLOSE.revoked, CLOSE.goAway]).toContain((await onB.closed()).code);
      expect(performance.now() - fromB).toBeLessThan(10_000);

      for (const endpoint of [a, b]) {
        const peer = await RawPeer.connect(endpoint);
        peer.send(await node.hello(peer, endpoint));
        expect((await peer.closed()).code).toBe(CLOSE.revoked);
        // Not a byte but the challenge, which `hello` has taken.
        expect(peer.frames).toEqual([]);
        const pulled = `http://${endpoint.host}${PULL_PATH}`;
        const { nonce } = (await (await fetch(pulled)).json()) as { nonce: string };
        const hello = await node.hello({ nonce }, endpoint);
        const body = JSON.stringify({ hello, frames: [] });
        expect((await fetch(pulled, { method: 'POST', body })).status).toBe(403);
      }
    });

    it('or one that was locked is cut off where no notification arrives, by the look for them', async () => {
      const { endpoint: a, store } = await plane();
      const b = (await plane({ deaf: true, pollMs: 2_000 })).endpoint;
      await store.db.query(`UPDATE groups SET policy = policy || '{"clones":"lock"}'`);
      const node = await RawNode.joined(a);
      const copied = node.joinSeq;
      // The first session confirms the number that the second one presents.
      (await live(node, b)).close();
      const peer = await live(node, b);
      const clone = await RawPeer.connect(a);
      clone.send(await node.hello(clone, a, { join_seq: copied }));
      expect((await clone.closed()).reason).toContain('locked');
      const { code, reason } = await peer.closed();
      expect([code, reason]).toEqual([CLOSE.unauthorized, 'the node was locked']);
    });

    it('is told the administrator with what it held, and can open nothing published later', async () => {
      const { endpoint: a, store, keyring } = await plane();
      const ws = store.defaultWorkspace();
      const entity = entityOf(certificates, { cert: 'public part', key: 'private part' });
      await store.write(ws, ACTOR, (tx) => tx.insert(certificates, ws, entity));
      await a.publisher.flush();
      const [thief, honest] = [await RawNode.joined(a), await RawNode.joined(a)];
      const peer = await live(thief, a);
      const staying = await live(honest, a);
      const revocation = must(await a.identities.revoke(thief.id), 'a revocation');
      expect(revocation.secrets.named).toContainEqual({ kind: 'certificates', ws, id: entity.id });
      expect(revocation.secretGeneration).toBe(2);
      await peer.closed();

      // All is sealed again, at once: nobody has to change anything.
      const sealed = await eventually('it is sealed anew', async () => {
        const { rows } = await store.db.query<{ text: string }>(
          `SELECT text FROM group_records WHERE kind = 'sealed:certificates'`,
        );
        return rows[0]?.text.includes('"generation":2') ? rows[0].text : null;
      });
      expect(sealed).not.toContain('private part');
      // Who stays is sent back for the new secret before it is told of what needs it.
      await staying.next('goaway');
      const back = await RawPeer.connect(a);
      back.send(await honest.hello(back, a));
      const { group_secrets: secrets, group_id: groupId } = await back.next('welcome');
      const { generation, sealed: text } = must(secrets[0], 'a secret');
      const at = { cluster: keyring.clusterId, groupId, generation };
      const opened = async (node: RawNode) =>
        open(
          node.sealing.privateKey,
          text,
          groupSecretInfo({ ...at, node: honest.id }),
          nodeCrypto,
        );
      expect(new Uint8Array((await opened(honest)) ?? [])).toEqual(keyring.groupSecret(groupId, 2));
      expect(await opened(thief)).toBeNull();
      expect(keyring.groupSecret(groupId, 2)).not.toEqual(keyring.groupSecret(groupId, 1));
    });
  });

  describe('a node that comes to another control plane', () => {
    it('ends its session on the first one: there is one at a time', async () => {
      const { endpoint: a, store } = await plane();
      const b = (await plane()).endpoint;
      const node = await RawNode.joined(a);
      const first = await live(node, a);
      first.send(node.status());
      await eventually('the number is confirmed', async () => {
        const { rows } = await store.db.query<{ pending: number | null }>(
          'SELECT join_pending AS pending FROM nodes',
        );
        return rows[0]?.pending === null;
      });
      await live(node, b);
      expect((await first.closed()).code).toBe(CLOSE.superseded);
    });
  });
}
