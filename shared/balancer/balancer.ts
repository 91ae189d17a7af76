/**
 * Which address of an Upstream gets the next request. One per version of an Upstream and its targets;
 * what it learns lies in the `UpstreamState`, which all versions share.
 */
import type { Target as TargetEntity } from '../entities/target.ts';
import type { Upstream } from '../entities/upstream.ts';
import { type CheckedFields, compileChecks, type HealthChecks } from '../health/checks.ts';
import type { Clock, Resolver } from '../platform/platform.ts';
import type { Algorithm, Choice } from './algorithm.ts';
import { ConsistentHashing } from './consistent-hashing.ts';
import { Latency } from './latency.ts';
import { LeastConnections } from './least-connections.ts';
import type { Peer, Share } from './peer.ts';
import { RoundRobin } from './round-robin.ts';
import { readTarget, type Target } from './target.ts';
import type { TargetAddresses } from './target-addresses.ts';
import type { UpstreamState } from './upstream-state.ts';

/** What of an Upstream the choice depends on. */
export type BalancerConfig = Pick<Upstream, 'algorithm' | 'slots'> & CheckedFields;

const NOTHING = { http_statuses: [], successes: 0, http_failures: 0, tcp_failures: 0, timeouts: 0 };
const NEVER = { ...NOTHING, interval: 0 };

/** In turn, and nothing is checked: for hosts that are no Upstream. */
export const NOTHING_CHECKED: BalancerConfig = {
  algorithm: 'round-robin',
  slots: null,
  healthchecks: {
    threshold: 0,
    passive: { healthy: NOTHING, unhealthy: NOTHING },
    active: { healthy: NEVER, unhealthy: NEVER },
  },
};

/**
 * The balancer of an Upstream's version.
 *
 * @param state  of this Upstream, from the `HealthRegistry`
 * @param previous  the version before; null for the first one
 */
export function buildBalancer(
  state: UpstreamState,
  upstream: BalancerConfig,
  entities: readonly TargetEntity[],
  previous: Balancer | null,
): Balancer {
  const targets: Target[] = [];
  for (const entity of entities) {
    const target = readTarget(entity);
    if (target !== null) targets.push(target);
  }
  return new Balancer(state, upstream, targets, previous);
}

interface Member {
  readonly target: Target;
  readonly addresses: TargetAddresses;
}

export class Balancer {
  readonly state: UpstreamState;
  readonly checks: HealthChecks;
  /** Those of weight 0 included; ordered by key. */
  readonly targets: readonly Target[];
  readonly #byKey: ReadonlyMap<string, Target>;
  readonly #members: readonly Member[];
  readonly #algorithm: Algorithm;
  #epoch = -1;
  #dueAt = Number.NEGATIVE_INFINITY;
  #isHealthy = false;
  #totalWeight = 0;
  #availableWeight = 0;

  /** @param previous  the version before: targets that stay keep their turn */
  constructor(
    state: UpstreamState,
    config: BalancerConfig,
    targets: readonly Target[],
    previous: Balancer | null,
  ) {
    this.state = state;
    this.checks = compileChecks(config);
    this.#byKey = new Map(targets.map((target) => [target.key, target]));
    this.targets = ordered(this.#byKey, previous);
    this.#members = this.targets.map((target) => ({
      target,
      addresses: state.addressesOf(target),
    }));
    this.#algorithm = algorithmFor(config, previous === null ? null : previous.#algorithm);
  }

  /** By `host:port`; null when there is no such target. */
  target(key: string): Target | null {
    return this.#byKey.get(key) ?? null;
  }

  /** More of the weight is available than the threshold asks for. */
  isHealthy(nowMs: number): boolean {
    if (this.#epoch !== this.state.epoch) this.#update(nowMs);
    return this.#isHealthy;
  }

  /** Sums of all addresses' weights. */
  weights(nowMs: number): { readonly total: number; readonly available: number } {
    if (this.#epoch !== this.state.epoch) this.#update(nowMs);
    return { total: this.#totalWeight, available: this.#availableWeight };
  }

  /** Nobody can be picked because no name resolves. */
  get isUnresolved(): boolean {
    return this.#members.every(({ addresses }) => addresses.isUnresolved);
  }

  /**
   * Sees to it that names are resolved. Those known are looked up again behind the request.
   *
   * @returns null: go on; a promise, which never rejects, while there is nobody to pick yet
   */
  ready(resolver: Resolver | null, clock: Clock, nowMs = clock.monotonic()): Promise<void> | null {
    if (nowMs < this.#dueAt) return null;
    const asking: Promise<void>[] = [];
    this.#dueAt = Number.POSITIVE_INFINITY;
    for (const { addresses } of this.#members) {
      const asked = addresses.refresh(resolver, clock);
      if (asked === null) this.#dueAt = Math.min(this.#dueAt, addresses.dueAt);
      else asking.push(asked);
    }
    if (asking.length === 0) return null;
    // Whoever comes while they are under way joins them.
    this.#dueAt = nowMs;
    return this.#members.some(({ addresses }) => addresses.known.length > 0)
      ? null
      : Promise.all(asking).then(() => {});
  }

  /** The next peer that is available, was not tried and is not full; null when there is none. */
  pick(choice: Choice): Peer | null {
    if (this.#epoch !== this.state.epoch) this.#update(choice.nowMs);
    return this.#isHealthy ? this.#algorithm.pick(choice) : null;
  }

  activeChanged(peer: Peer): void {
    this.#algorithm.activeChanged?.(peer);
  }

  #update(nowMs: number): void {
    this.#epoch = this.state.epoch;
    const shares: Share[] = [];
    let total = 0;
    let available = 0;
    for (const { target, addresses } of this.#members) {
      if (target.weight <= 0) continue;
      for (const { peer, weight: own } of addresses.known) {
        const weight = own ?? target.weight;
        total += weight;
        if (this.checks.isOn && !peer.health.isHealthy) continue;
        available += weight;
        shares.push({ peer, weight });
      }
    }
    shares.sort((a, b) => (a.peer.key < b.peer.key ? -1 : 1));
    this.#totalWeight = total;
    this.#availableWeight = available;
    // Source: Kong `runloop/balancer/balancers.lua`, updateStatus and getPeer: for all algorithms.
    this.#isHealthy = total > 0 && (available / total) * 100 > this.checks.threshold;
    this.#algorithm.update(shares, nowMs);
  }
}

/** By key. What was in order before needs no sorting, and that is all but a few. */
function ordered(byKey: ReadonlyMap<string, Target>, previous: Balancer | null): Target[] {
  const targets: Target[] = [];
  for (const { key } of previous?.targets ?? []) {
    const target = byKey.get(key);
    if (target !== undefined) targets.push(target);
  }
  for (const [key, target] of byKey) {
    if (previous === null || previous.target(key) === null) targets.push(target);
  }
  return targets.toSorted((a, b) => (a.key < b.key ? -1 : 1));
}

function algorithmFor(config: BalancerConfig, previous: Algorithm | null): Algorithm {
  switch (config.algorithm) {
    case 'consistent-hashing':
      return new ConsistentHashing(
        config.slots ?? 0,
        previous instanceof ConsistentHashing ? previous : null,
      );
    case 'least-connections':
      return new LeastConnections(previous instanceof LeastConnections ? previous : null);
    case 'latency':
      return new Latency();
    case 'round-robin':
    case null:
      return new RoundRobin(previous instanceof RoundRobin ? previous : null);
  }
}
