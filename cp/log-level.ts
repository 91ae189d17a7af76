/**
 * The log level while running: Kong's eight names over our four levels. A change lasts a minute
 * unless told otherwise, so that a forgotten `debug` does not fill a disk.
 */
import { ForAWhile } from '#shared/base/for-a-while.ts';
import type { AdjustableLogger, Clock, LogLevel } from '#shared/platform/platform.ts';
import type { Db } from './store/db.ts';

/** Kong's names (nginx's), and what of ours each lets through. */
const LEVELS = {
  debug: 'debug',
  info: 'info',
  notice: 'info',
  warn: 'warn',
  error: 'error',
  crit: 'error',
  alert: 'error',
  emerg: 'error',
} as const satisfies Record<string, LogLevel>;

export type LevelName = keyof typeof LEVELS;

export const LEVEL_NAMES: readonly string[] = Object.keys(LEVELS);

export const TIMEOUT_S_DEFAULT = 60;
/** Longest time a change may last; 0 lasts until the process ends. */
export const TIMEOUT_S_MAX = 7 * 24 * 3600;

/** Channel on which all control planes of a database change their level. */
const CHANNEL = 'headgate_log_level';

export function isLevelName(text: string): text is LevelName {
  return Object.hasOwn(LEVELS, text);
}

export interface LogLevelOptions {
  readonly logger: AdjustableLogger;
  readonly clock: Clock;
  readonly db: Db;
}

export class LogLevelControl {
  readonly #options: LogLevelOptions;
  readonly #level: ForAWhile<LevelName>;
  #stopListening: () => Promise<void> = async () => {};

  constructor(options: LogLevelOptions) {
    this.#options = options;
    const { logger, clock } = options;
    this.#level = new ForAWhile<LevelName>(logger.level, clock, (level) => {
      logger.setLevel(LEVELS[level]);
      // Whatever the level, a change of it is worth a line.
      logger.log('error', 'log level changed', { level });
    });
  }

  /** Follows changes asked for at other control planes, until `close`. */
  async start(): Promise<void> {
    this.#stopListening = await this.#options.db.listen(CHANNEL, (payload) => {
      const [level = '', timeout = ''] = payload.split(' ');
      // Only our own processes can notify, but an empty payload means "reconnected".
      if (isLevelName(level)) this.set(level, Number(timeout));
    });
  }

  get current(): LevelName {
    return this.#level.current;
  }

  /** @param timeoutS  seconds until the usual level is back; 0: never */
  set(level: LevelName, timeoutS: number): void {
    this.#level.set(level, timeoutS);
  }

  /** The same at every control plane that hears notifications, this one at once. */
  async setEverywhere(level: LevelName, timeoutS: number): Promise<void> {
    this.set(level, timeoutS);
    await this.#options.db.notify(CHANNEL, `${level} ${timeoutS}`);
  }

  async close(): Promise<void> {
    this.#level.close();
    await this.#stopListening();
  }
}
