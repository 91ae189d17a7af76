/** What the gateway itself says in the upstream request. Written last, after every plugin. */
import { SERVER_TOKEN } from '../base/product.ts';
import type { ClientFacts } from './forwarded.ts';
import type { HeaderList } from './headers.ts';
import { joinHost } from './host.ts';

/** What a message was received by. Source: Kong `runloop/handler.lua`. */
export const VIA_BY_VERSION = {
  '1.0': `1.1 ${SERVER_TOKEN}`,
  '1.1': `1.1 ${SERVER_TOKEN}`,
  '2': `2 ${SERVER_TOKEN}`,
} as const;

export interface ForwardingFacts {
  /** Of the request as it was received. */
  readonly httpVersion: '1.0' | '1.1' | '2';
  readonly client: ClientFacts;
  /** The connected peer, appended to the chain whoever the client says it is. */
  readonly peerAddress: string;
  /** The client asked for trailers (`TE: trailers`). */
  readonly wantsTrailers: boolean;
  /** The request's path before any rewriting, without query. */
  readonly originalPath: string;
  /** What `strip_path` took off; null when nothing was. */
  readonly strippedPrefix: string | null;
  /** Null: not sent. */
  readonly requestId: string | null;
}

/**
 * Sets Via, TE, X-Real-IP, X-Forwarded-* and X-Kong-Request-Id, in place.
 *
 * @param headers  the request's, hop-by-hop fields already gone
 * Source: Kong `runloop/handler.lua` access.before and access.after, `templates/nginx_kong.lua`
 */
export function addForwardingHeaders(headers: HeaderList, facts: ForwardingFacts): void {
  const { client } = facts;
  const via = VIA_BY_VERSION[facts.httpVersion];
  const vias = headers.getAll('via');
  headers.set('Via', vias.length === 0 ? via : `${vias.join(', ')}, ${via}`);
  if (facts.wantsTrailers) headers.set('TE', 'trailers');
  headers.set('X-Real-IP', client.address);
  const chain = headers.getAll('x-forwarded-for');
  const { peerAddress } = facts;
  headers.set(
    'X-Forwarded-For',
    chain.length === 0 ? peerAddress : `${chain.join(', ')}, ${peerAddress}`,
  );
  headers.set('X-Forwarded-Proto', client.scheme);
  headers.set('X-Forwarded-Host', client.host);
  headers.set('X-Forwarded-Port', String(client.port));
  headers.set('X-Forwarded-Path', client.path ?? facts.originalPath);
  const prefix = client.prefix ?? facts.strippedPrefix;
  if (prefix === null || prefix === '/') headers.remove('x-forwarded-prefix');
  else headers.set('X-Forwarded-Prefix', prefix);
  // An upstream that reads RFC 7239 must not be told tales by a stranger.
  if (!client.isPeerTrusted) headers.remove('forwarded');
  if (facts.requestId !== null) headers.set('X-Kong-Request-Id', facts.requestId);
  else headers.remove('x-kong-request-id');
}

/** Whether `TE` names trailers; the only value that is passed on. */
export function asksForTrailers(received: HeaderList): boolean {
  const te = received.get('te');
  return te !== null && te.split(',').some((token) => /^\s*trailers\s*(?:;|$)/i.test(token));
}

export interface UpstreamHostFacts {
  readonly preserveHost: boolean;
  /** The request's Host as received; null when it had none. */
  readonly requestHost: string | null;
  /** `host_header` of the Upstream; null for none. */
  readonly hostHeader: string | null;
  readonly targetHost: string;
  readonly targetPort: number;
  readonly scheme: 'http' | 'https';
}

/** The value of Host in the upstream request. Source: Kong `runloop/balancer/init.lua`. */
export function upstreamHost(facts: UpstreamHostFacts): string {
  if (facts.preserveHost && facts.requestHost !== null) return facts.requestHost;
  const name = facts.hostHeader ?? facts.targetHost;
  // An operator's host_header may carry a port of its own.
  if (/^[^[\]:]*:\d+$/.test(name)) return name;
  return joinHost(name, facts.targetPort, facts.scheme);
}
