/** Groups over real connections: each node gets its own group's configuration, and no byte of another's. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import type { ReplicaState } from '#shared/config/replica.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import { REGISTRY } from '#shared/registry.ts';
import type { JsonObject, JsonValue } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import type { Position } from '#shared/wire/frames.ts';
import { openTestStore, type TestStore } from '../../test/support/pglite.ts';
import { ABOUT, RawNode, RawPeer, SyncEndpoint } from '../../test/support/sync-endpoint.ts';
import { SyncNode } from '../../test/support/sync-node.ts';
import { entityOf } from '../store/context.suite.ts';
import { CLOSE } from '#shared/wire/close-codes.ts';
import { saveGroupRow } from '../store/group-row.ts';
import { SYSTEM_WORKSPACE } from '../store/migrations/0001-init.ts';

const ACTOR = { name: 'test', source: null };

let db: TestStore;
let endpoint: SyncEndpoint;
const nodes: SyncNode[] = [];
/** Ids by name. */
const workspaces = new Map<string, string>();

/** All that says of team-b, or of its group. */
const CANARIES = ['team-b', 'canary-b', 'group-b'];

beforeAll(async () => {
  db = await openTestStore(REGISTRY.entities);
  for (const team of ['a', 'b']) {
    const { id: ws } = await put(SYSTEM_WORKSPACE, 'workspaces', { name: `team-${team}` });
    workspaces.set(`team-${team}`, ws);
    const service = await put(ws, 'services', { name: `canary-${team}`, host: `canary-${team}.x` });
    const route = (name: string, tags: string[]) =>
      put(ws, 'routes', { name, tags, paths: [`/${name}`], service: { id: service.id } });
    await route(`canary-${team}-tagged`, ['edge']);
    await route(`canary-${team}-plain`, []);
    await put(ws, 'plugins', { name: 'key-auth', config: {} });
    const user = await put(ws, 'consumers', { username: `canary-${team}-user` });
    const key = { key: `canary-${team}-key`, consumer: { id: user.id } };
    await put(ws, 'keyauth_credentials', key);
    await group(`group-${team}`, [ws], { region: team });
  }
  await group('group-tagged', [idOf('team-a')], { region: 'a', tier: 'edge' }, ['edge']);
}, 60_000);
afterAll(() => db?.close());
beforeEach(async () => {
  endpoint = await SyncEndpoint.start(db);
});
afterEach(async () => {
  await Promise.all(nodes.splice(0).map((node) => node.client.stop()));
  await endpoint.close();
});

function definitionOf(kind: string) {
  return must(REGISTRY.entities.get(kind), kind);
}

async function put(
  ws: string,
  kind: string,
  values: Readonly<Record<string, JsonValue>>,
): Promise<AnyEntity> {
  const entity = entityOf(definitionOf(kind), values);
  await db.store.write(ws, ACTOR, (tx) => tx.insert(definitionOf(kind), ws, entity));
  return entity;
}

async function group(
  name: string,
  served: string[],
  labels: JsonObject,
  tags: string[] | null = null,
): Promise<void> {
  const definition = definitionOf('clustering_groups');
  const settings = { staleness: 'serve', staleness_seconds: 3600 };
  const entity = entityOf(definition, { name, workspaces: served, labels, tags, settings });
  await db.store.write(SYSTEM_WORKSPACE, ACTOR, async (tx) => {
    await tx.insert(definition, SYSTEM_WORKSPACE, entity);
    await saveGroupRow(tx.db, entity.id);
  });
}

function idOf(workspace: string): string {
  return must(workspaces.get(workspace), workspace);
}

async function rowOf(name: string) {
  const { rows } = await db.store.db.query<{ id: string }>(
    'SELECT id FROM groups WHERE name = $1',
    [name],
  );
  return must(rows[0], name);
}

async function positions(groupId: string): Promise<Position[]> {
  const { rows } = await db.store.db.query<Position>(
    'SELECT epoch, revision, hash FROM manifests WHERE group_id = $1 ORDER BY revision',
    [groupId],
  );
  return [...rows];
}

async function nodeIds(name: string): Promise<string[]> {
  const { rows } = await db.store.db.query<{ id: string }>(
    'SELECT id FROM group_nodes WHERE group_id = $1',
    [(await rowOf(name)).id],
  );
  return rows.map(({ id }) => id);
}

async function join(name: string): Promise<SyncNode> {
  const token = await endpoint.token(1, { group: name });
  // The groups ask for other labels than a test's node has.
  const node = new SyncNode(endpoint.address, token, undefined, labelsOf.get(name));
  nodes.push(node);
  return node.start();
}

const labelsOf = new Map<string, Record<string, string>>([
  ['group-a', { region: 'a' }],
  ['group-b', { region: 'b' }],
  ['group-tagged', { region: 'a', tier: 'edge' }],
]);

/** Names of what a node holds. */
function namesOf(state: ReplicaState): string[] {
  return [...state.tree.records()]
    .map(({ body }) => body['name'] ?? body['username'])
    .filter((name) => typeof name === 'string')
    .toSorted();
}

/** A node of group-a without the manners of the real client. */
async function stranger(): Promise<RawNode> {
  const node = await RawNode.make();
  const peer = await RawPeer.connect(endpoint);
  const about = { ...ABOUT, labels: { region: 'a' } };
  peer.send(
    await node.enrol(peer, endpoint, await endpoint.token(1, { group: 'group-a' }), { about }),
  );
  node.take(await peer.next('welcome'));
  peer.send(node.status());
  peer.close();
  await peer.closed();
  return node;
}

function expectNothingOfB(peer: RawPeer, groupId: string): void {
  expect(peer.received).not.toBe('');
  for (const text of [...CANARIES, idOf('team-b'), groupId]) {
    expect(peer.received).not.toContain(text);
  }
}

describe('groups on one control plane', () => {
  it('give each node the configuration of its own', async () => {
    await endpoint.publisher.flush();
    const [a, b, tagged] = await Promise.all(['group-a', 'group-b', 'group-tagged'].map(join));
    const states = await Promise.all([a, b, tagged].map((node) => node?.serves(() => true)));
    expect(states.map((state) => state && [state.manifest.group, ...namesOf(state)])).toEqual([
      ['group-a', ...own('a', ['plain', 'tagged', 'user'])],
      ['group-b', ...own('b', ['plain', 'tagged', 'user'])],
      // The key-auth without a tag is there, and so is who may pass it.
      ['group-tagged', ...own('a', ['tagged', 'user'])],
    ]);
    expect(states.map((state) => Object.keys(state?.manifest.workspaces ?? {}).toSorted())).toEqual(
      ['team-a', 'team-b', 'team-a'].map((name) => [SYSTEM_WORKSPACE, idOf(name)].toSorted()),
    );
  });

  function own(team: string, suffixes: string[]): string[] {
    return [
      `canary-${team}`,
      ...suffixes.map((suffix) => `canary-${team}-${suffix}`),
      'key-auth',
      `team-${team}`,
    ];
  }

  it('take from a node what loses the tag, with what only that needed', async () => {
    const ws = idOf('team-a');
    const service = await put(ws, 'services', { name: 'passing', host: 'passing.x' });
    const upstream = await put(ws, 'upstreams', { name: 'passing.x' });
    await put(ws, 'targets', { target: '10.0.0.1:80', upstream: { id: upstream.id } });
    const route = await put(ws, 'routes', {
      name: 'passing-route',
      tags: ['edge'],
      paths: ['/p'],
      service: { id: service.id },
    });
    await endpoint.publisher.flush();
    const node = await join('group-tagged');
    const has = (state: ReplicaState) =>
      [...state.tree.records()].filter(
        ({ text }) => text.includes('passing') || text.includes('10.0.0.1'),
      );
    expect(has(await node.serves(() => true))).toHaveLength(4);
    const routes = definitionOf('routes');
    await db.store.write(ws, ACTOR, (tx) => tx.update(routes, ws, { ...route, tags: [] }));
    await node.serves((state) => has(state).length === 0);
    await db.store.write(ws, ACTOR, (tx) => tx.update(routes, ws, { ...route, tags: ['edge'] }));
    await node.serves((state) => has(state).length === 4);
  });

  it('publish a change to those groups only that it concerns', async () => {
    await endpoint.publisher.flush();
    const revisions = async () => {
      const { rows } = await db.store.db.query<{ name: string; revision: number }>(
        'SELECT name, revision FROM groups ORDER BY name',
      );
      return new Map(rows.map(({ name, revision }) => [name, revision]));
    };
    const before = await revisions();
    await put(idOf('team-b'), 'consumers', { username: 'canary-b-other' });
    await db.store.db.query(
      `UPDATE groups SET policy = policy || '{"staleness":"close"}' WHERE name = 'group-tagged'`,
    );
    endpoint.publisher.wake();
    await endpoint.publisher.flush();
    const after = await revisions();
    const moved = [...after].filter(([name, revision]) => before.get(name) !== revision);
    expect(moved.map(([name]) => name)).toEqual(['default', 'group-b', 'group-tagged']);
    const { rows } = await db.store.db.query<{ manifest: string }>(
      'SELECT manifest FROM manifests WHERE group_id = $1 ORDER BY revision DESC LIMIT 1',
      [(await rowOf('group-tagged')).id],
    );
    expect(JSON.parse(rows[0]?.manifest ?? '')).toMatchObject({
      features: ['staleness'],
      settings: { staleness: 'close', staleness_seconds: 3600 },
    });
    await db.store.db.query(
      `UPDATE groups SET policy = policy - 'staleness' WHERE name = 'group-tagged'`,
    );
  });
});

describe('a node of one group gets not a byte of another', () => {
  it.each(['name', 'id'])('by claiming it by its %s', async (by) => {
    await endpoint.publisher.flush();
    const node = await stranger();
    const { id } = await rowOf('group-b');
    const peer = await RawPeer.connect(endpoint);
    peer.send(await node.hello(peer, endpoint, { group: by === 'id' ? id : 'group-b' }));
    expect((await peer.closed()).code).toBe(CLOSE.unauthorized);
    expectNothingOfB(peer, id);
  });

  it('by asking for its tree, nor by its positions', async () => {
    await endpoint.publisher.flush();
    const node = await stranger();
    const { id } = await rowOf('group-b');
    const heads = await positions(id);
    const ids = await nodeIds('group-b');
    expect([ids.length > 0, heads.length > 0]).toEqual([true, true]);
    for (const position of heads.slice(-3)) {
      const peer = await RawPeer.connect(endpoint);
      peer.send(await node.hello(peer, endpoint, { group: 'group-a', position }));
      node.take(await peer.next('welcome'));
      peer.send({ ...node.status(), position });
      peer.send({ type: 'want', ids: ids.slice(0, 60) });
      const shards = await peer.next('shards');
      expect([shards.nodes, shards.missing.toSorted()]).toEqual([[], ids.slice(0, 60).toSorted()]);
      peer.close();
      await peer.closed();
      expect(peer.received).not.toContain('"type":"delta"');
      expectNothingOfB(peer, id);
    }
  });

  it('by being connected while that one changes', async () => {
    await endpoint.publisher.flush();
    const node = await stranger();
    const peer = await RawPeer.connect(endpoint);
    const position = must((await positions((await rowOf('group-a')).id)).at(-1), 'a revision');
    peer.send(await node.hello(peer, endpoint, { group: 'group-a', position }));
    node.take(await peer.next('welcome'));
    peer.send({ ...node.status(), position });
    await put(idOf('team-b'), 'consumers', { username: `canary-b-${nodeRandom.uuid()}` });
    await put(idOf('team-a'), 'consumers', { username: 'after-it' });
    expect((await peer.next('delta')).upserts.join()).toContain('after-it');
    expectNothingOfB(peer, (await rowOf('group-b')).id);
    peer.close();
  });
});

describe('labels', () => {
  it.each([
    [{ region: 'a' }, 'group-a'],
    [{ region: 'b', tier: 'edge' }, 'group-b'],
    [{ region: 'a', tier: 'edge' }, 'group-tagged'],
  ])('%j choose the group of a node whose token names none', async (labels, name) => {
    const token = await endpoint.token(1, { group: null });
    const node = new SyncNode(endpoint.address, token, undefined, labels);
    nodes.push(node);
    await endpoint.publisher.flush();
    await node.start();
    expect((await node.serves(() => true)).manifest.group).toBe(name);
  });

  it.each<[string | null, Record<string, string>, string]>([
    [null, { region: 'c' }, 'no group is for a node with the labels region:c'],
    [
      'group-tagged',
      { region: 'a' },
      "the group 'group-tagged' is for nodes with the labels tier:edge",
    ],
  ])('keep out of %s who has others, and say why', async (name, labels, reason) => {
    const token = await endpoint.token(1, { group: name });
    const node = await RawNode.make();
    const peer = await RawPeer.connect(endpoint);
    peer.send(await node.enrol(peer, endpoint, token, { about: { ...ABOUT, labels } }));
    expect(await peer.closed()).toEqual({ code: CLOSE.unauthorized, reason });
    const kept = await endpoint.tokens.list();
    expect(kept[0]).toMatchObject({ group: name, used: 0 });
  });
});
