/**
 * The health of all Upstreams of a data plane. It lives beside the tables, not in them: versions come
 * and go, and what is known of an address stays as long as Upstream and target keep their names, and
 * 300 seconds longer.
 *
 * Requests report through the `UpstreamState` that their balancer has; active probes, the Admin API's
 * word and reports to the control plane go through here.
 */
import { Balancer, NOTHING_CHECKED } from '../balancer/balancer.ts';
import type { Peer } from '../balancer/peer.ts';
import type { KnownAddress } from '../balancer/target-addresses.ts';
import { targetKey } from '../balancer/target.ts';
import {
  type HealthCause,
  NOBODY,
  REMEMBERED_MS,
  type StateListener,
  UpstreamState,
} from '../balancer/upstream-state.ts';

/** Upstreams that have gone and are remembered at a time; those gone first are forgotten first. */
export const GONE_UPSTREAMS_MAX = 10_000;

/** Hosts that are no Upstream whose addresses are shared between services. */
export const HOSTS_MAX = 10_000;

export type HealthWord = 'HEALTHY' | 'UNHEALTHY' | 'DNS_ERROR' | 'HEALTHCHECKS_OFF';

/** An address has become available, or is no longer. */
export interface HealthChange {
  /** Workspace id. */
  readonly ws: string;
  /** Name of the Upstream. */
  readonly upstream: string;
  readonly peer: Peer;
  readonly isHealthy: boolean;
  readonly cause: HealthCause;
}

export interface AddressHealth {
  /** Address, or the name where the transport resolves. */
  readonly ip: string;
  readonly port: number;
  readonly weight: number;
  readonly health: HealthWord;
}

export interface TargetHealth {
  /** `host:port`, as the entity has it. */
  readonly target: string;
  readonly host: string;
  readonly port: number;
  readonly weight: number;
  /** The kind of records that its addresses are of; null: the platform resolves, or there is none. */
  readonly dns: 'A' | 'AAAA' | 'SRV' | null;
  readonly health: HealthWord;
  /** Sums over the addresses. */
  readonly weights: { readonly total: number; readonly available: number };
  readonly addresses: readonly AddressHealth[];
}

/** As of `/upstreams/{u}/health`. */
export interface UpstreamHealth {
  readonly ws: string;
  readonly upstream: string;
  /** `HEALTHCHECKS_OFF` when nothing is checked. */
  readonly health: HealthWord;
  /** Whether requests are taken at all, checked or not. */
  readonly balancerHealth: 'HEALTHY' | 'UNHEALTHY';
  readonly weights: { readonly total: number; readonly available: number };
  readonly targets: readonly TargetHealth[];
}

/** The Upstreams of one version by `workspace id, line feed, name`. Never changed. */
export interface ReadonlyUpstreams {
  get(key: string): { readonly balancer: Balancer } | undefined;
  values(): Iterable<{ readonly balancer: Balancer }>;
}

/** What a version's Upstreams differ in from those of another. */
export interface UpstreamsStep {
  /** Null: from none. */
  readonly from: ReadonlyUpstreams | null;
  /** Keys of all that are others, new or gone. */
  readonly touched: readonly string[];
}

export class HealthRegistry {
  /** By workspace and name. */
  readonly #states = new Map<string, UpstreamState>();
  readonly #listeners = new Set<(change: HealthChange) => void>();
  /** Of hosts that are no Upstream, by `host:port`. */
  readonly #byHost = new Map<string, Balancer>();
  readonly #byService = new WeakMap<object, Balancer>();
  readonly #listener: StateListener = {
    changed: (state, peer, cause) => this.#tell(state, peer, cause),
    counted: (state, peer, counter) => this.onCounted?.(state, peer, counter),
  };
  /** Hears of every passive outcome that counts, before it is counted; null: nobody does. */
  onCounted: StateListener['counted'] | null = null;
  /** Those that no configuration that is served has. */
  readonly #gone = new Set<UpstreamState>();
  #adopted: ReadonlyUpstreams | null = null;

  /** The state of an Upstream; made when first asked for. */
  state(ws: string, name: string): UpstreamState {
    const key = keyOf(ws, name);
    let state = this.#states.get(key);
    if (state === undefined) {
      state = new UpstreamState(ws, name, this.#listener);
      this.#states.set(key, state);
      this.#gone.add(state);
    }
    return state;
  }

  /** Where a host's requests go that is no Upstream: to its addresses in turn. */
  balancerOf(service: { readonly host: string; readonly port: number }): Balancer {
    let balancer = this.#byService.get(service);
    if (balancer === undefined) {
      balancer = this.#balancerOfHost(service.host, service.port);
      this.#byService.set(service, balancer);
    }
    return balancer;
  }

  /** Those of the configuration that is served. A balancer has `upstream`s checks and targets. */
  *current(): Generator<UpstreamState> {
    for (const state of this.#states.values()) if (state.current !== null) yield state;
  }

  /** Of the configuration that is served; null: it has no such Upstream. */
  find(ws: string, name: string): UpstreamState | null {
    const state = this.#states.get(keyOf(ws, name));
    return state === undefined || state.current === null ? null : state;
  }

  /** Calls `listener` for each change, at once and in order; the answer unsubscribes. */
  subscribe(listener: (change: HealthChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * These Upstreams are served from now on. Costs what differs from those before, where `step` leads
   * from them.
   *
   * @param nowMs  on the monotonic clock
   */
  adopt(upstreams: ReadonlyUpstreams, step: UpstreamsStep, nowMs: number): void {
    if (this.#adopted === upstreams) return;
    if (this.#adopted === step.from) {
      for (const key of step.touched) this.#adoptOne(key, upstreams, nowMs);
    } else {
      for (const { balancer } of upstreams.values()) {
        this.#adoptOne(keyOf(balancer.state.ws, balancer.state.name), upstreams, nowMs);
      }
      for (const [key, { current }] of this.#states) {
        if (current !== null) this.#adoptOne(key, upstreams, nowMs);
      }
    }
    this.#adopted = upstreams;
    if (this.#gone.size > 0) this.#sweep(nowMs);
  }

  /** Null: the configuration that is served has no such Upstream. */
  snapshot(ws: string, name: string, nowMs: number): UpstreamHealth | null {
    const state = this.find(ws, name);
    return state === null ? null : snapshotOf(state, nowMs);
  }

  #balancerOfHost(host: string, port: number): Balancer {
    const key = targetKey(host, port);
    let balancer = this.#byHost.get(key);
    if (balancer === undefined) {
      const state = new UpstreamState('', key, NOBODY);
      balancer = new Balancer(state, NOTHING_CHECKED, [{ key, host, port, weight: 1 }], null);
      state.adopt(balancer, 0);
      if (this.#byHost.size >= HOSTS_MAX) this.#dropHost();
      this.#byHost.set(key, balancer);
    }
    return balancer;
  }

  /** The oldest: services that still use it keep it, only others begin anew. */
  #dropHost(): void {
    for (const key of this.#byHost.keys()) {
      this.#byHost.delete(key);
      return;
    }
  }

  #tell(state: UpstreamState, peer: Peer, cause: HealthCause): void {
    const { ws, name: upstream } = state;
    const change = { ws, upstream, peer, isHealthy: peer.health.isHealthy, cause };
    for (const listener of this.#listeners) listener(change);
  }

  #adoptOne(key: string, upstreams: ReadonlyUpstreams, nowMs: number): void {
    const balancer = upstreams.get(key)?.balancer ?? null;
    const known = this.#states.get(key);
    if (balancer === null) {
      if (known === undefined) return;
      known.adopt(null, nowMs);
      this.#gone.add(known);
      return;
    }
    const { state } = balancer;
    // It may have been forgotten between the building and now.
    if (known !== state) this.#states.set(key, state);
    this.#gone.delete(state);
    if (state.current !== balancer) state.adopt(balancer, nowMs);
  }

  #sweep(nowMs: number): void {
    let excess = this.#gone.size - GONE_UPSTREAMS_MAX;
    // In the order in which they went.
    for (const state of this.#gone) {
      if (state.goneAt === null) state.adopt(null, nowMs);
      const isOver = nowMs - (state.goneAt ?? nowMs) >= REMEMBERED_MS;
      if (!isOver && excess <= 0) return;
      excess -= 1;
      this.#gone.delete(state);
      this.#states.delete(keyOf(state.ws, state.name));
    }
  }
}

function keyOf(ws: string, name: string): string {
  return `${ws}\n${name}`;
}

/** Source: Kong `runloop/balancer/healthcheckers.lua`, `db/dao/targets.lua` */
function snapshotOf(state: UpstreamState, nowMs: number): UpstreamHealth | null {
  const { current } = state;
  if (current === null) return null;
  const balancerHealth = current.isHealthy(nowMs) ? 'HEALTHY' : 'UNHEALTHY';
  return {
    ws: state.ws,
    upstream: state.name,
    health: current.checks.isOn ? balancerHealth : 'HEALTHCHECKS_OFF',
    balancerHealth,
    weights: current.weights(nowMs),
    targets: current.targets.map((target) => {
      const { known } = state.addressesOf(target);
      const isChecked = current.checks.isOn && target.weight > 0;
      let total = 0;
      let available = 0;
      const addresses = known.map(({ peer, weight: own }): AddressHealth => {
        const weight = target.weight === 0 ? 0 : (own ?? target.weight);
        const isAvailable = !isChecked || peer.health.isHealthy;
        total += weight;
        if (isAvailable) available += weight;
        const word = isAvailable ? 'HEALTHY' : 'UNHEALTHY';
        const { ip, port } = peer;
        return { ip, port, weight, health: isChecked ? word : 'HEALTHCHECKS_OFF' };
      });
      const { key, host, port, weight } = target;
      const health = wordOf(addresses);
      const weights = { total, available };
      return { target: key, host, port, weight, dns: dnsOf(known), health, weights, addresses };
    }),
  };
}

function dnsOf(known: readonly KnownAddress[]): TargetHealth['dns'] {
  const [first] = known;
  if (first === undefined || first.peer.address === null) return null;
  if (first.weight !== null) return 'SRV';
  return first.peer.address.includes(':') ? 'AAAA' : 'A';
}

/** A target is as healthy as the best of its addresses. */
function wordOf(addresses: readonly AddressHealth[]): HealthWord {
  if (addresses.length === 0) return 'DNS_ERROR';
  const has = (word: HealthWord): boolean => addresses.some(({ health }) => health === word);
  if (has('HEALTHY')) return 'HEALTHY';
  return has('UNHEALTHY') ? 'UNHEALTHY' : 'HEALTHCHECKS_OFF';
}
