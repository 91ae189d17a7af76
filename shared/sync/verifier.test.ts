import { beforeEach, describe, expect, it } from 'vitest';
import {
  ScriptedControlPlane,
  testRecord,
  type Published,
} from '../../test/support/scripted-control-plane.ts';
import { SeededRandom } from '../../test/support/seeded-random.ts';
import { NOWHERE, positionOf, type ReplicaState } from '../config/replica.ts';
import { nodeCrypto as crypto } from '../platform/node/crypto.ts';
import type { FrameOf } from '../wire/frames.ts';
import { WANT_COUNT_MAX } from '../wire/protocol.ts';
import type { Verdict } from './state.ts';
import { Verifier } from './verifier.ts';

let cp: ScriptedControlPlane;
let verifier: Verifier;

beforeEach(async () => {
  cp = await ScriptedControlPlane.create(crypto, new SeededRandom(5));
  verifier = new Verifier(crypto);
});

const records = (count: number) => Array.from({ length: count }, (_, i) => testRecord(`r${i}`));
const offer = (
  { head }: Published,
  held: readonly ReplicaState[] = [],
  served = positionOf(held.at(-1) ?? null),
): Promise<Verdict> => verifier.verify({ type: 'manifest', head }, { held, served }, cp.pinned);
const take = (frame: Partial<FrameOf<'shards'>>): Promise<Verdict> =>
  verifier.verify(
    { type: 'shards', nodes: [], missing: [], ...frame },
    { held: [], served: NOWHERE },
    cp.pinned,
  );
const nodesOf = ({ tree }: Published, ids: readonly string[]) =>
  ids.map((id) => ({ id, text: tree.nodeMap().get(id) ?? '' }));
const idsOf = (verdict: Verdict): readonly string[] =>
  verdict.tag === 'fetching' ? verdict.ids : [];

/** Fetches all of it. */
async function complete(published: Published, held: readonly ReplicaState[] = []) {
  let verdict = await offer(published, held);
  while (verdict.tag === 'fetching') {
    verdict = await take({ nodes: nodesOf(published, verdict.ids) });
  }
  if (verdict.tag !== 'ready') throw new Error(JSON.stringify(verdict));
  return verdict.state;
}

describe('fetching', () => {
  it('asks for the root, then level by level, never for more than may be asked', async () => {
    const published = await cp.publish(records(20_000));
    let verdict = await offer(published);
    let most = 0;
    expect(idsOf(verdict)).toEqual([published.tree.hash]);
    while (verdict.tag === 'fetching') {
      most = Math.max(most, verdict.ids.length);
      verdict = await take({ nodes: nodesOf(published, verdict.ids) });
    }
    expect(most).toBe(WANT_COUNT_MAX);
    expect(verdict).toMatchObject({ tag: 'ready', state: { replica: published.position } });
  });

  it('asks for more only when all that it asked for is there', async () => {
    const published = await cp.publish(records(3000));
    const asked = idsOf(await take({ nodes: nodesOf(published, idsOf(await offer(published))) }));
    expect(asked.length).toBeGreaterThan(2);
    const verdict = await take({ nodes: nodesOf(published, asked.slice(1)) });
    expect(verdict).toEqual({ tag: 'fetching', ids: [] });
    expect(
      idsOf(await take({ nodes: nodesOf(published, asked.slice(0, 1)) })).length,
    ).toBeGreaterThan(0);
  });

  it('asks again for the rest when an answer was cut short, but not for ever', async () => {
    const published = await cp.publish(records(3000));
    const asked = idsOf(await offer(published));
    for (let round = 0; round < 3; round++) expect(idsOf(await take({}))).toEqual(asked);
    expect(await take({})).toMatchObject({ tag: 'refused', refusal: { code: 'hash_mismatch' } });
    expect(await take({ nodes: nodesOf(published, asked) })).toEqual({ tag: 'ignored' });
  });

  it('gives up what the control plane does not have any more', async () => {
    const published = await cp.publish(records(300));
    const asked = idsOf(await offer(published));
    expect(idsOf(await take({ missing: ['f'.repeat(64)], nodes: [] }))).toEqual(asked);
    expect(await take({ missing: [...asked] })).toMatchObject({
      tag: 'refused',
      position: published.position,
      refusal: { code: 'hash_mismatch' },
    });
  });

  it('refuses a node that is not what it is named', async () => {
    const published = await cp.publish(records(300));
    const [id = ''] = idsOf(await offer(published));
    const text = `${published.tree.nodeMap().get(id)} `;
    expect(await take({ nodes: [{ id, text }] })).toMatchObject({ tag: 'refused' });
  });

  it('takes no notice of nodes that it did not ask for', async () => {
    const published = await cp.publish(records(300));
    await offer(published);
    const [, ...rest] = [...published.tree.nodes()];
    expect(await take({ nodes: rest })).toEqual({ tag: 'fetching', ids: [] });
  });

  it('goes on with what it has, when a newer head comes half way or a node is gone', async () => {
    const first = await cp.publish(records(40_000));
    let verdict = await offer(first);
    const fetched = new Set<string>();
    for (let round = 0; round < 4 && verdict.tag === 'fetching'; round += 1) {
      for (const id of verdict.ids) fetched.add(id);
      verdict = await take({ nodes: nodesOf(first, verdict.ids) });
    }
    expect(verdict.tag).toBe('fetching');
    expect(fetched.size).toBeGreaterThan(256);
    const second = await cp.publish([testRecord('r1', 2)]);
    verdict = await offer(second);
    // As when the connection was cut and another control plane lacks one.
    verdict = await take({ missing: [...idsOf(verdict)] });
    expect(verdict).toMatchObject({ tag: 'refused', refusal: { code: 'hash_mismatch' } });
    const third = await cp.publish([testRecord('r2', 2)]);
    verdict = await offer(third);
    const again: string[] = [];
    while (verdict.tag === 'fetching') {
      for (const id of verdict.ids) if (fetched.has(id)) again.push(id);
      verdict = await take({ nodes: nodesOf(third, verdict.ids) });
    }
    expect(again).toEqual([]);
    expect(verdict).toMatchObject({ tag: 'ready', state: { tree: { size: 40_000 } } });
    expect(verdict.tag === 'ready' && verdict.state.tree.hash).toBe(third.tree.hash);
  }, 60_000);

  it('turns to a newer head when one is offered', async () => {
    const first = await cp.publish(records(3000));
    await offer(first);
    const second = await cp.publish([testRecord('r1', 2)]);
    expect(idsOf(await offer(second))).toEqual([second.tree.hash]);
  });
});

describe('what is offered', () => {
  it('is taken, known, on the way, or refused, by where it stands', async () => {
    const published = [];
    for (let version = 1; version <= 4; version++) {
      published.push(await cp.publish([testRecord('a', version)]));
    }
    const [one, two, three, four] = published as [Published, Published, Published, Published];
    const served = await complete(one);
    const tip = await complete(three, [served]);
    const held = [tip, served];

    expect((await offer(four, held)).tag).toBe('fetching');
    expect(await offer(three, held)).toEqual({ tag: 'same' });
    // Between what is served and what is being built: late, but not wrong.
    expect(await offer(two, held)).toEqual({ tag: 'ignored' });
    expect(await offer(one, held)).toMatchObject({
      tag: 'refused',
      position: one.position,
      refusal: { code: 'not_newer' },
    });
  });

  it('is refused below the high-water mark although nothing is held', async () => {
    const published = await cp.publish(records(1));
    const pinned = { ...cp.pinned, highWater: { epoch: 1, revision: 2 } };
    const frame = { type: 'manifest', head: published.head } as const;
    expect(await verifier.verify(frame, { held: [], served: NOWHERE }, pinned)).toMatchObject({
      tag: 'refused',
      refusal: { code: 'not_newer' },
    });
  });

  it('as a delta may start from anything that is held', async () => {
    const one = await cp.publish(records(300));
    const served = await complete(one);
    const two = await cp.publish([testRecord('r1', 2)]);
    const tip = await complete(two, [served]);
    const three = await cp.publish([testRecord('r1', 3)]);
    for (const base of [one, two]) {
      const { upserts, removals } = three.tree.diff(base.tree);
      const frame: FrameOf<'delta'> = {
        type: 'delta',
        base: base.position,
        head: three.head,
        upserts: upserts.map(({ text }) => text),
        removals: [...removals],
      };
      const holding = { held: [tip, served], served: one.position };
      expect((await verifier.verify(frame, holding, cp.pinned)).tag).toBe('ready');
    }
  });
});
