/**
 * What a node's disk holds of its configuration, and what of it is served at a start: the newest one,
 * unless the process crashed with it, and then the last one that was served well.
 *
 * `config.json` is what was saved last, `config.good.json` the last that has proven itself, and
 * `trials.json` the record of the crash breaker. Both configurations are proven from the pins like any
 * other; only for the last good one the high-water mark does not count, because the breaker has
 * refused what the mark stands for.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HEADGATE_VERSION } from '#shared/base/product.ts';
import { compareRevisions } from '#shared/config/manifest.ts';
import { loadReplica, positionOf, type ReplicaState } from '#shared/config/replica.ts';
import { errorCode, PRIVATE_FILE_MODE, writeFileAtomic } from '#shared/platform/node/files.ts';
import type { ConfigStore, Logger, Platform } from '#shared/platform/platform.ts';
import { Breaker } from '#shared/sync/breaker.ts';
import type { BuildOutcome } from '#shared/sync/client.ts';
import type { NodeIdentity } from '#shared/sync/identity.ts';
import type { Position } from '#shared/wire/frames.ts';
import { FileConfigStore } from './config-store.ts';
import type { Serving } from './serving.ts';

export const CONFIG_FILE = 'config.json';
export const GOOD_FILE = 'config.good.json';
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
  readonly #newest: FileConfigStore;
  readonly #good: FileConfigStore;
  readonly #breaker: Breaker;
  /** What is served. */
  #served: ReplicaState | null = null;
  /** Signature of what is served, once it has proven itself. */
  #proven = '';

  private constructor(options: KeeperOptions, breaker: Breaker) {
    this.#options = options;
    this.#newest = new FileConfigStore(join(options.folder, CONFIG_FILE));
    this.#good = new FileConfigStore(join(options.folder, GOOD_FILE));
    this.#breaker = breaker;
  }

  static async open(options: KeeperOptions): Promise<ConfigKeeper> {
    const { folder, logger, platform } = options;
    const path = join(folder, TRIALS_FILE);
    let keeper: ConfigKeeper | null = null;
    const breaker = await Breaker.open({
      place: {
        read: () => readText(path),
        write: (text) => writeFileAtomic(path, text, PRIVATE_FILE_MODE),
      },
      clock: platform.clock,
      logger,
      release: HEADGATE_VERSION,
      onProven: (position) => void keeper?.proved(position),
    });
    keeper = new ConfigKeeper(options, breaker);
    await keeper.#newest.sweep();
    return keeper;
  }

  /** For the sync client, which has been handed what `restore` found. */
  get store(): ConfigStore {
    return {
      load: () => this.#newest.load(),
      save: async (config) => {
        await this.#newest.save(config);
        if (config.signature === this.#proven) await this.#keepGood();
      },
    };
  }

  /** Refused because the node crashed as it began to serve them. */
  get crashed(): readonly Position[] {
    return this.#breaker.crashed;
  }

  /** Serves what the disk holds; null when nothing of it is of use. */
  async restore(identity: NodeIdentity): Promise<ReplicaState | null> {
    const loaded = await this.#load(this.#newest, identity);
    if (loaded === null) return null;
    if (typeof loaded === 'string') return this.#restoreCopy(identity, loaded);
    const position = positionOf(loaded);
    if (this.#breaker.crashed.some(({ hash }) => hash === position.hash)) {
      return this.#restoreGood(identity);
    }
    if (compareRevisions(position, identity.highWater) < 0) {
      return this.#none('older than what this node has served before');
    }
    const outcome = await this.take(loaded, identity.groupSecrets);
    return outcome.ok ? loaded : null;
  }

  /** Builds and serves it, on trial; see `Serving.take`. */
  async take(
    state: ReplicaState,
    groupSecrets: NodeIdentity['groupSecrets'],
  ): Promise<BuildOutcome> {
    const position = positionOf(state);
    const outcome = await this.#breaker.guard(position, () =>
      this.#options.serving.take(state, groupSecrets),
    );
    if (outcome.ok) this.#served = state;
    return outcome;
  }

  /** What is served has proven itself. */
  async proved({ hash }: Position): Promise<void> {
    const served = this.#served;
    if (served === null || positionOf(served).hash !== hash) return;
    this.#proven = served.signed.signature;
    await this.#keepGood();
  }

  /** The process ends as it should. */
  close(): Promise<void> {
    return this.#breaker.end();
  }

  /** The newest one is damaged; the last good one may be the very same. */
  async #restoreCopy(identity: NodeIdentity, reason: string): Promise<ReplicaState | null> {
    const copy = await this.#load(this.#good, identity);
    if (copy === null || typeof copy === 'string') return this.#none(reason);
    const outcome = await this.take(copy, identity.groupSecrets);
    return outcome.ok ? copy : null;
  }

  async #restoreGood(identity: NodeIdentity): Promise<ReplicaState | null> {
    const { logger } = this.#options;
    const good = await this.#load(this.#good, { ...identity, highWater: NO_MARK });
    if (typeof good === 'string') return this.#none(good);
    if (good === null) return this.#none('no earlier one is kept');
    const { epoch, revision } = good.replica;
    logger.log('warn', 'the last good configuration is served', { epoch, revision });
    const outcome = await this.take(good, identity.groupSecrets);
    return outcome.ok ? good : null;
  }

  /** Verified; null when there is none, a text that says what is wrong with it. */
  async #load(
    store: FileConfigStore,
    identity: NodeIdentity,
  ): Promise<ReplicaState | string | null> {
    const cache = await store.read();
    if (cache.tag === 'none') return null;
    if (cache.tag === 'unusable') return cache.reason;
    const loaded = await loadReplica(cache.config, identity, this.#options.platform.crypto);
    return loaded.ok ? loaded.state : `${loaded.code}: ${loaded.detail}`;
  }

  #none(reason: string): null {
    const message = 'configuration cache not usable: asking a control plane for a new one';
    this.#options.logger.log('warn', message, { reason });
    return null;
  }

  async #keepGood(): Promise<void> {
    try {
      await this.#newest.keepAs(GOOD_FILE, this.#proven);
    } catch (error) {
      // The one that was kept before stays.
      const fields = { error: String(error) };
      this.#options.logger.log('warn', 'the last good configuration cannot be kept', fields);
    }
  }
}

async function readText(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    throw error;
  }
}
