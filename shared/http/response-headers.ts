/** What the gateway itself says in a response. Written last, after every plugin. */
import { SERVER_TOKEN } from '../base/product.ts';
import type { HeaderList } from './headers.ts';
import { VIA_BY_VERSION } from './upstream-headers.ts';

/** Which of our fields a response gets. Made once, when settings are read. */
export interface ResponseFields {
  readonly server: boolean;
  readonly via: boolean;
  readonly upstreamLatency: boolean;
  readonly proxyLatency: boolean;
  readonly responseLatency: boolean;
  readonly upstreamStatus: boolean;
  readonly requestId: boolean;
}

/** What Kong's `headers` takes. X-Kong-Admin-Latency is the Admin API's: taken, and nothing here. */
export const RESPONSE_FIELD_NAMES = [
  'server_tokens',
  'latency_tokens',
  'Server',
  'Via',
  'X-Kong-Upstream-Latency',
  'X-Kong-Proxy-Latency',
  'X-Kong-Response-Latency',
  'X-Kong-Admin-Latency',
  'X-Kong-Upstream-Status',
  'X-Kong-Request-Id',
  'off',
] as const;

/** Kong's default. */
export const RESPONSE_FIELDS_DEFAULT = ['server_tokens', 'latency_tokens', 'X-Kong-Request-Id'];

/** @param names  of `RESPONSE_FIELD_NAMES`, in any case */
export function responseFields(names: readonly string[]): ResponseFields {
  const wanted = new Set(names.map((name) => name.toLowerCase()));
  const has = (name: string, group: string): boolean => wanted.has(name) || wanted.has(group);
  return {
    server: has('server', 'server_tokens'),
    via: has('via', 'server_tokens'),
    upstreamLatency: has('x-kong-upstream-latency', 'latency_tokens'),
    proxyLatency: has('x-kong-proxy-latency', 'latency_tokens'),
    responseLatency: has('x-kong-response-latency', 'latency_tokens'),
    upstreamStatus: wanted.has('x-kong-upstream-status'),
    requestId: wanted.has('x-kong-request-id'),
  };
}

export interface ProxiedFacts {
  /** Of the request that is answered. */
  readonly httpVersion: '1.0' | '1.1' | '2';
  /** From the first try to the head of the response. */
  readonly upstreamLatencyMs: number;
  /** From accepting the request to the first try. */
  readonly proxyLatencyMs: number;
  /** What the upstream answered; null when it did not. */
  readonly upstreamStatus: number | null;
  readonly requestId: string;
}

/**
 * For a response that came from an upstream, or in its place after a try failed.
 *
 * Source: Kong `runloop/handler.lua`, header_filter.after
 */
export function addProxiedHeaders(
  headers: HeaderList,
  fields: ResponseFields,
  facts: ProxiedFacts,
): void {
  if (fields.upstreamLatency) {
    headers.set('X-Kong-Upstream-Latency', wholeMs(facts.upstreamLatencyMs));
  }
  if (fields.proxyLatency) headers.set('X-Kong-Proxy-Latency', wholeMs(facts.proxyLatencyMs));
  if (fields.upstreamStatus && facts.upstreamStatus !== null) {
    headers.set('X-Kong-Upstream-Status', String(facts.upstreamStatus));
  }
  if (fields.via) {
    const via = VIA_BY_VERSION[facts.httpVersion];
    const existing = headers.getAll('via');
    headers.set('Via', existing.length === 0 ? via : `${existing.join(', ')}, ${via}`);
  }
  if (fields.server && !headers.has('server')) headers.append('Server', SERVER_TOKEN);
  if (fields.requestId) headers.set('X-Kong-Request-Id', facts.requestId);
}

/** For a response that the gateway or a plugin made; no upstream was tried. */
export function addOwnHeaders(
  headers: HeaderList,
  fields: ResponseFields,
  facts: { readonly responseLatencyMs: number; readonly requestId: string },
): void {
  if (fields.responseLatency) {
    headers.set('X-Kong-Response-Latency', wholeMs(facts.responseLatencyMs));
  }
  if (fields.server) headers.set('Server', SERVER_TOKEN);
  else headers.remove('server');
  if (fields.requestId) headers.set('X-Kong-Request-Id', facts.requestId);
}

function wholeMs(durationMs: number): string {
  return String(Math.max(0, Math.floor(durationMs)));
}
