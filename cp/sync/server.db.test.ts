import { BlockList } from 'node:net';
import { WebSocket } from 'ws';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { open } from '#shared/config/seal.ts';
import { groupSecretInfo } from '#shared/config/secrets.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { REGISTRY } from '#shared/registry.ts';
import { CLOSE } from '#shared/wire/close-codes.ts';
import { PULL_PATH, SYNC_PATH, UP_FRAME_LENGTH_MAX } from '#shared/wire/protocol.ts';
import { eventually } from '../../test/support/eventually.ts';
import { openTestStore, type TestStore } from '../../test/support/pglite.ts';
import { ABOUT, RawNode, RawPeer, SyncEndpoint } from '../../test/support/sync-endpoint.ts';
import { KEPT_PLACES } from './greeters.ts';
import { PULLS_MAX } from './pull.ts';

let db: TestStore;
let endpoint: SyncEndpoint;

beforeAll(async () => {
  db = await openTestStore(REGISTRY.entities);
}, 60_000);
afterAll(() => db.close());
beforeEach(async () => {
  await db.store.db.query('TRUNCATE nodes, node_health');
  endpoint = await SyncEndpoint.start(db);
});
afterEach(() => endpoint.close());

async function nodeCount(): Promise<number> {
  const { rows } = await db.store.db.query<{ count: number }>(
    'SELECT count(*) AS count FROM nodes',
  );
  return rows[0]?.count ?? -1;
}

async function closeCode(peer: RawPeer): Promise<number> {
  return (await peer.closed()).code;
}

describe('enrolment', () => {
  it('lets a node in with a token, and seals it the secret of its group', async () => {
    const node = await RawNode.make();
    const peer = await RawPeer.connect(endpoint);
    peer.send(await node.enrol(peer, endpoint, await endpoint.token()));
    const welcome = await peer.next('welcome');

    const [entry] = welcome.group_secrets;
    const { group_id: groupId, cluster } = welcome;
    const info = groupSecretInfo({ cluster, groupId, node: welcome.node, generation: 1 });
    const secret = await open(node.sealing.privateKey, entry?.sealed ?? '', info, nodeCrypto);
    expect(new Uint8Array(secret ?? [])).toEqual(db.keyring.groupSecret(groupId, 1));
    expect((await peer.next('manifest')).head.manifest).toContain('"revision":');
    expect(await nodeCount()).toBe(1);
  });

  it('makes exactly one node of 100 parallel redemptions of a single-use token', async () => {
    await endpoint.close();
    endpoint = await SyncEndpoint.start(db, { handshakesMax: 200 });
    const token = await endpoint.token();
    const outcomes = await Promise.all(
      Array.from({ length: 100 }, async () => {
        const node = await RawNode.make();
        const peer = await RawPeer.connect(endpoint);
        peer.send(await node.enrol(peer, endpoint, token));
        return Promise.race([
          peer.next('welcome').then(
            () => 'welcome',
            () => 'closed',
          ),
          closeCode(peer),
        ]);
      }),
    );
    expect(outcomes.filter((outcome) => outcome === 'welcome')).toHaveLength(1);
    expect(await nodeCount()).toBe(1);
  });

  it('takes a token of several uses that often, and not once more', async () => {
    const token = await endpoint.token(2);
    for (const expected of [true, true, false]) {
      const node = await RawNode.make();
      const peer = await RawPeer.connect(endpoint);
      peer.send(await node.enrol(peer, endpoint, token));
      const isIn = await peer.next('welcome').then(
        () => true,
        () => false,
      );
      expect(isIn).toBe(expected);
    }
  });

  it('does not charge another use when the same node asks again: its welcome got lost', async () => {
    const token = await endpoint.token();
    const node = await RawNode.make();
    const ids: string[] = [];
    for (let i = 0; i < 3; i += 1) {
      const peer = await RawPeer.connect(endpoint);
      peer.send(await node.enrol(peer, endpoint, token));
      ids.push((await peer.next('welcome')).node);
      peer.close();
    }
    expect(new Set(ids).size).toBe(1);
  });

  it('refuses an expired token, by the clock of the database', async () => {
    const token = await endpoint.token();
    await db.store.db.query("UPDATE join_tokens SET expires_at = now() - interval '1 second'");
    const peer = await RawPeer.connect(endpoint);
    peer.send(await (await RawNode.make()).enrol(peer, endpoint, token));
    expect(await closeCode(peer)).toBe(CLOSE.unauthorized);
  });

  it('refuses a token of another secret, a foreign key and an unknown token', async () => {
    const token = await endpoint.token();
    const other = await endpoint.token();
    const [, id = ''] = token.split('_');
    const forged = other.replace(/_[^_]{36}_/, `_${id}_`);
    const thief = await RawNode.make();
    const victim = await RawNode.make();
    const attempts = [
      async (peer: RawPeer) => thief.enrol(peer, endpoint, forged),
      async (peer: RawPeer) => {
        const frame = await victim.enrol(peer, endpoint, token);
        return {
          ...frame,
          signature: (await thief.hello({ nonce: frame.nonce }, endpoint)).signature,
        };
      },
      async (peer: RawPeer) => {
        const frame = await thief.enrol(peer, endpoint, token);
        return { ...frame, sealing_key: 'AAAA' };
      },
      async (peer: RawPeer) => thief.enrol(peer, endpoint, token.replace(id, crypto.randomUUID())),
    ];
    for (const attempt of attempts) {
      const peer = await RawPeer.connect(endpoint);
      peer.send(await attempt(peer));
      expect(await closeCode(peer)).toBe(CLOSE.unauthorized);
    }
    expect(await nodeCount()).toBe(0);
  });

  it('says why it refuses in any script, and frees the place of who was refused', async () => {
    await db.store.db.query(`UPDATE groups SET labels = '{"zone":"a"}' WHERE name = 'default'`);
    try {
      const about = { ...ABOUT, labels: { zone: '€'.repeat(20), land: '€'.repeat(20) } };
      const peer = await RawPeer.connect(endpoint);
      const token = await endpoint.token(1, { group: null });
      peer.send(await (await RawNode.make()).enrol(peer, endpoint, token, { about }));
      const { code, reason } = await peer.closed();
      expect(code).toBe(CLOSE.unauthorized);
      expect(reason).toContain('no group is for a node with the labels');
      await eventually('its place is free', () => endpoint.sync.sessionCount === 0);
    } finally {
      await db.store.db.query(`UPDATE groups SET labels = '{}'`);
    }
  });

  it('keeps no token in clear', async () => {
    const token = await endpoint.token();
    const { rows } = await db.store.db.query<{ all: string }>(
      "SELECT string_agg(t::text || encode(t.verifier, 'escape'), ' ') AS all FROM join_tokens t",
    );
    const [, , secret = ''] = /^hgj_([^_]+)_(.{43})_/.exec(token) ?? [];
    expect(secret).toHaveLength(43);
    expect(rows[0]?.all).not.toContain(secret);
  });
});

describe('a session', () => {
  it('lets a node in that signs the challenge', async () => {
    const node = await RawNode.joined(endpoint);
    const peer = await RawPeer.connect(endpoint);
    peer.send(await node.hello(peer, endpoint));
    expect((await peer.next('welcome')).node).toBe(node.id);
    await peer.next('manifest');
  });

  it('refuses a wrong signature, an unknown node, another group and another host', async () => {
    const node = await RawNode.joined(endpoint);
    const stranger = await RawNode.make();
    stranger.id = node.id;
    const unknown = await RawNode.make();
    unknown.id = crypto.randomUUID();
    const attempts = [
      async (peer: RawPeer) => stranger.hello(peer, endpoint),
      async (peer: RawPeer) => unknown.hello(peer, endpoint),
      async (peer: RawPeer) => node.hello(peer, endpoint, { group: 'another' }),
      async (peer: RawPeer) => node.hello(peer, endpoint, { host: 'evil.test' }),
      async (peer: RawPeer) => ({ ...(await node.hello(peer, endpoint)), join_seq: 9 }),
    ];
    for (const attempt of attempts) {
      const peer = await RawPeer.connect(endpoint);
      peer.send(await attempt(peer));
      expect(await closeCode(peer)).toBe(CLOSE.unauthorized);
      expect(peer.frames).toEqual([]);
    }
  });

  it('refuses a recorded hello: the nonce is of another session', async () => {
    const node = await RawNode.joined(endpoint);
    const first = await RawPeer.connect(endpoint);
    const recorded = await node.hello(first, endpoint);
    first.send(recorded);
    await first.next('welcome');
    const second = await RawPeer.connect(endpoint);
    second.send(recorded);
    expect(await closeCode(second)).toBe(CLOSE.unauthorized);
  });

  it('takes only the configured names when there are any, whatever the Host header says', async () => {
    const node = await RawNode.joined(endpoint);
    await endpoint.close();
    endpoint = await SyncEndpoint.start(db, { hosts: ['cp.example.com'] });
    for (const [host, isIn] of [
      ['cp.example.com:8005', true],
      ['CP.example.com', true],
      ['evil.test', false],
    ] as const) {
      const peer = await RawPeer.connect(endpoint, 'evil.test');
      peer.send(await node.hello(peer, endpoint, { host }));
      const outcome = await peer.next('welcome').then(
        () => true,
        () => false,
      );
      expect(outcome).toBe(isIn);
    }
  });

  it('ends the session of a revoked node within a second, and keeps it out', async () => {
    const node = await RawNode.joined(endpoint);
    const peer = await RawPeer.connect(endpoint);
    peer.send(await node.hello(peer, endpoint));
    await peer.next('welcome');
    const before = performance.now();
    expect(await endpoint.identities.revoke(node.id)).toMatchObject({ node: node.id });
    expect(await closeCode(peer)).toBe(CLOSE.revoked);
    expect(performance.now() - before).toBeLessThan(1_000);
    const again = await RawPeer.connect(endpoint);
    again.send(await node.hello(again, endpoint));
    expect(await closeCode(again)).toBe(CLOSE.revoked);
    expect(await endpoint.identities.revoke(node.id)).toBeNull();
  });

  it('replaces the older session of the same node', async () => {
    const node = await RawNode.joined(endpoint);
    const first = await RawPeer.connect(endpoint);
    first.send(await node.hello(first, endpoint));
    node.take(await first.next('welcome'));
    const second = await RawPeer.connect(endpoint);
    second.send(await node.hello(second, endpoint));
    await second.next('welcome');
    expect(await closeCode(first)).toBe(CLOSE.superseded);
    const [row] = await endpoint.registry.list();
    expect(row).toMatchObject({ id: node.id, connected: true });
  });

  it.each([
    ['text that is no frame', '{"type":"nothing"}', CLOSE.protocolError],
    ['binary', new Uint8Array([1, 2, 3]), CLOSE.protocolError],
    ['an array', '[]', CLOSE.protocolError],
    ['a prototype', '{"__proto__":{"type":"ping"}}', CLOSE.protocolError],
    ['too much', 'x'.repeat(UP_FRAME_LENGTH_MAX + 1), 1009],
  ])('hangs up on %s, before and after hello', async (_name, data, code) => {
    const node = await RawNode.joined(endpoint);
    for (const isIn of [false, true]) {
      const peer = await RawPeer.connect(endpoint);
      if (isIn) {
        peer.send(await node.hello(peer, endpoint));
        node.take(await peer.next('welcome'));
      }
      peer.sendRaw(data);
      expect(await closeCode(peer)).toBe(code);
    }
  });

  it('serves tree nodes of the own group, and calls all others missing', async () => {
    const node = await RawNode.joined(endpoint);
    const foreign = 'f'.repeat(64);
    await db.store.db.query(
      "INSERT INTO groups (id, name, workspaces) VALUES ($1, 'foreign', '{}') ON CONFLICT DO NOTHING",
      [crypto.randomUUID()],
    );
    await db.store.db.query(
      `INSERT INTO group_nodes (group_id, id, text)
       SELECT id, $1, 'secret' FROM groups WHERE name = 'foreign' ON CONFLICT DO NOTHING`,
      [foreign],
    );
    const peer = await RawPeer.connect(endpoint);
    peer.send(await node.hello(peer, endpoint));
    const root = JSON.parse((await peer.next('manifest')).head.manifest).root as string;
    peer.send({ type: 'want', ids: [root, foreign] });
    const shards = await peer.next('shards');
    expect(shards.nodes.map(({ id }) => id)).toEqual([root]);
    expect(shards.missing).toEqual([foreign]);
  });

  it('turns peers away that greet beyond the bound, and says when to come back', async () => {
    await endpoint.close();
    endpoint = await SyncEndpoint.start(db, { handshakesMax: 2 });
    const first = await RawPeer.connect(endpoint);
    await RawPeer.connect(endpoint);
    await expect(RawPeer.connect(endpoint)).rejects.toThrow(/^status 503 [12]$/);
    first.close();
    await first.closed();
    const late = await eventually('a free place', () => RawPeer.connect(endpoint));
    await late.next('challenge');
  });

  it('makes room among those who only sit there, all from one address, for who comes from another', async () => {
    await endpoint.close();
    const trusted = new BlockList();
    trusted.addAddress('127.0.0.1');
    const count = KEPT_PLACES + 1;
    endpoint = await SyncEndpoint.start(db, { handshakesMax: count, trusted });
    const dialed = (ip: string) =>
      new Promise<WebSocket | null>((resolve) => {
        const headers = { 'x-forwarded-for': ip };
        const ws = new WebSocket(`${endpoint.address}${SYNC_PATH}`, { headers });
        ws.once('open', () => resolve(ws));
        ws.once('error', () => resolve(null));
      });
    const idle = await Promise.all(Array.from({ length: count }, () => dialed('192.0.2.1')));
    expect(idle).not.toContain(null);
    expect(await dialed('192.0.2.1')).toBeNull();
    const other = await eventually('somebody else comes in', () => dialed('192.0.2.2'));
    // One had to go, and the others have not been there for so long that all would have to.
    expect(endpoint.sync.sessionCount).toBe(count);
    for (const ws of [...idle, other]) ws?.terminate();
  });

  it('answers other paths with 404, plainly', async () => {
    expect(SYNC_PATH).toBe('/headgate/v1/sync');
    const response = await fetch(`http://${endpoint.host}/services`);
    expect(response.status).toBe(404);
  });

  it('says goodbye to everyone when it drains', async () => {
    const node = await RawNode.joined(endpoint);
    const peer = await RawPeer.connect(endpoint);
    peer.send(await node.hello(peer, endpoint));
    await peer.next('welcome');
    const drained = endpoint.sync.drain();
    expect((await peer.next('goaway')).retry_after_ms).toBeGreaterThan(0);
    expect(await closeCode(peer)).toBe(CLOSE.goAway);
    await drained;
  });
});

describe('pull', () => {
  const url = (): string => `http://${endpoint.host}${PULL_PATH}`;
  const headers = (): Record<string, string> => ({ host: endpoint.host });

  async function challenge(): Promise<{ nonce: string }> {
    const response = await endpoint.sync.pull(new Request(url()));
    return (await response.json()) as { nonce: string };
  }

  async function post(body: unknown): Promise<{ status: number; body: unknown }> {
    const init = { method: 'POST', body: JSON.stringify(body), headers: headers() };
    const response = await endpoint.sync.pull(new Request(url(), init));
    return { status: response.status, body: await response.json() };
  }

  it('gives the same content as a connection', async () => {
    const node = await RawNode.joined(endpoint);
    const peer = await RawPeer.connect(endpoint);
    peer.send(await node.hello(peer, endpoint));
    const pushed = await peer.next('manifest');
    const root = JSON.parse(pushed.head.manifest).root as string;
    peer.send({ type: 'want', ids: [root] });
    const shards = await peer.next('shards');

    const hello = await node.hello(await challenge(), endpoint);
    const answer = await post({ hello, frames: [{ type: 'want', ids: [root] }] });

    expect(answer.status).toBe(200);
    const { frames } = answer.body as { frames: { type: string }[] };
    expect(frames.map(({ type }) => type)).toEqual(['welcome', 'manifest', 'shards']);
    expect(frames[1]).toEqual(pushed);
    expect(frames[2]).toEqual(shards);
    expect(peer.isClosed).toBe(false);
  });

  it('takes a nonce once, and only one that a control plane of the cluster made', async () => {
    const node = await RawNode.joined(endpoint);
    const hello = await node.hello(await challenge(), endpoint);
    expect((await post({ hello, frames: [] })).status).toBe(200);
    expect((await post({ hello, frames: [] })).status).toBe(401);
    const { nonce } = await challenge();
    const forged = (nonce.startsWith('A') ? 'B' : 'A') + nonce.slice(1);
    const other = await node.hello({ nonce: forged }, endpoint);
    expect((await post({ hello: other, frames: [] })).status).toBe(401);
  });

  it('keeps what an acking node serves', async () => {
    const node = await RawNode.joined(endpoint);
    const position = { epoch: 1, revision: 1, hash: 'a'.repeat(64) };
    const ack = { type: 'ack', position, persisted: true, quarantined: [] };
    const hello = await node.hello(await challenge(), endpoint);
    await post({ hello, frames: [ack] });
    const row = await eventually('the ack is written', async () => {
      const [first] = await endpoint.registry.list();
      return first?.['actual_revision'] === 1 ? first : null;
    });
    expect(row).toMatchObject({ connected: false, config_hash: 'a'.repeat(32) });
  });

  it.each([
    ['no object', 'x', 400],
    ['no hello', { frames: [] }, 400],
    ['a wrong frame for hello', { hello: { type: 'ping' }, frames: [] }, 400],
    ['too many frames', { hello: {}, frames: Array.from({ length: 17 }, () => ({})) }, 400],
    ['a body over the bound', { hello: 'x'.repeat(UP_FRAME_LENGTH_MAX) }, 413],
  ])('refuses %s', async (_name, body, status) => {
    expect((await post(body)).status).toBe(status);
  });

  it('is there for others while somebody sends as slowly as can be', async () => {
    const stop: (() => void)[] = [];
    const slow = Array.from({ length: PULLS_MAX }, () => {
      const body = new ReadableStream({
        start: (controller) => {
          controller.enqueue(new TextEncoder().encode('{'));
          stop.push(() => controller.close());
        },
      });
      const init = { method: 'POST', body, duplex: 'half' };
      // `duplex` is needed for a body that is a stream; the DOM's types do not know it.
      return endpoint.sync.pull(new Request(url(), init as RequestInit));
    });
    const node = await RawNode.joined(endpoint);
    const hello = await node.hello(await challenge(), endpoint);
    expect((await post({ hello, frames: [] })).status).toBe(200);
    // One of them is waited for: it is not for ever.
    expect((await slow[0])?.status).toBe(408);
    for (const end of stop.slice(1)) end();
    await Promise.all(slow);
  });

  it('refuses other paths and methods', async () => {
    const put = new Request(url(), { method: 'PUT' });
    expect((await endpoint.sync.pull(put)).status).toBe(405);
    const other = new Request(`http://${endpoint.host}/services`);
    expect((await endpoint.sync.pull(other)).status).toBe(404);
  });
});

describe('the list of nodes', () => {
  it('shows what a node serves, in the fields of Kong and our own', async () => {
    const node = await RawNode.joined(endpoint);
    const peer = await RawPeer.connect(endpoint);
    peer.send(await node.hello(peer, endpoint));
    node.take(await peer.next('welcome'));
    const { manifest } = (await peer.next('manifest')).head;
    const { epoch, revision } = JSON.parse(manifest) as { epoch: number; revision: number };
    const hash = Buffer.from(nodeCrypto.sha256(manifest)).toString('hex');
    const [before] = await endpoint.registry.list();
    expect(before).toMatchObject({ config_hash: '0'.repeat(32), sync_status: 'unknown' });

    const position = { epoch, revision, hash };
    peer.send({ type: 'ack', position, persisted: true, quarantined: [] });
    const row = await eventually('the ack is seen', async () => {
      const [first] = await endpoint.registry.list();
      return first?.['sync_status'] === 'normal' ? first : null;
    });
    expect(row).toMatchObject({
      id: node.id,
      ip: '127.0.0.1',
      hostname: 'dp.test',
      version: '0.1.0',
      config_hash: hash.slice(0, 32),
      sync_status: 'normal',
      labels: { zone: 'a' },
      rpc_capabilities: [],
      connected: true,
      group: 'default',
      runtime: 'node',
      desired_revision: revision,
      actual_revision: revision,
      persisted: true,
      last_error: null,
    });

    const bad = { kind: 'routes', id: 'x' };
    peer.send({ type: 'nack', position, code: 'build_failed', entity: bad, detail: 'why' });
    peer.close();
    await eventually('the node is gone', async () => {
      const [first] = await endpoint.registry.list();
      return first?.['connected'] === false;
    });
    await endpoint.registry.flush();
    const [after] = await endpoint.registry.list();
    expect(after).toMatchObject({
      connected: false,
      sync_status: 'unknown',
      actual_revision: revision,
    });
    expect(after?.['last_error']).toBe(`revision ${revision}: build_failed (routes x) why`);
  });

  it('survives what a hostile node says of itself', async () => {
    const node = await RawNode.joined(endpoint);
    const peer = await RawPeer.connect(endpoint);
    const about = {
      hostname: "'; DROP TABLE nodes; --",
      version: '$1 <script>\n\r',
      runtime: 'edge',
      labels: { constructor: '\\u0000', a: '\\' },
      features: ['{"}'],
    } as const;
    const position = { epoch: 1, revision: Number.MAX_SAFE_INTEGER, hash: 'no hash' };
    peer.send(await node.hello(peer, endpoint, { about, position }));
    node.take(await peer.next('welcome'));
    peer.send({ ...node.status(), position, last_error: 'x'.repeat(50_000) });
    peer.send({ type: 'ping', position });
    await peer.next('pong');
    await endpoint.registry.flush();
    peer.close();
    await peer.closed();
    await endpoint.registry.flush();
    expect(endpoint.logs.filter(({ message }) => message.includes('not written'))).toEqual([]);
    const [row] = await endpoint.registry.list();
    expect(row).toMatchObject({ config_hash: '0'.repeat(32), actual_revision: 0 });
    expect(String(row?.['last_error']).length).toBeLessThanOrEqual(500);
  });
});
