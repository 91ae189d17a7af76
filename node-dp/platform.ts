/** What the request path gets on Node. */
import { nodeClock } from '#shared/platform/node/clock.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { MemoryCounters } from '#shared/platform/memory-counters.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import type { Logger, Platform } from '#shared/platform/platform.ts';
import { NodeTransport } from './transport.ts';

/** Rate-limit counters held at a time, some 150 MB of them. */
const COUNTERS_MAX = 1_000_000;
const SWEEP_INTERVAL_MS = 1000;

export interface NodePlatform extends Platform {
  /** Waits for background work, at most so long, and lets go of timers and connections. */
  close(deadlineMs: number): Promise<void>;
}

export function createPlatform(logger: Logger): NodePlatform {
  const transport = new NodeTransport();
  const counters = new MemoryCounters(nodeClock, COUNTERS_MAX);
  const sweeper = setInterval(() => counters.sweep(), SWEEP_INTERVAL_MS);
  sweeper.unref();
  const work = new Set<Promise<unknown>>();
  return {
    clock: nodeClock,
    random: nodeRandom,
    crypto: nodeCrypto,
    transport,
    resolver: null,
    counters,
    logger,
    background(promise) {
      const tracked = promise
        .catch((error: unknown) => {
          logger.log('error', 'background work failed', { error: String(error) });
        })
        .finally(() => work.delete(tracked));
      work.add(tracked);
    },
    async close(deadlineMs) {
      clearInterval(sweeper);
      await settledWithin([...work], deadlineMs);
      transport.close();
    },
  };
}

async function settledWithin(work: readonly Promise<unknown>[], ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise((resolve) => (timer = setTimeout(resolve, ms)));
  await Promise.race([Promise.allSettled(work), late]);
  clearTimeout(timer);
}
