/**
 * What a group's nodes can be told: its newest manifest and the deltas that lead to it. Immutable, so
 * that thousands of sessions share one value and each frame's bytes exist once.
 */
import type { Position } from '#shared/wire/frames.ts';

/** Deltas kept for nodes that come back; one that is further behind gets the manifest. */
export const CHAIN_COUNT_MAX = 64;
/** Bytes of all deltas kept, and of one chain sent. Beyond it a manifest is cheaper. */
export const CHAIN_BYTES_MAX = 4 * 1024 * 1024;
export const CHAIN_SENT_BYTES_MAX = 1024 * 1024;

/** A frame's text in UTF-8, made once and sent to everyone. */
export type FrameBytes = Uint8Array;

/** One published version of a group. */
export interface Published {
  readonly position: Position;
  /** Generation of the group's secret that its records were made with; 0 when it does not say. */
  readonly secretGeneration: number;
  readonly records: number;
  /** The `manifest` frame. */
  readonly manifest: FrameBytes;
  /** The `delta` frame from `base`; null for a first or an oversized version. */
  readonly delta: FrameBytes | null;
  readonly base: Position | null;
}

/** A group's nodes of one schema level are told the same. */
export interface FeedKey {
  readonly groupId: string;
  readonly level: number;
}

export interface Feed extends FeedKey {
  /** Null until something was published. */
  readonly head: Published | null;
  /** Ascending, without gaps, ending with `head`. */
  readonly chain: readonly Published[];
}

/** For maps. */
export function feedName({ groupId, level }: FeedKey): string {
  return `${groupId}/${level}`;
}

export function emptyFeed({ groupId, level }: FeedKey): Feed {
  return { groupId, level, head: null, chain: [] };
}

/** The feed with later versions added and what exceeds the bounds dropped from the front. */
export function extendFeed(feed: Feed, added: readonly Published[]): Feed {
  const newer = added.filter((next) => comparePositions(next.position, feed.head?.position) > 0);
  const head = newer.at(-1);
  if (head === undefined) return feed;
  const all = [...feed.chain, ...newer];
  let start = Math.max(0, all.length - CHAIN_COUNT_MAX);
  let bytes = all.slice(start).reduce((sum, entry) => sum + (entry.delta?.length ?? 0), 0);
  while (start < all.length - 1 && bytes > CHAIN_BYTES_MAX) {
    bytes -= all[start]?.delta?.length ?? 0;
    start += 1;
  }
  return { ...feed, head, chain: all.slice(start) };
}

/** Epoch first, then revision; a missing position is before all others. */
export function comparePositions(a: Position, b: Position | null | undefined): number {
  if (b === null || b === undefined) return 1;
  return a.epoch - b.epoch || a.revision - b.revision;
}

export type Update =
  | { readonly type: 'none' }
  | { readonly type: 'ahead' }
  | { readonly type: 'manifest'; readonly frames: readonly FrameBytes[] }
  | { readonly type: 'deltas'; readonly frames: readonly FrameBytes[] };

/** What brings a node from `position` to the head. Cost: the length of the chain. */
export function planUpdate(feed: Feed, position: Position): Update {
  const head = feed.head;
  if (head === null) return { type: position.revision > 0 ? 'ahead' : 'none' };
  if (position.hash === head.position.hash) return { type: 'none' };
  if (comparePositions(position, head.position) > 0) return { type: 'ahead' };
  const frames = deltasFrom(feed.chain, position);
  if (frames !== null) return { type: 'deltas', frames };
  return { type: 'manifest', frames: [head.manifest] };
}

function deltasFrom(chain: readonly Published[], position: Position): FrameBytes[] | null {
  const first = chain.findIndex(
    (entry) => entry.base !== null && samePosition(entry.base, position),
  );
  if (first < 0) return null;
  const frames: FrameBytes[] = [];
  let bytes = 0;
  for (const entry of chain.slice(first)) {
    if (entry.delta === null) return null;
    bytes += entry.delta.length;
    if (bytes > CHAIN_SENT_BYTES_MAX && frames.length > 0) return null;
    frames.push(entry.delta);
  }
  return frames;
}

export function samePosition(a: Position, b: Position): boolean {
  return a.hash === b.hash && a.epoch === b.epoch && a.revision === b.revision;
}

/** Whether it is one of the versions kept. */
export function isOf(feed: Feed, position: Position): boolean {
  return feed.chain.some(
    (entry) =>
      samePosition(entry.position, position) ||
      (entry.base !== null && samePosition(entry.base, position)),
  );
}
