/** What isolates and their hub say to each other, by RPC. */
import type { SignedManifest } from '#shared/wire/frames.ts';
import type { BootRecord } from './boot-record.ts';
import type { TreeNode } from './hub-store.ts';

/** What an isolate has already. */
export interface Held {
  /** Hash of the manifest it serves; empty for none. */
  readonly hash: string;
  /** Mark of the boot record it knows; empty for none. */
  readonly bootMark: string;
}

export interface HubAnswer {
  /** The newest state; null when it is the one held, or when the hub has none. */
  readonly head: SignedManifest | null;
  /** Null when the mark is the one held, or when the hub has not joined yet. */
  readonly boot: BootRecord | null;
  readonly bootMark: string;
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
