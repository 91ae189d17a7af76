import { beforeAll, describe, expect, it } from 'vitest';
import { ScriptedControlPlane, testRecord } from '../../test/support/scripted-control-plane.ts';
import { SeededRandom } from '../../test/support/seeded-random.ts';
import { makeState, positionOf, verifyHead, type ReplicaState } from '../config/replica.ts';
import { nodeCrypto as crypto } from '../platform/node/crypto.ts';
import { CLOSE } from '../wire/close-codes.ts';
import type { FrameOf } from '../wire/frames.ts';
import { PING_INTERVAL_MS, RPC_PROTOCOL, SILENCE_MAX_MS } from '../wire/protocol.ts';
import {
  deadlineOf,
  HANDSHAKE_MS_MAX,
  initialState,
  STABLE_MS,
  step,
  takesCall,
  takesHealth,
  viewOf,
} from './machine.ts';
import { INBOX_COUNT_MAX } from './news.ts';
import type { SyncEffect, SyncEvent, SyncState } from './state.ts';

let cp: ScriptedControlPlane;
/** Revisions 1 to 5. */
const states: ReplicaState[] = [];
let welcome: FrameOf<'welcome'>;
let challenge: FrameOf<'challenge'>;

beforeAll(async () => {
  cp = await ScriptedControlPlane.create(crypto, new SeededRandom(3));
  for (let revision = 1; revision <= 5; revision++) {
    const published = await cp.publish([testRecord('a', revision)]);
    const verified = await verifyHead(published.head, cp.pinned, crypto);
    if (!verified.ok) throw new Error(verified.detail);
    const made = makeState(verified.head, published.tree);
    if (made.ok) states.push(made.state);
  }
  challenge = cp.challenge('nonce');
  welcome = {
    type: 'welcome',
    protocol: 1,
    cluster: cp.cluster,
    node: cp.groupId,
    group: 'default',
    group_id: cp.groupId,
    join_seq: 4,
    level: 1,
    ping_interval_ms: PING_INTERVAL_MS,
    group_secrets: [],
    control_planes: [],
  };
});

const revision = (number: number): ReplicaState => states[number - 1] as ReplicaState;
const manifest = (number: number): FrameOf<'manifest'> => ({
  type: 'manifest',
  head: revision(number).signed,
});

/** Runs events at one moment; answers the state and the effects of the last one. */
function run(
  state: SyncState,
  events: readonly SyncEvent[],
  moment: { nowMs?: number; random?: number } = {},
): [SyncState, readonly SyncEffect[]] {
  let effects: readonly SyncEffect[] = [];
  let current = state;
  const at = { nowMs: 0, wallMs: 1_000_000, random: 0.5, ...moment };
  for (const event of events) [current, effects] = step(current, event, at);
  return [current, effects];
}

const types = (effects: readonly SyncEffect[]): string[] =>
  effects.map((effect) => (effect.type === 'send' ? `send ${effect.frame.type}` : effect.type));

const begin = (): SyncState => initialState(['wss://a', 'wss://b'], 0);
const connecting = (): SyncState => run(begin(), [{ type: 'start' }])[0];
const joining = (): SyncState => run(connecting(), [{ type: 'message', frame: challenge }])[0];
const live = (): SyncState => run(joining(), [{ type: 'joined', welcome, joinSeq: 4 }])[0];
const ok = { ok: true, quarantined: [] } as const;
const ready = (number: number): SyncEvent => ({
  type: 'verified',
  verdict: { tag: 'ready', state: revision(number) },
});
const built = (number: number, persisted = true): SyncEvent => ({
  type: 'built',
  state: revision(number),
  outcome: ok,
  persisted,
});

describe('the link', () => {
  it('connects, answers the challenge, joins, and confirms its counter', () => {
    const [dialled, connect] = run(begin(), [{ type: 'start' }]);
    expect(connect).toEqual([{ type: 'connect', url: 'wss://a/headgate/v1/sync' }]);
    const [proving, prove] = run(dialled, [{ type: 'message', frame: challenge }]);
    expect(prove).toMatchObject([{ type: 'prove', host: 'a', position: { revision: 0 } }]);
    const [welcomed, join] = run(proving, [{ type: 'message', frame: welcome }]);
    expect(join).toEqual([{ type: 'join', welcome }]);
    const [joined, effects] = run(welcomed, [{ type: 'joined', welcome, joinSeq: 4 }]);
    expect(effects).toMatchObject([
      { type: 'log', level: 'info' },
      { type: 'send', frame: { type: 'status', join_seq: 4 } },
    ]);
    expect(viewOf(joined)).toMatchObject({ tag: 'live', controlPlane: 'wss://a' });
  });

  it.each<[string, () => SyncState, SyncEvent]>([
    ['a welcome before the challenge', connecting, { type: 'message', frame: null as never }],
    ['a second challenge', live, { type: 'message', frame: null as never }],
    ['what is no frame', live, { type: 'garbage', detail: 'x' }],
  ])('hangs up on %s', (name, state, event) => {
    const frame = name.includes('welcome') ? welcome : challenge;
    const actual: SyncEvent = event.type === 'message' ? { type: 'message', frame } : event;
    const [next, effects] = run(state(), [actual]);
    expect(effects[0]).toMatchObject({ type: 'close', code: CLOSE.protocolError });
    expect(viewOf(next).tag).toBe('disconnected');
  });

  it.each([
    ['connecting', connecting],
    ['joining', joining],
  ])('does not stay %s for ever', (_name, state) => {
    const early = run(state(), [{ type: 'tick' }], { nowMs: HANDSHAKE_MS_MAX - 1 });
    expect(viewOf(early[0]).tag).not.toBe('disconnected');
    const late = run(state(), [{ type: 'tick' }], { nowMs: HANDSHAKE_MS_MAX });
    expect(viewOf(late[0]).tag).toBe('disconnected');
    expect(types(late[1])).toEqual(['close', 'log']);
  });

  it('pings on time and hangs up on silence, and any frame breaks the silence', () => {
    const [pinged, ping] = run(live(), [{ type: 'tick' }], { nowMs: PING_INTERVAL_MS });
    expect(types(ping)).toEqual(['send ping']);
    expect(deadlineOf(pinged)).toBe(2 * PING_INTERVAL_MS);
    const pong: SyncEvent = {
      type: 'message',
      frame: { type: 'pong', position: { epoch: 0, revision: 0, hash: '' } },
    };
    const [heard] = run(pinged, [pong], { nowMs: SILENCE_MAX_MS - 1 });
    const [still] = run(heard, [{ type: 'tick' }], { nowMs: SILENCE_MAX_MS });
    expect(viewOf(still).tag).toBe('live');
    const [silent, effects] = run(pinged, [{ type: 'tick' }], { nowMs: SILENCE_MAX_MS });
    expect(effects[0]).toMatchObject({ type: 'close', code: CLOSE.silent });
    expect(viewOf(silent).tag).toBe('disconnected');
  });

  it.each([
    [0, 1],
    [10_000_000, PING_INTERVAL_MS],
  ])('keeps a ping interval of %i within bounds', (asked) => {
    const event = { type: 'joined', welcome: { ...welcome, ping_interval_ms: asked }, joinSeq: 1 };
    const [state] = run(joining(), [event as SyncEvent]);
    expect(deadlineOf(state)).toBeGreaterThanOrEqual(1000);
    expect(deadlineOf(state)).toBeLessThanOrEqual(PING_INTERVAL_MS);
  });

  it('tries the next address each time, waits longer each time, and forgets it once stable', () => {
    const closed: SyncEvent = { type: 'closed', code: 1006, reason: '' };
    let state = connecting();
    const waits: number[] = [];
    const urls: string[] = [];
    for (let round = 0; round < 8; round++) {
      [state] = run(state, [closed], { random: 1 });
      const waitMs = deadlineOf(state) ?? 0;
      waits.push(waitMs);
      const [next, effects] = step(
        state,
        { type: 'tick' },
        { nowMs: waitMs, wallMs: 0, random: 1 },
      );
      if (effects[0]?.type === 'connect') urls.push(effects[0].url.slice(0, 7));
      state = { ...next, link: { tag: 'connecting', address: 'wss://a', sinceMs: 0 } };
    }
    expect(waits).toEqual([250, 500, 1000, 2000, 4000, 5000, 5000, 5000]);
    expect(urls.slice(0, 4)).toEqual(['wss://b', 'wss://a', 'wss://b', 'wss://a']);

    const [stable] = run({ ...live(), failures: 8 }, [closed], { random: 1, nowMs: STABLE_MS });
    expect(deadlineOf(stable)).toBe(STABLE_MS + 250);
    const [shaky] = run({ ...live(), failures: 8 }, [closed], { random: 1, nowMs: STABLE_MS - 1 });
    expect(deadlineOf(shaky)).toBe(STABLE_MS - 1 + 5000);
  });

  it('takes a poll that ended well for no failure, and anything else for one', () => {
    const polling = (): SyncState => ({ ...initialState(['https://a', 'https://b'], 0) });
    const ended: SyncEvent = { type: 'closed', code: CLOSE.normal, reason: '' };
    const [asked] = run(polling(), [{ type: 'start' }, { type: 'message', frame: challenge }]);
    const [mute] = run(asked, [ended]);
    expect(mute).toMatchObject({ failures: 1, next: 1 });

    const [polled] = run(asked, [{ type: 'joined', welcome, joinSeq: 1 }]);
    const [quiet, effects] = run(polled, [ended]);
    expect(effects).toEqual([]);
    expect(quiet).toMatchObject({ failures: 0, next: 0, lastError: null });
    expect(deadlineOf(quiet)).toBe(3750);

    const goaway = { type: 'goaway', retry_after_ms: 20_000, control_planes: [] } as const;
    const [sent] = run(polled, [{ type: 'message', frame: goaway }]);
    expect(sent).toMatchObject({ failures: 1, next: 1 });
    expect(deadlineOf(sent)).toBe(25_000);
    const [broken] = run(polled, [{ type: 'failed', detail: 'a bug' }]);
    expect(broken.lastError).toContain('a bug');
  });

  it('hears nothing of a connection that it has given up', () => {
    const [stopped] = run(live(), [{ type: 'stop' }]);
    for (const event of [
      { type: 'closed', code: 1006, reason: '' },
      { type: 'message', frame: welcome },
      { type: 'tick' },
      { type: 'garbage', detail: '' },
      { type: 'joined', welcome, joinSeq: 9 },
      { type: 'unproven', detail: '' },
    ] as SyncEvent[]) {
      const [after, effects] = run(stopped, [event], { nowMs: 1e9 });
      expect(viewOf(after).tag).toBe('stopped');
      expect(effects).toEqual([]);
    }
  });
});

describe('health', () => {
  const with2 = (): FrameOf<'welcome'> => ({ ...welcome, protocol: 2 });

  it('is reported to a control plane that knows of it, in a session, and not by pull', () => {
    const joined = (state: SyncState, by: FrameOf<'welcome'>): SyncState =>
      run(state, [{ type: 'joined', welcome: by, joinSeq: 4 }])[0];
    expect(takesHealth(joining())).toBe(false);
    expect(takesHealth(joined(joining(), welcome))).toBe(false);
    expect(takesHealth(joined(joining(), with2()))).toBe(true);
    expect(takesHealth(joined(joining(), { ...welcome, protocol: 99 }))).toBe(true);
    const pulling = run(initialState(['https://a'], 0), [
      { type: 'start' },
      { type: 'message', frame: challenge },
    ])[0];
    expect(takesHealth(joined(pulling, with2()))).toBe(false);
  });
});

describe('calls', () => {
  const frame: FrameOf<'call'> = { type: 'call', id: 1, method: 'm', params: '{}' };

  it('are taken once there is a session', () => {
    const event: SyncEvent = { type: 'message', frame };
    expect(run(live(), [event])[1]).toEqual([{ type: 'rpc', frame }]);
    const [state, effects] = run(joining(), [event]);
    expect([viewOf(state).tag, effects]).toEqual(['joining', []]);
    expect(types(run(connecting(), [event])[1])).toContain('close');
  });

  it.each([
    ['a control plane that knows of them', 'wss://a', RPC_PROTOCOL, true],
    ['one of an older release', 'wss://a', RPC_PROTOCOL - 1, false],
    ['nobody when pulling', 'https://a', RPC_PROTOCOL, false],
    ['who answers at once, when pulling', 'https://a', RPC_PROTOCOL, true, 'freshness'],
  ])('are made to %s', (_, address, protocol, isMade, method = 'm') => {
    const [state] = run(initialState([address], 0), [
      { type: 'start' },
      { type: 'message', frame: challenge },
      { type: 'joined', welcome: { ...welcome, protocol }, joinSeq: 4 },
    ]);
    expect(takesCall(state, { ...frame, method })).toBe(isMade);
  });
});

describe('the configuration', () => {
  it('is verified, built, and only then acknowledged', () => {
    const [verifying, verify] = run(live(), [{ type: 'message', frame: manifest(1) }]);
    expect(types(verify)).toEqual(['verify']);
    expect(viewOf(verifying).tag).toBe('syncing');
    const [building, build] = run(verifying, [ready(1)]);
    expect(types(build)).toEqual(['build']);
    expect(positionOf(building.served)).toMatchObject({ revision: 0 });
    const [done, ack] = run(building, [built(1, false)]);
    expect(ack).toMatchObject([
      { type: 'send', frame: { type: 'ack', persisted: false, position: { revision: 1 } } },
    ]);
    expect(viewOf(done)).toMatchObject({ tag: 'live', position: { revision: 1 } });
  });

  it('is verified one frame at a time, in order', () => {
    const frames = [1, 2].map((n): SyncEvent => ({ type: 'message', frame: manifest(n) }));
    const [busy, effects] = run(live(), frames);
    expect(effects).toEqual([]);
    const [, next] = run(busy, [{ type: 'verified', verdict: { tag: 'ignored' } }]);
    expect(next).toMatchObject([{ type: 'verify', frame: manifest(2) }]);
  });

  it('keeps only the newest while one is being built', () => {
    const frame: SyncEvent = { type: 'message', frame: manifest(1) };
    const [busy] = run(live(), [
      frame,
      ready(1),
      frame,
      ready(2),
      frame,
      ready(3),
      frame,
      ready(4),
    ]);
    expect(busy.building).toBe(revision(1));
    expect(busy.candidate).toBe(revision(4));
    const [next, effects] = run(busy, [built(1)]);
    expect(types(effects)).toEqual(['send ack', 'build']);
    expect(next.building).toBe(revision(4));
    expect(next.candidate).toBeNull();
  });

  it('makes one head of more frames than it holds', () => {
    const many = Array.from({ length: INBOX_COUNT_MAX + 1 }, (): SyncEvent => ({
      type: 'message',
      frame: manifest(2),
    }));
    const [full] = run({ ...live(), isVerifying: true }, many.slice(1));
    expect(full.inbox).toHaveLength(INBOX_COUNT_MAX);
    const [over] = run(full, [{ type: 'message', frame: manifest(5) }]);
    expect(over.inbox).toEqual([manifest(5)]);
  });

  it('waits with frames that come before the welcome is taken', () => {
    const [early, none] = run(joining(), [{ type: 'message', frame: manifest(1) }]);
    expect(none).toEqual([]);
    const [, effects] = run(early, [{ type: 'joined', welcome, joinSeq: 1 }]);
    expect(types(effects)).toEqual(['log', 'send status', 'verify']);
  });

  it('that fails to build leaves what was there, and the next is measured against that', () => {
    const served = run(live(), [{ type: 'message', frame: manifest(1) }, ready(1), built(1)])[0];
    const failed: SyncEvent = {
      type: 'built',
      state: revision(2),
      outcome: { ok: false, entity: null, detail: 'no' },
      persisted: false,
    };
    const [after, effects] = run(served, [
      { type: 'message', frame: manifest(2) },
      ready(2),
      failed,
    ]);
    expect(types(effects)).toEqual(['log', 'send nack']);
    expect(after.tip).toBe(revision(1));
    expect(after.served).toBe(revision(1));
  });

  it('goes on being built when the link is lost, and is not acknowledged to nobody', () => {
    const [lost] = run(live(), [
      { type: 'message', frame: manifest(1) },
      ready(1),
      { type: 'closed', code: 1006, reason: '' },
    ]);
    const [after, effects] = run(lost, [built(1)]);
    expect(effects).toEqual([]);
    expect(after.served).toBe(revision(1));
    const again = run(after, [{ type: 'tick' }], { nowMs: 10_000 })[0];
    const [, prove] = run(again, [{ type: 'message', frame: challenge }]);
    expect(prove).toMatchObject([{ type: 'prove', position: { revision: 1 } }]);
  });

  it('is built again, and acknowledged again, when secrets change', () => {
    const served = run(live(), [{ type: 'message', frame: manifest(1) }, ready(1), built(1)])[0];
    const [busy, effects] = run(served, [{ type: 'secrets_changed' }]);
    expect(effects).toEqual([{ type: 'build', state: revision(1) }]);
    expect(types(run(busy, [built(1)])[1])).toEqual(['send ack']);
    expect(run(live(), [{ type: 'secrets_changed' }])[1]).toEqual([]);
  });

  it('is acknowledged again when it is offered again', () => {
    const served = run(live(), [{ type: 'message', frame: manifest(1) }, ready(1), built(1)])[0];
    const [, effects] = run(served, [
      { type: 'message', frame: manifest(1) },
      { type: 'verified', verdict: { tag: 'same' } },
    ]);
    expect(effects).toMatchObject([{ frame: { type: 'ack', position: { revision: 1 } } }]);
  });

  it('names at most a hundred of what was set aside', () => {
    const quarantined = Array.from({ length: 150 }, (_, i) => ({
      kind: 'routes',
      id: `${i}`,
      reason: i === 0 ? '' : 'x'.repeat(5000),
    }));
    const [, effects] = run(live(), [
      { type: 'message', frame: manifest(1) },
      ready(1),
      { type: 'built', state: revision(1), outcome: { ok: true, quarantined }, persisted: true },
    ]);
    const [effect] = effects;
    const frame = effect?.type === 'send' && effect.frame.type === 'ack' ? effect.frame : null;
    expect(frame?.quarantined).toHaveLength(100);
    expect(frame?.quarantined[0]?.reason).toBe('unknown');
    expect(frame?.quarantined[1]?.reason).toHaveLength(1000);
  });
});
