/**
 * One data plane's connection, as seen by the control plane: `step(state, event) → [state, effects]`.
 * Pure: time, verification and database come in as events, so a simulator can run it.
 *
 * One update is under way per node at a time. What is published meanwhile only moves the head; the
 * node's next update leads to the newest, so a slow node costs one pending target, not a queue.
 */
import { unreachable } from '#shared/base/assert.ts';
import { CLOSE } from '#shared/wire/close-codes.ts';
import type { About, DownFrame, FrameOf, Position, UpFrame } from '#shared/wire/frames.ts';
import { PROTOCOL_VERSION, PROTOCOL_VERSION_MIN, SILENCE_MAX_MS } from '#shared/wire/protocol.ts';
import { planUpdate, type Feed, type FrameBytes } from './feed.ts';

/** A connection must be through with `hello` or `enrol` by then. */
export const HANDSHAKE_MAX_MS = 5_000;
/** Unsent bytes above which nothing more is handed to the socket. */
export const BUFFERED_BYTES_MAX = 1024 * 1024;
/** A node that cannot take what was sent within this time is cut off. */
export const BLOCKED_MAX_MS = 25_000;
/** An update that was neither acked nor nacked by then is taken as lost. */
export const ANSWER_MAX_MS = 60_000;
/** Tree nodes that a node may have asked for and not got yet. */
export const WANTED_COUNT_MAX = 4_096;
/** Tree nodes loaded for one `shards` frame: about half a megabyte. */
export const SHARD_BATCH_COUNT = 8;
/** After it a node comes back for the group's new secret. */
export const NEW_SECRET_RETRY_MS = 500;
/** Frames a node may send in a burst, and per second after it. */
export const FRAMES_BURST_MAX = 200;
export const FRAMES_PER_SECOND_MAX = 50;

/** Who the peer proved to be. Taken from the node's record, never from its claim. */
export interface Member {
  readonly node: string;
  readonly group: string;
  readonly groupId: string;
  readonly level: number;
  /** The join counter handed out in `welcome`, confirmed by the node's first `status`. */
  readonly joinPending: number;
  /** Its key is old: it is asked for another one. */
  readonly isKeyOld?: boolean;
  /** What it says of itself; shown, never decided by. */
  readonly about: About;
}

export type Refusal = 'unauthorized' | 'revoked' | 'incompatible' | 'overloaded';

export type Admission =
  | {
      readonly ok: true;
      readonly member: Member;
      readonly welcome: FrameOf<'welcome'>;
      readonly position: Position;
    }
  | { readonly ok: false; readonly refusal: Refusal; readonly reason: string };

/** What the machine tells of the node, for the registry. */
export type Report =
  | {
      readonly type: 'applied';
      readonly position: Position;
      readonly persisted: boolean;
      readonly quarantined: FrameOf<'ack'>['quarantined'];
    }
  | {
      readonly type: 'refused';
      readonly position: Position;
      readonly code: string;
      readonly entity: FrameOf<'nack'>['entity'];
      readonly detail: string;
    }
  | { readonly type: 'alive'; readonly position: Position }
  | { readonly type: 'health'; readonly frame: FrameOf<'health'> }
  | { readonly type: 'status'; readonly position: Position; readonly lastError: string | null };

type EndReason = 'revoked' | 'locked' | 'superseded' | 'greedy' | 'failed';

export type SessionEvent =
  | { readonly type: 'opened'; readonly nowMs: number; readonly challenge: FrameOf<'challenge'> }
  | {
      readonly type: 'frame';
      readonly nowMs: number;
      readonly frame: UpFrame;
      /** What is known has not been compared with the database for too long. */
      readonly isUnsure?: boolean;
    }
  /** Something that is not a frame: binary, garbage, too long. */
  | { readonly type: 'garbage'; readonly detail: string }
  | {
      readonly type: 'admitted';
      readonly nowMs: number;
      readonly admission: Admission;
      readonly feed: Feed;
    }
  | { readonly type: 'head'; readonly nowMs: number; readonly feed: Feed }
  /** The batch asked for by `load_nodes`, as one `shards` frame. */
  | {
      readonly type: 'shards';
      readonly nowMs: number;
      readonly frame: FrameBytes;
      /** Ids that found no room in it: the next to be loaded. */
      readonly rest: readonly string[];
    }
  /** Now and then, with what the socket has not sent yet. */
  | { readonly type: 'tick'; readonly nowMs: number; readonly bufferedBytes: number }
  | {
      readonly type: 'drain';
      readonly retryAfterMs: number;
      readonly controlPlanes: readonly string[];
    }
  /** A call of the node's methods, or an answer to one of its calls. */
  | { readonly type: 'rpc'; readonly frame: FrameOf<'call'> | FrameOf<'result'> }
  | { readonly type: 'end'; readonly reason: EndReason }
  | { readonly type: 'closed' };

export type SessionEffect =
  | { readonly type: 'send'; readonly frame: DownFrame }
  | { readonly type: 'send_bytes'; readonly frames: readonly FrameBytes[] }
  | { readonly type: 'close'; readonly code: number; readonly reason: string }
  /** Answered by `admitted`. */
  | {
      readonly type: 'authenticate';
      readonly frame: FrameOf<'hello'> | FrameOf<'enrol'>;
      readonly nonce: string;
    }
  /** Answered by `shards`. */
  | { readonly type: 'load_nodes'; readonly ids: readonly string[] }
  | { readonly type: 'joined'; readonly member: Member; readonly position: Position }
  | { readonly type: 'confirm_join'; readonly joinSeq: number }
  | { readonly type: 'report'; readonly report: Report }
  /** The node calls one of our methods, or answers one of our calls. */
  | { readonly type: 'rpc'; readonly frame: FrameOf<'call'> | FrameOf<'result'> }
  /** The node serves something newer than this control plane knows of. */
  | { readonly type: 'ahead'; readonly position: Position };

/** Tokens left of the frame budget. */
interface Budget {
  readonly tokens: number;
  readonly atMs: number;
}

interface Greeting {
  readonly tag: 'challenged' | 'verifying';
  readonly nonce: string;
  readonly sinceMs: number;
}

/** The update under way: what the node was sent and should end at. */
interface Target {
  readonly position: Position;
  readonly by: 'deltas' | 'manifest';
  readonly sentMs: number;
}

export interface Live {
  readonly tag: 'live';
  readonly member: Member;
  readonly feed: Feed;
  /** Newest generation of the group's secret that the node was given in this session. */
  readonly secretGeneration: number;
  /** Where the node stands by its own word. */
  readonly served: Position;
  readonly target: Target | null;
  /** Hash of the head that the node refused; not offered again. */
  readonly refused: string | null;
  /** After a refusal deltas are not trusted: the next update is a manifest. */
  readonly byManifest: boolean;
  readonly wanted: readonly string[];
  readonly isLoading: boolean;
  readonly blockedSinceMs: number | null;
  readonly heardMs: number;
  readonly budget: Budget;
}

export type SessionState = { readonly tag: 'new' } | Greeting | Live | { readonly tag: 'closed' };

type Step = readonly [SessionState, readonly SessionEffect[]];

export const NEW_SESSION: SessionState = { tag: 'new' };
const CLOSED: SessionState = { tag: 'closed' };

export function step(state: SessionState, event: SessionEvent): Step {
  if (state.tag === 'closed' || event.type === 'closed') return [CLOSED, []];
  switch (event.type) {
    case 'opened':
      return opened(state, event);
    case 'frame':
      return received(state, event);
    case 'garbage':
      return close(CLOSE.protocolError, event.detail);
    case 'admitted':
      return admitted(state, event);
    case 'head':
      if (state.tag !== 'live') return [state, []];
      return advance({ ...state, feed: event.feed }, event.nowMs);
    case 'shards':
      return shards(state, event);
    case 'tick':
      return ticked(state, event.nowMs, event.bufferedBytes);
    case 'rpc':
      // What may wait for an answer is bounded, so that a slow reader is not asked to wait.
      return [state, state.tag === 'live' ? [{ type: 'send', frame: event.frame }] : []];
    case 'drain':
      return drained(event);
    case 'end':
      return ended(event.reason);
    default:
      return unreachable(event);
  }
}

function close(code: number, reason: string): Step {
  return [CLOSED, [{ type: 'close', code, reason }]];
}

function opened(state: SessionState, event: Extract<SessionEvent, { type: 'opened' }>): Step {
  if (state.tag !== 'new') return [state, []];
  const { nonce } = event.challenge;
  return [
    { tag: 'challenged', nonce, sinceMs: event.nowMs },
    [{ type: 'send', frame: event.challenge }],
  ];
}

function received(state: SessionState, event: Extract<SessionEvent, { type: 'frame' }>): Step {
  const { frame, nowMs } = event;
  if (state.tag === 'live') {
    const budget = spend(state.budget, nowMs);
    if (budget === null) return close(CLOSE.overloaded, 'too many frames');
    const heard: Live = { ...state, heardMs: nowMs, budget };
    if (frame.type === 'ping') return pinged(heard, frame.position, event);
    return live(heard, frame, nowMs);
  }
  if (state.tag !== 'challenged') return close(CLOSE.protocolError, 'frame out of order');
  // It lay here while this process stood still: its sender has long gone elsewhere, and what it
  // presents would look like a clone's.
  if (nowMs - state.sinceMs > HANDSHAKE_MAX_MS) {
    return close(CLOSE.silent, 'handshake took too long');
  }
  if (frame.type !== 'hello' && frame.type !== 'enrol') {
    return close(CLOSE.protocolError, 'hello or enrol expected');
  }
  if (frame.protocol < PROTOCOL_VERSION_MIN || frame.protocol > PROTOCOL_VERSION) {
    return close(CLOSE.incompatible, 'no common protocol version');
  }
  return [{ ...state, tag: 'verifying' }, [{ type: 'authenticate', frame, nonce: state.nonce }]];
}

function spend(budget: Budget, nowMs: number): Budget | null {
  const earned = ((nowMs - budget.atMs) * FRAMES_PER_SECOND_MAX) / 1000;
  const tokens = Math.min(FRAMES_BURST_MAX, budget.tokens + earned) - 1;
  return tokens < 0 ? null : { tokens, atMs: nowMs };
}

const REFUSAL_CODE = {
  unauthorized: CLOSE.unauthorized,
  revoked: CLOSE.revoked,
  incompatible: CLOSE.incompatible,
  overloaded: CLOSE.overloaded,
} as const;

function admitted(state: SessionState, event: Extract<SessionEvent, { type: 'admitted' }>): Step {
  if (state.tag !== 'verifying') return [state, []];
  const { admission, nowMs } = event;
  if (!admission.ok) return close(REFUSAL_CODE[admission.refusal], admission.reason);
  const { member, welcome, position } = admission;
  const next: Live = {
    tag: 'live',
    member,
    feed: event.feed,
    secretGeneration: welcome.group_secrets[0]?.generation ?? 0,
    served: position,
    target: null,
    refused: null,
    byManifest: false,
    wanted: [],
    isLoading: false,
    blockedSinceMs: null,
    heardMs: nowMs,
    budget: { tokens: FRAMES_BURST_MAX, atMs: nowMs },
  };
  const [after, effects] = advance(next, nowMs);
  const first: SessionEffect[] = [
    { type: 'joined', member, position },
    { type: 'send', frame: welcome },
  ];
  if (planUpdate(event.feed, position).type === 'ahead') first.push({ type: 'ahead', position });
  return [after, [...first, ...effects]];
}

/** Sends what leads to the head, unless something is under way or the socket is full. */
function advance(state: Live, nowMs: number): Step {
  // What was made with a newer secret is of no use without it, and a welcome brings it.
  if ((state.feed.head?.secretGeneration ?? 0) > state.secretGeneration) {
    return drained({ retryAfterMs: NEW_SECRET_RETRY_MS, controlPlanes: [] });
  }
  const head = state.feed.head?.position;
  if (head === undefined || state.target !== null || state.blockedSinceMs !== null)
    return [state, []];
  if (head.hash === state.refused) return [state, []];
  const update = planUpdate(state.feed, state.served);
  switch (update.type) {
    case 'none':
    case 'ahead':
      return [state, []];
    case 'manifest':
      return offer(state, head, 'manifest', update.frames, nowMs);
    case 'deltas':
      if (!state.byManifest) return offer(state, head, 'deltas', update.frames, nowMs);
      return offer(state, head, 'manifest', manifestOf(state.feed), nowMs);
    default:
      return unreachable(update);
  }
}

function manifestOf(feed: Feed): readonly FrameBytes[] {
  return feed.head === null ? [] : [feed.head.manifest];
}

function offer(
  state: Live,
  position: Position,
  by: Target['by'],
  frames: readonly FrameBytes[],
  nowMs: number,
): Step {
  return [{ ...state, target: { position, by, sentMs: nowMs } }, [{ type: 'send_bytes', frames }]];
}

function live(state: Live, frame: Exclude<UpFrame, FrameOf<'ping'>>, nowMs: number): Step {
  switch (frame.type) {
    case 'hello':
    case 'enrol':
      return close(CLOSE.protocolError, 'frame out of order');
    case 'want':
      return want(state, frame.ids);
    case 'ack':
      return acked(state, frame, nowMs);
    case 'nack':
      return nacked(state, frame, nowMs);
    case 'status':
      return status(state, frame);
    case 'health':
      return [state, [{ type: 'report', report: { type: 'health', frame } }]];
    case 'call':
    case 'result':
      return [state, [{ type: 'rpc', frame }]];
    default:
      return unreachable(frame);
  }
}

function want(state: Live, ids: readonly string[]): Step {
  const wanted = [...state.wanted, ...ids];
  if (wanted.length > WANTED_COUNT_MAX)
    return close(CLOSE.overloaded, 'too many tree nodes wanted');
  return load({ ...state, wanted });
}

/** Asks for the next batch, one at a time and only while the socket takes it. */
function load(state: Live): Step {
  if (state.isLoading || state.blockedSinceMs !== null || state.wanted.length === 0) {
    return [state, []];
  }
  const ids = state.wanted.slice(0, SHARD_BATCH_COUNT);
  const wanted = state.wanted.slice(SHARD_BATCH_COUNT);
  return [{ ...state, wanted, isLoading: true }, [{ type: 'load_nodes', ids }]];
}

function shards(
  state: SessionState,
  { frame, rest }: Extract<SessionEvent, { type: 'shards' }>,
): Step {
  if (state.tag !== 'live' || !state.isLoading) return [state, []];
  const wanted = [...rest, ...state.wanted];
  const [next, effects] = load({ ...state, wanted, isLoading: false });
  return [next, [{ type: 'send_bytes', frames: [frame] }, ...effects]];
}

function acked(state: Live, frame: FrameOf<'ack'>, nowMs: number): Step {
  const { position, persisted, quarantined } = frame;
  const isThere = state.target === null || position.hash === state.target.position.hash;
  const [next, effects] = advance(
    {
      ...state,
      served: position,
      target: isThere ? null : state.target,
      refused: isThere ? null : state.refused,
      byManifest: isThere ? false : state.byManifest,
    },
    nowMs,
  );
  const report: Report = { type: 'applied', position, persisted, quarantined };
  return [next, [{ type: 'report', report }, ...effects]];
}

function nacked(state: Live, frame: FrameOf<'nack'>, nowMs: number): Step {
  const { position, code, entity, detail } = frame;
  // A delta that does not fit says nothing about the head: the manifest gets its chance.
  const isBaseWrong = code === 'hash_mismatch' && state.target?.by === 'deltas';
  const refused = isBaseWrong ? state.refused : (state.target?.position.hash ?? position.hash);
  const [next, effects] = advance({ ...state, target: null, refused, byManifest: true }, nowMs);
  const report: Report = { type: 'refused', position, code, entity, detail };
  return [next, [{ type: 'report', report }, ...effects]];
}

function status(state: Live, frame: FrameOf<'status'>): Step {
  const { position, last_error: lastError } = frame;
  const effects: SessionEffect[] = [
    { type: 'report', report: { type: 'status', position, lastError } },
  ];
  if (frame.join_seq === state.member.joinPending) {
    effects.push({ type: 'confirm_join', joinSeq: frame.join_seq });
  }
  return [state, effects];
}

function pinged(
  state: Live,
  position: Position,
  { nowMs, isUnsure = false }: { readonly nowMs: number; readonly isUnsure?: boolean },
): Step {
  const known = state.feed.head?.position ?? { epoch: 0, revision: 0, hash: '' };
  // Without a hash nothing is said to be the newest: whoever has it is not told that it is current.
  const head = isUnsure ? { ...known, hash: '' } : known;
  const effects: SessionEffect[] = [
    { type: 'send', frame: { type: 'pong', position: head } },
    { type: 'report', report: { type: 'alive', position } },
  ];
  const isLost = state.target !== null && nowMs - state.target.sentMs > ANSWER_MAX_MS;
  if (!isLost) return [state, effects];
  const [next, more] = advance(
    { ...state, served: position, target: null, byManifest: true },
    nowMs,
  );
  return [next, [...effects, ...more]];
}

function ticked(state: SessionState, nowMs: number, bufferedBytes: number): Step {
  if (state.tag === 'new') return [state, []];
  if (state.tag === 'challenged' || state.tag === 'verifying') {
    if (nowMs - state.sinceMs <= HANDSHAKE_MAX_MS) return [state, []];
    return close(CLOSE.silent, 'handshake took too long');
  }
  if (state.tag !== 'live') return [state, []];
  if (nowMs - state.heardMs > SILENCE_MAX_MS) return close(CLOSE.silent, 'nothing heard');
  if (bufferedBytes > BUFFERED_BYTES_MAX) {
    const since = state.blockedSinceMs ?? nowMs;
    if (nowMs - since > BLOCKED_MAX_MS) return close(CLOSE.overloaded, 'too slow');
    return [{ ...state, blockedSinceMs: since }, []];
  }
  if (state.blockedSinceMs === null) return [state, []];
  const [loading, first] = load({ ...state, blockedSinceMs: null });
  if (loading.tag !== 'live') return [loading, first];
  const [next, rest] = advance(loading, nowMs);
  return [next, [...first, ...rest]];
}

function drained({
  retryAfterMs,
  controlPlanes,
}: Omit<Extract<SessionEvent, { type: 'drain' }>, 'type'>): Step {
  return [
    CLOSED,
    [
      {
        type: 'send',
        frame: { type: 'goaway', retry_after_ms: retryAfterMs, control_planes: controlPlanes },
      },
      { type: 'close', code: CLOSE.goAway, reason: `retry_after_ms=${retryAfterMs}` },
    ],
  ];
}

function ended(reason: EndReason): Step {
  if (reason === 'locked') return close(CLOSE.unauthorized, 'the node was locked');
  if (reason === 'revoked') return close(CLOSE.revoked, 'the node was revoked');
  if (reason === 'superseded') return close(CLOSE.superseded, 'a newer session took over');
  if (reason === 'greedy') return close(CLOSE.overloaded, 'too many tree nodes wanted');
  return close(CLOSE.overloaded, 'retry_after_ms=2000');
}
