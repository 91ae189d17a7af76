/** The active checks of a data plane: which Upstreams are probed follows the configuration. */
import type { ClientCertificate, Clock, Random, Resolver } from '#shared/platform/platform.ts';
import type { Certificates } from '#shared/tables/certificates.ts';
import type { Tables, UpstreamTable } from '#shared/tables/tables.ts';
import type { UpstreamTlsContexts } from '../tls/upstream-tls.ts';
import { Places } from './places.ts';
import { isSamePlan, planOf } from './plan.ts';
import { Rounds, type RoundsContext } from './rounds.ts';

/** Probes under way at a time, all Upstreams together; further ones wait for their turn. */
export const PROBES_MAX = 256;

export interface ProberDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly resolver: Resolver | null;
  readonly tls: UpstreamTlsContexts;
}

type Upstreams = Tables['parts']['upstreams']['byName']['winners'];

export class Prober {
  readonly #context: RoundsContext;
  /** By `scopedKey(ws, name)`. */
  readonly #rounds = new Map<string, Rounds>();
  #adopted: Upstreams | null = null;
  #certificates: Certificates | null = null;

  constructor(deps: ProberDeps) {
    this.#context = {
      ...deps,
      places: new Places(PROBES_MAX),
      clientCertificate: (ws, id) => this.#clientCertificate(ws, id),
    };
  }

  /** Probes under way. */
  get runningCount(): number {
    let count = 0;
    for (const rounds of this.#rounds.values()) count += rounds.runningCount;
    return count;
  }

  /**
   * Probes the Upstreams of these tables from now on. What an Upstream is probed with stays under way
   * as long as that part of it does not change. Costs what differs from the tables before.
   */
  adopt(tables: Tables): void {
    const { byName, step } = tables.parts.upstreams;
    const { winners } = byName;
    this.#certificates = tables.certificates;
    if (winners === this.#adopted) return;
    const keys =
      step.from === this.#adopted
        ? step.touched
        : new Set([...this.#rounds.keys(), ...winners.keys()]);
    this.#adopted = winners;
    for (const key of keys) this.#adoptOne(key, winners.get(key) ?? null);
  }

  /** Nothing is probed any more; what is under way is dropped. */
  close(): void {
    for (const rounds of this.#rounds.values()) rounds.stop();
    this.#rounds.clear();
  }

  #adoptOne(key: string, table: UpstreamTable | null): void {
    // One that was set aside checks nothing, and may be of any shape.
    const plan = table?.balancer.checks.isOn === true ? planOf(table.upstream) : null;
    const before = this.#rounds.get(key);
    const state = table?.balancer.state ?? null;
    if (before !== undefined) {
      if (plan !== null && before.state === state && isSamePlan(before.plan, plan)) return;
      before.stop();
      this.#rounds.delete(key);
    }
    if (plan === null || state === null) return;
    this.#rounds.set(key, new Rounds(state, plan, this.#context));
  }

  #clientCertificate(ws: string, id: string): ClientCertificate | null {
    const found = this.#certificates?.get(ws, id) ?? null;
    if (found === null || found.fault !== null) return null;
    return { id: found.hash, cert: found.cert, key: found.key };
  }
}
