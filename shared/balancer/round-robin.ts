/**
 * Weighted round robin, evenly interleaved: everybody has a due time on a clock that goes by picks,
 * the earliest is taken, and is due again after 1/weight. O(log n) for any number of peers, and after
 * any number of picks nobody is further from its share than about one pick.
 *
 * Source: earliest deadline first, as in Envoy's `edf_scheduler.h`; Kong's shuffled wheel
 * (`runloop/balancer/round_robin.lua`) has the same shares and takes memory by the sum of weights.
 */
import { type Algorithm, type Choice, isOut } from './algorithm.ts';
import { type HeapEntry, MinHeap } from './heap.ts';
import type { Peer, Share } from './peer.ts';

interface Turn extends HeapEntry {
  readonly peer: Peer;
  readonly weight: number;
  dueAt: number;
  /** Decides between equals. */
  readonly order: number;
}

/** Multiples of it, modulo 1, are spread as evenly as can be however many there are. */
const GOLDEN = 0.618033988749895;

export class RoundRobin implements Algorithm {
  readonly #heap = new MinHeap<Turn>(isDueBefore);
  #turns = new Map<Peer, Turn>();
  /** Due time of the last pick. */
  #now = 0;
  readonly #skipped: Turn[] = [];

  /** @param previous  whose turns go on */
  constructor(previous: RoundRobin | null) {
    if (previous === null) return;
    this.#now = previous.#now;
    this.#turns = previous.#turns;
  }

  update(shares: readonly Share[]): void {
    const turns = new Map<Peer, Turn>();
    for (const [order, { peer, weight }] of shares.entries()) {
      const dueAt = this.#dueAt(this.#turns.get(peer), weight, order);
      turns.set(peer, { peer, weight, dueAt, order, index: 0 });
    }
    this.#turns = turns;
    this.#heap.reset([...turns.values()]);
  }

  pick(choice: Choice): Peer | null {
    const heap = this.#heap;
    const skipped = this.#skipped;
    let turn = heap.top();
    while (turn !== undefined && isOut(turn.peer, choice)) {
      skipped.push(turn);
      heap.pop();
      turn = heap.top();
    }
    if (turn !== undefined) {
      this.#now = turn.dueAt;
      turn.dueAt += 1 / turn.weight;
      heap.moved(turn);
    }
    // They keep their turn: it is this request that cannot use it.
    for (let next = skipped.pop(); next !== undefined; next = skipped.pop()) {
      // One that is full does not save up turns for a burst.
      if (next.peer.active >= choice.activeMax) next.dueAt = Math.max(next.dueAt, this.#now);
      heap.push(next);
    }
    return turn === undefined ? null : turn.peer;
  }

  /** With another weight, what is left of the wait is stretched alike. */
  #dueAt(before: Turn | undefined, weight: number, order: number): number {
    // The same for all equal weights, so that restarted nodes do not all begin with the same one.
    if (before === undefined) return this.#now + ((order * GOLDEN) % 1) / weight;
    if (before.weight === weight) return before.dueAt;
    return this.#now + (Math.max(before.dueAt - this.#now, 0) * before.weight) / weight;
  }
}

function isDueBefore(a: Turn, b: Turn): boolean {
  return a.dueAt < b.dueAt || (a.dueAt === b.dueAt && a.order < b.order);
}
