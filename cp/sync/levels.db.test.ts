/** Data planes of two releases on one control plane, and of releases that have nothing in common with it. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { parseRecordText } from '#shared/config/record.ts';
import { base64url, hex, utf8 } from '#shared/base/bytes.ts';
import { canonicalJson } from '#shared/config/canonical.ts';
import { DOMAIN } from '#shared/config/signed-text.ts';
import type { ReplicaState } from '#shared/config/replica.ts';
import { REGISTRY } from '#shared/registry.ts';
import type { JsonObject, JsonValue } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import { CLOSE } from '#shared/wire/close-codes.ts';
import type { FrameOf, Position } from '#shared/wire/frames.ts';
import { PROTOCOL_VERSION, PROTOCOL_VERSION_MIN } from '#shared/wire/protocol.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { eventually } from '../../test/support/eventually.ts';
import { openTestStore, type TestStore } from '../../test/support/pglite.ts';
import { ABOUT, RawNode, RawPeer, SyncEndpoint } from '../../test/support/sync-endpoint.ts';
import { SyncNode } from '../../test/support/sync-node.ts';
import { PUBLISHED_CHANNEL } from '../changes/publication.ts';
import { LEVELS, type Levels } from '../changes/levels.ts';
import { entityOf } from '../store/context.suite.ts';

const ACTOR = { name: 'test', source: null };
const DEFAULT_WORKSPACE = 'default';
const NOWHERE: Position = { epoch: 0, revision: 0, hash: '' };

/** The newer release knows paths of Services; `/guarded` ones mean that older ones must not serve. */
const NEWER: Levels = {
  newest: 2,
  down: (kind, body) => {
    if (kind !== 'services') return body;
    return body['path'] === '/guarded' ? 'unfit' : { ...body, path: null };
  },
};

let db: TestStore;
let endpoint: SyncEndpoint;
let ws = '';
let count = 0;
const nodes: SyncNode[] = [];

beforeAll(async () => {
  db = await openTestStore(REGISTRY.entities);
  const { rows } = await db.store.db.query<{ id: string }>(
    `SELECT id FROM workspaces WHERE doc ->> 'name' = $1`,
    [DEFAULT_WORKSPACE],
  );
  ws = must(rows[0], 'a workspace').id;
}, 60_000);
afterAll(async () => {
  await db.epochs.close();
  await db.close();
});
beforeEach(async () => {
  endpoint = await SyncEndpoint.start(db, { levels: NEWER });
});
afterEach(async () => {
  await Promise.all(nodes.splice(0).map((node) => node.client.stop()));
  await endpoint.close();
});

async function service(path: string | null, id?: string): Promise<AnyEntity> {
  const definition = must(REGISTRY.entities.get('services'), 'services');
  const named: Record<string, JsonValue> = id === undefined ? {} : { id };
  const entity = entityOf(definition, { ...named, name: `s${(count += 1)}`, host: 'h.test', path });
  const how = id === undefined ? 'insert' : 'update';
  await db.store.write(ws, ACTOR, (tx) => tx[how](definition, ws, entity));
  await endpoint.publisher.flush();
  return entity;
}

/** A session of a node that reads so far. */
async function session(
  node: RawNode,
  change: Partial<FrameOf<'hello'>>,
): Promise<{ peer: RawPeer; welcome: FrameOf<'welcome'> }> {
  const peer = await RawPeer.connect(endpoint);
  peer.send(await node.hello(peer, endpoint, change));
  const welcome = await peer.next('welcome');
  node.take(welcome);
  peer.send(node.status());
  return { peer, welcome };
}

interface Told {
  readonly revision: number;
  readonly level: number;
  readonly position: Position;
}

function headOf(frame: FrameOf<'manifest'> | FrameOf<'delta'>): Told {
  const { epoch, revision, level } = JSON.parse(frame.head.manifest);
  const hash = Buffer.from(nodeCrypto.sha256(frame.head.manifest)).toString('hex');
  return { revision, level, position: { epoch, revision, hash } };
}

const ackOf = ({ position }: Told) =>
  ({ type: 'ack', position, persisted: true, quarantined: [] }) as const;

async function shown(id: string): Promise<Readonly<Record<string, unknown>>> {
  const all = await endpoint.registry.list();
  return must(
    all.find((node) => node['id'] === id),
    'the node',
  );
}

describe('a control plane with data planes of two releases', () => {
  it('gives each its own manifests, and deltas that fit them', async () => {
    const [old, young] = [await RawNode.joined(endpoint), await RawNode.joined(endpoint)];
    const first = await session(old, { level: 1 });
    const second = await session(young, { level: 2 });
    expect([first.welcome.level, second.welcome.level]).toEqual([1, 2]);
    const [one, two] = [
      headOf(await first.peer.next('manifest')),
      headOf(await second.peer.next('manifest')),
    ];
    expect([one.level, two.level]).toEqual([1, 2]);
    expect(one.revision).toBe(two.revision);
    first.peer.send(ackOf(one));
    second.peer.send(ackOf(two));

    const { id } = await service('/new');
    const deltas = [await first.peer.next('delta'), await second.peer.next('delta')];
    expect(deltas.map(({ base }) => base.hash)).toEqual([one.position.hash, two.position.hash]);
    const paths = deltas.map(({ upserts }) => {
      const records = upserts.map((text) => must(parseRecordText(text, nodeCrypto), 'a record'));
      return records.find((record) => record.id === id)?.body['path'];
    });
    expect(paths).toEqual([null, '/new']);
  });

  it('leads a node that was brought to another release from one level to the other', async () => {
    const node = await RawNode.joined(endpoint);
    const before = await session(node, { level: 1 });
    const held = headOf(await before.peer.next('manifest'));
    before.peer.close();
    const after = await session(node, { level: 2, position: held.position });
    const told = headOf(await after.peer.next('manifest'));
    expect(told).toMatchObject({ level: 2, revision: held.revision });
    after.peer.close();
    const back = await session(node, { level: 1, position: told.position });
    expect(headOf(await back.peer.next('manifest'))).toEqual(held);
    // It was never taken for something that the database has lost.
    const epochs = await db.store.db.query('SELECT 1 FROM epochs');
    expect(epochs.count).toBe(0);
  });

  it('sends one that asks for less the same revision as that, and all of it when it asks again', async () => {
    await endpoint.close();
    const { newest } = LEVELS;
    endpoint = await SyncEndpoint.start(db, { levels: { ...NEWER, newest } });
    const { id } = await service('/all');
    const node = await new SyncNode(endpoint.address, await endpoint.token()).start();
    nodes.push(node);
    const pathIn = (state: ReplicaState) =>
      [...state.tree.records()].find((record) => record.id === id)?.body['path'];
    const at = (level: number) => node.serves(({ manifest }) => manifest.level === level);
    const first = await at(newest);
    expect(pathIn(first)).toBe('/all');
    for (const level of [newest - 1, newest]) {
      node.level = level;
      await node.client.stop();
      node.client.start();
      const state = await at(level);
      expect(pathIn(state)).toBe(level === newest ? '/all' : null);
      expect(state.manifest.revision).toBe(first.manifest.revision);
    }
    expect(node.client.status().lastError).toBeNull();
    expect(node.swapped).toEqual(Array.from({ length: 3 }, () => first.manifest.revision));
  });

  it('keeps from older ones what they would serve less guarded, and says which they are', async () => {
    const old = await new SyncNode(endpoint.address, await endpoint.token()).start();
    nodes.push(old);
    const { id } = await service('/plain');
    const { revision } = (await manifestOf()) ?? { revision: 0 };
    await old.serves((state) => state.manifest.revision === revision);
    const node = must(old.client.identity, 'an identity').node;
    const statusIs = (word: string) =>
      eventually(`it is shown as ${word}`, async () => (await shown(node))['sync_status'] === word);
    await statusIs('normal');

    await service('/guarded', id);
    await statusIs('kong_version_incompatible');
    expect(await shown(node)).toMatchObject({
      connected: true,
      desired_revision: revision + 1,
      actual_revision: revision,
    });
    expect(old.swapped.at(-1)).toBe(revision);

    await service('/plain', id);
    await old.serves((state) => state.manifest.revision === revision + 2);
    await statusIs('normal');
  });

  it('does not take one for lost that holds what only later releases are sent', async () => {
    const { id } = await service('/plain');
    await service('/guarded', id);
    const node = await RawNode.joined(endpoint);
    const later = await session(node, { level: 2 });
    const held = headOf(await later.peer.next('manifest'));
    later.peer.close();
    const { peer } = await session(node, { level: 1, position: held.position });
    peer.send({ type: 'ping', position: held.position });
    const { position: head } = await peer.next('pong');
    expect(head.revision).toBe(held.revision - 1);
    await endpoint.sync.drain();
    const said = endpoint.logs.map(({ message }) => message);
    expect(said).not.toContain('data plane is ahead of the database');
    expect((await db.store.db.query('SELECT 1 FROM epochs')).count).toBe(0);
    await service('/plain', id);
  });

  it('refuses one that is too old for both levels, which goes on being shown with the reason', async () => {
    const node = await RawNode.joined(endpoint);
    const peer = await RawPeer.connect(endpoint);
    peer.send(
      await node.hello(peer, endpoint, { level: 0, about: { ...ABOUT, version: '0.0.9' } }),
    );
    expect(await peer.closed()).toEqual({
      code: CLOSE.incompatible,
      reason: 'no common schema level',
    });
    expect(await shown(node.id)).toMatchObject({
      connected: false,
      version: '0.0.9',
      sync_status: 'kong_version_incompatible',
    });
    // Nobody else can say so of it.
    const stranger = await RawNode.joined(endpoint);
    const other = await RawPeer.connect(endpoint);
    other.send(await stranger.hello(other, endpoint, { level: 0, node: node.id }));
    expect((await other.closed()).code).toBe(CLOSE.unauthorized);
  });
});

async function manifestOf(): Promise<{ revision: number } | undefined> {
  const { rows } = await db.store.db.query<{ revision: number }>('SELECT revision FROM groups');
  return rows[0];
}

describe('protocol versions', () => {
  it.each([
    ['the oldest that is spoken', PROTOCOL_VERSION_MIN],
    ['the one before', PROTOCOL_VERSION - 1],
    ['this one', PROTOCOL_VERSION],
  ])('are what the node speaks: %s', async (_what, protocol) => {
    const node = await RawNode.joined(endpoint);
    const { peer, welcome } = await session(node, { protocol });
    expect(welcome.protocol).toBe(protocol);
    await peer.next('manifest');
    peer.close();
  });

  it.each([
    ['later than this one', PROTOCOL_VERSION + 1],
    ['earlier than the oldest', PROTOCOL_VERSION_MIN - 1],
  ])('are refused by a close code of their own when they are %s', async (_what, protocol) => {
    const node = await RawNode.joined(endpoint);
    const peer = await RawPeer.connect(endpoint);
    peer.send(await node.hello(peer, endpoint, { protocol }));
    expect(await peer.closed()).toEqual({
      code: CLOSE.incompatible,
      reason: 'no common protocol version',
    });
  });

  it('that a challenge offers say which are in common, whatever else it speaks', async () => {
    const peer = await RawPeer.connect(endpoint);
    const challenge = await peer.next('challenge');
    expect(challenge).toMatchObject({
      protocol: PROTOCOL_VERSION,
      protocol_min: PROTOCOL_VERSION_MIN,
    });
    peer.close();
  });

  it('do not matter for features that nobody here knows: they are passed over', async () => {
    const node = await RawNode.joined(endpoint);
    const about = { ...ABOUT, features: ['rpc.of_tomorrow', 'anything'] };
    const { peer } = await session(node, { about, position: NOWHERE });
    await peer.next('manifest');
    peer.close();
  });
});

describe('a manifest of a later release', () => {
  /** What a control plane of such a release would publish next. */
  async function publishByHand(change: JsonObject): Promise<number> {
    const { rows } = await db.store.db.query<Record<string, string>>(
      `SELECT m.* FROM manifests m JOIN groups g ON g.id = m.group_id
       WHERE m.level = 1 ORDER BY m.epoch DESC, m.revision DESC LIMIT 1`,
    );
    const before = must(rows[0], 'a manifest');
    const last = JSON.parse(before['manifest'] ?? '');
    const revision = Number(last.revision) + 1;
    const text = canonicalJson({ ...last, previous: before['hash'], revision, ...change });
    const signature = base64url(await db.keyring.sign(utf8(DOMAIN.manifest + text)));
    await db.store.db.query(
      `INSERT INTO manifests (group_id, epoch, revision, level, manifest, signature, key_list,
         key_list_signature, hash) VALUES ($1, $2, $3, 1, $4, $5, $6, $7, $8)`,
      [
        last.group_id,
        last.epoch,
        revision,
        text,
        signature,
        before['key_list'] ?? '',
        before['key_list_signature'] ?? '',
        hex(nodeCrypto.sha256(text)),
      ],
    );
    await db.store.db.query('UPDATE groups SET revision = $1', [revision]);
    await db.store.db.notify(PUBLISHED_CHANNEL, last.group_id);
    return revision;
  }

  it('is served with fields that nobody here knows, and refused with such features: the last good stays', async () => {
    const node = await new SyncNode(endpoint.address, await endpoint.token()).start();
    nodes.push(node);
    await node.serves(() => true);
    const known = await publishByHand({ novelty: { deep: [1] } });
    await node.serves(({ manifest }) => manifest.revision === known);

    const refused = await publishByHand({ features: ['teleport'] });
    const { node: id } = must(node.client.identity, 'an identity');
    const view = await eventually('the control plane hears of it', async () => {
      const found = await shown(id);
      return found['sync_status'] === 'kong_version_incompatible' && found;
    });
    expect(view).toMatchObject({ connected: true, actual_revision: known });
    expect(view['last_error']).toMatch(/unknown_feature.*teleport/);
    expect(node.client.status()).toMatchObject({ revision: known });

    // A later one that this release knows is taken again.
    await service('/plain');
    await node.serves(({ manifest }) => manifest.revision > refused);
    await eventually('all is well', async () => (await shown(id))['sync_status'] === 'normal');
  });
});
