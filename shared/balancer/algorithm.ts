/** What the four ways of choosing have in common. */
import type { Peer, Share } from './peer.ts';

/** What a choice depends on beside the peers themselves. One per request, changed between tries. */
export interface Choice {
  /** Those already tried; null for none. */
  tried: Set<Peer> | null;
  /** Requests under way that a peer may have; one more is not given to it. */
  activeMax: number;
  /** What consistent hashing goes by. */
  hashValue: string;
  /** On the monotonic clock, ms. */
  nowMs: number;
}

export interface Algorithm {
  /** From now on these, ordered by key. What stays keeps its turn. */
  update(shares: readonly Share[], nowMs: number): void;
  /** Null: every peer was tried or is full. */
  pick(choice: Choice): Peer | null;
  /** A peer has one request more or less under way. */
  activeChanged?(peer: Peer): void;
}

/** Whether a peer is out of the question for this try. */
export function isOut(peer: Peer, choice: Choice): boolean {
  if (peer.active >= choice.activeMax) return true;
  return choice.tried !== null && choice.tried.has(peer);
}
