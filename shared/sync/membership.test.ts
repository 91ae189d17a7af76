import { beforeEach, describe, expect, it } from 'vitest';
import { ScriptedControlPlane, testRecord } from '../../test/support/scripted-control-plane.ts';
import { SeededRandom } from '../../test/support/seeded-random.ts';
import { base64url } from '../base/bytes.ts';
import { signKeyList } from '../config/key-list.ts';
import { makeState, NOWHERE, verifyHead, type ReplicaState } from '../config/replica.ts';
import { nodeCrypto as crypto } from '../platform/node/crypto.ts';
import type { FrameOf } from '../wire/frames.ts';
import { PROTOCOL_VERSION, PROTOCOL_VERSION_MIN } from '../wire/protocol.ts';
import { Disk } from './client.suite.ts';
import { Membership, type Admitted, type Proven } from './membership.ts';

const OTHER = '00000000-0000-4000-8000-00000000000f';
let cp: ScriptedControlPlane;
let disk: Disk;
let membership: Membership;

beforeEach(async () => {
  cp = await ScriptedControlPlane.create(crypto, new SeededRandom(1));
  disk = new Disk();
  membership = make();
});

function make(joinToken: string | null = cp.joinToken): Membership {
  return new Membership({
    identities: disk.identities,
    joinToken,
    about: { hostname: 'h', version: '0', runtime: 'node', labels: null, features: [] },
    crypto,
    logger: { log: () => {} },
  });
}

function prove(change: Partial<FrameOf<'challenge'>> = {}): Promise<Proven> {
  return membership.prove({ ...cp.challenge('nonce'), ...change }, 'cp.test', NOWHERE);
}

/** What the control plane answers to whatever the node has proved. */
async function welcome(): Promise<FrameOf<'welcome'>> {
  const proven = await prove();
  if (!proven.ok) throw new Error(proven.detail);
  const { frame } = proven;
  const answer = frame.type === 'hello' ? await cp.admitHello(frame) : await cp.admitEnrol(frame);
  if (answer === null) throw new Error('not admitted');
  return answer;
}

async function joined(): Promise<Admitted> {
  return membership.join(await welcome());
}

async function state(revision: number): Promise<ReplicaState> {
  const published = await cp.publish([testRecord('a', revision)]);
  const verified = await verifyHead(published.head, cp.pinned, crypto);
  const made = verified.ok ? makeState(verified.head, published.tree) : verified;
  if (!made.ok) throw new Error(made.detail);
  return made.state;
}

describe('a control plane that is to be believed', () => {
  const detailOf = (proven: Proven): string => (proven.ok ? 'ok' : proven.detail);

  async function changes(): Promise<[Partial<FrameOf<'challenge'>>, string][]> {
    const stranger = await crypto.generateSigningKey();
    const list = JSON.parse(cp.keyList.text);
    const forged = await signKeyList(list, stranger, crypto);
    const foreign = await signKeyList({ ...list, cluster: OTHER }, cp.root, crypto);
    return [
      [{ root_key: base64url(stranger.publicKey) }, 'another cluster'],
      [{ root_key: '*' }, 'its root key is none'],
      [{ key_list: forged.text, key_list_signature: forged.signature }, 'not signed by the root'],
      [{ key_list: foreign.text, key_list_signature: foreign.signature }, 'of another cluster'],
      [{ protocol_min: PROTOCOL_VERSION + 1, protocol: 99 }, 'no common protocol version'],
      [{ protocol_min: 0, protocol: PROTOCOL_VERSION_MIN - 1 }, 'no common protocol version'],
    ];
  }

  it('is the one of the join token, before anything is said to it', async () => {
    for (const [change, detail] of await changes()) {
      expect(detailOf(await prove(change))).toContain(detail);
    }
    expect(disk.identity).toBeNull();
    expect(detailOf(await prove())).toBe('ok');
  });

  it('is the one that was joined, ever after', async () => {
    expect(await joined()).toMatchObject({ ok: true });
    for (const [change, detail] of await changes()) {
      expect(detailOf(await prove(change))).toContain(detail);
    }
    expect(detailOf(await prove({ cluster: OTHER }))).toContain('another cluster');
    expect(detailOf(await prove())).toBe('ok');
  });

  it('does not come with an outdated list of keys', async () => {
    cp.keyList = await cp.signKeys(3);
    await joined();
    await membership.raiseHighWater({ ...(await state(1)), keySequence: 3 });
    cp.keyList = await cp.signKeys(2);
    expect(detailOf(await prove())).toContain('outdated');
  });

  it('may come with a newer list of keys than what is stored: that stays good until it is replaced', async () => {
    cp.keyList = await cp.signKeys(2);
    await joined();
    await membership.raiseHighWater({ ...(await state(1)), keySequence: 2 });
    cp.keyList = await cp.signKeys(3);
    await joined();
    expect(membership.identity?.keySequence).toBe(2);
  });

  it('may speak later versions beside ours', async () => {
    const proven = await prove({ protocol: PROTOCOL_VERSION + 5 });
    expect(proven).toMatchObject({ ok: true, frame: { protocol: PROTOCOL_VERSION } });
  });

  it('is not asked without a join token', async () => {
    for (const token of [null, '', 'junk']) {
      membership = make(token);
      expect(detailOf(await prove())).toBe('a join token is needed');
    }
  });
});

describe('a welcome', () => {
  it.each<[string, Partial<FrameOf<'welcome'>>, boolean]>([
    ['another cluster', { cluster: OTHER }, false],
    ['another node', { node: OTHER }, true],
    ['another group', { group_id: OTHER }, true],
  ])('of %s is refused', async (_name, change, isOnlyAfterwards) => {
    if (isOnlyAfterwards) await joined();
    const before = disk.identity;
    const answer = await welcome();
    const { identity } = disk;
    expect(await membership.join({ ...answer, ...change })).toMatchObject({ ok: false });
    expect(disk.identity).toBe(identity);
    if (isOnlyAfterwards) expect(disk.identity).toBe(before);
  });

  it('without a challenge is refused', async () => {
    const answer = await welcome();
    const fresh = make();
    await fresh.load();
    expect(await fresh.join(answer)).toMatchObject({ ok: false });
  });

  it('whose secrets cannot be opened leaves those that are known', async () => {
    await joined();
    const answer = await welcome();
    const admitted = await membership.join({
      ...answer,
      group_secrets: [{ generation: 2, sealed: 'AAAA' }],
    });
    expect(admitted).toMatchObject({ ok: true, hasNewSecrets: false });
    expect(membership.identity?.groupSecrets.map(({ generation }) => generation)).toEqual([1]);
  });

  it('that cannot be kept does not confirm its counter', async () => {
    await joined();
    const answer = await welcome();
    disk.isFull = true;
    expect(await membership.join(answer)).toMatchObject({ ok: true, joinSeq: answer.join_seq - 1 });
    expect(membership.identity?.joinSeq).toBe(answer.join_seq - 1);
  });
});

describe('the identity', () => {
  it('loses neither counter nor high-water mark when both change at once', async () => {
    await joined();
    const answer = await welcome();
    let release: () => void = () => {};
    disk.gate = new Promise((resolve) => {
      release = resolve;
    });
    const first = membership.raiseHighWater(await state(1));
    const join = membership.join(answer);
    const second = membership.raiseHighWater(await state(2));
    release();
    await Promise.all([first, join, second]);

    const stored = await disk.identities.load();
    expect(stored).toMatchObject({
      joinSeq: answer.join_seq,
      highWater: { epoch: 1, revision: 2 },
    });
    expect(membership.identity?.joinSeq).toBe(answer.join_seq);
  });

  it('keeps its high-water mark through a new welcome that was being read meanwhile', async () => {
    await joined();
    const answer = await welcome();
    const newest = await state(1);
    await Promise.all([membership.join(answer), membership.raiseHighWater(newest)]);
    expect(membership.identity?.highWater.revision).toBe(1);
    const next = await welcome();
    await Promise.all([membership.raiseHighWater(await state(2)), membership.join(next)]);
    expect(membership.identity).toMatchObject({
      joinSeq: next.join_seq,
      highWater: { epoch: 1, revision: 2 },
    });
    await membership.join(await welcome());
    expect(membership.identity?.highWater.revision).toBe(2);
  });

  it('that is damaged is said to be, and made anew', async () => {
    await joined();
    const node = membership.identity?.node;
    disk.identity = `${disk.identity ?? ''}x`;
    cp.tokenUses = 1;
    membership = make();
    await membership.load();
    expect(membership.identity).toBeNull();
    expect(await joined()).toMatchObject({ ok: true });
    expect(membership.identity?.node).not.toBe(node);
  });

  it('of a request to join that was refused is made anew, and kept while nobody has answered', async () => {
    const keyOf = async (): Promise<string> => {
      const proven = await prove();
      if (!proven.ok || proven.frame.type !== 'enrol') throw new Error('no request to join');
      return proven.frame.public_key;
    };
    const first = await keyOf();
    membership = make();
    await membership.load();
    expect(await keyOf()).toBe(first);
    // An image with these keys was started twice, and the other copy has joined by them.
    membership.refused();
    expect(await keyOf()).not.toBe(first);
    expect(await joined()).toMatchObject({ ok: true });
    const node = membership.identity?.node;
    membership.refused();
    expect(membership.identity?.node).toBe(node);
  });
});
