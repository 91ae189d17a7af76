/** Proofs of freshness, and what a node makes of their absence. */
import { beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.ts';
import { ScriptedControlPlane, testRecord } from '../../test/support/scripted-control-plane.ts';
import { SeededRandom } from '../../test/support/seeded-random.ts';
import { base64url } from '../base/bytes.ts';
import type { NodeSettings } from '../config/manifest.ts';
import { makeState, positionOf, verifyHead, type ReplicaState } from '../config/replica.ts';
import { nodeCrypto as crypto } from '../platform/node/crypto.ts';
import type { NodeIdentity } from './identity.ts';
import { freshnessText, verifyFreshness, type FreshnessProof } from './freshness.ts';
import { FreshnessKeeper, type FreshnessView } from './freshness-keeper.ts';
import type { RpcOutcome } from './rpc.ts';

const HOUR_MS = 3_600_000;
/** What the fake clock shows at its start. */
const START_MS = new FakeClock().now();

let cp: ScriptedControlPlane;

beforeEach(async () => {
  cp = await ScriptedControlPlane.create(crypto, new SeededRandom(5));
});

async function publish(settings: NodeSettings | null, createdMs = START_MS): Promise<ReplicaState> {
  const created = { created_at: Math.floor(createdMs / 1000), settings };
  const published = await cp.publish([testRecord('a', cp.history.length + 1)], [], created);
  const verified = await verifyHead(published.head, cp.pinned, crypto);
  if (!verified.ok) throw new Error(verified.detail);
  const made = makeState(verified.head, published.tree);
  if (!made.ok) throw new Error(made.detail);
  return made.state;
}

/** As a control plane would: about its head. */
async function prove(nonce: string, change: object = {}): Promise<FreshnessProof> {
  const head = cp.head?.position ?? { epoch: 0, revision: 0, hash: '' };
  const about = { cluster: cp.cluster, group_id: cp.groupId, ...head, nonce, age_ms: 0 };
  const { text, bytes } = freshnessText({ ...about, ...change });
  return {
    statement: text,
    signature: base64url(await crypto.sign(cp.signing.privateKey, bytes)),
    key_list: cp.keyList.text,
    key_list_signature: cp.keyList.signature,
  };
}

describe('a proof of freshness', () => {
  const NONCE = 'a-nonce-of-our-own';
  const verify = (proof: FreshnessProof) =>
    verifyFreshness(proof, { pinned: cp.pinned, nonce: NONCE }, crypto);

  it('says what the head is', async () => {
    await publish(null);
    expect(await verify(await prove(NONCE, { age_ms: 7 }))).toMatchObject({
      ...cp.head?.position,
      age_ms: 7,
    });
  });

  it.each([
    ['another nonce', { nonce: 'a-nonce-of-another' }],
    ['another cluster', { cluster: '00000000-0000-4000-8000-000000000009' }],
    ['another group', { group_id: '00000000-0000-4000-8000-000000000009' }],
    ['an age that is none', { age_ms: -1 }],
  ])('is none about %s', async (_, change) => {
    expect(await verify(await prove(NONCE, change))).toBeNull();
  });

  it.each(['statement', 'signature', 'key_list', 'key_list_signature'] as const)(
    'is none with one character of its %s changed',
    async (field) => {
      const proof = await prove(NONCE);
      for (const at of [0, Math.floor(proof[field].length / 2), proof[field].length - 2]) {
        const other = proof[field][at] === 'A' ? 'B' : 'A';
        const changed = proof[field].slice(0, at) + other + proof[field].slice(at + 1);
        expect(await verify({ ...proof, [field]: changed })).toBeNull();
      }
    },
  );

  it('is none by a key that is not listed, and by a list that was replaced', async () => {
    const other = await ScriptedControlPlane.create(crypto, new SeededRandom(6));
    const proof = await prove(NONCE);
    const list = { key_list: other.keyList.text, key_list_signature: other.keyList.signature };
    expect(await verify({ ...proof, ...list })).toBeNull();
    const pinned = { ...cp.pinned, keySequence: 2 };
    expect(await verifyFreshness(proof, { pinned, nonce: NONCE }, crypto)).toBeNull();
  });

  it('is none when it was signed for another purpose', async () => {
    const { text } = freshnessText({
      cluster: cp.cluster,
      group_id: cp.groupId,
      epoch: 0,
      revision: 0,
      hash: '',
      nonce: NONCE,
      age_ms: 0,
    });
    const bytes = new TextEncoder().encode(`headgate-manifest-v1\n${text}`);
    const signature = base64url(await crypto.sign(cp.signing.privateKey, bytes));
    expect(await verify({ ...(await prove(NONCE)), signature })).toBeNull();
  });
});

/** A node that serves something, and a way to a control plane. */
class Node implements Client {
  readonly clock = new FakeClock();
  /** The wall clock may be set; the other one never is. */
  wallSkewMs = 0;
  served: ReplicaState | null = null;
  refused = '';
  kept: string | null = null;
  asked = 0;
  isOpen = false;
  answer: (nonce: string) => Promise<RpcOutcome<FreshnessProof>> = async () => OFFLINE;
  readonly changes: FreshnessView[] = [];
  keeper: FreshnessKeeper;

  constructor() {
    this.keeper = this.#make();
  }

  async start(): Promise<void> {
    this.isOpen = false;
    await this.keeper.open();
    this.isOpen = true;
    this.keeper.start();
  }

  async restart(): Promise<void> {
    this.keeper.stop();
    this.keeper = this.#make();
    await this.start();
  }

  #make(): FreshnessKeeper {
    const { clock } = this;
    const seed = new SeededRandom(9);
    return new FreshnessKeeper({
      client: this,
      clock: {
        now: () => clock.now() + this.wallSkewMs,
        monotonic: () => clock.monotonic(),
        setTimer: (delayMs, fn) => clock.setTimer(delayMs, fn),
      },
      random: seed,
      crypto,
      logger: { log: () => {} },
      place: {
        read: async () => this.kept,
        write: async (text) => void (this.kept = text),
      },
      onChange: (view) => {
        if (this.isOpen) this.changes.push(view);
      },
    });
  }

  get identity(): NodeIdentity {
    // The keeper looks at what is pinned, and nothing else.
    return { ...cp.pinned, keySequence: 0 } as unknown as NodeIdentity;
  }

  readonly ask: Client['ask'] = async (_method, params) => {
    this.asked += 1;
    // Of all methods, the keeper asks for this one.
    const { nonce } = params as { nonce: string };
    return (await this.answer(nonce)) as never;
  };
}

type Client = ConstructorParameters<typeof FreshnessKeeper>[0]['client'];

const OFFLINE = { ok: false, code: 'unavailable', detail: '' } as const;
const online = async (nonce: string) => ({ ok: true, value: await prove(nonce) }) as const;
const CLOSE: NodeSettings = { staleness: 'close', staleness_seconds: 60 };

describe('a node without news', () => {
  let node: Node;
  beforeEach(() => {
    node = new Node();
  });

  it('serves for ever by default', async () => {
    node.served = await publish(null);
    await node.start();
    await node.clock.advance(48 * HOUR_MS);
    expect(node.keeper.view()).toMatchObject({ isStale: false, isClosed: false });
    expect(node.changes).toEqual([]);
  });

  it('says so when its group wants a warning, and serves', async () => {
    node.served = await publish({ staleness: 'warn', staleness_seconds: 60 });
    await node.start();
    await node.clock.advance(59_000);
    expect(node.keeper.view().isStale).toBe(false);
    await node.clock.advance(2_000);
    expect(node.keeper.view()).toMatchObject({ isStale: true, isClosed: false });
    expect(node.changes).toHaveLength(1);
  });

  it('closes in time when its group wants that, and opens with the next proof', async () => {
    node.served = await publish(CLOSE);
    node.answer = online;
    await node.start();
    await node.clock.advance(10 * 60_000);
    expect(node.changes).toEqual([]);
    node.answer = async () => OFFLINE;
    await node.clock.advance(61_000);
    expect(node.changes.at(-1)).toMatchObject({ isClosed: true });
    node.answer = online;
    await node.clock.advance(10_000);
    expect(node.changes.at(-1)).toMatchObject({ isClosed: false });
  });

  it('is not kept fresh by who plays a proof again', async () => {
    node.served = await publish(CLOSE);
    let first: FreshnessProof | null = null;
    node.answer = async (nonce) => ({ ok: true, value: (first ??= await prove(nonce)) });
    await node.start();
    await node.clock.advance(120_000);
    expect(node.asked).toBeGreaterThan(5);
    expect(node.keeper.view().isClosed).toBe(true);
  });

  it('is not kept fresh by who withholds what is newer', async () => {
    node.served = await publish(CLOSE);
    await publish(CLOSE);
    node.answer = online;
    await node.start();
    await node.clock.advance(61_000);
    expect(node.keeper.view().isClosed).toBe(true);
  });

  it('is not kept fresh by a control plane that cannot read its database', async () => {
    node.served = await publish(CLOSE);
    const age = () => ({ age_ms: Math.floor(node.clock.monotonic()) });
    node.answer = async (nonce) => ({ ok: true, value: await prove(nonce, age()) });
    await node.start();
    await node.clock.advance(61_000);
    expect(node.keeper.view().isClosed).toBe(true);
  });

  it('is fresh when it was offered what is newer and could not serve it', async () => {
    node.served = await publish(CLOSE);
    node.refused = positionOf(await publish(CLOSE)).hash;
    node.answer = online;
    await node.start();
    await node.clock.advance(600_000);
    expect(node.keeper.view().isStale).toBe(false);
  });

  it('counts a proof from when it serves what the proof is about', async () => {
    node.served = await publish(CLOSE);
    const next = await publish(CLOSE);
    node.answer = online;
    await node.start();
    await node.clock.advance(50_000);
    node.served = next;
    await node.clock.advance(1_000);
    node.keeper.wake();
    expect(node.keeper.view().ageMs).toBeLessThan(15_000);
  });
});

describe('a wall clock that jumps', () => {
  it.each([
    ['forward', 24 * HOUR_MS],
    ['back', -24 * HOUR_MS],
  ])('%s changes nothing while the process runs', async (_, jumpMs) => {
    const node = new Node();
    node.served = await publish(CLOSE);
    node.answer = online;
    await node.start();
    await node.clock.advance(30_000);
    node.wallSkewMs = jumpMs;
    node.answer = async () => OFFLINE;
    await node.clock.advance(45_000);
    expect(node.keeper.view().isStale).toBe(false);
    await node.clock.advance(30_000);
    expect(node.keeper.view().isStale).toBe(true);
  });

  it('cannot make a restarted node fresh', async () => {
    const node = new Node();
    node.served = await publish(CLOSE);
    node.answer = online;
    await node.start();
    await node.clock.advance(600_000);
    node.answer = async () => OFFLINE;
    node.wallSkewMs = -HOUR_MS;
    await node.restart();
    expect(node.keeper.view().isClosed).toBe(true);
  });
});

describe('a node that starts again', () => {
  it('goes on counting from the last proof', async () => {
    const node = new Node();
    node.served = await publish(CLOSE, START_MS - HOUR_MS);
    node.answer = online;
    await node.start();
    await node.clock.advance(30_000);
    node.answer = async () => OFFLINE;
    await node.restart();
    expect(node.keeper.view().isStale).toBe(false);
    await node.clock.advance(40_000);
    await node.restart();
    await node.clock.advance(40_000);
    expect(node.keeper.view().isClosed).toBe(true);
  });

  it('takes a configuration to be as old as its signature says, without any proof', async () => {
    const node = new Node();
    node.served = await publish(CLOSE, START_MS - HOUR_MS);
    await node.start();
    expect(node.keeper.view().isClosed).toBe(true);
    const other = new Node();
    other.served = await publish(CLOSE, START_MS - 10_000);
    await other.start();
    expect(other.keeper.view().isStale).toBe(false);
  });
});

it('asks no more often than it must', async () => {
  const node = new Node();
  node.served = await publish(null);
  node.answer = online;
  await node.start();
  await node.clock.advance(600_000);
  expect(node.asked).toBeLessThanOrEqual(61);
  expect(node.clock.timerCount).toBe(1);
});
