/** rate-limiting: counts requests per calendar window and refuses those beyond the limit. */
import { hex } from '../../base/bytes.ts';
import { isPromise, type MaybePromise } from '../../base/maybe-promise.ts';
import type { GatewayResponse } from '../../http/message.ts';
import type { RequestContext } from '../../proxy/context.ts';
import type { PluginHandler } from '../plugin.ts';
import { type Period, WINDOW_SECONDS, windowEnd, windowStart } from './windows.ts';
import { PERIODS } from '../limits.ts';
import type { RateLimitingConfig } from './schema.ts';

interface Limit {
  readonly period: Period;
  readonly limit: number;
  readonly limitHeader: string;
  readonly remainingHeader: string;
}

export interface RateLimiting {
  /** Shortest window first. */
  readonly limits: readonly Limit[];
  readonly config: RateLimitingConfig;
  /** Lower case; for limit_by = header. */
  readonly headerName: string;
  /** Names this configuration's counters. */
  readonly keyPrefix: string;
}

type Headers = [string, string][];

const SHARED_KEY = 'rate-limiting';
/** Longer identifiers are hashed, so that a client cannot choose how much a counter costs. */
const IDENTIFIER_LENGTH_MAX = 64;

/** Source: kong/plugins/rate-limiting/handler.lua and policies/init.lua (local) */
export const rateLimitingHandler: PluginHandler<RateLimitingConfig, RateLimiting> = {
  prepare(config, deps) {
    const { policy } = config;
    if (policy !== null && policy !== 'local') {
      throw new Error(`policy ${policy} is not supported yet`);
    }
    return {
      limits: PERIODS.flatMap((period) => {
        const limit = config[period];
        return limit === null ? [] : [makeLimit(period, limit)];
      }),
      config,
      headerName: (config.header_name ?? '').toLowerCase(),
      keyPrefix: `ratelimit:${deps.pluginId}:`,
    };
  },

  access(ctx, prepared) {
    const { limits, config } = prepared;
    const now = ctx.platform.clock.now();
    const keyBase = prepared.keyPrefix + identifierOf(ctx, prepared);
    const keys = limits.map(({ period }) => `${keyBase}:${windowStart(period, now)}:${period}`);
    try {
      const usage = readAll(ctx, keys);
      if (!isPromise(usage)) return decide(ctx, prepared, { now, keys, usage });
      return usage
        .then((values) => decide(ctx, prepared, { now, keys, usage: values }))
        .catch((error: unknown) => tolerate(ctx, config, error));
    } catch (error) {
      return tolerate(ctx, config, error);
    }
  },

  headerFilter(ctx) {
    const headers = ctx.shared.get(SHARED_KEY) as Headers | undefined;
    if (headers === undefined || ctx.response === null) return;
    for (const [name, value] of headers) ctx.response.headers.set(name, value);
  },
};

interface Reading {
  /** Epoch ms. */
  readonly now: number;
  /** One per limit, as are the values. */
  readonly keys: readonly string[];
  readonly usage: readonly number[];
}

function makeLimit(period: Period, limit: number): Limit {
  const word = period.charAt(0).toUpperCase() + period.slice(1);
  return {
    period,
    limit,
    limitHeader: `X-RateLimit-Limit-${word}`,
    remainingHeader: `X-RateLimit-Remaining-${word}`,
  };
}

/** What has a counter of its own; the client's address where that is not there. */
function identifierOf(ctx: RequestContext, prepared: RateLimiting): string {
  const identifier = chosenIdentifier(ctx, prepared) ?? ctx.clientAddress;
  if (identifier.length <= IDENTIFIER_LENGTH_MAX) return identifier;
  return hex(ctx.platform.crypto.sha256(identifier));
}

function chosenIdentifier(ctx: RequestContext, prepared: RateLimiting): string | null {
  switch (prepared.config.limit_by) {
    case 'consumer':
      return ctx.consumer?.id ?? ctx.credential?.id ?? null;
    case 'credential':
      return ctx.credential?.id ?? null;
    case 'service':
      return ctx.service?.id ?? null;
    case 'header':
      return ctx.request.headers.get(prepared.headerName);
    case 'path':
      return ctx.path === prepared.config.path ? ctx.path : null;
    case 'ip':
    case null:
      return null;
  }
}

function readAll(ctx: RequestContext, keys: readonly string[]): MaybePromise<readonly number[]> {
  const { counters } = ctx.platform;
  const values = keys.map((key) => counters.read(key));
  return values.some(isPromise) ? Promise.all(values) : (values as number[]);
}

/** Refuses, or counts. A refused request is not counted. */
function decide(
  ctx: RequestContext,
  prepared: RateLimiting,
  reading: Reading,
): MaybePromise<GatewayResponse | void> {
  const { config, limits } = prepared;
  const stop = limits.findLastIndex(({ limit }, i) => limit - (reading.usage[i] ?? 0) <= 0);
  const headers = config.hide_client_headers ? null : makeHeaders(prepared, reading, stop);
  if (headers !== null) ctx.shared.set(SHARED_KEY, headers);
  if (stop >= 0) {
    return ctx.error(config.error_code ?? 429, config.error_message ?? 'API rate limit exceeded');
  }
  return count(ctx, prepared, reading);
}

function count(ctx: RequestContext, prepared: RateLimiting, reading: Reading): MaybePromise<void> {
  const { counters } = ctx.platform;
  let pending: Promise<number>[] | null = null;
  for (const [i, { period }] of prepared.limits.entries()) {
    const outcome = counters.increment(reading.keys[i] ?? '', 1, windowEnd(period, reading.now));
    if (!isPromise(outcome)) continue;
    pending ??= [];
    pending.push(outcome);
  }
  if (pending !== null) return settled(pending);
}

async function settled(pending: readonly Promise<number>[]): Promise<void> {
  await Promise.all(pending);
}

/** The standard fields speak of the window with the least left; of the longer one among equals. */
function makeHeaders(prepared: RateLimiting, reading: Reading, stop: number): Headers {
  const headers: Headers = [];
  let tightest = { limit: 0, remaining: Infinity, window: 0, reset: 0 };
  for (const [i, entry] of prepared.limits.entries()) {
    const used = reading.usage[i] ?? 0;
    // This request counts, unless another window refuses it.
    const ours = stop < 0 || stop === i ? 1 : 0;
    const remaining = Math.max(0, entry.limit - used - ours);
    const window = WINDOW_SECONDS[entry.period];
    headers.push(
      [entry.limitHeader, String(entry.limit)],
      [entry.remainingHeader, String(remaining)],
    );
    if (
      remaining < tightest.remaining ||
      (remaining === tightest.remaining && window > tightest.window)
    ) {
      const elapsed = Math.floor((reading.now - windowStart(entry.period, reading.now)) / 1000);
      const reset = Math.max(1, window - elapsed);
      tightest = { limit: entry.limit, remaining, window, reset };
    }
  }
  headers.push(
    ['RateLimit-Limit', String(tightest.limit)],
    ['RateLimit-Remaining', String(tightest.remaining)],
    ['RateLimit-Reset', String(tightest.reset)],
  );
  if (stop >= 0) headers.push(['Retry-After', String(tightest.reset)]);
  return headers;
}

/** Counters that cannot be reached let the request pass, if so configured. */
function tolerate(ctx: RequestContext, config: RateLimitingConfig, error: unknown): void {
  if (!config.fault_tolerant) throw error;
  ctx.platform.logger.log('error', 'rate limit counters failed', {
    request_id: ctx.requestId,
    error: error instanceof Error ? error.message : 'not an Error',
  });
}
