/**
 * The isolate's side of the configuration: how it starts, and how it hears of something newer without
 * a request having to wait (decision 10).
 *
 * The hub is asked first, KV when the hub cannot be asked, and the hub again for what KV does not show
 * yet. Whatever comes is verified from the pins up before it is used. Isolates come and go and share
 * nothing, so no promise is kept between requests: each does its own asking, and data is what they
 * leave behind for each other.
 */
import { hex } from '#shared/base/bytes.ts';
import { SCHEMA_LEVEL } from '#shared/config/levels.ts';
import { SecretOpener } from '#shared/config/opening.ts';
import type { Replica } from '#shared/config/record.ts';
import { positionOf, type ReplicaState } from '#shared/config/replica.ts';
import type { Clock, Crypto, Logger } from '#shared/platform/platform.ts';
import type { SignedManifest } from '#shared/wire/frames.ts';
import type { BootRecord } from '#shared/config/boot-record.ts';
import { readBootRecord } from '#shared/config/boot-record.ts';
import type { Hub, HubAnswer, IsolateRefusal } from './hub-api.ts';
import type { KvConfig } from './kv-config.ts';
import type { SharedHealth } from './shared-health.ts';
import { fetchState, isNewer, isSamePin } from './state-loader.ts';

/** The hub is asked no more often than this by one isolate. */
export const ASK_INTERVAL_MS = 2000;
/** Longest that a request waits for news when the isolate's own are too old. */
export const STALE_WAIT_MS = 250;
/** Longest that a request waits for a first configuration. */
export const BOOT_WAIT_MS = 5000;
/** A refresh that has not ended by then died with the request that ran it. */
const REFRESH_MAX_MS = 15_000;
/** How long "there is none yet" is believed before the next request asks again. */
const EMPTY_MS = 250;

export interface SourceOptions {
  readonly hub: () => Hub;
  readonly kv: KvConfig;
  readonly bootKey: Uint8Array | null;
  readonly maxIsolateAgeMs: number;
  readonly clock: Clock;
  readonly crypto: Crypto;
  readonly logger: Logger;
  /**
   * Builds and swaps; else why it could not be built, and what was served goes on.
   *
   * @param replica  what `opening.ts` makes of the verified state
   */
  readonly use: (replica: Replica, boot: BootRecord) => string | null;
  readonly background: (work: Promise<unknown>) => void;
  readonly health: SharedHealth;
}

export class ConfigSource {
  readonly #options: SourceOptions;
  readonly #opener: SecretOpener;
  #state: ReplicaState | null = null;
  #boot: BootRecord | null = null;
  #bootMark = '';
  /** What could not be built here; not tried again. */
  #refused: IsolateRefusal | null = null;
  /** When it was last proven to the hub that what is served is the newest; by the wall clock. */
  #provenAt = Number.NEGATIVE_INFINITY;
  #confirmedAt = Number.NEGATIVE_INFINITY;
  #askedAt = Number.NEGATIVE_INFINITY;
  #failedAt = Number.NEGATIVE_INFINITY;
  #refreshing = false;
  #emptyUntil = Number.NEGATIVE_INFINITY;

  constructor(options: SourceOptions) {
    this.#options = options;
    this.#opener = new SecretOpener(options.crypto);
  }

  get state(): ReplicaState | null {
    return this.#state;
  }

  /** Milliseconds since the hub last confirmed what is served; null when it never did. */
  confirmedAgeMs(): number | null {
    const age = this.#options.clock.now() - this.#confirmedAt;
    return Number.isFinite(age) ? age : null;
  }

  /** Whether what is served is older than its group allows. */
  isStale(): boolean {
    const settings = this.#state?.manifest.settings;
    if (!settings || settings.staleness === 'serve') return false;
    return this.#options.clock.now() - this.#provenAt > settings.staleness_seconds * 1000;
  }

  /** Whether the group wants nothing served that is so old. */
  isClosed(): boolean {
    return this.#state?.manifest.settings?.staleness === 'close' && this.isStale();
  }

  /** Whether the group would have nothing served soon, so that it is worth asking first. */
  #isPressing(now: number): boolean {
    return now - this.#askedAt >= ASK_INTERVAL_MS && this.isClosed();
  }

  /** To be called before each request. Null: go on at once. */
  freshen(): Promise<void> | null {
    const now = this.#options.clock.now();
    const hasFailed = now - this.#failedAt < ASK_INTERVAL_MS;
    if (this.#state === null) {
      return now < this.#emptyUntil ? null : this.#within(BOOT_WAIT_MS, this.#start());
    }
    if (now - this.#confirmedAt > this.#options.maxIsolateAgeMs || this.#isPressing(now)) {
      return hasFailed ? null : this.#within(STALE_WAIT_MS, this.#refresh());
    }
    if (now - this.#askedAt >= ASK_INTERVAL_MS && !this.#isBusy(now)) {
      this.#options.background(this.#refresh());
    }
    return null;
  }

  /** One that has run for too long died with the request that it ran behind. */
  #isBusy(now: number): boolean {
    return this.#refreshing && now - this.#askedAt < REFRESH_MAX_MS;
  }

  /** Asks now, because there is something to tell that cannot wait. */
  hurry(): void {
    if (this.#state === null || this.#isBusy(this.#options.clock.now())) return;
    this.#options.background(this.#refresh());
  }

  /**
   * A first configuration. KV is read beside the question to the hub, and used when the hub has not
   * answered by the time that a stale isolate would wait.
   */
  async #start(): Promise<void> {
    const asked = this.#refresh();
    await Promise.race([asked, this.#sleep(STALE_WAIT_MS)]);
    if (this.#state === null) await this.#loadFromKv();
    if (this.#state === null) await asked;
    if (this.#state === null) this.#emptyUntil = this.#options.clock.now() + EMPTY_MS;
  }

  async #refresh(): Promise<void> {
    const { clock, logger } = this.#options;
    const askedAt = clock.now();
    this.#askedAt = askedAt;
    this.#refreshing = true;
    try {
      const answer = await this.#ask();
      await this.#take(answer);
      this.#believe(answer, askedAt);
      // Only now there are targets that it can be said of.
      this.#options.health.learn(answer.health ?? null);
      this.#confirmedAt = Math.max(this.#confirmedAt, askedAt);
    } catch (error) {
      this.#failedAt = clock.now();
      logger.log('warn', 'the hub cannot be asked', { error: String(error) });
      if (this.#state !== null) await this.#loadFromKv();
    } finally {
      this.#refreshing = false;
    }
  }

  /** Only of what is served, or was found to be of no use here, the hub's proof says anything. */
  #believe({ head, provenAgeMs }: HubAnswer, askedAt: number): void {
    if (provenAgeMs === undefined || provenAgeMs === null) return;
    const hash = head === null ? null : hex(this.#options.crypto.sha256(head.manifest));
    const isKnown =
      hash === null || [this.#state?.replica.hash, this.#refused?.hash].includes(hash);
    if (isKnown) this.#provenAt = Math.max(this.#provenAt, askedAt - provenAgeMs);
  }

  async #ask(): Promise<HubAnswer> {
    const { hub, health } = this.#options;
    const outcomes = health.takeOutcomes();
    const hash = this.#state?.replica.hash ?? '';
    try {
      const { mark: healthMark } = health;
      const refused = this.#refused;
      const known = { hash, bootMark: this.#bootMark, healthMark };
      const held = { ...known, level: SCHEMA_LEVEL, outcomes, refused };
      return await hub().head(held);
    } catch (error) {
      health.giveBack(outcomes);
      throw error;
    }
  }

  async #take(answer: HubAnswer): Promise<void> {
    const isNewBoot = answer.boot !== null && answer.bootMark !== this.#bootMark;
    if (answer.boot !== null && isNewBoot) {
      this.#boot = answer.boot;
      this.#bootMark = answer.bootMark;
    }
    if (answer.head !== null) await this.#adopt(answer.head, true);
    // The same state with other secrets: what was closed for want of them may open now.
    else if (isNewBoot && this.#state !== null) await this.#use(this.#state);
  }

  async #loadFromKv(): Promise<void> {
    const { kv, bootKey, crypto, logger } = this.#options;
    try {
      const [head, bootText] = await Promise.all([
        kv.readHead(),
        this.#boot === null ? kv.readBoot() : null,
      ]);
      if (this.#boot === null && bootText !== null) {
        const boot = await readBootRecord(bootText, bootKey, crypto);
        if (boot === null) {
          logger.log('error', 'the boot record in KV cannot be read with HEADGATE_BOOT_KEY');
        }
        // The hub may have answered while this was read.
        this.#boot ??= boot;
      }
      if (head !== null) await this.#adopt(head, false);
    } catch (error) {
      logger.log('warn', 'KV cannot be read', { error: String(error) });
    }
  }

  /** Verifies, completes, builds and swaps, unless it is what is served or older. */
  async #adopt(head: SignedManifest, isFromHub: boolean): Promise<void> {
    const { hub, kv, crypto, logger } = this.#options;
    const boot = this.#boot;
    if (boot === null) return;
    const found = await fetchState({
      head,
      boot,
      held: this.#state,
      refused: this.#refused?.hash ?? '',
      crypto,
      // What the hub has just announced is not to be looked for in KV first: a miss is cached there.
      sources: isFromHub
        ? [(ids) => hub().nodes(ids), (ids) => kv.readNodes(ids)]
        : [(ids) => kv.readNodes(ids), (ids) => hub().nodes(ids)],
    });
    if (!found.ok) {
      logger.log('error', 'a configuration was refused', {
        code: found.code,
        detail: found.detail,
      });
      return;
    }
    // Another request may have brought this or a newer one while this one was reading.
    if (found.state === null || !isNewer(found.state, this.#state, boot)) return;
    await this.#use(found.state);
  }

  /** @param state  newer than what is served, or the same with other secrets */
  async #use(state: ReplicaState): Promise<void> {
    const boot = this.#boot;
    if (boot === null || !isSamePin(state, boot)) return;
    const replica = await this.#opener.open(state, boot.groupSecrets);
    // The same may have happened again while it was opened.
    if (this.#boot !== boot) return this.#use(state);
    if (state !== this.#state && !isNewer(state, this.#state, boot)) return;
    const fault = this.#options.use(replica, boot);
    if (fault === null) {
      this.#state = state;
      // As old as its signature says, for who cannot ask anybody.
      this.#provenAt = Math.max(this.#provenAt, state.manifest.created_at * 1000);
      return;
    }
    this.#refused = { ...positionOf(state), detail: fault };
  }

  /** Waits no longer than `limitMs`; the work goes on behind the request. */
  #within(limitMs: number, work: Promise<void>): Promise<void> {
    this.#options.background(work);
    return Promise.race([work, this.#sleep(limitMs)]);
  }

  #sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#options.clock.setTimer(delayMs, resolve);
    });
  }
}
