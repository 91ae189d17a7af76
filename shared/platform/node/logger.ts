/** The Logger port: JSON lines to a stream, standard output unless told otherwise. */
import type { JsonObject } from '../../schema/field.ts';
import type { AdjustableLogger, LogLevel } from '../platform.ts';

const RANK: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 };

/** One line is cut here, so that a hostile value cannot flood the log. */
const LINE_LENGTH_MAX = 16 * 1024;

export interface LoggerOptions {
  /** Which program speaks: `cp`, `dp`. */
  readonly name: string;
  /** Lines below are dropped. Default `info`. */
  readonly level?: LogLevel;
  /** Gets each line, newline included. Default: standard output. */
  readonly write?: (line: string) => void;
}

/** Makes a logger. Control bytes in values are escaped by JSON; nothing is interpolated. */
export function createLogger(options: LoggerOptions): AdjustableLogger {
  let least = options.level ?? 'info';
  const write = options.write ?? writeToStdout;
  return {
    get level() {
      return least;
    },
    setLevel(level) {
      least = level;
    },
    log(level, message, fields) {
      if (RANK[level] < RANK[least]) return;
      write(`${formatLine(options.name, level, message, fields)}\n`);
    },
  };
}

function formatLine(
  name: string,
  level: LogLevel,
  message: string,
  fields: JsonObject | undefined,
): string {
  const head = { time: new Date().toISOString(), level, name, message };
  // Twice: the head comes first in the line, and no field may replace a part of it.
  const line = JSON.stringify({ ...head, ...fields, ...head });
  if (line.length <= LINE_LENGTH_MAX) return line;
  return JSON.stringify({ ...head, truncated: true });
}

function writeToStdout(line: string): void {
  process.stdout.write(line);
}
