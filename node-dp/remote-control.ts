/** What a control plane may ask of this node, and how it is done. */
import { ForAWhile } from '#shared/base/for-a-while.ts';
import type { HealthRegistry } from '#shared/health/registry.ts';
import type { AdjustableLogger, Clock } from '#shared/platform/platform.ts';
import { setTargetHealth } from '#shared/sync/health-reporter.ts';
import type { Handlers } from '#shared/sync/rpc.ts';
import type { DownMethods } from '#shared/wire/rpc-methods.ts';

export interface RemoteControlOptions {
  readonly logger: AdjustableLogger;
  readonly clock: Clock;
  readonly health: HealthRegistry;
  /** What can be had again, by name; each answers how much it has forgotten. */
  readonly caches: ReadonlyMap<string, () => number>;
  /** Connections that are open. */
  readonly connections: () => number;
}

export class RemoteControl {
  readonly #options: RemoteControlOptions;
  readonly #level: ForAWhile<AdjustableLogger['level']>;
  readonly #drain: ForAWhile<boolean>;

  constructor(options: RemoteControlOptions) {
    const { logger, clock } = options;
    this.#options = options;
    this.#level = new ForAWhile(logger.level, clock, (level) => {
      logger.setLevel(level);
      // Whatever the level, a change of it is worth a line.
      logger.log('error', 'log level changed', { level });
    });
    this.#drain = new ForAWhile(false, clock, (draining) => {
      const message = draining ? 'told to drain: not ready' : 'told to drain no longer';
      logger.log('warn', message, {});
    });
  }

  /** Whoever spreads connections is to send none any more: readiness says so. Those that come are served. */
  get isDraining(): boolean {
    return this.#drain.current;
  }

  readonly methods: Handlers<DownMethods> = {
    log_level: ({ level, seconds }) => {
      this.#level.set(level, seconds);
      return { level: this.#level.current };
    },
    drain: ({ draining, seconds }) => {
      this.#drain.set(draining, seconds);
      return { draining: this.isDraining, connections: this.#options.connections() };
    },
    cache_purge: ({ caches: named }) => {
      const { caches, logger } = this.#options;
      const purged: { cache: string; entries: number }[] = [];
      for (const [cache, purge] of caches) {
        if (named.length > 0 && !named.includes(cache)) continue;
        const entries = purge();
        purged.push({ cache, entries });
        logger.log('info', 'told to forget a cache', { cache, entries });
      }
      return { purged };
    },
    target_health: (said) => setTargetHealth(this.#options.health, said),
  };

  close(): void {
    this.#level.close();
    this.#drain.close();
  }
}
