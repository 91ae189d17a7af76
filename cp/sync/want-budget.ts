/**
 * How many tree nodes a data plane may ask for, in all its sessions and exchanges together: each eight of
 * them cost a query, also when they are not there.
 */
import type { Clock } from '#shared/platform/platform.ts';

/** Tree nodes that may be asked for at once and, after it, per minute; and so many for each record. */
export const WANTED_PER_MINUTE = 4_096;
/** A tree has about one node for each eight records at most: more than 128 make up to 16 of them. */
export const WANTED_PER_RECORD = 1 / 4;

/** Data planes that are remembered. */
const NODES_MAX = 20_000;

interface Budget {
  readonly tokens: number;
  readonly atMs: number;
}

export class WantBudget {
  readonly #clock: Pick<Clock, 'monotonic'>;
  /** By data plane, those that spent last at the end. */
  readonly #budgets = new Map<string, Budget>();

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
  }

  /** @param records  of the group's head  @returns false when it has asked for too many */
  spend(node: string, count: number, records: number): boolean {
    const full = WANTED_PER_MINUTE + Math.ceil(records * WANTED_PER_RECORD);
    const atMs = this.#clock.monotonic();
    const before = this.#budgets.get(node) ?? { tokens: full, atMs };
    const earned = ((atMs - before.atMs) * full) / 60_000;
    const tokens = Math.min(full, before.tokens + earned) - count;
    if (tokens < 0) return false;
    this.#budgets.delete(node);
    this.#budgets.set(node, { tokens, atMs });
    const [oldest] = this.#budgets.keys();
    if (this.#budgets.size > NODES_MAX && oldest !== undefined) this.#budgets.delete(oldest);
    return true;
  }
}
