/** Control planes that know less than others: behind, paused, or cut off from the database. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import type { FrameOf } from '#shared/wire/frames.ts';
import { AdminClient } from '../../test/support/admin-client.ts';
import { eventually } from '../../test/support/eventually.ts';
import { skipWithoutPostgres } from '../../test/support/missing-postgres.ts';
import { openPgStore, TEST_KEK } from '../../test/support/pg-store.ts';
import { sql, Switch } from '../../test/support/postgres-standby.ts';
import { startPostgres } from '../../test/support/postgres.ts';
import { type Program, startProgram } from '../../test/support/program.ts';
import {
  RawNode,
  RawPeer,
  type Reachable,
  SyncEndpoint,
} from '../../test/support/sync-endpoint.ts';
import { NodeDisk, SyncNode } from '../../test/support/sync-node.ts';

const postgres = await startPostgres();
const NOWHERE = { epoch: 0, revision: 0, hash: '' };

if ('missing' in postgres) {
  skipWithoutPostgres(postgres);
} else {
  const closing: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0).toReversed()) await close();
  });
  afterAll(() => postgres.stop());

  /** Publishes anew without an entity: what the group is published as has changed. */
  const publishOn = async (endpoint: SyncEndpoint, url: string): Promise<number> => {
    await sql(url, "UPDATE groups SET published_as = NULL WHERE name = 'default'");
    await endpoint.publisher.flush();
    const rows = await sql<{ revision: string }>(
      url,
      'SELECT max(revision) AS revision FROM manifests',
    );
    return Number(must(rows[0], 'a manifest').revision);
  };
  const endpointOn = async (url: string, pollMs: number): Promise<SyncEndpoint> => {
    const test = await openPgStore(url);
    const endpoint = await SyncEndpoint.start(test, { pollMs });
    closing.push(
      () => test.close(),
      () => endpoint.close(),
    );
    return endpoint;
  };
  const startNode = async (endpoint: SyncEndpoint, disk = new NodeDisk()): Promise<SyncNode> => {
    const token = disk.identity === null ? await endpoint.token() : null;
    const node = new SyncNode(endpoint.address, token, disk);
    closing.push(() => node.client.stop());
    return node.start();
  };

  describe('a control plane that is behind', () => {
    it('moves no node backwards, and catches up by what the node holds', async () => {
      const url = await postgres.createDatabase();
      const ahead = await endpointOn(url, 60_000);
      const deaf = await openPgStore(url);
      deaf.store.db.listen = async () => async () => {};
      const behind = await SyncEndpoint.start(deaf, { pollMs: 60_000 });
      closing.push(
        () => deaf.close(),
        () => behind.close(),
      );
      // Keeps the old revision in the other's memory.
      const stays = await startNode(behind);
      await stays.serves(() => true);
      const disk = new NodeDisk();
      const moves = await startNode(ahead, disk);
      const revision = await publishOn(ahead, url);
      await moves.serves((state) => state.manifest.revision === revision);
      await eventually('it is saved', () =>
        disk.config?.manifest.includes(`"revision":${revision}`),
      );
      await moves.client.stop();
      expect(stays.client.status().revision).toBe(revision - 1);

      const moved = await startNode(behind, disk);
      await eventually('it is connected', () => moved.client.status().tag === 'live');
      await stays.serves((state) => state.manifest.revision === revision);
      expect(moved.swapped).toEqual([revision]);
      expect(moved.client.status()).toMatchObject({ revision, lastError: null });
      const epochs = await sql(url, 'SELECT 1 FROM epochs');
      expect(epochs).toEqual([]);
    });
  });

  describe('a control plane that cannot compare', () => {
    const ask = async (peer: RawPeer): Promise<FrameOf<'pong'>['position']> => {
      peer.send({ type: 'ping', position: NOWHERE });
      return (await peer.next('pong')).position;
    };

    it('says of no revision that it is the newest, and goes on talking to its nodes', async () => {
      const direct = await postgres.createDatabase();
      const front = new Switch(postgres.port);
      const through = new URL(direct);
      through.port = String(await front.listen());
      closing.push(() => front.stop());
      const endpoint = await endpointOn(through.href, 100);
      const node = await RawNode.joined(endpoint);
      const peer = await RawPeer.connect(endpoint);
      peer.send(await node.hello(peer, endpoint));
      await peer.next('welcome');
      const current = await ask(peer);
      expect(current.hash).not.toBe('');

      front.to(0);
      await eventually('it vouches for nothing', async () => (await ask(peer)).hash === '');
      expect((await ask(peer)).revision).toBe(current.revision);
      front.to(postgres.port);
      await eventually('it does again', async () => (await ask(peer)).hash === current.hash);
    });

    it('looks again when it was paused, before it answers', async () => {
      const url = await postgres.createDatabase();
      const dataDir = await mkdtemp(join(tmpdir(), 'headgate-paused-'));
      const program: Program = await startProgram('cp', {
        HEADGATE_DATA_DIR: dataDir,
        HEADGATE_DATABASE_URL: url,
        HEADGATE_KEK: TEST_KEK,
        HEADGATE_POLL_SECONDS: '0.5',
        HEADGATE_ADMIN_LISTEN: '127.0.0.1:0',
        HEADGATE_CLUSTER_LISTEN: '127.0.0.1:0',
      });
      closing.push(
        () => rm(dataDir, { recursive: true, force: true }),
        () => program.kill('SIGKILL'),
      );
      const host = new URL(program.url('cluster')).host;
      const admin = new AdminClient(program.url('admin'));
      const paused: Reachable = {
        host,
        address: `ws://${host}`,
        token: () => admin.joinToken(),
      };
      const other = await endpointOn(url, 60_000);
      const node = await RawNode.joined(paused);
      const peer = await RawPeer.connect(paused);
      peer.send(await node.hello(peer, paused));
      await peer.next('welcome');
      await ask(peer);

      program.signal('SIGSTOP');
      const revision = await publishOn(other, url);
      const end = performance.now() + 3_000;
      await eventually('it is paused for a while', () => performance.now() > end);
      peer.send({ type: 'ping', position: NOWHERE });
      const answer = peer.next('pong');
      program.signal('SIGCONT');
      expect((await answer).position.revision).toBe(revision);
    });
  });
}
