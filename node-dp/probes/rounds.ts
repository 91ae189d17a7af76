/** The rounds of probes over one Upstream's addresses: one over the healthy, one over the others. */
import type { Peer } from '#shared/balancer/peer.ts';
import type { UpstreamState } from '#shared/balancer/upstream-state.ts';
import type { Clock, ClientCertificate, Random, Resolver } from '#shared/platform/platform.ts';
import type { UpstreamTlsContexts } from '../tls/upstream-tls.ts';
import type { Places } from './places.ts';
import type { ProbePlan } from './plan.ts';
import { type RunningProbe, startProbe } from './probe.ts';

export interface RoundsContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly resolver: Resolver | null;
  readonly tls: UpstreamTlsContexts;
  /** Of all Upstreams together. */
  readonly places: Places;
  /** By id, of the configuration that is served; null: there is none. */
  clientCertificate(ws: string, id: string): ClientCertificate | null;
}

/** The first round of each kind is somewhere in here, so that many do not begin at once. */
export const JITTER_MS_MAX = 1000;

type Mode = 'healthy' | 'unhealthy';

export class Rounds {
  readonly plan: ProbePlan;
  readonly state: UpstreamState;
  readonly #context: RoundsContext;
  readonly #running = new Map<Peer, RunningProbe>();
  readonly #cancelTimers = new Map<Mode, () => void>();
  #isStopped = false;

  constructor(state: UpstreamState, plan: ProbePlan, context: RoundsContext) {
    this.plan = plan;
    this.state = state;
    this.#context = context;
    for (const mode of ['healthy', 'unhealthy'] as const) {
      const intervalMs = this.#intervalMs(mode);
      if (intervalMs === null) continue;
      this.#schedule(mode, context.random.next() * Math.min(intervalMs, JITTER_MS_MAX));
    }
  }

  /** Probes under way. */
  get runningCount(): number {
    return this.#running.size;
  }

  /** What is under way is dropped, and reports nothing. */
  stop(): void {
    this.#isStopped = true;
    for (const cancel of this.#cancelTimers.values()) cancel();
    for (const probe of this.#running.values()) probe.cancel();
  }

  #intervalMs(mode: Mode): number | null {
    return mode === 'healthy' ? this.plan.healthyMs : this.plan.unhealthyMs;
  }

  #schedule(mode: Mode, delayMs: number): void {
    if (this.#isStopped) return;
    const { clock } = this.#context;
    this.#cancelTimers.set(
      mode,
      clock.setTimer(delayMs, () => {
        const startedMs = clock.monotonic();
        // Whatever there may be wrong with it, there is a next round.
        void this.#round(mode).finally(() => {
          const tookMs = clock.monotonic() - startedMs;
          this.#schedule(mode, Math.max(0, (this.#intervalMs(mode) ?? 0) - tookMs));
        });
      }),
    );
  }

  /** Never rejects. */
  async #round(mode: Mode): Promise<void> {
    const { resolver, clock } = this.#context;
    const { current } = this.state;
    if (current === null) return;
    // Nobody else sees to it while there is no traffic.
    await current.ready(resolver, clock);
    const queue = this.#peers(mode);
    const workers = Math.min(this.plan.concurrency, queue.length);
    await Promise.all(Array.from({ length: workers }, () => this.#work(queue)));
  }

  /** Addresses that requests may go to. Source: Kong, populate_healthchecker: of a weight above 0. */
  #peers(mode: Mode): Peer[] {
    const targets = this.state.current?.targets ?? [];
    return targets
      .filter(({ weight }) => weight > 0)
      .flatMap((target) => this.state.addressesOf(target).known.map(({ peer }) => peer))
      .filter((peer) => peer.health.isHealthy === (mode === 'healthy') && !this.#running.has(peer));
  }

  async #work(queue: Peer[]): Promise<void> {
    const { places } = this.#context;
    for (let peer = queue.shift(); peer !== undefined; peer = queue.shift()) {
      const waiting = places.take();
      if (waiting !== null) await waiting;
      try {
        if (!this.#isStopped) await this.#probe(peer);
      } finally {
        places.giveBack();
      }
    }
  }

  async #probe(peer: Peer): Promise<void> {
    const { tls, clientCertificate } = this.#context;
    const { clientCertificate: id } = this.plan;
    const probe = startProbe(this.plan, peer, {
      tls,
      clientCertificate: id === null ? null : clientCertificate(this.state.ws, id),
    });
    this.#running.set(peer, probe);
    const outcome = await probe.outcome;
    this.#running.delete(peer);
    if (outcome !== null && !this.#isStopped) this.state.report(peer, outcome, 'active');
  }
}
