/**
 * How long ago it was proven that what is served is the newest there is, and what the group wants done
 * when that is too long ago (`manifest.settings`): nothing, a warning, or an end to serving.
 *
 * While the process runs, time is measured by the clock that never jumps. Across a restart only the
 * wall clock is there: the last proof is kept with its time, and a configuration is at least as old as
 * its signature says. A wall clock that stands before either of them has been set back and proves nothing.
 */
import { base64url } from '../base/bytes.ts';
import type { NodeSettings } from '../config/manifest.ts';
import { positionOf, type ReplicaState } from '../config/replica.ts';
import type { Clock, Crypto, Logger, Random } from '../platform/platform.ts';
import type { TextPlace } from './breaker.ts';
import type { SyncClient } from './client.ts';
import { verifyFreshness } from './freshness.ts';

/** A proof is asked for as often as this, or five times within the age that the group allows. */
const ASK_MS_MAX = 10_000;
const ASK_MS_MIN = 2_000;
/** How far a wall clock may be behind without having been set back. */
const CLOCK_SLACK_MS = 60_000;
const NONCE_BYTES = 16;
/** Asks the database for nobody's sake. */
const ANY_AGE_MS = 24 * 3600 * 1000;

export interface FreshnessView {
  /** Since the last proof; null without one, and infinite where none counts. */
  readonly ageMs: number | null;
  readonly policy: NodeSettings['staleness'];
  /** Older than the group allows. Never with the policy `serve`. */
  readonly isStale: boolean;
  /** Nothing is to be served. */
  readonly isClosed: boolean;
}

export interface FreshnessOptions {
  readonly client: Pick<SyncClient, 'identity' | 'served' | 'refused' | 'ask'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly crypto: Crypto;
  readonly logger: Logger;
  /** Keeps the time of the last proof. */
  readonly place: TextPlace;
  /** Called by `open`, and whenever it becomes stale or fresh again. */
  readonly onChange?: (view: FreshnessView) => void;
}

const DEFAULTS: NodeSettings = { staleness: 'serve', staleness_seconds: 3600 };

export class FreshnessKeeper {
  readonly #options: FreshnessOptions;
  /** On the clock that never jumps; null: there is nothing to go by yet. */
  #provenAtMs: number | null = null;
  /** What the last proof was about, in case that it is not served yet. */
  #claim: { readonly hash: string; readonly atMs: number } | null = null;
  #keptAtWallMs = 0;
  #askedAtMs = Number.NEGATIVE_INFINITY;
  #writtenAtMs = Number.NEGATIVE_INFINITY;
  #isAsking = false;
  #wasStale = false;
  #wasClosed = false;
  #isRunning = false;
  #cancelTimer: () => void = () => {};

  constructor(options: FreshnessOptions) {
    this.#options = options;
  }

  /** Says how old is what was kept, before it is served. */
  async open(): Promise<void> {
    const kept = await this.#options.place.read().catch(() => null);
    const atMs = Number(kept);
    if (kept !== null && Number.isSafeInteger(atMs)) this.#keptAtWallMs = atMs;
    this.#tell(true);
  }

  /** Asks for proofs from now on. Calling it again does nothing. */
  start(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.wake();
  }

  stop(): void {
    this.#isRunning = false;
    this.#cancelTimer();
  }

  /** There may be somebody to ask, or something else is served. */
  wake(): void {
    if (!this.#isRunning) return;
    this.#settle();
    const nowMs = this.#options.clock.monotonic();
    if (!this.#isAsking && nowMs - this.#askedAtMs >= this.#askMs()) void this.#ask();
    this.#tell();
    this.#setTimer();
  }

  view(): FreshnessView {
    const { staleness: policy } = this.#settings();
    const ageMs = this.#ageMs();
    const isStale =
      policy !== 'serve' && this.#options.client.served !== null && this.#isOld(ageMs);
    return { ageMs, policy, isStale, isClosed: isStale && policy === 'close' };
  }

  #settings(): NodeSettings {
    return this.#options.client.served?.manifest.settings ?? DEFAULTS;
  }

  #ageMs(): number | null {
    const { clock, client } = this.#options;
    if (this.#provenAtMs === null && client.served !== null) {
      this.#provenAtMs = clock.monotonic() - this.#ageByWall(client.served);
    }
    return this.#provenAtMs === null ? null : clock.monotonic() - this.#provenAtMs;
  }

  #ageByWall({ manifest }: ReplicaState): number {
    const lastMs = Math.max(this.#keptAtWallMs, manifest.created_at * 1000);
    const ageMs = this.#options.clock.now() - lastMs;
    return ageMs < -CLOCK_SLACK_MS ? Number.POSITIVE_INFINITY : Math.max(0, ageMs);
  }

  #isOld(ageMs: number | null): boolean {
    return ageMs === null || ageMs > this.#settings().staleness_seconds * 1000;
  }

  #askMs(): number {
    const { staleness, staleness_seconds: seconds } = this.#settings();
    if (staleness === 'serve') return ASK_MS_MAX;
    return Math.min(ASK_MS_MAX, Math.max(ASK_MS_MIN, seconds * 200));
  }

  async #ask(): Promise<void> {
    const { client, clock, random, crypto, logger } = this.#options;
    const { identity } = client;
    if (identity === null) return;
    const sentMs = clock.monotonic();
    const { staleness, staleness_seconds: seconds } = this.#settings();
    const maxAgeMs = staleness === 'serve' ? ANY_AGE_MS : seconds * 250;
    this.#isAsking = true;
    try {
      const nonce = base64url(random.bytes(NONCE_BYTES));
      const asked = await client.ask('freshness', { nonce, max_age_ms: maxAgeMs });
      if (!asked.ok) {
        // Where nobody is, the next connection is asked at once.
        if (asked.code !== 'unavailable') this.#askedAtMs = sentMs;
        return;
      }
      this.#askedAtMs = sentMs;
      const said = await verifyFreshness(asked.value, { pinned: identity, nonce }, crypto);
      if (said === null) {
        logger.log('error', 'a proof of freshness is none', { node: identity.node });
        return;
      }
      this.#claim = { hash: said.hash, atMs: sentMs - said.age_ms };
    } finally {
      this.#isAsking = false;
      this.#settle();
      this.#tell();
      this.#setTimer();
    }
  }

  /** A claim counts once what it is about is served, or was found to be of no use here. */
  #settle(): void {
    const claim = this.#claim;
    const { client } = this.#options;
    if (claim === null || client.served === null) return;
    const { hash } = positionOf(client.served);
    if (claim.hash !== hash && claim.hash !== client.refused) return;
    this.#claim = null;
    if (claim.atMs <= (this.#provenAtMs ?? Number.NEGATIVE_INFINITY)) return;
    this.#provenAtMs = claim.atMs;
    this.#keep(claim.atMs);
  }

  /** Not each time: it only has to be right by a fraction of what is allowed. */
  #keep(provenAtMs: number): void {
    const { clock, place, logger } = this.#options;
    const { staleness, staleness_seconds: seconds } = this.#settings();
    const nowMs = clock.monotonic();
    if (staleness === 'serve' || nowMs - this.#writtenAtMs < seconds * 100) return;
    this.#writtenAtMs = nowMs;
    this.#keptAtWallMs = Math.floor(clock.now() - (nowMs - provenAtMs));
    void place.write(String(this.#keptAtWallMs)).catch((error: unknown) => {
      logger.log('warn', 'the time of the last proof cannot be kept', { error: String(error) });
    });
  }

  #tell(isFirst = false): void {
    const view = this.view();
    const isNews = view.isStale !== this.#wasStale || view.isClosed !== this.#wasClosed;
    if (!isNews && !isFirst) return;
    const isTurned = view.isStale !== this.#wasStale;
    this.#wasStale = view.isStale;
    this.#wasClosed = view.isClosed;
    this.#options.onChange?.(view);
    if (!isTurned) return;
    const { isStale, policy } = view;
    const age = Math.round(view.ageMs ?? Number.POSITIVE_INFINITY);
    const fields = { age_ms: Number.isFinite(age) ? age : null, policy };
    const message = isStale ? 'the configuration is stale' : 'the configuration is fresh again';
    this.#options.logger.log(isStale ? 'warn' : 'info', message, fields);
  }

  /** For the next question, and for the moment that what is served gets too old. */
  #setTimer(): void {
    this.#cancelTimer();
    if (!this.#isRunning) return;
    const { clock } = this.#options;
    const nowMs = clock.monotonic();
    const askMs = this.#askMs();
    let dueMs = Math.max(this.#askedAtMs + askMs, nowMs + ASK_MS_MIN);
    const { staleness, staleness_seconds: seconds } = this.#settings();
    const oldAtMs = (this.#provenAtMs ?? nowMs) + seconds * 1000 + 1;
    if (staleness !== 'serve' && oldAtMs > nowMs) dueMs = Math.min(dueMs, oldAtMs);
    this.#cancelTimer = clock.setTimer(Math.ceil(dueMs - nowMs), () => this.wake());
  }
}
