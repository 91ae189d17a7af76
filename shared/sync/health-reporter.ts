/**
 * Tells the control plane how a data plane's targets are: everything once a session, then what has
 * changed, a second's changes together.
 */
import type { HealthRegistry, TargetHealth } from '../health/registry.ts';
import type { Clock, Resolver } from '../platform/platform.ts';
import type { FrameOf, UpstreamReport } from '../wire/frames.ts';

/** Changes of so long are told together. */
export const REPORT_INTERVAL_MS = 1000;
/** Upstreams reported; of further ones the control plane hears nothing. */
export const UPSTREAMS_MAX = 10_000;
/** Addresses of one Upstream; of further ones, only their number. */
export const ADDRESSES_MAX = 1000;
/** UTF-16 units of Upstreams in one frame, but for a single one that is longer. */
export const FRAME_LENGTH_AIM = 64 * 1024;
const FRAME_UPSTREAMS_MAX = 512;
/** Frames of one interval: the rest waits for the next. */
export const FRAMES_MAX = 8;

/** The session with the control plane, see `SyncClient`. */
export interface HealthSink {
  healthSession(): number | null;
  reportHealth(frame: FrameOf<'health'>): boolean;
}

/** What was said of an Upstream in this session. */
interface Said {
  readonly ws: string;
  readonly name: string;
  /** Of its state, at that time. */
  readonly epoch: number;
}

export interface HealthReporterOptions {
  readonly sink: HealthSink;
  readonly registry: HealthRegistry;
  readonly clock: Clock;
  /** Null: names are addresses themselves. */
  readonly resolver: Resolver | null;
}

export class HealthReporter {
  readonly #options: HealthReporterOptions;
  #session: number | null = null;
  readonly #said = new Map<string, Said>();
  /** The control plane has not heard yet that this session begins. */
  #isNew = false;
  #cancelTimer: (() => void) | null = null;

  constructor(options: HealthReporterOptions) {
    this.#options = options;
  }

  /** Reports from now on; harmless when it does so already. */
  start(): void {
    if (this.#cancelTimer === null) this.#schedule();
  }

  stop(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
  }

  #schedule(): void {
    this.#cancelTimer = this.#options.clock.setTimer(REPORT_INTERVAL_MS, () => {
      this.report();
      this.#schedule();
    });
  }

  /** Says what has changed since, up to `FRAMES_MAX` frames of it. */
  report(): void {
    const { sink } = this.#options;
    const session = sink.healthSession();
    if (session !== this.#session) {
      this.#session = session;
      this.#said.clear();
      this.#isNew = true;
    }
    if (session === null) return;
    for (let count = 0; count < FRAMES_MAX; count += 1) {
      const news = this.#news();
      if (news === null || !sink.reportHealth(news.frame)) return;
      this.#isNew = false;
      for (const said of news.said) this.#said.set(keyOf(said), said);
      for (const gone of news.frame.gone) this.#said.delete(keyOf(gone));
    }
  }

  /** One frame of it; null: there is none. */
  #news(): { readonly frame: FrameOf<'health'>; readonly said: readonly Said[] } | null {
    const gone = this.#gone();
    const upstreams: UpstreamReport[] = [];
    const said: Said[] = [];
    let length = 0;
    let count = 0;
    const { registry, resolver, clock } = this.#options;
    for (const state of registry.current()) {
      if ((count += 1) > UPSTREAMS_MAX) break;
      const known = this.#said.get(keyOf(state));
      // As in Kong, names are looked up whether or not somebody asks for the Upstream.
      const resolving = state.current?.ready(resolver, clock) ?? null;
      // Better a little later than to speak of targets without addresses.
      if (known === undefined && resolving !== null) continue;
      if (known !== undefined && known.epoch === state.epoch) continue;
      const { ws, name, epoch } = state;
      const report = this.#reportOf(ws, name);
      if (report === null) continue;
      length += JSON.stringify(report).length;
      const isFull = upstreams.length >= FRAME_UPSTREAMS_MAX || length > FRAME_LENGTH_AIM;
      if (upstreams.length > 0 && isFull) break;
      upstreams.push(report);
      said.push({ ws, name, epoch });
    }
    if (!this.#isNew && upstreams.length === 0 && gone.length === 0) return null;
    return { frame: { type: 'health', reset: this.#isNew, upstreams, gone }, said };
  }

  #gone(): { readonly ws: string; readonly name: string }[] {
    const gone: { ws: string; name: string }[] = [];
    for (const { ws, name } of this.#said.values()) {
      if (gone.length >= FRAME_UPSTREAMS_MAX) break;
      if (this.#options.registry.find(ws, name) === null) gone.push({ ws, name });
    }
    return gone;
  }

  #reportOf(ws: string, name: string): UpstreamReport | null {
    const { registry, clock } = this.#options;
    const snapshot = registry.snapshot(ws, name, clock.monotonic());
    if (snapshot === null) return null;
    let room = ADDRESSES_MAX;
    let dropped = 0;
    const targets: UpstreamReport['targets'][number][] = [];
    for (const target of snapshot.targets) {
      const addresses = target.addresses.slice(0, room);
      dropped += target.addresses.length - addresses.length;
      room -= addresses.length;
      if (targets.length < ADDRESSES_MAX) targets.push(targetReport(target, addresses));
    }
    const { health, balancerHealth: balancer } = snapshot;
    return { ws, name, health, balancer, targets, dropped };
  }
}

/** What somebody said by hand; of an Upstream or target that is not served, nothing is kept. */
export function setTargetHealth(registry: HealthRegistry, said: FrameOf<'target_health'>): void {
  registry.find(said.ws, said.name)?.setHealth(said.target, said.address, said.healthy);
}

function targetReport(
  { target, weight, dns, health }: TargetHealth,
  addresses: TargetHealth['addresses'],
): UpstreamReport['targets'][number] {
  return {
    target,
    weight,
    dns,
    health,
    addresses: addresses.map(({ ip, port: at, weight: share, health: word }) => ({
      ip,
      port: at,
      weight: share,
      health: word,
    })),
  };
}

function keyOf({ ws, name }: { readonly ws: string; readonly name: string }): string {
  return `${ws}\n${name}`;
}
