import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { parseJson } from '#shared/config/signed-text.ts';
import type { FrameOf } from '#shared/wire/frames.ts';
import { skipWithoutPostgres } from '../../test/support/missing-postgres.ts';
import { openPgStore } from '../../test/support/pg-store.ts';
import type { TestStore } from '../../test/support/pglite.ts';
import { startPostgres } from '../../test/support/postgres.ts';
import { ABOUT, RawNode, RawPeer, SyncEndpoint } from '../../test/support/sync-endpoint.ts';
import { openTestAdmin, type TestAdmin } from '../admin/admin.suite.ts';

const postgres = await startPostgres();

interface Plane {
  readonly test: TestStore;
  readonly endpoint: SyncEndpoint;
  readonly admin: TestAdmin;
}

interface Joined {
  readonly id: string;
  readonly peer: RawPeer;
}

if ('missing' in postgres) {
  skipWithoutPostgres(postgres);
} else {
  const planes: Plane[] = [];
  let a: Plane;
  let b: Plane;

  const open = async (url: string): Promise<Plane> => {
    const test = await openPgStore(url);
    const endpoint = await SyncEndpoint.start(test);
    const { registry, sync } = endpoint;
    const { store, keyring } = test;
    const nodes = { list: (query = {}) => registry.list(query) };
    const admin = await openTestAdmin({ store, keyring, nodes, calls: sync.calls });
    const plane = { test, endpoint, admin };
    planes.push(plane);
    return plane;
  };

  beforeEach(async () => {
    const url = await postgres.createDatabase();
    a = await open(url);
    b = await open(url);
  });
  afterEach(async () => {
    for (const { endpoint, admin, test } of planes.splice(0)) {
      await endpoint.close();
      await admin.close();
      await test.close();
    }
  });

  const join = async ({ endpoint }: Plane, features = ['rpc.log_level']): Promise<Joined> => {
    const node = await RawNode.joined(endpoint);
    const peer = await RawPeer.connect(endpoint);
    peer.send(await node.hello(peer, endpoint, { about: { ...ABOUT, features } }));
    node.take(await peer.next('welcome'));
    return { id: node.id, peer };
  };

  const answer = async (
    { peer }: Joined,
    more: Partial<FrameOf<'result'>> = {},
  ): Promise<FrameOf<'call'>> => {
    const call = await peer.next('call');
    const value = JSON.stringify({ level: 'debug' });
    peer.send({ type: 'result', id: call.id, ok: true, value, error: null, ...more });
    return call;
  };

  const post = ({ admin }: Plane, path: string, body: object = { level: 'debug' }) =>
    admin.call('POST', `/clustering/${path}`, body);

  describe('a call of data planes', () => {
    it('reaches one, whichever control plane it is connected to', async () => {
      const node = await join(b);
      for (const plane of [a, b]) {
        const posted = post(plane, `data-planes/${node.id}/log-level`);
        const { method, params } = await answer(node);
        expect([method, parseJson(params)]).toEqual(['log_level', { level: 'debug', seconds: 60 }]);
        expect((await posted).body).toEqual({
          method: 'log_level',
          asked: 1,
          done: 1,
          unreached: 0,
          nodes: [{ node: node.id, value: { level: 'debug' } }],
          failed: [],
        });
      }
    });

    it('reaches all of a group, and says who did it and who did not', async () => {
      const [first, second] = [await join(a), await join(b)];
      const [refusing, older] = [await join(b), await join(a, [])];
      const posted = post(a, 'groups/default/log-level', { level: 'debug', seconds: 5 });
      const error = { code: 'failed', detail: 'not now' } as const;
      await Promise.all([
        answer(first),
        answer(second),
        answer(refusing, { ok: false, value: null, error }),
      ]);
      const { body } = await posted;
      expect(body).toMatchObject({ asked: 4, done: 2, unreached: 0 });
      expect(new Map(listOf(body['failed']).map((each) => [each['node'], each['code']]))).toEqual(
        new Map([
          [refusing.id, 'failed'],
          [older.id, 'unknown_method'],
        ]),
      );
      expect(new Set(listOf(body['nodes']).map((each) => each['node']))).toEqual(
        new Set([first.id, second.id]),
      );
      const { rows } = await a.test.store.db.query('SELECT 1 FROM node_call_answers');
      expect(rows).toEqual([]);
    });

    it('counts those of a control plane that does not answer, and does not wait for ever', async () => {
      await join(b);
      await b.endpoint.sync.calls.close();
      const { body } = await post(a, 'groups/default/log-level');
      expect(body).toMatchObject({ asked: 1, done: 0, unreached: 1 });
    });

    it('is refused where nobody could do it', async () => {
      const node = await join(a);
      const path = `data-planes/${node.id}`;
      for (const [at, body, status] of [
        ['data-planes/00000000-0000-4000-8000-000000000000/drain', {}, 404],
        ['data-planes/x/drain', {}, 404],
        ['groups/nobody/drain', {}, 404],
        [`${path}/log-level`, { level: 'loud' }, 400],
        [`${path}/log-level`, {}, 400],
        [`${path}/drain`, { seconds: -1 }, 400],
        [`${path}/purge`, { caches: 'dns', surprise: 1 }, 400],
      ] as const) {
        expect((await post(a, at, body)).status, at).toBe(status);
      }
      node.peer.close();
      await node.peer.closed();
      await a.endpoint.registry.flush();
      expect((await post(a, `${path}/log-level`)).status).toBe(409);
    });
  });
}

function listOf(value: unknown): Record<string, unknown>[] {
  return must(Array.isArray(value) ? value : null, 'a list');
}
