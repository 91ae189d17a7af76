import { beforeEach, describe, expect, it } from 'vitest';
import {
  ScriptedControlPlane,
  testRecord,
  type Published,
} from '../../test/support/scripted-control-plane.ts';
import { SeededRandom } from '../../test/support/seeded-random.ts';
import { nodeCrypto as crypto } from '../platform/node/crypto.ts';
import type { FrameOf } from '../wire/frames.ts';
import { Assembly } from './assembly.ts';
import {
  admit,
  applyDelta,
  loadReplica,
  makeState,
  positionOf,
  toStored,
  verifyHead,
  type ReplicaState,
} from './replica.ts';
import { ConfigTree } from './tree.ts';

let cp: ScriptedControlPlane;

beforeEach(async () => {
  cp = await ScriptedControlPlane.create(crypto, new SeededRandom(7));
});

const records = (count: number, version = 1) =>
  Array.from({ length: count }, (_, i) => testRecord(`r${i}`, version));

async function stateOf(published: Published): Promise<ReplicaState> {
  const verified = await verifyHead(published.head, cp.pinned, crypto);
  if (!verified.ok) throw new Error(verified.detail);
  const made = makeState(verified.head, published.tree);
  if (!made.ok) throw new Error(made.detail);
  return made.state;
}

function deltaOf(from: Published, to: Published): FrameOf<'delta'> {
  const { upserts, removals } = to.tree.diff(from.tree);
  return {
    type: 'delta',
    base: from.position,
    head: to.head,
    upserts: upserts.map(({ text }) => text),
    removals: [...removals],
  };
}

async function codeOf(state: ReplicaState | null, frame: FrameOf<'delta'>): Promise<string> {
  const applied = await applyDelta(state, frame, cp.pinned, crypto);
  return applied.ok ? 'ok' : applied.code;
}

describe('a delta', () => {
  it('leads to exactly what was signed', async () => {
    const first = await cp.publish(records(300));
    const second = await cp.publish([testRecord('r3', 2), testRecord('new')], [testRecord('r4')]);
    const applied = await applyDelta(
      await stateOf(first),
      deltaOf(first, second),
      cp.pinned,
      crypto,
    );

    expect(applied.ok && applied.state.tree.hash).toBe(second.tree.hash);
    expect(applied.ok && positionOf(applied.state)).toEqual(second.position);
    expect(applied.ok && applied.state.tree.size).toBe(300);
  });

  it('is refused with anything added, left out, altered, or of another base', async () => {
    const first = await cp.publish(records(300));
    const second = await cp.publish([testRecord('r3', 2), testRecord('new')], [testRecord('r4')]);
    const state = await stateOf(first);
    const good = deltaOf(first, second);
    const [one = '', two = ''] = good.upserts;
    const bad: Partial<FrameOf<'delta'>>[] = [
      { upserts: [one] },
      { upserts: [one, two, testRecord('r9', 2).text] },
      { upserts: [one, testRecord('new', 2).text] },
      { upserts: [one, two.replace('{', '{ ')] },
      { upserts: [one, 'garbage'] },
      { upserts: [one, '{}'] },
      { removals: [] },
      { removals: [...good.removals, testRecord('r5')] },
      { removals: good.removals.map((key) => ({ ...key, placement: 'elsewhere' })) },
      { base: { ...first.position, hash: second.position.hash } },
      { base: { ...first.position, revision: 0 } },
      { base: { ...first.position, epoch: 2 } },
    ];
    const codes = await Promise.all(bad.map((change) => codeOf(state, { ...good, ...change })));
    expect(codes).toEqual(bad.map(() => 'hash_mismatch'));
    expect(await codeOf(null, good)).toBe('hash_mismatch');
    expect(await codeOf(state, good)).toBe('ok');
  });

  it('is refused when its manifest counts other records than there are', async () => {
    const first = await cp.publish(records(3));
    const second = await cp.publish([testRecord('r1', 2)], [], { records: 4 });
    expect(await codeOf(await stateOf(first), deltaOf(first, second))).toBe('hash_mismatch');
  });

  it('is refused when it leads back, and changes nothing when it leads to what is held', async () => {
    const first = await cp.publish(records(3));
    const second = await cp.publish([testRecord('r1', 2)]);
    const state = await stateOf(second);

    expect(await codeOf(state, deltaOf(second, first))).toBe('not_newer');
    const again = await applyDelta(state, deltaOf(first, second), cp.pinned, crypto);
    expect(again.ok && again.state).toBe(state);
  });
});

describe('admit', () => {
  const at = (epoch: number, revision: number, hash = 'h', level = 1) => ({
    epoch,
    revision,
    hash,
    level,
  });

  it.each([
    [at(1, 2), at(1, 1), 'newer'],
    [at(2, 1), at(1, 9), 'newer'],
    [at(1, 1), at(0, 0, ''), 'newer'],
    [at(1, 1), at(1, 1), 'same'],
    [at(1, 1), at(1, 1, 'other'), 'not_newer'],
    [at(1, 1, 'h', 2), at(1, 1, 'other', 1), 'newer'],
    [at(1, 1, 'h', 1), at(1, 1, 'other', 2), 'newer'],
    [at(1, 1, 'h', 2), at(1, 2, 'other', 1), 'not_newer'],
    [at(1, 1), at(1, 2), 'not_newer'],
    [at(1, 9), at(2, 1), 'not_newer'],
  ])('of %j after %j is %s', (head, held, expected) => {
    const verdict = admit(head, held);
    expect(typeof verdict === 'object' ? verdict.code : verdict).toBe(expected);
  });
});

describe('what was stored', () => {
  it('is loaded as it was saved', async () => {
    const state = await stateOf(await cp.publish(records(700)));
    const loaded = await loadReplica(toStored(state), cp.pinned, crypto);
    expect(loaded.ok && [...loaded.state.tree.nodes()]).toEqual([...state.tree.nodes()]);
    expect(loaded.ok && positionOf(loaded.state)).toEqual(positionOf(state));
  });

  it('is refused with any node altered, exchanged or missing', async () => {
    const state = await stateOf(await cp.publish(records(700)));
    const stored = toStored(state);
    const texts = [...stored.nodes];
    for (const [at, [id, text]] of texts.entries()) {
      const neighbour = texts[(at + 1) % texts.length]?.[1] ?? '';
      for (const other of [null, '', `${text}\n`, text.slice(0, -1), neighbour]) {
        const nodes = new Map(stored.nodes);
        if (other === null) nodes.delete(id);
        else nodes.set(id, other);
        expect(await loadReplica({ ...stored, nodes }, cp.pinned, crypto)).toMatchObject({
          ok: false,
          code: 'hash_mismatch',
        });
      }
    }
  });

  it('is refused below the high-water mark, and taken at it', async () => {
    const stored = toStored(await stateOf(await cp.publish(records(1))));
    const load = (epoch: number, revision: number) =>
      loadReplica(stored, { ...cp.pinned, highWater: { epoch, revision } }, crypto);

    expect(await load(1, 1)).toMatchObject({ ok: true });
    expect(await load(1, 2)).toMatchObject({ ok: false, code: 'not_newer' });
    expect(await load(2, 0)).toMatchObject({ ok: false, code: 'not_newer' });
  });

  it('is refused with a manifest that counts other records than there are', async () => {
    const published = await cp.publish(records(300), [], { records: 299 });
    const config = {
      manifest: published.head.manifest,
      signature: published.head.signature,
      keyList: published.head.key_list,
      keyListSignature: published.head.key_list_signature,
      nodes: published.tree.nodeMap(),
    };
    expect(await loadReplica(config, cp.pinned, crypto)).toMatchObject({ code: 'hash_mismatch' });
  });
});

describe('an assembly', () => {
  const treeOf = (count: number, version = 1) =>
    ConfigTree.empty(crypto).apply(records(count, version), []);

  function assemble(goal: ConfigTree, base: ConfigTree): { asked: number; assembly: Assembly } {
    const assembly = new Assembly({ root: goal.hash, records: goal.size }, base, crypto);
    const nodes = goal.nodeMap();
    let asked = 0;
    while (!assembly.isSettled) {
      for (const id of assembly.missing(5)) {
        asked += 1;
        expect(assembly.add(id, nodes.get(id) ?? '')).toBe(true);
      }
    }
    return { asked, assembly };
  }

  it('asks for every node once when nothing is at hand', () => {
    const goal = treeOf(2000);
    const { asked, assembly } = assemble(goal, ConfigTree.empty(crypto));
    const assembled = assembly.finish();

    expect(asked).toBe([...goal.nodes()].length);
    expect(assembled.ok && [...assembled.tree.nodes()]).toEqual([...goal.nodes()]);
  });

  it('asks only for what differs from the tree at hand, and shares the rest', () => {
    const base = treeOf(2000);
    const goal = base.apply([testRecord('r77', 2)], []);
    const { asked, assembly } = assemble(goal, base);
    const assembled = assembly.finish();

    expect(asked).toBe(goal.diff(base).addedNodes.length);
    expect(assembled.ok && assembled.tree.hash).toBe(goal.hash);
  });

  it('asks for nothing when the tree is at hand, or leads to where it was', () => {
    const base = treeOf(300);
    expect(assemble(base, base).asked).toBe(0);
    const empty = ConfigTree.empty(crypto);
    expect(assemble(empty, base).asked).toBe(1);
    expect(assemble(empty, empty).asked).toBe(0);
  });

  it('takes no node that it did not ask for, and none that is another', () => {
    const goal = treeOf(2000);
    const assembly = new Assembly(
      { root: goal.hash, records: 2000 },
      ConfigTree.empty(crypto),
      crypto,
    );
    const [root, , leaf] = [...goal.nodes()];
    expect(leaf && assembly.add(leaf.id, leaf.text)).toBe(false);
    expect(leaf && assembly.add(goal.hash, leaf.text)).toBe(false);
    expect(root && assembly.add(root.id, `${root.text}\n`)).toBe(false);
    expect(assembly.missing(9)).toEqual([goal.hash]);
    expect(assembly.finish().ok).toBe(false);
  });

  it('fails when the root counts other records than the manifest', () => {
    const goal = treeOf(2000);
    const base = ConfigTree.empty(crypto);
    const assembly = new Assembly({ root: goal.hash, records: 1999 }, base, crypto);
    assembly.add(goal.hash, goal.nodeMap().get(goal.hash) ?? '');
    expect(assembly.isSettled).toBe(true);
    expect(assembly.missing(9)).toEqual([]);
    expect(assembly.finish()).toEqual({ ok: false, detail: 'a node has another count' });
  });

  it('fails on a tree that names one node twice, which could stand for one without bound', () => {
    const child = 'a'.repeat(64);
    const text = ['inner', ...Array.from({ length: 16 }, () => `200:${child}`)].join('\n');
    const root = Buffer.from(crypto.sha256(text)).toString('hex');
    const assembly = new Assembly({ root, records: 3200 }, ConfigTree.empty(crypto), crypto);
    assembly.add(root, text);
    expect(assembly.finish()).toEqual({ ok: false, detail: 'a node stands in two places' });
  });

  it('fails on a leaf that should not have been split off', () => {
    const crowd = Array.from({ length: 200 }, (_, i) => testRecord(`t${i}`, 1, 'one'));
    const tree = ConfigTree.empty(crypto).apply(crowd, []);
    const digit = tree.root.type === 'leaf' ? tree.root.entries[0]?.path[0] : undefined;
    const lines = Array.from({ length: 16 }, (_, i) =>
      i.toString(16) === digit ? `200:${tree.hash}` : '-',
    );
    const text = ['inner', ...lines].join('\n');
    const root = Buffer.from(crypto.sha256(text)).toString('hex');
    const assembly = new Assembly({ root, records: 200 }, tree, crypto);
    assembly.add(root, text);
    expect(assembly.finish()).toEqual({ ok: false, detail: 'an inner node holds but one leaf' });
  });
});
