/** What the request path gets on Node. */
import { nodeClock } from '#shared/platform/node/clock.ts';
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { BodyMemory } from '#shared/http/body-memory.ts';
import { MemoryCounters } from '#shared/platform/memory-counters.ts';
import { nodeRandom } from '#shared/platform/node/random.ts';
import type { Logger, Platform } from '#shared/platform/platform.ts';
import type { DnsResolver } from './dns/resolver.ts';
import { UpstreamTlsContexts } from './tls/upstream-tls.ts';
import { NodeTransport, TRANSPORT_LIMITS } from './transport.ts';

/** Rate-limit counters held at a time, some 150 MB of them. */
const COUNTERS_MAX = 1_000_000;
const SWEEP_INTERVAL_MS = 1000;
/** Bytes of request bodies held until they are whole: of one, and of all. Larger ones are streamed. */
const REQUEST_BODY_BYTES_MAX = 1024 * 1024;
const REQUEST_BYTES_MAX = 128 * 1024 * 1024;

export interface NodePlatform extends Platform {
  /** How TLS is spoken to upstreams, over whatever transport. */
  readonly upstreamTls: UpstreamTlsContexts;
  /** What can be had again, by name; each answers how much it has forgotten. */
  readonly caches: ReadonlyMap<string, () => number>;
  /** Waits for background work, at most so long, and lets go of timers and connections. */
  close(deadlineMs: number): Promise<void>;
}

/**
 * @param trusted  PEM of the authorities that upstreams are verified against
 * @param resolver  null: names are left to the operating system
 */
export function createPlatform(
  logger: Logger,
  trusted: readonly string[],
  resolver: DnsResolver | null = null,
): NodePlatform {
  const upstreamTls = new UpstreamTlsContexts(trusted);
  const transport = new NodeTransport(TRANSPORT_LIMITS, upstreamTls);
  const counters = new MemoryCounters(nodeClock, COUNTERS_MAX);
  const sweeper = setInterval(() => counters.sweep(), SWEEP_INTERVAL_MS);
  sweeper.unref();
  const work = new Set<Promise<unknown>>();
  return {
    clock: nodeClock,
    random: nodeRandom,
    crypto: nodeCrypto,
    transport,
    upstreamTls,
    resolver,
    counters,
    bodyMemory: new BodyMemory(REQUEST_BYTES_MAX, REQUEST_BODY_BYTES_MAX),
    logger,
    caches: new Map(resolver === null ? [] : [['dns', () => resolver.purge()] as const]),
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
      resolver?.close();
    },
  };
}

async function settledWithin(work: readonly Promise<unknown>[], ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise((resolve) => (timer = setTimeout(resolve, ms)));
  await Promise.race([Promise.allSettled(work), late]);
  clearTimeout(timer);
}
