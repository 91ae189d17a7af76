/** Which target of an upstream gets the next request: weighted round robin, evenly interleaved. */
import type { Target as TargetEntity } from '../entities/target.ts';
import type { Upstream } from '../entities/upstream.ts';

/** Port of a target that names none. */
export const TARGET_PORT_DEFAULT = 8000;

/** Somewhere to send a request. */
export interface Target {
  /** `host:port`; names it among those already tried. */
  readonly key: string;
  /** Host name or address, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  readonly weight: number;
}

export interface Balancer {
  /** All targets with a weight above 0, in order of their key. */
  readonly targets: readonly Target[];
  /** The next target that is not in `tried` (keys); null when none is left. */
  pick(tried: ReadonlySet<string>): Target | null;
}

/** One target and how far behind its share it is. */
interface Slot {
  readonly target: Target;
  credit: number;
}

/**
 * Builds the balancer of an upstream.
 *
 * Targets that were there before with the same weight keep their turn, so that a change to one does
 * not send a burst to another. Equal inputs give equal sequences.
 */
export function buildBalancer(
  _upstream: Upstream,
  targets: readonly TargetEntity[],
  previous: Balancer | null = null,
): Balancer {
  const byKey = new Map<string, Target>();
  for (const entity of targets) {
    const target = readTarget(entity);
    if (target === null || target.weight <= 0) continue;
    byKey.set(target.key, target);
  }
  const ordered = [...byKey.values()].toSorted((a, b) => (a.key < b.key ? -1 : 1));
  const credits = previous instanceof RoundRobin ? previous.credits() : null;
  const slots = ordered.map((target) => {
    const before = credits?.get(target.key);
    return { target, credit: before?.weight === target.weight ? before.credit : 0 };
  });
  return new RoundRobin(slots);
}

/** Splits `host:port`; the port is 8000 when absent. Null when there is no host. */
export function readTarget(entity: TargetEntity): Target | null {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)|([^[\]]*:[^[\]]*:[^[\]]*))(?::(\d{1,5}))?$/.exec(
    entity.target,
  );
  const host = match?.[1] ?? match?.[2] ?? match?.[3];
  if (match === null || host === undefined) return null;
  const port = match[4] === undefined ? TARGET_PORT_DEFAULT : Number(match[4]);
  const key = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  return { key, host, port, weight: entity.weight ?? 100 };
}

/**
 * Smooth weighted round robin: each pick gives every eligible target its weight in credit and takes
 * the sum from the one that had most. Weights 5, 1, 1 give A A B A C A A, not A A A A A B C.
 */
class RoundRobin implements Balancer {
  readonly targets: readonly Target[];
  readonly #slots: readonly Slot[];

  constructor(slots: readonly Slot[]) {
    this.#slots = slots;
    this.targets = slots.map((slot) => slot.target);
  }

  pick(tried: ReadonlySet<string>): Target | null {
    let best: Slot | null = null;
    let sum = 0;
    for (const slot of this.#slots) {
      const { target } = slot;
      if (tried.size > 0 && tried.has(target.key)) continue;
      slot.credit += target.weight;
      sum += target.weight;
      if (best === null || slot.credit > best.credit) best = slot;
    }
    if (best === null) return null;
    best.credit -= sum;
    return best.target;
  }

  credits(): ReadonlyMap<string, { weight: number; credit: number }> {
    return new Map(
      this.#slots.map(({ target, credit }) => [target.key, { weight: target.weight, credit }]),
    );
  }
}
