/** Trailers: fields behind a body, which a gateway passes on with care. */
import type { HeaderList } from './headers.ts';
import { isReserved } from './hop-by-hop.ts';

/**
 * What must not come behind a body: it would frame, route, authenticate or modify what has been acted
 * upon already.
 * Source: RFC 9110 sections 6.5.1 and 7.6.1
 */
const NOT_TRAILERS: ReadonlySet<string> = new Set([
  'age',
  'authorization',
  'cache-control',
  'connection',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'cookie',
  'date',
  'expect',
  'expires',
  'forwarded',
  'host',
  'keep-alive',
  'location',
  'max-forwards',
  'pragma',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'range',
  'retry-after',
  'set-cookie',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'vary',
  'via',
  'warning',
  'www-authenticate',
  'x-api-key',
  'x-real-ip',
]);
const NOT_TRAILER_PREFIXES = [':', 'if-', 'x-forwarded-', 'x-kong-'];

/** Trailers that are passed on, either way; null when none is left. */
export function passableTrailers(trailers: HeaderList): HeaderList | null {
  const passed = trailers.cloneWithout(isDropped);
  return passed.size === 0 ? null : passed;
}

function isDropped(name: string): boolean {
  if (NOT_TRAILERS.has(name) || isReserved(name)) return true;
  return NOT_TRAILER_PREFIXES.some((prefix) => name.startsWith(prefix));
}
