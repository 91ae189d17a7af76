/**
 * What a node's disk holds of its configuration, and what of it is served at a start: the newest one,
 * unless the process crashed with it, and then the last one that was served well.
 *
 * `config.json` holds what was saved last and the last that has proven itself, `trials.json` the record
 * of the crash breaker. All configurations are proven from the pins like any other; only for the very one
 * that the record names as good the high-water mark does not count, once the breaker has refused
 * what the mark stands for.
 *
 * Where there is none but what it crashed with, that is served after all, after a wait: whoever killed
 * it twice may have had another reason. Meanwhile a control plane may bring another one.
 */
import { join } from 'node:path';
import { hex } from '#shared/base/bytes.ts';
import { HEADGATE_VERSION } from '#shared/base/product.ts';
import { loadReplica, positionOf, type ReplicaState, toStored } from '#shared/config/replica.ts';
import type { ConfigStore, Logger, Platform, StoredConfig } from '#shared/platform/platform.ts';
import { Breaker } from '#shared/sync/breaker.ts';
import type { BuildOutcome } from '#shared/sync/client.ts';
import type { NodeIdentity } from '#shared/sync/identity.ts';
import type { Position } from '#shared/wire/frames.ts';
import { FileConfigStore } from './config-store.ts';
import { fileText } from './file-text.ts';
import type { Serving } from './serving.ts';

export const CONFIG_FILE = 'config.json';
export const TRIALS_FILE = 'trials.json';

const NO_MARK = { epoch: 0, revision: 0 };

export interface KeeperOptions {
  readonly folder: string;
  readonly platform: Pick<Platform, 'clock' | 'crypto'>;
  readonly logger: Logger;
  readonly serving: Serving;
}

export class ConfigKeeper {
  readonly #options: KeeperOptions;
  readonly #store: FileConfigStore;
  readonly #breaker: Breaker;
  /** What is served. */
  #served: ReplicaState | null = null;
  /** Refused by the breaker, and to be served when nothing else has come by then. */
  #lastResort: ReplicaState | null = null;
  /** It has waited long enough. */
  #isDue = false;
  #cancelResort: () => void = () => {};
  #serveAfterAll: (state: ReplicaState) => void = () => {};

  private constructor(options: KeeperOptions, breaker: Breaker) {
    this.#options = options;
    this.#store = new FileConfigStore(join(options.folder, CONFIG_FILE));
    this.#breaker = breaker;
  }

  static async open(options: KeeperOptions): Promise<ConfigKeeper> {
    const { folder, logger, platform } = options;
    let keeper: ConfigKeeper | null = null;
    const breaker = await Breaker.open({
      place: fileText(join(folder, TRIALS_FILE)),
      clock: platform.clock,
      logger,
      release: HEADGATE_VERSION,
      onProven: (position) => keeper?.proved(position),
    });
    keeper = new ConfigKeeper(options, breaker);
    return keeper;
  }

  /** For the sync client, which has been handed what `restore` found. */
  get store(): ConfigStore {
    return this.#store;
  }

  /** Refused because the node crashed as it began to serve them. */
  get crashed(): readonly Position[] {
    return this.#breaker.crashed;
  }

  /** Calls `fn` with a configuration that is to be handed to `take` again, for want of any other. */
  onLastResort(fn: (state: ReplicaState) => void): void {
    this.#serveAfterAll = fn;
  }

  /** Serves what the disk holds; null when nothing of it is of use. */
  async restore(identity: NodeIdentity): Promise<ReplicaState | null> {
    const cache = await this.#store.read();
    if (cache.tag === 'none') return null;
    if (cache.tag === 'unusable') return this.#none(cache.reason);
    const { logger, platform } = this.#options;
    if (cache.damage !== null) {
      const message = 'configuration cache damaged: using what is left of it';
      logger.log('warn', message, { reason: cache.damage });
    }
    let reason = '';
    let hasCrashed = false;
    let refused: StoredConfig | null = null;
    for (const config of [cache.config, ...cache.older]) {
      const hash = hex(platform.crypto.sha256(config.manifest));
      const isGood = hash === this.#breaker.proven;
      if (isGood) this.#store.keep(config);
      if (this.#breaker.crashed.some((crashed) => crashed.hash === hash)) {
        hasCrashed = true;
        reason ||= 'no earlier one is kept';
        refused ??= config;
        continue;
      }
      // The mark stands for what was refused: then, and for that one alone, it does not count.
      const pinned = hasCrashed && isGood ? { ...identity, highWater: NO_MARK } : identity;
      const loaded = await loadReplica(config, pinned, platform.crypto);
      if (!loaded.ok) {
        reason ||= `${loaded.code}: ${loaded.detail}`;
        continue;
      }
      if (hasCrashed) {
        const { epoch, revision } = loaded.state.replica;
        logger.log('warn', 'the last good configuration is served', { epoch, revision });
      }
      const outcome = await this.take(loaded.state, identity.groupSecrets);
      return outcome.ok ? loaded.state : null;
    }
    if (refused !== null) {
      const loaded = await loadReplica(refused, identity, platform.crypto);
      if (loaded.ok) this.#resortTo(loaded.state);
    }
    return this.#none(reason);
  }

  /** Builds and serves it, on trial; see `Serving.take`. */
  async take(
    state: ReplicaState,
    groupSecrets: NodeIdentity['groupSecrets'],
  ): Promise<BuildOutcome> {
    const outcome = await this.#breaker.guard(
      positionOf(state),
      () => this.#options.serving.take(state, groupSecrets),
      this.#served === null && this.#isDue,
    );
    if (outcome.ok) {
      this.#served = state;
      this.#cancelResort();
    } else if (outcome.code === 'crashed' && this.#served === null) this.#resortTo(state);
    return outcome;
  }

  /** The newest of what is refused; its time runs from when it is refused first. */
  #resortTo(state: ReplicaState): void {
    const { epoch, revision, hash } = positionOf(state);
    if (this.#lastResort !== null && positionOf(this.#lastResort).hash === hash) return;
    this.#lastResort = state;
    this.#isDue = false;
    const waitMs = this.#breaker.resortMs(hash);
    const message = 'there is nothing to serve but what the node crashed with: waiting for another';
    this.#options.logger.log('warn', message, { epoch, revision, wait_ms: waitMs });
    this.#armResort(state);
  }

  #armResort(state: ReplicaState): void {
    const { clock } = this.#options.platform;
    this.#cancelResort();
    this.#cancelResort = clock.setTimer(this.#breaker.resortMs(positionOf(state).hash), () => {
      this.#isDue = true;
      // Another may be on its way just now, and come to nothing.
      this.#armResort(state);
      this.#serveAfterAll(state);
    });
  }

  /** Saves what was not brought by a control plane. That it cannot be is said, and no more. */
  async keep(state: ReplicaState): Promise<void> {
    try {
      await this.#store.save(toStored(state));
    } catch (error) {
      const fields = { error: String(error) };
      this.#options.logger.log('warn', 'the configuration cannot be written', fields);
    }
  }

  /** What is served has proven itself: it stays on disk until another one has. */
  proved({ hash }: Position): void {
    const served = this.#served;
    if (served === null || positionOf(served).hash !== hash) return;
    this.#store.keep(toStored(served));
  }

  /** The process ends as it should. */
  close(): Promise<void> {
    this.#cancelResort();
    return this.#breaker.end();
  }

  #none(reason: string): null {
    const message = 'configuration cache not usable: asking a control plane for a new one';
    this.#options.logger.log('warn', message, { reason });
    return null;
  }
}
