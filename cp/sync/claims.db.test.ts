/** What nodes say that they hold: believed when a signing key of the cluster says so too. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { must } from '#shared/base/assert.ts';
import { base64url, hex, utf8 } from '#shared/base/bytes.ts';
import { canonicalJson } from '#shared/config/canonical.ts';
import { type Manifest, signManifest } from '#shared/config/manifest.ts';
import { DOMAIN } from '#shared/config/signed-text.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import { REGISTRY } from '#shared/registry.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import type { Position } from '#shared/wire/frames.ts';
import { eventually } from '../../test/support/eventually.ts';
import { openTestStore, silent, type TestStore } from '../../test/support/pglite.ts';
import { ABOUT, RawNode, RawPeer, SyncEndpoint } from '../../test/support/sync-endpoint.ts';
import { NodeDisk, SyncNode } from '../../test/support/sync-node.ts';
import { Epochs } from '../cluster/epochs.ts';
import { entityOf } from '../store/context.suite.ts';

const ACTOR = { name: 'test', source: null };
const SERVICES = must(REGISTRY.entities.get('services'), 'services');
const UNPROVEN = 'a data plane claims what is not known, without proof: no epoch for it';

interface Signed extends Position {
  readonly manifest: string;
  readonly signature: string;
}
/** The answer to a call of `head`; null: it is refused. */
type Show = (from: number) => JsonObject | null;

let db: TestStore;
let endpoint: SyncEndpoint;
const nodes: SyncNode[] = [];

beforeAll(async () => {
  db = await openTestStore(REGISTRY.entities);
}, 60_000);
afterAll(() => db.close());
beforeEach(async () => {
  endpoint = await SyncEndpoint.start(db);
});
afterEach(async () => {
  await Promise.all(nodes.splice(0).map((node) => node.client.stop()));
  await endpoint.close();
  await db.store.db.query('TRUNCATE nodes, node_health, epochs');
});

async function write(): Promise<void> {
  const { store } = db;
  const ws = store.defaultWorkspace();
  const service = entityOf(SERVICES, { name: nodeRandom.uuid(), host: 'x.test' });
  await store.write(ws, ACTOR, (tx) => tx.insert(SERVICES, ws, service));
}

async function publish(): Promise<Signed> {
  await write();
  await endpoint.publisher.flush();
  return head();
}

async function head(): Promise<Signed> {
  const { rows } = await db.store.db.query<Signed>(
    `SELECT epoch, revision, hash, manifest, signature FROM manifests
     ORDER BY epoch DESC, revision DESC LIMIT 1`,
  );
  return must(rows[0], 'a manifest');
}

/**
 * The newest so many were never published, as far as the database and its next control plane know: it
 * publishes something else under the first number of them.
 */
async function lose(count: number): Promise<void> {
  await endpoint.close();
  const { db: database } = db.store;
  await database.query('UPDATE groups SET revision = revision - $1::bigint', [count]);
  await database.query(
    'DELETE FROM manifests m USING groups g WHERE g.id = m.group_id AND m.revision > g.revision',
  );
  await write();
  endpoint = await SyncEndpoint.start({ ...db, epochs: unwitting() });
}

/** Of a control plane that has seen nothing yet, on this machine or before. */
function unwitting(): Epochs {
  const { clusterId } = db.keyring;
  const policy = 'stop';
  return new Epochs({ db: db.store.db, clusterId, dataDir: null, policy, logger: silent });
}

const positionOf = ({ epoch, revision, hash }: Position): Position => ({ epoch, revision, hash });

/** Whole, or in parts of so many characters. */
function showing(
  { manifest, signature }: Pick<Signed, 'manifest' | 'signature'>,
  part = 28_000,
): Show {
  const { length } = manifest;
  return (from) => ({ manifest: manifest.slice(from, from + part), length, signature });
}

/** Joins with a position, and answers what it is asked for. */
async function claim(position: Position, show: Show | null): Promise<RawNode> {
  const node = await RawNode.joined(endpoint);
  const peer = await RawPeer.connect(endpoint);
  const about = show === null ? ABOUT : { ...ABOUT, features: ['rpc.head'] };
  peer.send(await node.hello(peer, endpoint, { position: positionOf(position), about }));
  node.take(await peer.next('welcome'));
  peer.send(node.status());
  void answer(peer, show).catch(() => {});
  return node;
}

async function answer(peer: RawPeer, show: Show | null): Promise<void> {
  for (;;) {
    const { id, method, params } = await peer.next('call');
    expect([method, show]).toEqual(['head', expect.any(Function)]);
    const value = show?.(JSON.parse(params).from) ?? null;
    const error = { code: 'failed', detail: 'nothing is served' } as const;
    peer.send(
      value === null
        ? { type: 'result', id, ok: false, value: null, error }
        : { type: 'result', id, ok: true, value: JSON.stringify(value), error: null },
    );
  }
}

async function isNotBelieved(node: RawNode): Promise<unknown> {
  return eventually('it is not believed', () => {
    const lines = endpoint.logs.filter(({ message }) => message === UNPROVEN);
    return lines.find(({ fields }) => fields['node'] === node.id)?.fields['reason'];
  });
}

describe('a claim without proof', () => {
  it.each(['a later revision', 'other content', 'a later epoch'] as const)(
    'begins no epoch: %s',
    async (what) => {
      const known = await publish();
      const hash = 'e'.repeat(64);
      const position = {
        'a later revision': { ...known, revision: known.revision + 5, hash },
        'other content': { ...known, hash },
        'a later epoch': { ...known, epoch: known.epoch + 1, hash },
      }[what];
      const { manifest, signature } = known;
      const shows: [Show | null, RegExp][] = [
        [null, /unknown_method/],
        [() => null, /nothing is served/],
        [() => ({ manifest: 1 }), /bad_result/],
        [() => ({ manifest: 'x', length: 10 ** 6, signature: 'x' }), /too much/],
        [showing({ manifest: '{}', signature: 'AA' }), /bad_signature/],
        [showing({ manifest: `${manifest} `, signature }), /bad_signature/],
        [showing(known), /shows .* instead/],
      ];
      for (const [show, reason] of shows) {
        expect(await isNotBelieved(await claim(position, show))).toMatch(reason);
      }
      expect(await db.epochs.list()).toEqual([]);
      expect(positionOf(await head())).toEqual(positionOf(known));
    },
    30_000,
  );

  it('begins none when another than the cluster has signed it, nor when it is of another group', async () => {
    const known = await publish();
    const stranger = await nodeCrypto.generateSigningKey();
    const later = { ...(JSON.parse(known.manifest) as Manifest), revision: known.revision + 1 };
    const forged = await signManifest(later, stranger, nodeCrypto);
    const hash = hex(nodeCrypto.sha256(forged.manifest));
    const position = { ...known, revision: known.revision + 1, hash };
    expect(await isNotBelieved(await claim(position, showing(forged)))).toMatch(/bad_signature/);

    const foreign = canonicalJson({ ...later, group_id: nodeRandom.uuid() });
    const signature = await signedByCluster(foreign);
    const elsewhere = { ...position, hash: hex(nodeCrypto.sha256(foreign)) };
    const show = showing({ manifest: foreign, signature });
    expect(await isNotBelieved(await claim(elsewhere, show))).toMatch(/wrong_group/);
    expect(await db.epochs.list()).toEqual([]);
  });

  it('is logged once for each node, however often it comes back', async () => {
    const known = await publish();
    const position = { ...known, hash: 'e'.repeat(64) };
    const node = await claim(position, null);
    await isNotBelieved(node);
    const count = () => endpoint.logs.filter(({ message }) => message === UNPROVEN).length;
    const peer = await RawPeer.connect(endpoint);
    peer.send(await node.hello(peer, endpoint, { position: positionOf(position) }));
    node.take(await peer.next('welcome'));
    peer.send(node.status());
    // One that comes later is heard later.
    await isNotBelieved(await claim(position, null));
    expect(count()).toBe(2);
  });
});

describe('a claim with proof', () => {
  it('begins an epoch, shown in however many parts', async () => {
    await publish();
    const lost = await publish();
    await lose(1);
    const part = Math.ceil(lost.manifest.length / 20);
    await claim(lost, showing(lost, part));
    const epochs = await eventually('an epoch', async () => {
      const list = await db.epochs.list();
      return list.length > 0 && list;
    });
    expect(epochs).toMatchObject([{ reason: 'node' }]);
  });

  it('begins one by whoever has it: a claim of the same without proof is in nobody’s way', async () => {
    await publish();
    const lost = await publish();
    await lose(1);
    await isNotBelieved(await claim(lost, () => null));
    expect(await db.epochs.list()).toEqual([]);
    await claim(lost, showing(lost));
    await eventually('an epoch', async () => (await db.epochs.list()).length === 1);
  });

  it.each([1, 2])(
    'is what a data plane of ours makes, and it follows when so many revisions are lost: %i',
    async (count) => {
      await publish();
      const disk = new NodeDisk();
      const node = await new SyncNode(endpoint.address, await endpoint.token(), disk).start();
      nodes.push(node);
      const lost = await publish();
      await node.serves(({ replica }) => replica.hash === lost.hash);
      await eventually('it is saved', () => disk.config?.manifest === lost.manifest);
      await node.client.stop();
      await lose(count);
      const again = await new SyncNode(endpoint.address, null, disk).start();
      nodes.push(again);
      await eventually('an epoch', async () => (await db.epochs.list()).length === 1);
      await endpoint.publisher.flush();
      await again.serves(({ replica }) => replica.epoch > lost.epoch);
    },
  );
});

/** As a control plane of the cluster signs. */
async function signedByCluster(manifest: string): Promise<string> {
  return base64url(await db.keyring.sign(utf8(DOMAIN.manifest + manifest)));
}
