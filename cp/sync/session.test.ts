import { describe, expect, it } from 'vitest';
import { CLOSE } from '#shared/wire/close-codes.ts';
import type { FrameOf, Position, UpFrame } from '#shared/wire/frames.ts';
import { PROTOCOL_VERSION, SILENCE_MAX_MS } from '#shared/wire/protocol.ts';
import { CHAIN_COUNT_MAX, emptyFeed, extendFeed, type Feed, type Published } from './feed.ts';
import {
  ANSWER_MAX_MS,
  BLOCKED_MAX_MS,
  BUFFERED_BYTES_MAX,
  FRAMES_BURST_MAX,
  HANDSHAKE_MAX_MS,
  NEW_SESSION,
  SHARD_BATCH_COUNT,
  step,
  WANTED_COUNT_MAX,
  type Admission,
  type SessionEffect,
  type SessionEvent,
  type SessionState,
} from './session.ts';

const NODE = '10000000-0000-4000-8000-000000000001';
const GROUP = '20000000-0000-4000-8000-000000000001';
const NOTHING: Position = { epoch: 0, revision: 0, hash: '' };

const about = {
  hostname: 'host',
  version: '0.1.0',
  runtime: 'node',
  labels: {},
  features: [],
} as const;

function at(revision: number, epoch = 1): Position {
  return { epoch, revision, hash: `${epoch}-${revision}`.padEnd(64, '0') };
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (frame: Uint8Array): string => new TextDecoder().decode(frame);

function published(revision: number, delta = `delta ${revision}`, generation = 1): Published {
  const isFirst = revision === 1;
  return {
    position: at(revision),
    secretGeneration: generation,
    records: 1,
    manifest: bytes(`manifest ${revision}`),
    delta: isFirst ? null : bytes(delta),
    base: isFirst ? null : at(revision - 1),
  };
}

function feedUpTo(revision: number): Feed {
  const all = Array.from({ length: revision }, (_, index) => published(index + 1));
  return extendFeed(emptyFeed({ groupId: GROUP, level: 1 }), all);
}

const hello: FrameOf<'hello'> = {
  type: 'hello',
  protocol: PROTOCOL_VERSION,
  node: NODE,
  group: 'default',
  host: 'cp.test',
  nonce: 'nonce',
  join_seq: 0,
  position: NOTHING,
  level: 1,
  about,
  signature: 'x',
};

/** A session that is driven by hand. */
class Driver {
  state: SessionState = NEW_SESSION;
  nowMs = 0;
  readonly effects: SessionEffect[] = [];

  give(event: SessionEvent): SessionEffect[] {
    const [state, effects] = step(this.state, event);
    this.state = state;
    this.effects.push(...effects);
    return [...effects];
  }

  open(): this {
    this.give({ type: 'opened', nowMs: this.nowMs, challenge: challenge('nonce') });
    return this;
  }

  frame(frame: UpFrame): SessionEffect[] {
    return this.give({ type: 'frame', nowMs: this.nowMs, frame });
  }

  admit(feed: Feed, position: Position = NOTHING, admission?: Admission): SessionEffect[] {
    return this.give({
      type: 'admitted',
      nowMs: this.nowMs,
      feed,
      admission: admission ?? admitted(position),
    });
  }

  live(feed: Feed, position: Position = NOTHING): SessionEffect[] {
    this.open().frame(hello);
    return this.admit(feed, position);
  }

  head(feed: Feed): SessionEffect[] {
    return this.give({ type: 'head', nowMs: this.nowMs, feed });
  }

  tick(bufferedBytes = 0): SessionEffect[] {
    return this.give({ type: 'tick', nowMs: this.nowMs, bufferedBytes });
  }

  ack(position: Position): SessionEffect[] {
    return this.frame({ type: 'ack', position, persisted: true, quarantined: [] });
  }

  nack(position: Position, code: FrameOf<'nack'>['code'] = 'build_failed'): SessionEffect[] {
    return this.frame({ type: 'nack', position, code, entity: null, detail: 'why' });
  }
}

function challenge(nonce: string): FrameOf<'challenge'> {
  return {
    type: 'challenge',
    protocol: PROTOCOL_VERSION,
    protocol_min: PROTOCOL_VERSION,
    cluster: GROUP,
    nonce,
    time: 0,
    root_key: 'k',
    key_list: 'l',
    key_list_signature: 's',
  };
}

function admitted(position: Position): Admission {
  return {
    ok: true,
    position,
    member: { node: NODE, group: 'default', groupId: GROUP, level: 1, joinPending: 1, about },
    welcome: {
      type: 'welcome',
      protocol: PROTOCOL_VERSION,
      cluster: GROUP,
      node: NODE,
      group: 'default',
      group_id: GROUP,
      join_seq: 1,
      level: 1,
      ping_interval_ms: 10_000,
      group_secrets: [{ generation: 1, sealed: 's' }],
      control_planes: [],
    },
  };
}

function sent(effects: readonly SessionEffect[]): string[] {
  return effects.flatMap((effect) =>
    effect.type === 'send_bytes'
      ? effect.frames.map(text)
      : effect.type === 'send'
        ? [effect.frame.type]
        : [],
  );
}

function closeCode(effects: readonly SessionEffect[]): number | null {
  const found = effects.find((effect) => effect.type === 'close');
  return found?.type === 'close' ? found.code : null;
}

const ping: UpFrame = { type: 'ping', position: NOTHING };

describe('the handshake', () => {
  it('lets nothing but a challenge out before the peer is admitted', () => {
    const it_ = new Driver().open();
    it_.head(feedUpTo(3));
    it_.tick();
    it_.frame(hello);
    it_.head(feedUpTo(4));
    expect(sent(it_.effects)).toEqual(['challenge']);
  });

  const wrongFrames: UpFrame[] = [
    ping,
    { type: 'ack', position: NOTHING, persisted: true, quarantined: [] },
    { type: 'want', ids: ['a'.repeat(64)] },
    { type: 'status', join_seq: 0, position: NOTHING, last_error: null },
  ];
  it.each(wrongFrames)('hangs up on $type before hello', (frame) => {
    expect(closeCode(new Driver().open().frame(frame))).toBe(CLOSE.protocolError);
  });

  it('hangs up on a frame while the hello is being verified', () => {
    const it_ = new Driver().open();
    it_.frame(hello);
    expect(closeCode(it_.frame(hello))).toBe(CLOSE.protocolError);
  });

  it('hangs up on a second hello', () => {
    const it_ = new Driver();
    it_.live(feedUpTo(1));
    expect(closeCode(it_.frame(hello))).toBe(CLOSE.protocolError);
  });

  it('hangs up on garbage', () => {
    const it_ = new Driver().open();
    expect(closeCode(it_.give({ type: 'garbage', detail: 'not a frame' }))).toBe(
      CLOSE.protocolError,
    );
  });

  it('refuses a protocol it does not speak, without asking who it is', () => {
    const effects = new Driver().open().frame({ ...hello, protocol: PROTOCOL_VERSION + 1 });
    expect(closeCode(effects)).toBe(CLOSE.incompatible);
    expect(effects).toHaveLength(1);
  });

  it.each([
    ['unauthorized', CLOSE.unauthorized],
    ['revoked', CLOSE.revoked],
    ['incompatible', CLOSE.incompatible],
    ['overloaded', CLOSE.overloaded],
  ] as const)('closes with the code of %s', (refusal, code) => {
    const it_ = new Driver().open();
    it_.frame(hello);
    const effects = it_.admit(feedUpTo(1), NOTHING, { ok: false, refusal, reason: 'no' });
    expect(closeCode(effects)).toBe(code);
    expect(sent(effects)).toEqual([]);
  });

  it('does not look at a hello that lay here while the process stood still', () => {
    const it_ = new Driver().open();
    it_.nowMs = HANDSHAKE_MAX_MS + 1;
    const effects = it_.frame(hello);
    expect(closeCode(effects)).toBe(CLOSE.silent);
    expect(effects.some(({ type }) => type === 'authenticate')).toBe(false);
  });

  it('gives a handshake five seconds, however far it got', () => {
    for (const isAsked of [false, true]) {
      const it_ = new Driver().open();
      if (isAsked) it_.frame(hello);
      it_.nowMs = HANDSHAKE_MAX_MS;
      expect(closeCode(it_.tick())).toBeNull();
      it_.nowMs += 1;
      expect(closeCode(it_.tick())).toBe(CLOSE.silent);
    }
  });

  it('ignores an admission that comes after the end', () => {
    const it_ = new Driver().open();
    it_.frame(hello);
    it_.give({ type: 'closed' });
    expect(it_.admit(feedUpTo(1))).toEqual([]);
  });
});

describe('updates', () => {
  it('sends welcome, then the manifest, to a node that has nothing', () => {
    expect(sent(new Driver().live(feedUpTo(3)))).toEqual(['welcome', 'manifest 3']);
  });

  it('sends the chain of deltas to a node that is a few revisions behind', () => {
    expect(sent(new Driver().live(feedUpTo(5), at(3)))).toEqual(['welcome', 'delta 4', 'delta 5']);
  });

  it('sends nothing more than welcome to a node that has the head', () => {
    expect(sent(new Driver().live(feedUpTo(5), at(5)))).toEqual(['welcome']);
  });

  it('sends nothing to a group without a publication, and the first one when it comes', () => {
    const it_ = new Driver();
    expect(sent(it_.live(emptyFeed({ groupId: GROUP, level: 1 })))).toEqual(['welcome']);
    expect(sent(it_.head(feedUpTo(1)))).toEqual(['manifest 1']);
  });

  it('sends the manifest when the position is not known here: same number, other content', () => {
    const other = { ...at(3), hash: 'f'.repeat(64) };
    expect(sent(new Driver().live(feedUpTo(5), other))).toEqual(['welcome', 'manifest 5']);
  });

  it('sends the manifest to a node further behind than the chain is long', () => {
    const feed = feedUpTo(CHAIN_COUNT_MAX + 10);
    const it_ = new Driver();
    expect(sent(it_.live(feed, at(9)))).toEqual(['welcome', `manifest ${CHAIN_COUNT_MAX + 10}`]);
    const near = new Driver().live(feed, at(10));
    expect(sent(near)).toHaveLength(1 + CHAIN_COUNT_MAX);
  });

  it('sends a node for the new secret before what was made with it', () => {
    const it_ = new Driver();
    it_.live(feedUpTo(1), at(1));
    const feed = extendFeed(feedUpTo(1), [published(2, 'delta 2', 2)]);
    const effects = it_.head(feed);
    expect(sent(effects)).toEqual(['goaway']);
    expect(closeCode(effects)).toBe(CLOSE.goAway);
    // It may come back to a control plane that has the news before its database does.
    expect(sent(new Driver().live(feed, at(1)))).toEqual(['welcome', 'goaway']);
  });

  it('tells when a node is ahead, and does not push it back', () => {
    const effects = new Driver().live(feedUpTo(2), at(7));
    expect(sent(effects)).toEqual(['welcome']);
    expect(effects).toContainEqual({ type: 'ahead', position: at(7) });
  });

  it('keeps one target for a slow node, however much is published meanwhile', () => {
    const it_ = new Driver();
    it_.live(feedUpTo(1), at(1));
    expect(sent(it_.head(feedUpTo(2)))).toEqual(['delta 2']);
    for (let revision = 3; revision <= 50; revision += 1) {
      expect(sent(it_.head(feedUpTo(revision)))).toEqual([]);
    }
    expect(sent(it_.ack(at(2)))).toHaveLength(48);
    expect(sent(it_.ack(at(50)))).toEqual([]);
  });

  it('waits for the end of a chain that is acked step by step', () => {
    const it_ = new Driver();
    it_.live(feedUpTo(4), at(2));
    expect(sent(it_.ack(at(3)))).toEqual([]);
    expect(sent(it_.ack(at(4)))).toEqual([]);
    expect(sent(it_.head(feedUpTo(5)))).toEqual(['delta 5']);
  });

  it('does not offer a refused revision again, and sends the next as a manifest', () => {
    const it_ = new Driver();
    it_.live(feedUpTo(2), at(1));
    const effects = it_.nack(at(2));
    expect(sent(effects)).toEqual([]);
    expect(effects).toContainEqual({
      type: 'report',
      report: {
        type: 'refused',
        position: at(2),
        code: 'build_failed',
        entity: null,
        detail: 'why',
      },
    });
    expect(sent(it_.head(feedUpTo(2)))).toEqual([]);
    expect(sent(it_.head(feedUpTo(3)))).toEqual(['manifest 3']);
    it_.ack(at(3));
    expect(sent(it_.head(feedUpTo(4)))).toEqual(['delta 4']);
  });

  it('sends the manifest once when a delta does not fit, and gives up when that does not either', () => {
    const it_ = new Driver();
    it_.live(feedUpTo(2), at(1));
    expect(sent(it_.nack(at(2), 'hash_mismatch'))).toEqual(['manifest 2']);
    expect(sent(it_.nack(at(2), 'hash_mismatch'))).toEqual([]);
  });

  it('takes an update that is never answered as lost, and sends the manifest', () => {
    const it_ = new Driver();
    it_.live(feedUpTo(2), at(1));
    it_.nowMs = ANSWER_MAX_MS + 1;
    expect(sent(it_.frame({ type: 'ping', position: at(1) }))).toEqual(['pong', 'manifest 2']);
  });
});

describe('tree nodes', () => {
  const ids = Array.from({ length: 20 }, (_, index) => index.toString(16).padStart(64, '0'));

  it('loads them in batches, the next when the one before is sent', () => {
    const it_ = new Driver();
    it_.live(feedUpTo(1));
    expect(it_.frame({ type: 'want', ids })).toEqual([
      { type: 'load_nodes', ids: ids.slice(0, SHARD_BATCH_COUNT) },
    ]);
    expect(it_.frame({ type: 'want', ids: ids.slice(0, 1) })).toEqual([]);
    const effects = it_.give({ type: 'shards', nowMs: 0, frame: bytes('shards'), rest: [] });
    expect(sent(effects)).toEqual(['shards']);
    expect(effects).toContainEqual({ type: 'load_nodes', ids: ids.slice(8, 16) });
    it_.give({ type: 'shards', nowMs: 0, frame: bytes('shards'), rest: [] });
    expect(it_.give({ type: 'shards', nowMs: 0, frame: bytes('shards'), rest: [] })).toHaveLength(
      1,
    );
  });

  it('goes on with what found no room in a frame', () => {
    const it_ = new Driver();
    it_.live(feedUpTo(1));
    it_.frame({ type: 'want', ids });
    const rest = ids.slice(3, SHARD_BATCH_COUNT);
    const effects = it_.give({ type: 'shards', nowMs: 0, frame: bytes('shards'), rest });
    expect(effects).toContainEqual({
      type: 'load_nodes',
      ids: ids.slice(3, 3 + SHARD_BATCH_COUNT),
    });
  });

  it('cuts off a node that wants more than the bound', () => {
    const it_ = new Driver();
    it_.live(feedUpTo(1));
    const many = Array.from({ length: 256 }, () => 'a'.repeat(64));
    for (let i = 0; i < WANTED_COUNT_MAX / 256; i += 1) {
      expect(closeCode(it_.frame({ type: 'want', ids: many }))).toBeNull();
    }
    expect(closeCode(it_.frame({ type: 'want', ids: many }))).toBe(CLOSE.overloaded);
  });
});

describe('health', () => {
  const frame: FrameOf<'health'> = { type: 'health', reset: true, upstreams: [], gone: [] };

  it('is passed on as it is reported, and taken from nobody else', () => {
    const it_ = new Driver();
    it_.live(feedUpTo(1));
    expect(it_.frame(frame)).toEqual([{ type: 'report', report: { type: 'health', frame } }]);
    expect(closeCode(new Driver().open().frame(frame))).toBe(CLOSE.protocolError);
  });
});

describe('calls', () => {
  const frame: FrameOf<'call'> = { type: 'call', id: 1, method: 'm', params: '{}' };

  it('go both ways in a session', () => {
    const it_ = new Driver();
    it_.live(feedUpTo(1));
    expect(it_.frame(frame)).toEqual([{ type: 'rpc', frame }]);
    expect(it_.give({ type: 'rpc', frame })).toEqual([{ type: 'send', frame }]);
  });

  it('are neither taken from nor made to whoever has not proved who it is', () => {
    expect(closeCode(new Driver().open().frame(frame))).toBe(CLOSE.protocolError);
    expect(new Driver().open().give({ type: 'rpc', frame })).toEqual([]);
  });
});

describe('a live session', () => {
  it('answers a ping with the head, so that a node sees what was withheld', () => {
    const it_ = new Driver();
    it_.live(feedUpTo(3), at(3));
    expect(it_.frame(ping)).toContainEqual({
      type: 'send',
      frame: { type: 'pong', position: at(3) },
    });
  });

  it('confirms the join counter it handed out, and no other', () => {
    const it_ = new Driver();
    it_.live(feedUpTo(1));
    const status = (joinSeq: number): UpFrame => ({
      type: 'status',
      join_seq: joinSeq,
      position: NOTHING,
      last_error: null,
    });
    expect(it_.frame(status(7)).map(({ type }) => type)).toEqual(['report']);
    expect(it_.frame(status(1))).toContainEqual({ type: 'confirm_join', joinSeq: 1 });
  });

  it('hangs up after silence, not before', () => {
    const it_ = new Driver();
    it_.live(feedUpTo(1), at(1));
    it_.nowMs = SILENCE_MAX_MS;
    expect(closeCode(it_.tick())).toBeNull();
    it_.frame(ping);
    it_.nowMs += SILENCE_MAX_MS + 1;
    expect(closeCode(it_.tick())).toBe(CLOSE.silent);
  });

  it('sends nothing while the socket is full, and the newest once it has drained', () => {
    const it_ = new Driver();
    it_.live(feedUpTo(1), at(1));
    it_.tick(BUFFERED_BYTES_MAX + 1);
    expect(sent(it_.head(feedUpTo(2)))).toEqual([]);
    expect(sent(it_.head(feedUpTo(3)))).toEqual([]);
    expect(it_.frame({ type: 'want', ids: ['a'.repeat(64)] })).toEqual([]);
    const effects = it_.tick(BUFFERED_BYTES_MAX);
    expect(sent(effects)).toEqual(['delta 2', 'delta 3']);
    expect(effects).toContainEqual({ type: 'load_nodes', ids: ['a'.repeat(64)] });
  });

  it('cuts off a node that does not take what it was sent', () => {
    const it_ = new Driver();
    it_.live(feedUpTo(1), at(1));
    it_.tick(BUFFERED_BYTES_MAX + 1);
    for (it_.nowMs = 10_000; it_.nowMs <= BLOCKED_MAX_MS; it_.nowMs += 5_000) {
      it_.frame(ping);
      expect(closeCode(it_.tick(BUFFERED_BYTES_MAX + 1))).toBeNull();
    }
    it_.frame(ping);
    expect(closeCode(it_.tick(BUFFERED_BYTES_MAX + 1))).toBe(CLOSE.overloaded);
  });

  it('bounds the frames a node may send', () => {
    const it_ = new Driver();
    it_.live(feedUpTo(1), at(1));
    for (let i = 0; i < FRAMES_BURST_MAX; i += 1) expect(closeCode(it_.frame(ping))).toBeNull();
    expect(closeCode(it_.frame(ping))).toBe(CLOSE.overloaded);
  });

  it('lets a node that keeps a steady pace go on for ever', () => {
    const it_ = new Driver();
    it_.live(feedUpTo(1), at(1));
    for (let i = 0; i < 5 * FRAMES_BURST_MAX; i += 1) {
      it_.nowMs += 25;
      expect(closeCode(it_.frame(ping))).toBeNull();
    }
  });

  it('says goodbye when draining', () => {
    const it_ = new Driver();
    it_.live(feedUpTo(1), at(1));
    const effects = it_.give({ type: 'drain', retryAfterMs: 500, controlPlanes: ['wss://b'] });
    expect(effects).toEqual([
      { type: 'send', frame: { type: 'goaway', retry_after_ms: 500, control_planes: ['wss://b'] } },
      { type: 'close', code: CLOSE.goAway, reason: 'retry_after_ms=500' },
    ]);
  });

  it.each([
    ['revoked', CLOSE.revoked],
    ['superseded', CLOSE.superseded],
    ['failed', CLOSE.overloaded],
  ] as const)('ends when it is %s, and nothing goes out after it', (reason, code) => {
    const it_ = new Driver();
    it_.live(feedUpTo(1), at(1));
    expect(closeCode(it_.give({ type: 'end', reason }))).toBe(code);
    expect(it_.head(feedUpTo(2))).toEqual([]);
    expect(it_.frame(ping)).toEqual([]);
  });
});
