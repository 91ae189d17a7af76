/** What the gateway itself says in a response. Written last, after every plugin. */
import { SERVER_TOKEN } from '../base/product.ts';
import type { HeaderList } from './headers.ts';

const VIA_BY_VERSION = {
  '1.0': `1.1 ${SERVER_TOKEN}`,
  '1.1': `1.1 ${SERVER_TOKEN}`,
  '2': `2 ${SERVER_TOKEN}`,
} as const;

export interface ProxiedFacts {
  /** Of the request that is answered. */
  readonly httpVersion: '1.0' | '1.1' | '2';
  /** From the first try to the head of the response. */
  readonly upstreamLatencyMs: number;
  /** From accepting the request to the first try. */
  readonly proxyLatencyMs: number;
  readonly requestId: string;
}

/**
 * For a response that came from an upstream, or in its place after a try failed.
 *
 * Source: Kong `runloop/handler.lua`, header_filter.after
 */
export function addProxiedHeaders(headers: HeaderList, facts: ProxiedFacts): void {
  headers.set('X-Kong-Upstream-Latency', wholeMs(facts.upstreamLatencyMs));
  headers.set('X-Kong-Proxy-Latency', wholeMs(facts.proxyLatencyMs));
  const via = VIA_BY_VERSION[facts.httpVersion];
  const existing = headers.getAll('via');
  headers.set('Via', existing.length === 0 ? via : `${existing.join(', ')}, ${via}`);
  if (!headers.has('server')) headers.append('Server', SERVER_TOKEN);
  headers.set('X-Kong-Request-Id', facts.requestId);
}

/** For a response that the gateway or a plugin made; no upstream was tried. */
export function addOwnHeaders(
  headers: HeaderList,
  facts: { readonly responseLatencyMs: number; readonly requestId: string },
): void {
  headers.set('X-Kong-Response-Latency', wholeMs(facts.responseLatencyMs));
  headers.set('Server', SERVER_TOKEN);
  headers.set('X-Kong-Request-Id', facts.requestId);
}

function wholeMs(durationMs: number): string {
  return String(Math.max(0, Math.floor(durationMs)));
}
