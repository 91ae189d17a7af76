/**
 * Who should carry how many nodes. Every control plane decides for itself, by what the leases say; so
 * nobody may move much at a time, and none moves anything for a small difference.
 */
import type { Random } from '#shared/platform/platform.ts';
import type { Peer } from './control-planes.ts';

/** Share of its nodes that a control plane sends elsewhere at a time, and how many it always may. */
const MOVED_SHARE_MAX = 0.1;
const MOVED_COUNT_MIN = 5;
/** Above the average by less than this share, or by one node, is even enough. */
const SLACK_SHARE = 0.1;
const SLACK_COUNT = 1;

/**
 * @param own  nodes connected here
 * @returns how many to send elsewhere now
 */
export function surplus(own: number, others: readonly Peer[]): number {
  const peers = others.filter(isReachable);
  if (peers.length === 0) return 0;
  const total = peers.reduce((sum, { sessions }) => sum + sessions, own);
  const average = total / (peers.length + 1);
  if (own <= average * (1 + SLACK_SHARE) + SLACK_COUNT) return 0;
  const most = Math.max(MOVED_COUNT_MIN, Math.floor(own * MOVED_SHARE_MAX));
  // Half of it: the leases are some seconds old, and others move nodes at the same time.
  return Math.min(most, Math.ceil((own - average) / 2));
}

/**
 * Addresses of the others, in the order in which one node should try them: the first by chance, the
 * likelier the more room it has; the others in any order.
 */
export function placesToGo(own: number, others: readonly Peer[], random: Random): string[] {
  const peers = others.filter(isReachable);
  const left = [...peers];
  const total = peers.reduce((sum, { sessions }) => sum + sessions, own);
  const fair = peers.length === 0 ? 0 : total / peers.length;
  const ordered: Peer[] = [];
  while (left.length > 0) {
    const rooms = left.map(({ sessions }) => Math.max(1, fair - sessions));
    let at = random.next() * rooms.reduce((sum, room) => sum + room, 0);
    const index = rooms.findIndex((room) => (at -= room) < 0);
    ordered.push(...left.splice(Math.max(0, index), 1));
  }
  return ordered.flatMap(({ urls }) => urls);
}

/** One that does not say where it is reached cannot be gone to. */
function isReachable({ urls }: Peer): boolean {
  return urls.length > 0;
}

/** Rounds that are left out at most, after others that came to nothing. */
const SKIPPED_ROUNDS_MAX = 64;

/**
 * When to move: every round while it helps, ever more rarely while it does not. Nodes that reach no
 * other control plane come back, and so does half of what a balancer in front spreads.
 */
export class Balancer {
  #before: { readonly own: number; readonly moved: number } | null = null;
  #skipped = 0;
  #toSkip = 0;

  /** Called once per round. @returns how many nodes to send elsewhere in this one */
  round(own: number, peers: readonly Peer[]): number {
    const before = this.#before;
    this.#before = null;
    if (before !== null) {
      const isInVain = own > before.own - before.moved / 2;
      this.#toSkip = isInVain ? Math.min(SKIPPED_ROUNDS_MAX, 2 * this.#toSkip + 1) : 0;
      this.#skipped = 0;
    }
    const count = surplus(own, peers);
    if (count === 0) return 0;
    if (this.#skipped < this.#toSkip) {
      this.#skipped += 1;
      return 0;
    }
    this.#before = { own, moved: count };
    return count;
  }
}
