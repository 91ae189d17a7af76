/**
 * Consistent hashing: a continuum of slots, each owned by one peer; a value belongs to the slot that
 * its hash falls on.
 *
 * Who owns a slot is a draw for that slot alone, weighted (rendezvous hashing): every peer has a score
 * there, the highest owns it, and when that one cannot be had the next highest does. So a peer that
 * leaves takes nothing with it but its own slots, which spread over all others by weight, and one that
 * joins takes its share from all: exactly what has to move moves. Kong's ring of 160 points per target
 * (`runloop/balancer/consistent_hashing.lua`) takes the same inputs and hash, but moves others' points
 * when two collide or when weights differ, and its shares are further from the weights.
 *
 * Same peers, same owners: on every node, and whatever happened before.
 *
 * Source: Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit Rates" (1998); weights:
 * Schindelhauer and Schomaker, "Weighted Distributed Hash Tables" (2005)
 */
import { type Algorithm, type Choice, isOut } from './algorithm.ts';
import type { Peer, Share } from './peer.ts';
import { xxhash32 } from './xxhash32.ts';

/** As Kong: fewer are not enough to share by. */
const SLOTS_MIN = 1000;
const UNKNOWN = -1;

export class ConsistentHashing implements Algorithm {
  readonly #slotCount: number;
  #shares: readonly Share[] = [];
  #seeds: Int32Array = new Int32Array(0);
  /** By slot: index of the owner in `shares`; found when first asked for. */
  readonly #owners: Int32Array;
  /** By slot: the owner's score. */
  readonly #scores: Float64Array;

  constructor(slots: number) {
    this.#slotCount = Math.max(slots, SLOTS_MIN);
    this.#owners = new Int32Array(this.#slotCount).fill(UNKNOWN);
    this.#scores = new Float64Array(this.#slotCount);
  }

  /** Costs a look at each slot for each peer that is new, and none for what stays. */
  update(shares: readonly Share[]): void {
    const before = new Map(this.#shares.map((share, index) => [share.peer.key, { share, index }]));
    const moves = new Int32Array(this.#shares.length).fill(UNKNOWN);
    const added: number[] = [];
    for (const [index, { peer, weight }] of shares.entries()) {
      const known = before.get(peer.key);
      if (known !== undefined && known.share.weight === weight) moves[known.index] = index;
      else added.push(index);
    }
    this.#shares = shares;
    this.#seeds = Int32Array.from(shares, ({ peer }) => xxhash32(peer.key));
    // With everything new, slots are filled as they are asked for.
    if (added.length === shares.length) this.#owners.fill(UNKNOWN);
    else this.#carry(moves, added);
  }

  pick(choice: Choice): Peer | null {
    if (this.#shares.length === 0) return null;
    const slot = xxhash32(choice.hashValue) % this.#slotCount;
    let owner = this.#owners[slot] ?? UNKNOWN;
    if (owner === UNKNOWN) owner = this.#find(slot);
    const share = this.#shares[owner];
    if (share === undefined) return null;
    return isOut(share.peer, choice) ? this.#nextBest(slot, choice) : share.peer;
  }

  #carry(moves: Int32Array, added: readonly number[]): void {
    const owners = this.#owners;
    for (let slot = 0; slot < owners.length; slot += 1) {
      const old = owners[slot] ?? UNKNOWN;
      if (old === UNKNOWN) continue;
      let owner = moves[old] ?? UNKNOWN;
      if (owner !== UNKNOWN) {
        for (const index of added) {
          const score = this.#score(slot, index);
          if (!this.#isBetter(score, index, this.#scores[slot] ?? 0, owner)) continue;
          owner = index;
          this.#scores[slot] = score;
        }
      }
      owners[slot] = owner;
    }
  }

  #find(slot: number): number {
    let owner = UNKNOWN;
    let best = -1;
    for (let index = 0; index < this.#shares.length; index += 1) {
      const score = this.#score(slot, index);
      if (!this.#isBetter(score, index, best, owner)) continue;
      owner = index;
      best = score;
    }
    this.#owners[slot] = owner;
    this.#scores[slot] = best;
    return owner;
  }

  /** For a retry, or while the owner is full. */
  #nextBest(slot: number, choice: Choice): Peer | null {
    let owner = UNKNOWN;
    let best = -1;
    for (const [index, { peer }] of this.#shares.entries()) {
      if (isOut(peer, choice)) continue;
      const score = this.#score(slot, index);
      if (!this.#isBetter(score, index, best, owner)) continue;
      owner = index;
      best = score;
    }
    return this.#shares[owner]?.peer ?? null;
  }

  /** Of equal scores the lower index, that is the lower key, on every node. */
  #isBetter(score: number, index: number, best: number, owner: number): boolean {
    return score > best || (score === best && index < owner);
  }

  /** weight / -ln(u), with u a hash of slot and peer in (0, 1). */
  #score(slot: number, index: number): number {
    const weight = this.#shares[index]?.weight ?? 0;
    const u = (mix((this.#seeds[index] ?? 0) ^ Math.imul(slot + 1, 0x9e3779b1)) + 0.5) / 2 ** 32;
    return weight / -Math.log(u);
  }
}

/** Murmur3's finaliser: every bit of the input moves every bit of the output. */
function mix(value: number): number {
  let h = value;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
