/**
 * The peer with the least (requests under way + 1) / weight. Of equals, the one whose last turn is
 * longest ago, so that an idle pool is gone through in rotation.
 *
 * Source: Kong `runloop/balancer/least_connections.lua`
 */
import { type Algorithm, type Choice, isOut } from './algorithm.ts';
import { type HeapEntry, MinHeap } from './heap.ts';
import type { Peer, Share } from './peer.ts';

interface Load extends HeapEntry {
  readonly peer: Peer;
  readonly weight: number;
  /** (active + 1) / weight, as of the last change told. */
  load: number;
  /** Number of its last pick. */
  turn: number;
}

export class LeastConnections implements Algorithm {
  readonly #heap = new MinHeap<Load>(isLighter);
  #loads = new Map<Peer, Load>();
  #turn = 0;

  /** @param previous  whose turns go on */
  constructor(previous: LeastConnections | null) {
    if (previous === null) return;
    this.#turn = previous.#turn;
    this.#loads = previous.#loads;
  }

  update(shares: readonly Share[]): void {
    const loads = new Map<Peer, Load>();
    for (const { peer, weight } of shares) {
      const turn = this.#loads.get(peer)?.turn ?? 0;
      loads.set(peer, { peer, weight, load: (peer.active + 1) / weight, turn, index: 0 });
    }
    this.#loads = loads;
    this.#heap.reset([...loads.values()]);
  }

  pick(choice: Choice): Peer | null {
    const top = this.#heap.top();
    const isFit = top !== undefined && this.#isCurrent(top) && !isOut(top.peer, choice);
    const best = isFit ? top : this.#search(choice);
    if (best === null) return null;
    best.turn = this.#turn += 1;
    this.#heap.moved(best);
    return best.peer;
  }

  activeChanged(peer: Peer): void {
    const entry = this.#loads.get(peer);
    if (entry === undefined) return;
    entry.load = (peer.active + 1) / entry.weight;
    this.#heap.moved(entry);
  }

  /** A balancer that was replaced hears of no changes any more, but may still serve some tries. */
  #isCurrent({ peer, weight, load }: Load): boolean {
    return load === (peer.active + 1) / weight;
  }

  /** One by one: for retries, and while some are full. */
  #search(choice: Choice): Load | null {
    let best: Load | null = null;
    let least = Infinity;
    for (const entry of this.#heap.entries) {
      if (isOut(entry.peer, choice)) continue;
      const load = (entry.peer.active + 1) / entry.weight;
      if (best !== null && (load > least || (load === least && entry.turn >= best.turn))) continue;
      best = entry;
      least = load;
    }
    return best;
  }
}

function isLighter(a: Load, b: Load): boolean {
  return a.load < b.load || (a.load === b.load && a.turn < b.turn);
}
