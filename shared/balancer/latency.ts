/**
 * The peer that answers soonest: a moving average of the time to a response's head, which forgets by
 * e every 10 seconds, times (requests under way + 1), by weight. Those under way count because an
 * average learns of a stalled peer only when it answers (the "peak" of the algorithm's name).
 *
 * Source: Kong `runloop/balancer/latency.lua`; Finagle, "Peak EWMA"
 */
import { type Algorithm, type Choice, isOut } from './algorithm.ts';
import type { Peer, Share } from './peer.ts';

const DECAY_MS = 10_000;
/** So that peers of which nothing is known are told apart by their load. */
const LEAST_MS = 0.001;
/** Up to here all are compared; beyond, so many drawn at random. */
const COMPARED_MAX = 16;

export class Latency implements Algorithm {
  #shares: readonly Share[] = [];
  #seed = 0x9e3779b9;
  /** Where the search begins, so that equals take turns. */
  #start = 0;

  /** Peers that are new start at the average of the others. */
  update(shares: readonly Share[], nowMs: number): void {
    this.#shares = shares;
    let sum = 0;
    let count = 0;
    for (const { peer } of shares) {
      if (peer.latencyMs < 0) continue;
      sum += latencyAt(peer, nowMs);
      count += 1;
    }
    if (count === 0) return;
    for (const { peer } of shares) {
      if (peer.latencyMs >= 0) continue;
      peer.latencyMs = sum / count;
      peer.latencyAt = nowMs;
    }
  }

  pick(choice: Choice): Peer | null {
    const { length } = this.#shares;
    if (length > COMPARED_MAX) return this.#pickDrawn(choice) ?? this.#pickOf(length, choice);
    return this.#pickOf(length, choice);
  }

  #pickOf(count: number, choice: Choice): Peer | null {
    const shares = this.#shares;
    const start = count === 0 ? 0 : (this.#start = (this.#start + 1) % count);
    let best: Peer | null = null;
    let least = Infinity;
    for (let i = 0; i < count; i += 1) {
      const share = shares[(start + i) % count];
      if (share === undefined || isOut(share.peer, choice)) continue;
      const cost = costOf(share, choice.nowMs);
      if (best !== null && cost >= least) continue;
      best = share.peer;
      least = cost;
    }
    return best;
  }

  #pickDrawn(choice: Choice): Peer | null {
    let best: Peer | null = null;
    let least = Infinity;
    for (let i = 0; i < COMPARED_MAX; i += 1) {
      const share = this.#shares[this.#draw() % this.#shares.length];
      if (share === undefined || isOut(share.peer, choice)) continue;
      const cost = costOf(share, choice.nowMs);
      if (best !== null && cost >= least) continue;
      best = share.peer;
      least = cost;
    }
    return best;
  }

  /** Marsaglia's xorshift32: nothing depends on nobody guessing it. */
  #draw(): number {
    let x = this.#seed;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#seed = x;
    return x >>> 0;
  }
}

/** Takes in the time to one more response's head. */
export function observeLatency(peer: Peer, durationMs: number, nowMs: number): void {
  if (peer.latencyMs < 0) {
    peer.latencyMs = durationMs;
  } else {
    const kept = Math.exp(-Math.max(nowMs - peer.latencyAt, 0) / DECAY_MS);
    peer.latencyMs = peer.latencyMs * kept + durationMs * (1 - kept);
  }
  peer.latencyAt = nowMs;
}

/** What nobody has asked for a while is forgotten towards 0, so that it is asked again. */
function latencyAt(peer: Peer, nowMs: number): number {
  return peer.latencyMs * Math.exp(-Math.max(nowMs - peer.latencyAt, 0) / DECAY_MS);
}

function costOf({ peer, weight }: Share, nowMs: number): number {
  const latencyMs = peer.latencyMs < 0 ? 0 : latencyAt(peer, nowMs);
  return (Math.max(latencyMs, LEAST_MS) * (peer.active + 1)) / weight;
}
