/** What isolates and their hub say to each other, by RPC. */
import type { CounterName } from '#shared/health/health.ts';
import type { SignedManifest } from '#shared/wire/frames.ts';
import type { BootRecord } from '#shared/config/boot-record.ts';
import type { TreeNode } from './hub-store.ts';

/** What an isolate has already. */
export interface Held {
  /** Hash of the manifest it serves; empty for none. */
  readonly hash: string;
  /** Mark of the boot record it knows; empty for none. */
  readonly bootMark: string;
  /** Mark of what it knows of the targets' health. Not there: an isolate of an older release. */
  readonly healthMark?: string;
  /** Schema level that it reads. Not there: an isolate of the first release. */
  readonly level?: number;
  /** What it could not build, although the hub could; it goes on with what it has. */
  readonly refused?: IsolateRefusal | null;
  /** What requests came to since it last asked. */
  readonly outcomes?: readonly OutcomeReport[];
}

/** A manifest that an isolate could not build. */
export interface IsolateRefusal {
  readonly hash: string;
  readonly epoch: number;
  readonly revision: number;
  readonly detail: string;
}

/** What requests to one target came to, as far as it counts, in the order in which it happened. */
export interface OutcomeReport {
  /** Workspace id. */
  readonly ws: string;
  /** Name of the Upstream. */
  readonly upstream: string;
  /** `host:port`. */
  readonly target: string;
  readonly runs: readonly (readonly [counter: CounterName, times: number])[];
}

/** A target that all isolates think alike of. */
export interface KnownTarget {
  readonly ws: string;
  readonly upstream: string;
  readonly target: string;
  /** `trial`: gets requests again, until the next failure. */
  readonly word: 'unhealthy' | 'trial';
}

/** All targets of which there is something to say: the others are healthy. */
export interface HealthNews {
  readonly mark: string;
  readonly targets: readonly KnownTarget[];
}

export interface HubAnswer {
  /** The newest state; null when it is the one held, or when the hub has none. */
  readonly head: SignedManifest | null;
  /** Null when the mark is the one held, or when the hub has not joined yet. */
  readonly boot: BootRecord | null;
  readonly bootMark: string;
  /**
   * Milliseconds since it was proven to the hub that its head is the newest there is; null: never, that it
   * knows. A hub of an older release does not say.
   */
  readonly provenAgeMs?: number | null;
  /** Null when the mark is the one held. A hub of an older release does not say it at all. */
  readonly health?: HealthNews | null;
}

/** The hub as isolates use it. Any call may fail: the hub is then asked again later. */
export interface Hub {
  /** Starts the hub when it does not run. */
  ensure(): Promise<void>;
  head(held: Held): Promise<HubAnswer>;
  /** Those of the nodes that are there, possibly not all at once. */
  nodes(ids: string[]): Promise<TreeNode[]>;
  /** An object as JSON text: a recursive type is more than RPC's types can follow. */
  status(): Promise<string>;
}

/** Ids asked for in one call of `nodes`. */
export const NODES_COUNT_MAX = 256;
/** Targets that one question reports on; of further ones, nothing is said. */
export const OUTCOMES_MAX = 256;
/** Runs of equal outcomes kept of one target; of more, the earliest are dropped. */
export const RUNS_MAX = 16;
