/**
 * What a session does with configuration: verify in order, build the newest, acknowledge what is
 * served. Pure, like the machine that it is a part of.
 */
import { unreachable } from '../base/assert.ts';
import { positionOf, type Refusal, type ReplicaState } from '../config/replica.ts';
import type { FrameOf, Position, UpFrame } from '../wire/frames.ts';
import { mergeAddresses } from './address.ts';
import {
  send,
  type BuildOutcome,
  type ConfigFrame,
  type Quarantined,
  type Step,
  type SyncEffect,
  type SyncEvent,
  type SyncState,
  type Verdict,
} from './state.ts';

/** Frames waiting to be verified; beyond it only the newest head counts. */
export const INBOX_COUNT_MAX = 64;

const QUARANTINED_COUNT_MAX = 100;
const DETAIL_LENGTH_MAX = 1000;

/** Frames are verified in order; when too many wait, the newest head makes up for all of them. */
export function enqueue(state: SyncState, frame: ConfigFrame): SyncState {
  const inbox = [...state.inbox, frame];
  if (inbox.length <= INBOX_COUNT_MAX) return { ...state, inbox };
  const newest = inbox.findLast((waiting) => waiting.type !== 'shards');
  return {
    ...state,
    inbox: newest === undefined ? [frame] : [{ type: 'manifest', head: newest.head }],
  };
}

export function verifyNext(state: SyncState): Step {
  const [frame, ...inbox] = state.inbox;
  if (frame === undefined || state.isVerifying || state.link.tag !== 'live') return [state, []];
  const { tip, building, served } = state;
  const held = [tip, building, served].filter((known) => known !== null);
  const verify: SyncEffect = { type: 'verify', frame, held, served: positionOf(served) };
  return [{ ...state, inbox, isVerifying: true }, [verify]];
}

export function verified(state: SyncState, verdict: Verdict): Step {
  const [next, effects] = concluded(state, verdict);
  const [last, more] = verifyNext(next);
  return [last, [...effects, ...more]];
}

function concluded(state: SyncState, verdict: Verdict): Step {
  const isLive = state.link.tag === 'live';
  switch (verdict.tag) {
    case 'ready':
      return build({ ...state, isFetching: false }, verdict.state);
    case 'fetching': {
      if (!isLive) return [state, []];
      const want: UpFrame = { type: 'want', ids: verdict.ids };
      return [{ ...state, isFetching: true }, verdict.ids.length > 0 ? [send(want)] : []];
    }
    case 'same':
      return [state, isLive && state.tip === state.served ? repeatAck(state) : []];
    case 'ignored':
      return [state, []];
    case 'refused':
      return refused(state, verdict.position, verdict.refusal);
    default:
      return unreachable(verdict);
  }
}

function refused(state: SyncState, position: Position, { code, detail }: Refusal): Step {
  const next = { ...state, isFetching: false, lastError: `${code}: ${detail}` };
  const fields = { code, detail, revision: position.revision, epoch: position.epoch };
  const log: SyncEffect = { type: 'log', level: 'error', message: 'configuration refused', fields };
  if (state.link.tag !== 'live') return [next, [log]];
  return [next, [log, send(nack(position, { code, entity: null, detail }))]];
}

function nack(
  position: Position,
  { code, entity, detail }: Pick<FrameOf<'nack'>, 'code' | 'entity' | 'detail'>,
): UpFrame {
  return { type: 'nack', position, code, entity, detail: shorten(detail) };
}

export function shorten(detail: string): string {
  return detail.slice(0, DETAIL_LENGTH_MAX).toWellFormed();
}

function repeatAck(state: SyncState): SyncEffect[] {
  const position = positionOf(state.served);
  return [
    send({ ...(state.lastAck ?? { type: 'ack', persisted: true, quarantined: [] }), position }),
  ];
}

/** Builds what was verified; while another is being built, the newest waits. */
export function build(state: SyncState, ready: ReplicaState): Step {
  const next = learn({ ...state, tip: ready }, ready);
  if (next.building !== null) return [{ ...next, candidate: ready }, []];
  return [{ ...next, building: ready }, [{ type: 'build', state: ready }]];
}

export function buildAgain(state: SyncState): Step {
  const newest = state.tip ?? state.served;
  return newest === null ? [state, []] : build(state, newest);
}

export function learn(state: SyncState, { manifest }: ReplicaState): SyncState {
  return hear(state, state.told, manifest.control_planes);
}

/** @param listed  those of the newest manifest */
export function hear(
  state: SyncState,
  told: readonly string[],
  listed: readonly string[] = (state.tip ?? state.served)?.manifest.control_planes ?? [],
): SyncState {
  const addresses = mergeAddresses(state.configured, [...told, ...listed]);
  return { ...state, told, addresses };
}

export function built(before: SyncState, event: Extract<SyncEvent, { type: 'built' }>): Step {
  const { state: replica, outcome, persisted } = event;
  const [state, effects] = outcome.ok
    ? swapped(before, replica, outcome.quarantined, persisted)
    : broken(before, replica, outcome);
  const { candidate } = state;
  if (candidate === null) return [{ ...state, building: null }, effects];
  const next = { ...state, building: candidate, candidate: null };
  return [next, [...effects, { type: 'build', state: candidate }]];
}

function swapped(
  state: SyncState,
  replica: ReplicaState,
  quarantined: readonly Quarantined[],
  persisted: boolean,
): Step {
  const ack: FrameOf<'ack'> = {
    type: 'ack',
    position: positionOf(replica),
    persisted,
    quarantined: quarantined.slice(0, QUARANTINED_COUNT_MAX).map(({ kind, id, reason }) => ({
      kind,
      id,
      reason: shorten(reason) || 'unknown',
    })),
  };
  const next = { ...state, served: replica, lastAck: ack, lastError: null };
  return [next, state.link.tag === 'live' ? [send(ack)] : []];
}

/** Says again that it is served: it would survive a restart now. */
export function saved(state: SyncState, replica: ReplicaState): Step {
  const { lastAck } = state;
  if (state.served !== replica || lastAck === null || lastAck.persisted) return [state, []];
  const ack = { ...lastAck, persisted: true };
  return [{ ...state, lastAck: ack }, state.link.tag === 'live' ? [send(ack)] : []];
}

function broken(
  state: SyncState,
  replica: ReplicaState,
  { code = 'build_failed', entity, detail }: Extract<BuildOutcome, { ok: false }>,
): Step {
  // What failed is no ground to stand on: the next news is measured against what is served.
  const tip = state.tip === replica ? state.served : state.tip;
  const next = { ...state, tip, lastError: `${code}: ${detail}` };
  const position = positionOf(replica);
  const fields = { detail, entity, revision: position.revision, epoch: position.epoch };
  const log: SyncEffect = { type: 'log', level: 'error', message: 'configuration refused', fields };
  if (state.link.tag !== 'live') return [next, [log]];
  return [next, [log, send(nack(position, { code, entity, detail }))]];
}
