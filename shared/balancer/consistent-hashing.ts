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
  /** By slot: index of the owner in `shares`, found when first asked for. Null before the first pick. */
  #owners: Int32Array | null = null;

  /** @param previous  whose owners are known already */
  constructor(slots: number, previous: ConsistentHashing | null) {
    this.#slotCount = Math.max(slots, SLOTS_MIN);
    if (previous === null || previous.#slotCount !== this.#slotCount) return;
    this.#shares = previous.#shares;
    this.#seeds = previous.#seeds;
    this.#owners = previous.#owners === null ? null : previous.#owners.slice();
  }

  /** Costs a look at each slot, for each peer that is new, and nothing for those that stay. */
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
    if (this.#owners === null) return;
    // With everything new, slots are filled as they are asked for.
    if (added.length === shares.length) this.#owners.fill(UNKNOWN);
    else this.#carry(this.#owners, moves, added);
  }

  pick(choice: Choice): Peer | null {
    if (this.#shares.length === 0) return null;
    this.#owners ??= new Int32Array(this.#slotCount).fill(UNKNOWN);
    const slot = xxhash32(choice.hashValue) % this.#slotCount;
    let owner = this.#owners[slot] ?? UNKNOWN;
    if (owner === UNKNOWN) {
      owner = this.#best(slot, null);
      this.#owners[slot] = owner;
    }
    const share = this.#shares[owner];
    if (share === undefined) return null;
    if (!isOut(share.peer, choice)) return share.peer;
    return this.#shares[this.#best(slot, choice)]?.peer ?? null;
  }

  #carry(owners: Int32Array, moves: Int32Array, added: readonly number[]): void {
    for (let slot = 0; slot < owners.length; slot += 1) {
      const old = owners[slot] ?? UNKNOWN;
      if (old === UNKNOWN) continue;
      let owner = moves[old] ?? UNKNOWN;
      if (owner !== UNKNOWN && added.length > 0) {
        let best = this.#score(slot, owner);
        for (const index of added) {
          const score = this.#score(slot, index);
          if (!isBetter(score, index, best, owner)) continue;
          owner = index;
          best = score;
        }
      }
      owners[slot] = owner;
    }
  }

  /** The owner of a slot; with a choice, of those that are not out of the question for it. */
  #best(slot: number, choice: Choice | null): number {
    let owner = UNKNOWN;
    let best = -1;
    for (let index = 0; index < this.#shares.length; index += 1) {
      if (choice !== null) {
        const share = this.#shares[index];
        if (share === undefined || isOut(share.peer, choice)) continue;
      }
      const score = this.#score(slot, index);
      if (!isBetter(score, index, best, owner)) continue;
      owner = index;
      best = score;
    }
    return owner;
  }

  /** weight / -ln(u), with u a hash of slot and peer in (0, 1). */
  #score(slot: number, index: number): number {
    const weight = this.#shares[index]?.weight ?? 0;
    const u = (mix((this.#seeds[index] ?? 0) ^ Math.imul(slot + 1, 0x9e3779b1)) + 0.5) / 2 ** 32;
    return weight / -Math.log(u);
  }
}

/** Of equal scores the lower index, that is the lower key, on every node. */
function isBetter(score: number, index: number, best: number, owner: number): boolean {
  return score > best || (score === best && index < owner);
}

/** Murmur3's finaliser: every bit of the input moves every bit of the output. */
function mix(value: number): number {
  let h = value;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
