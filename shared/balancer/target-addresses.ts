/**
 * The addresses that a target's host stands for, kept current.
 *
 * Known addresses are served while newer ones are looked up. A resolver goes on for a while with what
 * it knew (Kong's `dns_stale_ttl`); when it fails all the same, the target is in the state DNS_ERROR.
 */
import { parseIp } from '../base/ip.ts';
import { isPromise, type MaybePromise } from '../base/maybe-promise.ts';
import type { Clock, Resolution, ResolvedAddress, Resolver } from '../platform/platform.ts';
import type { Peer, PeerPlace } from './peer.ts';
import type { Target } from './target.ts';

/** A failed look-up is repeated after this; the resolver itself asks again when it sees fit. */
export const REQUERY_MS = 1000;
/** Addresses taken of one name; further ones are left out. */
export const ADDRESSES_MAX = 1024;

export interface KnownAddress {
  readonly peer: Peer;
  /** Of its SRV record; null: the target's weight counts, for each address. */
  readonly weight: number | null;
}

/** Who keeps the peers. */
export interface PeerKeeper {
  /** The peer for a place, the one from before when there was one. */
  peerFor(place: PeerPlace): Peer;
  /** The addresses of a target are others than before; `isSweepDue`: some have gone or come back. */
  addressesChanged(isSweepDue: boolean, nowMs: number): void;
}

export class TargetAddresses {
  readonly #target: Pick<Target, 'key' | 'host' | 'port'>;
  readonly #keeper: PeerKeeper;
  #known: readonly KnownAddress[] = [];
  /** When to ask again, on the monotonic clock, ms. */
  #dueAt = Number.NEGATIVE_INFINITY;
  #hasFailed = false;
  #asking: Promise<void> | null = null;

  constructor(target: Pick<Target, 'key' | 'host' | 'port'>, keeper: PeerKeeper) {
    this.#target = target;
    this.#keeper = keeper;
    if (parseIp(target.host) !== null) this.#known = [this.#useHostAs(target.host)];
  }

  get known(): readonly KnownAddress[] {
    return this.#known;
  }

  /** Nothing is known, and that is because the name does not resolve. */
  get isUnresolved(): boolean {
    return this.#hasFailed && this.#known.length === 0;
  }

  get dueAt(): number {
    return this.#dueAt;
  }

  /**
   * Looks the name up when it is time.
   *
   * @param resolver  null: the transport resolves, and the name itself is the one address
   * @returns a promise, which never rejects, while a look-up is under way
   */
  refresh(resolver: Resolver | null, clock: Clock): Promise<void> | null {
    const nowMs = clock.monotonic();
    if (nowMs < this.#dueAt) return null;
    if (this.#asking !== null) return this.#asking;
    if (resolver === null) {
      this.#replace([this.#useHostAs(null)], nowMs);
      return null;
    }
    let answer: MaybePromise<Resolution>;
    try {
      answer = resolver.resolve(this.#target.host, true);
    } catch {
      this.#fail(nowMs);
      return null;
    }
    if (!isPromise(answer)) {
      this.#take(answer, nowMs);
      return null;
    }
    this.#asking = this.#await(answer, clock);
    return this.#asking;
  }

  async #await(answer: Promise<Resolution>, clock: Clock): Promise<void> {
    try {
      this.#take(await answer, clock.monotonic());
    } catch {
      this.#fail(clock.monotonic());
    } finally {
      this.#asking = null;
    }
  }

  /** The one address there is, for ever. */
  #useHostAs(address: string | null): KnownAddress {
    const { key, host, port } = this.#target;
    this.#dueAt = Number.POSITIVE_INFINITY;
    const place = { target: key, host, srvName: null, address, port };
    return { peer: this.#keeper.peerFor(place), weight: null };
  }

  #take({ addresses, expiresAt }: Resolution, nowMs: number): void {
    this.#hasFailed = false;
    this.#dueAt = expiresAt;
    const byPeer = new Map<Peer, KnownAddress>();
    for (const resolved of addresses.slice(0, ADDRESSES_MAX)) {
      const known = this.#addressOf(resolved);
      byPeer.set(known.peer, known);
    }
    this.#replace([...byPeer.values()], nowMs);
  }

  #addressOf({ address, port, name, weight }: ResolvedAddress): KnownAddress {
    const { key, host } = this.#target;
    const place = { target: key, host, srvName: name, address, port: port ?? this.#target.port };
    // Only an SRV record has a port, and only then is the weight one of its own.
    return { peer: this.#keeper.peerFor(place), weight: port === null ? null : weight };
  }

  #fail(nowMs: number): void {
    this.#hasFailed = true;
    this.#dueAt = nowMs + REQUERY_MS;
    if (this.#known.length > 0) this.#replace([], nowMs);
  }

  #replace(known: readonly KnownAddress[], nowMs: number): void {
    const before = this.#known;
    this.#known = known;
    const isSame =
      before.length === known.length &&
      known.every(({ peer, weight }, i) => before[i]?.peer === peer && before[i].weight === weight);
    if (isSame) return;
    const peers = new Set(known.map(({ peer }) => peer));
    const hasGone = before.some(({ peer }) => !peers.has(peer));
    const hasComeBack = known.some(({ peer }) => peer.goneAt !== null);
    this.#keeper.addressesChanged(hasGone || hasComeBack, nowMs);
  }
}
