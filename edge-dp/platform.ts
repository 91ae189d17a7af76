/** The ports as workerd fills them. */
import { MemoryCounters } from '#shared/platform/memory-counters.ts';
import { waitUntil } from 'cloudflare:workers';
import type {
  AdjustableLogger,
  Clock,
  Logger,
  LogLevel,
  Platform,
  Random,
} from '#shared/platform/platform.ts';
import { edgeCrypto } from './crypto.ts';
import { FetchTransport } from './transport.ts';

/** `setTimeout` fires at once for anything above. */
const DELAY_MAX_MS = 2 ** 31 - 1;
/** One line is cut here, so that a hostile value cannot flood the log. */
const LINE_LENGTH_MAX = 16 * 1024;
const RANK: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 };

/** In production time stands still between two I/O events: good for records, not for loops. */
export const edgeClock: Clock = {
  now() {
    return Date.now();
  },
  monotonic() {
    return performance.now();
  },
  setTimer(delayMs, fn) {
    const timer = setTimeout(fn, Math.min(Math.max(delayMs, 0), DELAY_MAX_MS));
    return () => clearTimeout(timer);
  },
};

export const edgeRandom: Random = {
  bytes(length) {
    return crypto.getRandomValues(new Uint8Array(length));
  },
  uuid() {
    return crypto.randomUUID();
  },
  next() {
    return Math.random();
  },
};

/** JSON lines through `console`, which the platform collects; the level is the console's too. */
export function edgeLogger(name: string, usual: LogLevel): AdjustableLogger {
  let least = usual;
  return {
    get level() {
      return least;
    },
    setLevel(level) {
      least = level;
    },
    log(level, message, fields) {
      if (RANK[level] < RANK[least]) return;
      const head = { time: new Date().toISOString(), level, name, message };
      const line = JSON.stringify({ ...fields, ...head });
      const kept =
        line.length <= LINE_LENGTH_MAX ? line : JSON.stringify({ ...head, truncated: true });
      console[level === 'debug' ? 'debug' : level](kept);
    },
  };
}

/** An isolate has 128 MB for everything; a counter takes some 150 bytes. */
const COUNTERS_MAX = 50_000;

/** One per isolate: everything in it outlives a single request. */
export function createPlatform(logger: Logger): Platform {
  return {
    clock: edgeClock,
    random: edgeRandom,
    crypto: edgeCrypto,
    transport: new FetchTransport(edgeClock),
    resolver: null,
    bodyMemory: null,
    counters: new MemoryCounters(edgeClock, COUNTERS_MAX),
    logger,
    // The runtime finds the request in progress by itself.
    background: (work) => waitUntil(work),
  };
}
