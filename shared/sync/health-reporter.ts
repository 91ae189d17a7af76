/**
 * Tells the control plane how a data plane's targets are: everything once a session, then what has
 * changed, a second's changes together.
 */
import type { UpstreamState } from '../balancer/upstream-state.ts';
import type { HealthRegistry, TargetHealth } from '../health/registry.ts';
import type { Clock, Resolver } from '../platform/platform.ts';
import type { FrameOf, UpstreamReport } from '../wire/frames.ts';
import type { DownMethods, ParamsOf, ResultOf } from '../wire/rpc-methods.ts';

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
  /** What was said in this session: by state, of which epoch. */
  readonly #said = new Map<UpstreamState, number>();
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
    let batch: Batch = { gone: this.#gone(), said: [], upstreams: [], length: 0 };
    let frames = 0;
    let count = 0;
    const { registry, resolver, clock } = this.#options;
    for (const state of registry.current()) {
      if ((count += 1) > UPSTREAMS_MAX) break;
      const epoch = this.#said.get(state);
      // As in Kong, names are looked up whether or not somebody asks for the Upstream.
      const resolving = state.current?.ready(resolver, clock) ?? null;
      // Better a little later than to speak of targets without addresses.
      if (epoch === state.epoch || (epoch === undefined && resolving !== null)) continue;
      const report = this.#reportOf(state);
      if (report === null) continue;
      const { length } = JSON.stringify(report);
      if (!hasRoom(batch, length)) {
        if (!this.#send(batch) || (frames += 1) >= FRAMES_MAX) return;
        batch = { gone: [], said: [], upstreams: [], length: 0 };
      }
      batch.upstreams.push(report);
      batch.said.push([state, state.epoch]);
      batch.length += length;
    }
    if (this.#isNew || batch.upstreams.length > 0 || batch.gone.length > 0) this.#send(batch);
  }

  /** Whether it was taken; it is said again otherwise. */
  #send({ gone, said, upstreams }: Batch): boolean {
    const frame: FrameOf<'health'> = {
      type: 'health',
      reset: this.#isNew,
      upstreams,
      gone: gone.map(({ ws, name }) => ({ ws, name })),
    };
    if (!this.#options.sink.reportHealth(frame)) return false;
    this.#isNew = false;
    for (const state of gone) this.#said.delete(state);
    for (const [state, epoch] of said) this.#said.set(state, epoch);
    return true;
  }

  #gone(): UpstreamState[] {
    const gone: UpstreamState[] = [];
    for (const state of this.#said.keys()) {
      if (gone.length >= FRAME_UPSTREAMS_MAX) break;
      if (state.current === null) gone.push(state);
    }
    return gone;
  }

  #reportOf({ ws, name }: UpstreamState): UpstreamReport | null {
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

/** What goes into one frame. */
interface Batch {
  readonly gone: readonly UpstreamState[];
  readonly said: [state: UpstreamState, epoch: number][];
  readonly upstreams: UpstreamReport[];
  /** UTF-16 units of `upstreams`. */
  length: number;
}

function hasRoom({ upstreams, length }: Batch, more: number): boolean {
  if (upstreams.length === 0) return true;
  return upstreams.length < FRAME_UPSTREAMS_MAX && length + more <= FRAME_LENGTH_AIM;
}

/** What somebody said by hand; of an Upstream that is not served, nothing is kept. */
export function setTargetHealth(
  registry: HealthRegistry,
  said: ParamsOf<DownMethods['target_health']>,
): ResultOf<DownMethods['target_health']> {
  const state = registry.find(said.ws, said.name);
  state?.setHealth(said.target, said.address, said.healthy);
  return { known: state !== null };
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
