/**
 * What all isolates together have seen of the targets.
 *
 * The hub counts what isolates report, by the thresholds of the Upstream. There are no active checks at
 * the edge to bring a target back, so that an ejection has an end: after it the target is on trial,
 * which one failure ends with an ejection twice as long, and which it survives by lasting as long as
 * the ejection did.
 */
import { hex } from '#shared/base/bytes.ts';
import type { Peer } from '#shared/balancer/peer.ts';
import type { UpstreamState } from '#shared/balancer/upstream-state.ts';
import { type HealthChange, HealthRegistry } from '#shared/health/registry.ts';
import type { Clock } from '#shared/platform/platform.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import type { Tables } from '#shared/tables/tables.ts';
import { edgeCrypto } from './crypto.ts';
import {
  type HealthNews,
  type KnownTarget,
  OUTCOMES_MAX,
  type OutcomeReport,
  RUNS_MAX,
} from './hub-api.ts';
import type { HubStore } from './hub-store.ts';

/** How long the first ejection lasts; each that follows upon a trial, twice as long as the one before. */
export const EJECTED_MS = 30_000;
export const EJECTED_MS_MAX = 300_000;
/** Targets that something is known of; further ones are every isolate's own affair. */
export const KNOWN_MAX = 1000;
/** Of one run that an isolate reports: no limit is above 255. */
const TIMES_MAX = 255;
const STORED_UNDER = 'target_health';

interface Known extends KnownTarget {
  /** How long this ejection lasts, and the trial after it. */
  readonly durationMs: number;
  /** Epoch milliseconds. */
  readonly until: number;
}

export class HubHealth {
  readonly registry = new HealthRegistry();
  readonly #store: HubStore;
  readonly #clock: Clock;
  /** By `keyOf`. */
  readonly #known = new Map<string, Known>();
  #mark = '';

  constructor(store: HubStore, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
    this.#restore();
    this.registry.subscribe((change) => this.#changed(change));
  }

  /** A configuration that isolates will serve. */
  adopt(tables: Tables): void {
    const { upstreams } = tables.parts;
    this.registry.adopt(upstreams.byName.winners, upstreams.step, this.#clock.monotonic());
    for (const known of this.#known.values()) this.#apply(known);
  }

  /** Counts what an isolate has seen. */
  take(outcomes: readonly OutcomeReport[]): void {
    this.#expire();
    for (const { ws, upstream, target, runs } of outcomes.slice(0, OUTCOMES_MAX)) {
      const found = this.#find(ws, upstream, target);
      if (found === null) continue;
      const { state, peer } = found;
      for (const [counter, times] of runs.slice(-RUNS_MAX)) {
        for (let i = Math.min(times, TIMES_MAX); i > 0; i -= 1) {
          state.count(peer, counter, 'passive');
        }
      }
    }
  }

  /** Null when it is what the isolate knows already. */
  news(heldMark: string): HealthNews | null {
    this.#expire();
    if (heldMark === this.#mark) return null;
    const targets = [...this.#known.values()].map(({ ws, upstream, target, word }) => ({
      ws,
      upstream,
      target,
      word,
    }));
    return { mark: this.#mark, targets };
  }

  status(): JsonObject {
    return {
      targets: [...this.#known.values()].map(({ upstream, target, word, until }) => ({
        upstream,
        target,
        health: word,
        until,
      })),
    };
  }

  #changed({ ws, upstream, peer, isHealthy, cause }: HealthChange): void {
    const { target } = peer;
    const key = keyOf(ws, upstream, target);
    if (cause === 'manual' && isHealthy) {
      if (this.#known.delete(key)) this.#save();
      return;
    }
    if (isHealthy || cause === 'shared') return;
    const before = this.#known.get(key);
    if (before === undefined && this.#known.size >= KNOWN_MAX) return;
    const durationMs =
      before === undefined ? EJECTED_MS : Math.min(before.durationMs * 2, EJECTED_MS_MAX);
    const until = this.#clock.now() + durationMs;
    this.#known.set(key, { ws, upstream, target, word: 'unhealthy', durationMs, until });
    this.#save();
  }

  /** Ejections that are over become trials, and trials that are over are forgotten. */
  #expire(): void {
    const now = this.#clock.now();
    let hasChanged = false;
    for (const [key, known] of this.#known) {
      if (known.until > now) continue;
      hasChanged = true;
      const isOver = known.word === 'trial';
      const next: Known = { ...known, word: 'trial', until: now + known.durationMs };
      if (isOver) this.#known.delete(key);
      else this.#known.set(key, next);
      const found = this.#find(known.ws, known.upstream, known.target);
      found?.state.learn(found.peer, isOver ? 'healthy' : 'trial');
    }
    if (hasChanged) this.#save();
  }

  #apply({ ws, upstream, target, word }: Known): void {
    const found = this.#find(ws, upstream, target);
    if (found === null) return;
    const { state, peer } = found;
    const isAsKnown = word === 'trial' ? peer.health.isHealthy : !peer.health.isHealthy;
    // A trial goes on with what was counted in it.
    if (!isAsKnown || (word === 'trial' && peer.health.level === 'healthy'))
      state.learn(peer, word);
  }

  #find(ws: string, upstream: string, key: string): { state: UpstreamState; peer: Peer } | null {
    const state = this.registry.find(ws, upstream);
    // At the edge a target is one address, by its name.
    state?.current?.ready(null, this.#clock);
    const target = state?.current?.target(key) ?? null;
    if (state === null || target === null) return null;
    const [known] = state.addressesOf(target).known;
    return known === undefined ? null : { state, peer: known.peer };
  }

  #save(): void {
    const text = JSON.stringify([...this.#known.values()]);
    this.#mark = hex(edgeCrypto.sha256(text));
    this.#store.setMeta(STORED_UNDER, text);
  }

  #restore(): void {
    const text = this.#store.getMeta(STORED_UNDER);
    if (text === null) return;
    // Written by `#save` only.
    for (const known of JSON.parse(text) as Known[]) {
      this.#known.set(keyOf(known.ws, known.upstream, known.target), known);
    }
    this.#mark = hex(edgeCrypto.sha256(text));
  }
}

function keyOf(ws: string, upstream: string, target: string): string {
  return `${ws}\n${upstream}\n${target}`;
}
