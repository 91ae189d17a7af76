/**
 * What a thief of one data plane can and cannot do (`reliability.md` 5.3): it has the node's keys, and
 * says whatever it likes with them.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { must } from '#shared/base/assert.ts';
import { REGISTRY } from '#shared/registry.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import { CLOSE } from '#shared/wire/close-codes.ts';
import { PULL_PATH, SYNC_PATH } from '#shared/wire/protocol.ts';
import { eventually } from '../../test/support/eventually.ts';
import { openTestStore, type TestStore } from '../../test/support/pglite.ts';
import { ABOUT, RawNode, RawPeer, SyncEndpoint } from '../../test/support/sync-endpoint.ts';
import { NodeDisk, SyncNode } from '../../test/support/sync-node.ts';
import { adminEndpoints } from '../admin/app.ts';
import { openTestAdmin } from '../admin/admin.suite.ts';
import { entityOf } from '../store/context.suite.ts';
import { FRAMES_BURST_MAX, SHARD_BATCH_COUNT, WANTED_COUNT_MAX } from './session.ts';
import { HANDSHAKES_MAX } from './server.ts';
import { WANTED_PER_MINUTE } from './want-budget.ts';

const ACTOR = { name: 'test', source: null };
const CANARY = 'canary-of-an-api-key-that-nobody-guesses-0123456789';
const POSITION = { epoch: 0, revision: 0, hash: '' };

let db: TestStore;
let endpoint: SyncEndpoint;

beforeAll(async () => {
  db = await openTestStore(REGISTRY.entities);
  const { store } = db;
  const ws = store.defaultWorkspace();
  const consumers = must(REGISTRY.entities.get('consumers'), 'consumers');
  const keys = must(REGISTRY.entities.get('keyauth_credentials'), 'credentials');
  const consumer = entityOf(consumers, { username: 'alice' });
  await store.write(ws, ACTOR, (tx) => tx.insert(consumers, ws, consumer));
  const credential = entityOf(keys, { consumer: { id: consumer.id }, key: CANARY });
  await store.write(ws, ACTOR, (tx) => tx.insert(keys, ws, credential));
}, 60_000);
afterAll(() => db.close());
beforeEach(async () => {
  await db.store.db.query('TRUNCATE nodes, node_health');
  endpoint = await SyncEndpoint.start(db);
});
afterEach(() => endpoint.close());

async function live(node: RawNode, change: object = {}): Promise<RawPeer> {
  const peer = await RawPeer.connect(endpoint);
  peer.send(await node.hello(peer, endpoint, change));
  node.take(await peer.next('welcome'));
  return peer;
}

/**
 * Everything in the database as text, by table, but for what is the node's own: its rows, and where it
 * counts among the nodes of its control plane (`group_acks`), who come and go meanwhile.
 */
async function others(node: string): Promise<Record<string, string>> {
  const { rows } = await db.store.db.query<{ name: string }>(
    `SELECT table_name AS name FROM information_schema.tables
     WHERE table_schema = 'public' AND table_name <> 'group_acks'`,
  );
  const dump: Record<string, string> = {};
  for (const { name } of rows) {
    const own = name === 'nodes' ? 'id' : name === 'node_health' ? 'node_id' : null;
    const where = own === null ? '' : `WHERE t.${own} <> '${node}'`;
    const table = await db.store.db.query<{ text: string }>(
      `SELECT t::text AS text FROM "${name}" t ${where} ORDER BY 1`,
    );
    dump[name] = table.rows.map(({ text }) => text).join('\n');
  }
  return dump;
}

describe('D-02: a thief that lies in its own reports', () => {
  it('changes its own rows and no others, whoever it says they are of', async () => {
    const [thief, victim] = [await RawNode.joined(endpoint), await RawNode.joined(endpoint)];
    const peer = await live(thief);
    await eventually('the victim is gone', async () => {
      await endpoint.registry.flush();
      return (await others(thief.id))['nodes']?.includes(victim.id);
    });
    await endpoint.registry.flush();
    const before = await others(thief.id);
    peer.send({ ...thief.status(), last_error: `node ${victim.id} lies` });
    peer.send({ type: 'ack', position: POSITION, persisted: true, quarantined: [] });
    peer.send({ type: 'ping', position: POSITION });
    await peer.next('pong');
    await falseClaims(thief);
    // A field that is not of the frame ends the session.
    const last = await live(thief);
    last.send({ ...thief.status(), node: victim.id });
    expect((await last.closed()).code).toBe(CLOSE.protocolError);
    await endpoint.registry.flush();
    expect(await others(thief.id)).toEqual(before);
  });
});

/** Says that it holds what was never published, and shows what it likes. */
async function falseClaims(thief: RawNode): Promise<void> {
  const { rows } = await db.store.db.query<
    typeof POSITION & { manifest: string; signature: string }
  >(
    'SELECT epoch, revision, hash, manifest, signature FROM manifests ORDER BY revision DESC LIMIT 1',
  );
  const { manifest, signature, ...head } = must(rows[0], 'a manifest');
  const hash = 'e'.repeat(64);
  const claims = [
    { ...head, hash },
    { ...head, revision: head.revision + 1, hash: head.hash },
    { ...head, epoch: head.epoch + 1, hash },
  ];
  const about = { ...ABOUT, features: ['rpc.head'] };
  for (const position of claims) {
    const peer = await live(thief, { about, position });
    peer.send(thief.status());
    const { id } = await peer.next('call');
    const value = JSON.stringify({ manifest, length: manifest.length, signature });
    peer.send({ type: 'result', id, ok: true, value, error: null });
    await eventually('it was heard', () =>
      endpoint.logs.some(({ message }) => message.includes('without proof')),
    );
  }
}

describe('D-03: a thief of disk and memory', () => {
  it('finds no API key in what the node was given, in any form that tells it', async () => {
    const disk = new NodeDisk();
    const node = await new SyncNode(endpoint.address, await endpoint.token(), disk).start();
    const state = await node.serves(() => true);
    const config = await eventually('it is stored', () => disk.config);
    await node.client.stop();
    const held = [
      disk.identity,
      config.manifest,
      ...config.nodes.values(),
      ...[...state.tree.records()].map(({ text }) => text),
    ].join('\n');
    expect(held).toContain('keyauth_credentials');
    for (const form of ['utf8', 'base64', 'base64url', 'hex'] as const) {
      expect(held).not.toContain(Buffer.from(CANARY).toString(form));
    }
  });
});

describe('D-04: a thief with the keys of a node', () => {
  it('finds nothing of the Admin API on the cluster endpoint', async () => {
    for (const { path, methods } of adminEndpoints(REGISTRY.entities)) {
      const url = `http://${endpoint.host}${path.replaceAll(/:\d/g, 'x')}`;
      for (const method of Object.keys(methods)) {
        const { status } = await fetch(url, { method });
        expect([method, path, status]).toEqual([method, path, 404]);
      }
    }
  });

  it('is nobody to the Admin API, with whatever it has', async () => {
    const token = 'a-bootstrap-token-of-some-length';
    const admin = await openTestAdmin({ policy: { token } });
    try {
      const node = await RawNode.joined(endpoint);
      const joinToken = await endpoint.token();
      const keys = [node.signing.privateKey, node.signing.publicKey, node.sealing.privateKey];
      const credentials = [
        node.id,
        joinToken,
        ...keys.map((key) => Buffer.from(key).toString('base64url')),
      ];
      for (const credential of credentials) {
        for (const header of ['kong-admin-token', 'authorization']) {
          const value = header === 'authorization' ? `Bearer ${credential}` : credential;
          const { status } = await admin.call('GET', '/services', undefined, { [header]: value });
          expect(status).toBe(401);
        }
      }
    } finally {
      await admin.close();
    }
  });
});

const PAYLOADS = [
  "'; DROP TABLE nodes; --",
  "' || (SELECT kek_check FROM cluster) || '",
  '$1); DELETE FROM groups; --',
  '"}],"x":[{"y":"',
  '__proto__',
  'constructor',
  '../../../etc/passwd',
  '..%2f..%2fcluster',
  'a\r\nX-Injected: 1',
  '\u001b[2J\u0007',
  '\u0000',
  '\u2028\ud800',
  '${jndi:ldap://x}',
  '<script>alert(1)</script>',
  'ﷺ'.repeat(300),
];

describe('D-11: a thief that puts something else into every text', () => {
  it('writes no row but its own, breaks no line of the log, and is answered like everybody', async () => {
    const node = await RawNode.joined(endpoint);
    const stays = await RawNode.joined(endpoint);
    await endpoint.registry.flush();
    const before = await others(node.id);
    const prototype = Object.keys(Object.prototype);
    for (const text of PAYLOADS) {
      await tryHello(node, {
        about: { ...ABOUT, hostname: text, version: text, features: [text] },
      });
      await tryHello(node, {
        about: { ...ABOUT, labels: { [text.slice(0, 60)]: text.slice(0, 60) } },
      });
      for (const field of ['node', 'group', 'host', 'nonce'])
        await tryHello(node, { [field]: text });
      for (const revision of [0, 1, 1_000]) {
        await tryHello(node, { position: { epoch: 0, revision, hash: text.slice(0, 64) } });
      }
      await tryEnrol(text);
      await inSession(node, text);
      await overPull(text);
    }
    await endpoint.registry.flush();
    const after = await others(node.id);
    // Refused enrolments are written down, with nothing of what they said.
    expect({ ...after, audit: '' }).toEqual({ ...before, audit: '' });
    expect(after['audit']).not.toMatch(/DROP TABLE|passwd|jndi|script/);
    expect(Object.keys(Object.prototype)).toEqual(prototype);
    for (const { message } of endpoint.logs) expect(message).not.toMatch(/DROP|passwd|jndi/);
    expect(endpoint.logs.filter(({ message }) => message.includes('not written'))).toEqual([]);
    expect((await endpoint.registry.list()).map((row) => row['id'])).toContain(stays.id);
  }, 60_000);
});

async function tryHello(node: RawNode, change: object): Promise<void> {
  const peer = await RawPeer.connect(endpoint);
  const frame = await node.hello(peer, endpoint).catch(() => null);
  if (frame !== null) {
    // Signed where it can be: what has no canonical text is sent with a signature of something else.
    const signed = await node
      .hello({ nonce: frame.nonce }, endpoint, change)
      .catch(() => ({ ...frame, ...change }));
    peer.send(signed as JsonObject);
    await Promise.race([
      peer.next('welcome').then(
        (welcome) => node.take(welcome),
        () => {},
      ),
      peer.closed(),
    ]);
  }
  if (!peer.isClosed) peer.send(node.status());
  peer.close();
  await peer.closed();
}

async function tryEnrol(text: string): Promise<void> {
  const node = await RawNode.make();
  const peer = await RawPeer.connect(endpoint);
  const frame = await node.enrol(peer, endpoint, await FOREIGN);
  for (const field of ['token', 'public_key', 'sealing_key', 'proof', 'signature']) {
    if (peer.isClosed) break;
    peer.send({ ...frame, [field]: text });
    await peer.closed();
  }
}
/** A token of nobody. */
const FOREIGN = Promise.resolve(
  `hgj_11111111-1111-4111-8111-111111111111_${'A'.repeat(43)}_${'A'.repeat(43)}`,
);

async function inSession(node: RawNode, text: string): Promise<void> {
  const nack = { type: 'nack', position: POSITION, code: 'build_failed', detail: text };
  const frames: JsonObject[] = [
    { ...nack, entity: { kind: text, id: text } },
    {
      type: 'ack',
      position: POSITION,
      persisted: true,
      quarantined: [{ kind: text, id: text, reason: text }],
    },
    { ...node.status(), last_error: text },
    { type: 'want', ids: [text.padEnd(64).slice(0, 64)] },
    { type: 'call', id: 1, method: text, params: text },
    {
      type: 'call',
      id: 2,
      method: 'counters',
      params: `{"increments":[{"name":${JSON.stringify(text)}}]}`,
    },
    { type: 'health', reset: true, upstreams: [], gone: [{ ws: text, name: text }] },
  ];
  for (const frame of frames) {
    const peer = await live(node);
    peer.send(frame);
    if (!peer.isClosed) peer.send({ type: 'ping', position: POSITION });
    await Promise.race([peer.next('pong').catch(() => {}), peer.closed()]);
    peer.close();
    await peer.closed();
  }
}

async function overPull(text: string): Promise<void> {
  const url = `http://${endpoint.host}${PULL_PATH}`;
  const bodies = [
    { hello: text, frames: [text] },
    { hello: { type: text }, frames: [] },
  ];
  for (const body of bodies) {
    const { status } = await fetch(url, { method: 'POST', body: JSON.stringify(body) });
    expect(status).toBeGreaterThanOrEqual(400);
    expect(status).toBeLessThan(500);
  }
}

describe('D-12: a thief that floods', () => {
  it('is cut off for too many frames, acks, wanted nodes or fragments, and costs nobody else', async () => {
    const [thief, honest] = [await RawNode.joined(endpoint), await RawNode.joined(endpoint)];
    const staying = await live(honest);
    const ack = { type: 'ack', position: POSITION, persisted: true, quarantined: [] };
    const floods: ((peer: RawPeer) => void)[] = [
      (peer) =>
        repeat(FRAMES_BURST_MAX + 100, () => peer.send({ type: 'ping', position: POSITION })),
      (peer) => repeat(FRAMES_BURST_MAX + 100, () => peer.send(ack)),
      (peer) => repeat(WANTED_COUNT_MAX / 256 + 20, (index) => peer.send(want(index * 256, 256))),
    ];
    for (const flood of floods) {
      const peer = await live(thief);
      flood(peer);
      expect((await peer.closed()).code).toBe(CLOSE.overloaded);
    }
    expect(await fragments(100)).not.toBe(1000);
    staying.send({ type: 'ping', position: POSITION });
    await staying.next('pong');
  });

  it('gets no more tree nodes by patience, nor by coming back: connected or not', async () => {
    const thief = await RawNode.joined(endpoint);
    let given = 0;
    let peer = await live(thief);
    while (given <= 2 * WANTED_PER_MINUTE) {
      if (given % 1_024 === 0) {
        peer.close();
        await peer.closed();
        peer = await live(thief);
      }
      peer.send(want(given, SHARD_BATCH_COUNT));
      if ((await peer.next('shards').catch(() => null)) === null) break;
      given += SHARD_BATCH_COUNT;
    }
    expect(await peer.closed()).toEqual({
      code: CLOSE.overloaded,
      reason: 'too many tree nodes wanted',
    });
    // What comes back with time is little beside it.
    expect(given).toBeGreaterThanOrEqual(WANTED_PER_MINUTE);
    expect(given).toBeLessThan(WANTED_PER_MINUTE * 2);
    const url = `http://${endpoint.host}${PULL_PATH}`;
    const challenge = (await (await fetch(url)).json()) as { nonce: string };
    const hello = await thief.hello(challenge, endpoint);
    const body = JSON.stringify({ hello, frames: [want(given, 256)] });
    expect((await fetch(url, { method: 'POST', body })).status).toBe(503);
  }, 30_000);

  it('fills neither the log nor the database, however long what it says is', async () => {
    const long = 'x'.repeat(200_000);
    const node = await RawNode.joined(endpoint);
    for (const change of [
      { host: long },
      { group: long },
      { about: { ...ABOUT, version: long }, join_seq: 1 },
    ]) {
      const peer = await RawPeer.connect(endpoint);
      peer.send(await node.hello(peer, endpoint, change));
      await peer.closed();
    }
    const stranger = await RawPeer.connect(endpoint);
    const enrol = await (await RawNode.make()).enrol(stranger, endpoint, await endpoint.token());
    stranger.send({ ...enrol, token: long });
    await stranger.closed();
    const some = long.slice(0, 60_000);
    const nack = {
      type: 'nack',
      code: 'build_failed',
      detail: some,
      entity: { kind: some, id: some },
    };
    const peer = await RawPeer.connect(endpoint);
    peer.send(await node.hello(peer, endpoint));
    await peer.next('manifest');
    peer.send({ ...nack, position: POSITION });
    await eventually('it is written down', () =>
      endpoint.logs.some(({ message }) => message === 'data plane refused a revision'),
    );
    const challenged = await endpoint.sync.pull(new Request(`http://${endpoint.host}${PULL_PATH}`));
    const hello = await node.hello((await challenged.json()) as { nonce: string }, endpoint);
    const body = JSON.stringify({ hello, frames: [{ ...nack, position: POSITION, entity: null }] });
    const { host } = endpoint;
    const init = { method: 'POST', body, headers: { host } };
    const pulled = await endpoint.sync.pull(new Request(`http://${host}${PULL_PATH}`, init));
    expect(pulled.status).toBe(200);
    await endpoint.registry.flush();
    for (const line of endpoint.logs) expect(JSON.stringify(line).length).toBeLessThan(8_000);
    for (const row of await endpoint.registry.list()) {
      expect(JSON.stringify(row).length).toBeLessThan(8_000);
    }
  });

  it('finds a bounded number of places to greet from, whatever it opens', async () => {
    const open: RawPeer[] = [];
    let refused = 0;
    for (let count = 0; count < HANDSHAKES_MAX + 10; count += 1) {
      await RawPeer.connect(endpoint).then(
        (peer) => open.push(peer),
        () => (refused += 1),
      );
    }
    expect(open.length).toBeLessThanOrEqual(HANDSHAKES_MAX);
    expect(refused).toBeGreaterThanOrEqual(10);
    for (const peer of open) peer.close();
  });
});

/** Nodes that are nowhere. */
function want(from: number, count: number): JsonObject {
  const ids = Array.from({ length: count }, (_, index) => String(from + index).padStart(64, '0'));
  return { type: 'want', ids };
}

function repeat(times: number, fn: (index: number) => void): void {
  for (let index = 0; index < times; index += 1) fn(index);
}

/** One message in many pieces. @returns the close code */
async function fragments(count: number): Promise<number> {
  const ws = new WebSocket(`${endpoint.address}${SYNC_PATH}`);
  await new Promise((resolve) => ws.once('open', resolve));
  ws.on('error', () => {});
  const closed = new Promise<number>((resolve) => ws.once('close', resolve));
  for (let index = 0; index < count; index += 1) ws.send('x', { fin: false });
  return closed;
}

describe('D-13: a thief of a recorded session', () => {
  it('cannot say the same again: not here, not to another host, not with another nonce', async () => {
    const node = await RawNode.joined(endpoint);
    const first = await RawPeer.connect(endpoint);
    const recorded = await node.hello(first, endpoint);
    first.send(recorded);
    node.take(await first.next('welcome'));
    const elsewhere = await SyncEndpoint.start(db);
    try {
      for (const place of [endpoint, elsewhere]) {
        const again = await RawPeer.connect(place);
        const { nonce } = await again.next('challenge');
        again.send({ ...recorded, nonce });
        expect((await again.closed()).code).toBe(CLOSE.unauthorized);
      }
      // Passed on as it is made, by somebody whom the node took for its control plane.
      const relayed = await RawPeer.connect(elsewhere);
      const { nonce } = await relayed.next('challenge');
      relayed.send(await node.hello({ nonce }, endpoint));
      expect((await relayed.closed()).code).toBe(CLOSE.unauthorized);
      expect(first.isClosed).toBe(false);
    } finally {
      await elsewhere.close();
    }
  });
});

describe('D-16: a thief of the database', () => {
  it('has no node’s private key, no API key and no signing key', async () => {
    const disk = new NodeDisk();
    const node = await new SyncNode(endpoint.address, await endpoint.token(), disk).start();
    await node.serves(() => true);
    await node.client.stop();
    const identity = must(node.client.identity, 'an identity');
    const dump = Object.values(await others('00000000-0000-0000-0000-000000000000')).join('\n');
    const secrets = [
      Buffer.from(CANARY),
      identity.signing.privateKey,
      identity.sealing.privateKey,
      ...identity.groupSecrets.map(({ secret }) => secret),
      db.keyring.groupSecret(identity.groupId, 1),
    ];
    for (const secret of secrets) {
      for (const form of ['hex', 'base64', 'base64url'] as const) {
        expect(dump).not.toContain(Buffer.from(secret).toString(form).replaceAll('=', ''));
      }
    }
    expect(dump).not.toContain(CANARY);
    const { rows } = await db.store.db.query<{ private_key: Uint8Array }>(
      'SELECT private_key FROM signing_keys',
    );
    // Wrapped: longer than a key, and not one that signs what the node believes.
    for (const { private_key: wrapped } of rows) expect(wrapped.length).toBeGreaterThan(32);
  });
});
