/**
 * The data plane's side of a session, as a pure machine: (state, event, moment) → (state, effects).
 *
 * Two things go on beside each other. The link: connect, join, stay in touch, come back. And the
 * configuration: verify what arrives in the order it arrives, build the newest that is verified, one
 * at a time, acknowledge what is served. What was verified or is being built outlives the link.
 */
import { unreachable } from '../base/assert.ts';
import { NOWHERE, positionOf } from '../config/replica.ts';
import { CLOSE } from '../wire/close-codes.ts';
import type { DownFrame, FrameOf, Position, UpFrame } from '../wire/frames.ts';
import {
  HEALTH_PROTOCOL,
  PING_INTERVAL_MS,
  PROTOCOL_VERSION,
  RPC_PROTOCOL,
  SILENCE_MAX_MS,
} from '../wire/protocol.ts';
import { parseAddress } from './address.ts';
import {
  isSlow,
  retryAfterDelayMs,
  retryAfterOf,
  retryDelayMs,
  RETRY_MS_MAX,
  slowRetryDelayMs,
} from './backoff.ts';
import {
  build,
  buildAgain,
  built,
  enqueue,
  hear,
  learn,
  saved,
  shorten,
  verified,
  verifyNext,
} from './news.ts';
import { isRejoin } from './rejoin.ts';
import type { RpcFrame } from './rpc.ts';
import {
  send,
  type ConfigFrame,
  type Link,
  type Live,
  type Moment,
  type Step,
  type SyncEffect,
  type SyncEvent,
  type SyncState,
} from './state.ts';

/** From dialling to `welcome`. */
export const HANDSHAKE_MS_MAX = 15_000;
/** A session that lived so long was a good one: the next failure is the first. */
export const STABLE_MS = 10_000;
const PING_INTERVAL_MS_MIN = 1_000;

/** @param first  index of the address to begin with: a random one spreads a fleet */
export function initialState(configured: readonly string[], first: number): SyncState {
  return {
    link: { tag: 'stopped' },
    configured,
    told: [],
    addresses: configured,
    next: first,
    failures: 0,
    joinSeq: 0,
    inbox: [],
    isVerifying: false,
    isFetching: false,
    tip: null,
    building: null,
    candidate: null,
    served: null,
    lastAck: null,
    lastError: null,
    staleSinceMs: null,
  };
}

export function step(state: SyncState, event: SyncEvent, moment: Moment): Step {
  switch (event.type) {
    case 'start':
      return state.link.tag === 'stopped' ? connect(state, moment) : [state, []];
    case 'stop':
      return stop(state);
    case 'tick':
      return tick(state, moment);
    case 'message':
      return received(state, event.frame, moment);
    case 'garbage':
      if (!isDialled(state.link)) return [state, []];
      return giveUp(state, moment, CLOSE.protocolError, event.detail);
    case 'closed':
      return isDialled(state.link) ? disconnect(state, moment, event) : [state, []];
    case 'proved':
      return isOpen(state.link) ? [state, [send(event.frame)]] : [state, []];
    case 'joined':
      return joined(state, event, moment);
    case 'secrets_changed':
      return buildAgain(state);
    case 'unproven':
      return isOpen(state.link) ? unproven(state, event.detail, moment) : [state, []];
    case 'retry':
      return retry(state, moment);
    case 'verified':
      return verified({ ...state, isVerifying: false }, event.verdict);
    case 'restored':
      return [learn({ ...state, tip: event.state, served: event.state }, event.state), []];
    case 'built':
      return built(state, event);
    case 'persisted':
      return saved(state, event.state);
    case 'held_back':
      return state.served === null && state.building === null
        ? build(state, event.state)
        : [state, []];
    case 'trouble': {
      const next = { ...state, lastError: event.error };
      return [next, state.link.tag === 'live' ? [send(statusOf(next))] : []];
    }
    case 'failed':
      if (!isDialled(state.link)) return [{ ...state, isVerifying: false }, []];
      return giveUp({ ...state, isVerifying: false }, moment, CLOSE.normal, event.detail);
    default:
      return unreachable(event);
  }
}

/** When `tick` is due, on the monotonic clock; null: not at all. */
export function deadlineOf({ link }: SyncState): number | null {
  switch (link.tag) {
    case 'stopped':
      return null;
    case 'waiting':
      return link.retryAtMs;
    case 'connecting':
    case 'joining':
      return link.sinceMs + HANDSHAKE_MS_MAX;
    case 'live':
      return Math.min(link.pingAtMs, link.heardMs + SILENCE_MAX_MS);
    default:
      return unreachable(link);
  }
}

function isDialled(link: Link): link is Exclude<Link, { tag: 'stopped' | 'waiting' }> {
  return link.tag !== 'stopped' && link.tag !== 'waiting';
}

function isOpen(link: Link): link is Extract<Link, { tag: 'joining' | 'live' }> {
  return link.tag === 'joining' || link.tag === 'live';
}

// The link.

function connect(state: SyncState, { nowMs, wallMs }: Moment): Step {
  const address = state.addresses[state.next % state.addresses.length] ?? '';
  const parsed = parseAddress(address);
  if (parsed === null) return [{ ...state, lastError: 'no address of a control plane' }, []];
  const link: Link = { tag: 'connecting', address, sinceMs: nowMs };
  const staleSinceMs = state.staleSinceMs ?? wallMs;
  return [{ ...state, link, staleSinceMs }, [{ type: 'connect', url: parsed.url }]];
}

function stop(state: SyncState): Step {
  const effects: SyncEffect[] = isDialled(state.link)
    ? [{ type: 'close', code: CLOSE.normal, reason: 'the node stops' }]
    : [];
  return [{ ...offline(state), link: { tag: 'stopped' } }, effects];
}

function tick(state: SyncState, moment: Moment): Step {
  const { link } = state;
  const due = deadlineOf(state);
  if (due === null || moment.nowMs < due) return [state, []];
  if (link.tag === 'waiting') return connect(state, moment);
  if (link.tag !== 'live') return giveUp(state, moment, CLOSE.silent, 'no welcome in time');
  if (moment.nowMs >= link.heardMs + SILENCE_MAX_MS) {
    return giveUp(state, moment, CLOSE.silent, 'nothing heard');
  }
  const next = { ...link, pingAtMs: moment.nowMs + link.pingIntervalMs };
  const ping: UpFrame = { type: 'ping', position: positionOf(state.served) };
  return [{ ...state, link: next }, [send(ping)]];
}

/** Closes the connection ourselves and comes back later. */
function giveUp(state: SyncState, moment: Moment, code: number, reason: string): Step {
  // Not `normal` for ourselves: that is how an exchange by pull ends well.
  const ended = { code: code === CLOSE.normal ? CLOSE.goAway : code, reason };
  const [next, effects] = disconnect(state, moment, ended);
  return [next, [{ type: 'close', code, reason: reason.slice(0, 100) }, ...effects]];
}

function unproven(state: SyncState, detail: string, moment: Moment): Step {
  const ended = { code: CLOSE.unauthorized, reason: detail };
  const [next, effects] = disconnect(state, moment, ended);
  return [next, [{ type: 'close', code: CLOSE.normal, reason: 'not proven' }, ...effects]];
}

function disconnect(
  state: SyncState,
  moment: Moment,
  { code, reason }: { readonly code: number; readonly reason: string },
): Step {
  const { link } = state;
  const wasLive = link.tag === 'live';
  const wasStable = wasLive && moment.nowMs - link.sinceMs >= STABLE_MS;
  const isPolled = wasLive && code === CLOSE.normal && parseAddress(link.address)?.isPull === true;
  const failures = wasStable || isPolled ? 0 : state.failures + 1;
  const delayMs = isPolled
    ? RETRY_MS_MAX * (1 - moment.random / 2)
    : delayAfter(code, reason, { failures: failures - 1, random: moment.random });
  const next: SyncState = {
    ...offline(state),
    link: { tag: 'waiting', retryAtMs: moment.nowMs + delayMs },
    // A control plane that answers a poll is as good as any; after anything else, try the next.
    next: isPolled ? state.next : (state.next + 1) % Math.max(1, state.addresses.length),
    failures,
    lastError: isPolled ? state.lastError : `disconnected: ${code} ${reason}`.trimEnd(),
    staleSinceMs: state.staleSinceMs ?? moment.wallMs,
  };
  if (isPolled) return [next, []];
  const address = isDialled(link) ? link.address : '';
  const fields = { address, code, reason: reason.slice(0, 200), retry_ms: Math.round(delayMs) };
  const level = isSlow(code) ? 'error' : 'warn';
  const log: SyncEffect = {
    type: 'log',
    level,
    message: 'not connected to the control plane',
    fields,
  };
  const isAsked = code === CLOSE.unauthorized && isRejoin(reason);
  return [next, isAsked ? [log, { type: 'rejoin', reason }] : [log]];
}

/** Sooner than was meant: what kept us out is mended. */
function retry(state: SyncState, { nowMs, random }: Moment): Step {
  if (state.link.tag !== 'waiting') return [state, []];
  const retryAtMs = Math.min(state.link.retryAtMs, nowMs + retryDelayMs(0, random));
  return [{ ...state, link: { tag: 'waiting', retryAtMs } }, []];
}

function delayAfter(
  code: number,
  reason: string,
  { failures, random }: { readonly failures: number; readonly random: number },
): number {
  if (isSlow(code)) return slowRetryDelayMs(random);
  const asked = retryAfterOf(reason);
  if (asked !== null) return retryAfterDelayMs(asked, random);
  return retryDelayMs(Math.max(0, failures), random);
}

/** What a lost link leaves: frames of the old session are void, what was verified is not. */
function offline(state: SyncState): SyncState {
  return { ...state, inbox: [], isFetching: false };
}

function received(state: SyncState, frame: DownFrame, moment: Moment): Step {
  const { link } = state;
  if (link.tag === 'stopped' || link.tag === 'waiting') return [state, []];
  if (frame.type === 'challenge') return challenged(state, frame, link, moment);
  if (frame.type === 'goaway') return wentAway(state, frame, moment);
  if (link.tag === 'joining' && frame.type === 'welcome') {
    return [state, [{ type: 'join', welcome: frame }]];
  }
  if (link.tag !== 'live') {
    // Nothing can be done yet: the caller hears of no answer, and calls again.
    if (link.tag === 'joining' && isRpcFrame(frame)) return [state, []];
    // A control plane may send the first news right behind its welcome, which takes us a while.
    if (link.tag === 'joining' && isConfigFrame(frame)) return [enqueue(state, frame), []];
    return giveUp(state, moment, CLOSE.protocolError, `${frame.type} out of order`);
  }
  const heard: SyncState = { ...state, link: { ...link, heardMs: moment.nowMs } };
  if (frame.type === 'welcome') return [heard, [{ type: 'join', welcome: frame }]];
  if (isRpcFrame(frame)) return [heard, [{ type: 'rpc', frame }]];
  if (frame.type === 'pong') return [ponged(heard, frame.position, moment), []];
  return verifyNext(enqueue(heard, frame));
}

function isConfigFrame(frame: DownFrame): frame is ConfigFrame {
  return frame.type === 'manifest' || frame.type === 'delta' || frame.type === 'shards';
}

function isRpcFrame(frame: DownFrame): frame is RpcFrame {
  return frame.type === 'call' || frame.type === 'result';
}

/** First on every connection; when pulling, again for every exchange. */
function challenged(
  state: SyncState,
  challenge: FrameOf<'challenge'>,
  link: Exclude<Link, { tag: 'stopped' | 'waiting' }>,
  moment: Moment,
): Step {
  const parsed = parseAddress(link.address);
  const isAgain = link.tag !== 'connecting';
  if (isAgain && parsed?.isPull !== true) {
    return giveUp(state, moment, CLOSE.protocolError, 'challenge out of order');
  }
  const { address } = link;
  const next: Link = isAgain ? link : { tag: 'joining', address, sinceMs: link.sinceMs };
  const host = parsed?.host ?? '';
  const prove: SyncEffect = { type: 'prove', challenge, host, position: positionOf(state.served) };
  return [{ ...state, link: next }, [prove]];
}

function wentAway(state: SyncState, frame: FrameOf<'goaway'>, moment: Moment): Step {
  const told = frame.control_planes;
  const known = told.length > 0 ? hear(state, told) : state;
  const reason = `told to go, retry_after_ms=${frame.retry_after_ms}`;
  const [next, effects] = giveUp(known, moment, CLOSE.normal, reason);
  // Its order is where it wants us to go. What we may not use is not among the addresses.
  const first = told.map((address) => next.addresses.indexOf(address)).find((at) => at >= 0);
  return [first === undefined ? next : { ...next, next: first }, effects];
}

function joined(
  state: SyncState,
  { welcome, joinSeq }: Extract<SyncEvent, { type: 'joined' }>,
  { nowMs }: Moment,
): Step {
  const { link } = state;
  if (!isOpen(link)) return [state, []];
  const isFirst = link.tag === 'joining';
  const pingIntervalMs = Math.max(
    PING_INTERVAL_MS_MIN,
    Math.min(PING_INTERVAL_MS, welcome.ping_interval_ms),
  );
  const live: Live = {
    tag: 'live',
    address: link.address,
    protocol: Math.min(PROTOCOL_VERSION, welcome.protocol),
    sinceMs: isFirst ? nowMs : link.sinceMs,
    heardMs: nowMs,
    pingAtMs: nowMs + pingIntervalMs,
    pingIntervalMs,
  };
  const own = isForeign(state, welcome.group_id) ? { ...state, tip: null, served: null } : state;
  const known = welcome.control_planes.length > 0 ? hear(own, welcome.control_planes) : own;
  const next: SyncState = { ...known, link: live, joinSeq, staleSinceMs: null };
  const log: SyncEffect = {
    type: 'log',
    level: 'info',
    message: 'connected to the control plane',
    fields: { address: link.address, node: welcome.node, group: welcome.group },
  };
  const [last, effects] = verifyNext(next);
  // By pull, `hello` has said it all, and every further word would be an exchange of its own.
  const isPull = parseAddress(link.address)?.isPull === true;
  const isNews = isFirst && (!isPull || state.lastError !== null);
  const news = isNews ? [send(statusOf(next)), ...ackOf(next, isPull)] : [];
  return [last, [...(isFirst ? [log] : []), ...news, ...effects]];
}

/** Whether it is on disk may have changed while nobody was there to hear of it. */
function ackOf({ lastAck, served }: SyncState, isPull: boolean): SyncEffect[] {
  const isOfServed = lastAck !== null && lastAck.position.hash === positionOf(served).hash;
  return isOfServed && !isPull ? [send(lastAck)] : [];
}

function statusOf({ joinSeq, served, lastError }: SyncState): UpFrame {
  return {
    type: 'status',
    join_seq: joinSeq,
    position: positionOf(served),
    last_error: shorten(lastError ?? '') || null,
  };
}

/**
 * Whether what is served is another group's: started from a copy, before it was known which group this
 * node is of. It goes on being served until the group's own is there, but is no ground to stand on.
 */
function isForeign({ served }: SyncState, groupId: string): boolean {
  return served !== null && served.manifest.group_id !== groupId;
}

/** Shows what was withheld: a head that we have not even been offered for a whole ping. */
function ponged(state: SyncState, head: Position, { wallMs }: Moment): SyncState {
  const isCurrent = head.hash === positionOf(state.served).hash || head.revision === 0;
  return { ...state, staleSinceMs: isCurrent ? null : (state.staleSinceMs ?? wallMs) };
}

/** Whether the control plane takes reports of health. By pull, each would be an exchange of its own. */
export function takesHealth({ link }: SyncState): boolean {
  if (link.tag !== 'live' || link.protocol < HEALTH_PROTOCOL) return false;
  return parseAddress(link.address)?.isPull !== true;
}

/**
 * Whether the control plane takes the call or the answer. By pull, there is no way back for an answer but
 * within the exchange: only what is answered at once can be asked.
 */
export function takesCall({ link }: SyncState, frame: RpcFrame): boolean {
  if (link.tag !== 'live' || link.protocol < RPC_PROTOCOL) return false;
  if (parseAddress(link.address)?.isPull !== true) return true;
  return frame.type === 'call' && frame.method === 'freshness';
}

/** What `status` shows. */
export function viewOf(state: SyncState): {
  readonly tag: 'stopped' | 'disconnected' | 'connecting' | 'joining' | 'syncing' | 'live';
  readonly position: Position;
  readonly controlPlane: string | null;
} {
  const { link } = state;
  const isBusy = state.isVerifying || state.isFetching || state.building !== null;
  const position = state.served === null ? NOWHERE : positionOf(state.served);
  if (!isDialled(link)) {
    return {
      tag: link.tag === 'stopped' ? 'stopped' : 'disconnected',
      position,
      controlPlane: null,
    };
  }
  const tag = link.tag === 'live' && isBusy ? 'syncing' : link.tag;
  return { tag, position, controlPlane: link.address };
}
