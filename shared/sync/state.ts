/** States, events and effects of the data plane's session; see `machine.ts`. */
import type { Refusal, ReplicaState } from '../config/replica.ts';
import type { LogLevel } from '../platform/platform.ts';
import type { JsonObject } from '../schema/field.ts';
import type { DownFrame, FrameOf, Position, UpFrame } from '../wire/frames.ts';

export interface Moment {
  /** Monotonic. */
  readonly nowMs: number;
  /** Epoch; only shown, never compared. */
  readonly wallMs: number;
  /** Uniform in [0, 1). */
  readonly random: number;
}

export type ConfigFrame = FrameOf<'manifest'> | FrameOf<'delta'> | FrameOf<'shards'>;

/** What verifying a frame came to. */
export type Verdict =
  | { readonly tag: 'ready'; readonly state: ReplicaState }
  /** Nodes are missing; `ids` to ask for now, none while others are on their way. */
  | { readonly tag: 'fetching'; readonly ids: readonly string[] }
  /** It is what is held. */
  | { readonly tag: 'same' }
  | { readonly tag: 'ignored' }
  | { readonly tag: 'refused'; readonly position: Position; readonly refusal: Refusal };

export interface Quarantined {
  readonly kind: string;
  readonly id: string;
  readonly reason: string;
}

export type BuildOutcome =
  | { readonly ok: true; readonly quarantined: readonly Quarantined[] }
  | {
      readonly ok: false;
      /** Default: `build_failed`. */
      readonly code?: 'build_failed' | 'crashed';
      readonly entity: { readonly kind: string; readonly id: string } | null;
      readonly detail: string;
    };

export type SyncEvent =
  | { readonly type: 'start' }
  | { readonly type: 'stop' }
  | { readonly type: 'tick' }
  | { readonly type: 'message'; readonly frame: DownFrame }
  | { readonly type: 'garbage'; readonly detail: string }
  | { readonly type: 'closed'; readonly code: number; readonly reason: string }
  /** The challenge of this connection is genuine; this answers it. */
  | { readonly type: 'proved'; readonly frame: FrameOf<'hello'> | FrameOf<'enrol'> }
  | {
      readonly type: 'joined';
      readonly welcome: FrameOf<'welcome'>;
      /** As persisted: sending it confirms it. */
      readonly joinSeq: number;
    }
  /** What is served must be built again with the group's new secrets. */
  | { readonly type: 'secrets_changed' }
  /** The control plane is not the one we belong to, or we cannot prove who we are. */
  | { readonly type: 'unproven'; readonly detail: string }
  /** What the last close asked for was genuine, and can be done: come back at once. */
  | { readonly type: 'retry' }
  | { readonly type: 'verified'; readonly verdict: Verdict }
  /** From the store, at boot: verified and being served. */
  | { readonly type: 'restored'; readonly state: ReplicaState }
  | {
      readonly type: 'built';
      readonly state: ReplicaState;
      readonly outcome: BuildOutcome;
      readonly persisted: boolean;
    }
  /** What could not be saved when it was served is saved now. */
  | { readonly type: 'persisted'; readonly state: ReplicaState }
  /** Verified, and not served as long as there was hope of another. */
  | { readonly type: 'held_back'; readonly state: ReplicaState }
  /** Something that the control plane should hear of, besides. */
  | { readonly type: 'trouble'; readonly error: string }
  /** An effect could not be carried out: our own trouble. */
  | { readonly type: 'failed'; readonly detail: string };

export type SyncEffect =
  | { readonly type: 'connect'; readonly url: string }
  /** The connection is given up; none of its events count any more. */
  | { readonly type: 'close'; readonly code: number; readonly reason: string }
  | { readonly type: 'send'; readonly frame: UpFrame }
  | {
      readonly type: 'prove';
      readonly challenge: FrameOf<'challenge'>;
      readonly host: string;
      readonly position: Position;
    }
  | { readonly type: 'join'; readonly welcome: FrameOf<'welcome'> }
  /** The close says that the node is to enrol again; answers `retry`, if that can be done. */
  | { readonly type: 'rejoin'; readonly reason: string }
  /** Verify against these, newest first; answers `verified`. */
  | {
      readonly type: 'verify';
      readonly frame: ConfigFrame;
      readonly held: readonly ReplicaState[];
      readonly served: Position;
    }
  /** The other end calls one of our methods, or answers one of our calls. */
  | { readonly type: 'rpc'; readonly frame: FrameOf<'call'> | FrameOf<'result'> }
  /** Build, swap, save; answers `built`. */
  | { readonly type: 'build'; readonly state: ReplicaState }
  | {
      readonly type: 'log';
      readonly level: LogLevel;
      readonly message: string;
      readonly fields: JsonObject;
    };

export type Link =
  | { readonly tag: 'stopped' }
  | { readonly tag: 'waiting'; readonly retryAtMs: number }
  | { readonly tag: 'connecting'; readonly address: string; readonly sinceMs: number }
  | { readonly tag: 'joining'; readonly address: string; readonly sinceMs: number }
  | Live;

export interface Live {
  readonly tag: 'live';
  readonly address: string;
  /** What both ends speak. */
  readonly protocol: number;
  readonly sinceMs: number;
  readonly heardMs: number;
  readonly pingAtMs: number;
  readonly pingIntervalMs: number;
}

export interface SyncState {
  readonly link: Link;
  readonly configured: readonly string[];
  /** As the control plane said last; not kept, unlike the manifest's. */
  readonly told: readonly string[];
  /** Those of the settings, those told of, those of the manifest. */
  readonly addresses: readonly string[];
  /** Index of the address to try next. */
  readonly next: number;
  readonly failures: number;
  readonly joinSeq: number;
  readonly inbox: readonly ConfigFrame[];
  readonly isVerifying: boolean;
  readonly isFetching: boolean;
  /** Newest verified configuration that has not failed to build. */
  readonly tip: ReplicaState | null;
  readonly building: ReplicaState | null;
  /** Verified while another was being built: the newest only. */
  readonly candidate: ReplicaState | null;
  readonly served: ReplicaState | null;
  readonly lastAck: FrameOf<'ack'> | null;
  readonly lastError: string | null;
  /** Epoch ms since when news may be missing; null while in touch and current. */
  readonly staleSinceMs: number | null;
}

export type Step = readonly [SyncState, readonly SyncEffect[]];

export function send(frame: UpFrame): SyncEffect {
  return { type: 'send', frame };
}
