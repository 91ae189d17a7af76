/**
 * What is known of an Upstream's targets beyond any one configuration: their addresses, the health of
 * each, how many requests are under way, how fast they answer. It belongs to the name of the
 * Upstream, so a version that changes something else, or a target that goes and comes back, finds it
 * as it was.
 */
import { assert } from '../base/assert.ts';
import { type CheckOutcome, counterOf } from '../health/checks.ts';
import type { CounterName } from '../health/health.ts';
import type { Balancer } from './balancer.ts';
import { Peer, peerKey, type PeerPlace } from './peer.ts';
import type { Target } from './target.ts';
import { type PeerKeeper, TargetAddresses } from './target-addresses.ts';

/** What a target or an Upstream that has gone is remembered for. Source: Kong `constants.lua` */
export const REMEMBERED_MS = 300_000;
/** Of peers that have gone, so many are remembered; beyond, those gone first are forgotten. */
export const GONE_PEERS_MAX = 1024;

export type CheckSource = 'active' | 'passive';

/** Why a peer's availability has changed; `shared`: others have found out. */
export type HealthCause = CheckSource | 'manual' | 'shared';

/** Who listens to a state. */
export interface StateListener {
  /** A peer has become available, or is no longer. */
  changed(state: UpstreamState, peer: Peer, cause: HealthCause): void;
  /** A passive outcome that counts, before it is counted. */
  counted(state: UpstreamState, peer: Peer, counter: CounterName): void;
}

export class UpstreamState implements PeerKeeper {
  /** Workspace id. */
  readonly ws: string;
  readonly name: string;
  /** Grows with every change of who may be picked. */
  epoch = 0;
  /** Requests under way, all peers together. */
  active = 0;
  readonly #listener: StateListener;
  readonly #peers = new Map<string, Peer>();
  readonly #targets = new Map<string, TargetAddresses>();
  #current: Balancer | null = null;
  #goneAt: number | null = null;
  /** There are peers that no target stands for. */
  #hasGone = false;

  constructor(ws: string, name: string, listener: StateListener) {
    this.ws = ws;
    this.name = name;
    this.#listener = listener;
  }

  /** Of the configuration that is served; null: none has it. */
  get current(): Balancer | null {
    return this.#current;
  }

  /** Since when no configuration has it (monotonic, ms); null: the one that is served does. */
  get goneAt(): number | null {
    return this.#goneAt;
  }

  /** By target key; made when first asked for. */
  addressesOf(target: Target): TargetAddresses {
    let addresses = this.#targets.get(target.key);
    if (addresses === undefined) {
      addresses = new TargetAddresses(target, this);
      this.#targets.set(target.key, addresses);
    }
    return addresses;
  }

  peerFor(place: PeerPlace): Peer {
    const key = peerKey(place);
    let peer = this.#peers.get(key);
    if (peer === undefined) {
      peer = new Peer(place);
      this.#peers.set(key, peer);
    }
    return peer;
  }

  addressesChanged(isSweepDue: boolean, nowMs: number): void {
    this.epoch += 1;
    if (isSweepDue) this.sweep(nowMs);
  }

  /** A request goes to a peer; `ended` is called for it once. */
  began(peer: Peer): void {
    peer.active += 1;
    this.active += 1;
    this.#current?.activeChanged(peer);
  }

  ended(peer: Peer): void {
    peer.active -= 1;
    this.active -= 1;
    assert(peer.active >= 0 && this.active >= 0, 'a request ended twice');
    this.#current?.activeChanged(peer);
  }

  /** Counts what a request or a probe came to, by the rules of the configuration that is served. */
  report(peer: Peer, outcome: CheckOutcome, source: CheckSource): void {
    const checks = this.#current?.checks;
    if (checks === undefined || !checks.isOn) return;
    const rules = checks[source];
    const counter = counterOf(outcome, rules);
    if (counter === null || rules.limits[counter] === 0) return;
    if (source === 'passive') this.#listener.counted(this, peer, counter);
    this.count(peer, counter, source);
  }

  /** Counts an outcome of which it is known already what it counts as. */
  count(peer: Peer, counter: CounterName, source: CheckSource): void {
    const checks = this.#current?.checks;
    if (checks === undefined || !checks.isOn) return;
    if (peer.health.count(counter, checks[source].limits[counter])) this.#changed(peer, source);
  }

  /** Takes over what others have found out. `trial`: available, until the next failure. */
  learn(peer: Peer, word: 'healthy' | 'trial' | 'unhealthy'): void {
    const checks = this.#current?.checks;
    if (checks === undefined || !checks.isOn) return;
    const { health } = peer;
    const hasChanged =
      word === 'trial' ? health.tryAgain(checks.passive.limits) : health.set(word === 'healthy');
    if (hasChanged) this.#changed(peer, 'shared');
  }

  /**
   * Sets the health of all addresses of a target, or of one of them, by hand.
   *
   * @param target  `host:port`
   * @param address  `ip` or `ip:port`; null for all
   * @returns false when there is no such address, or health checks are off
   */
  setHealth(target: string, address: string | null, isHealthy: boolean): boolean {
    if (this.#current?.checks.isOn !== true) return false;
    let isFound = false;
    for (const { peer } of this.#targets.get(target)?.known ?? []) {
      if (address !== null && address !== peer.ip && address !== peer.shown) continue;
      isFound = true;
      if (peer.health.set(isHealthy)) this.#changed(peer, 'manual');
    }
    return isFound;
  }

  /** A configuration that has it is served from now on; null: one that does not. */
  adopt(balancer: Balancer | null, nowMs: number): void {
    this.#current = balancer;
    if (balancer === null) this.#goneAt ??= nowMs;
    else this.#goneAt = null;
    // Those of the balancer are all among them: with as many, there are no others.
    const hasOthers = this.#targets.size !== (balancer === null ? 0 : balancer.targets.length);
    if (hasOthers) {
      for (const key of this.#targets.keys()) {
        if (balancer === null || balancer.target(key) === null) this.#targets.delete(key);
      }
    }
    if (hasOthers || this.#hasGone) this.sweep(nowMs);
    // How many requests are under way may have changed since it was built.
    this.epoch += 1;
  }

  /** Forgets peers that no target has stood for long enough, and what is known of those come back. */
  sweep(nowMs: number): void {
    const known = new Set<Peer>();
    for (const addresses of this.#targets.values()) {
      for (const { peer } of addresses.known) known.add(peer);
    }
    const gone: Peer[] = [];
    for (const peer of this.#peers.values()) {
      if (known.has(peer)) {
        if (peer.goneAt !== null && nowMs - peer.goneAt >= REMEMBERED_MS) peer.forget();
        peer.goneAt = null;
        continue;
      }
      peer.goneAt ??= nowMs;
      gone.push(peer);
    }
    gone.sort((a, b) => (a.goneAt ?? 0) - (b.goneAt ?? 0));
    let count = gone.length;
    for (const peer of gone) {
      const isOver = nowMs - (peer.goneAt ?? nowMs) >= REMEMBERED_MS;
      if (!isOver && count <= GONE_PEERS_MAX) break;
      this.#peers.delete(peer.key);
      count -= 1;
    }
    this.#hasGone = count > 0;
  }

  #changed(peer: Peer, cause: HealthCause): void {
    this.epoch += 1;
    this.#listener.changed(this, peer, cause);
  }
}

/** For what nobody listens to. */
export const NOBODY: StateListener = { changed: () => {}, counted: () => {} };
