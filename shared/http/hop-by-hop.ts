/**
 * What may not pass a gateway: fields that concern one connection, and fields by which a client
 * could pass for somebody. Both go at entry, before any plugin runs; what the gateway itself says is
 * written afterwards, so no client can name it away.
 */
import type { HeaderList } from './headers.ts';

/** Source: RFC 9110 section 7.6.1; RFC 9112 appendix C.2.2 for Proxy-Connection. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/**
 * What goes from requests: `expect` too, which the listener has settled, and `proxy`, which becomes
 * HTTP_PROXY in the environment of a CGI program.
 */
const DROPPED_AT_ENTRY: ReadonlySet<string> = new Set([...HOP_BY_HOP, 'expect', 'proxy']);

/** Fields for the last recipient; a Connection field that names them is an attack or a mistake. */
const END_TO_END: ReadonlySet<string> = new Set([
  'accept',
  'accept-encoding',
  'accept-language',
  'age',
  'authorization',
  'cache-control',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'cookie',
  'date',
  'etag',
  'expires',
  'forwarded',
  'host',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'last-modified',
  'location',
  'origin',
  'range',
  'referer',
  'server',
  'set-cookie',
  'user-agent',
  'vary',
  'via',
  'www-authenticate',
  'x-api-key',
  'x-real-ip',
]);
const END_TO_END_PREFIXES = ['sec-', 'x-forwarded-', 'x-kong-', 'x-ratelimit-', 'access-control-'];

/** Set by authentication plugins, never by a client. */
const IDENTITY_PREFIXES = [
  'x-consumer-',
  'x-credential-',
  'x-anonymous-consumer',
  'x-authenticated-',
];

/** Names in a Connection field that are looked at. */
const NOMINATED_MAX = 64;

/**
 * Removes what concerns the connection only, in place; `Connection` names more.
 *
 * @param keepsTrailer  `Trailer` announces what will follow, to who has asked for it
 */
export function stripHopByHop(headers: HeaderList, keepsTrailer = false): void {
  const nominated = nominatedBy(headers);
  for (const name of HOP_BY_HOP) if (name !== 'trailer' || !keepsTrailer) headers.remove(name);
  if (nominated !== null) for (const name of nominated) headers.remove(name);
}

/**
 * The request's headers as plugins and upstreams may see them: a copy without hop-by-hop fields,
 * without fields that `Connection` names, and without identity headers in any spelling.
 *
 * Aliases (`X_Real_IP`, `x.forwarded.for`) of fields that the gateway sets or frames messages by are
 * dropped: servers that fold `_` and `.` would read them as the real thing.
 */
export function entryHeaders(received: HeaderList): HeaderList {
  const nominated = nominatedBy(received);
  if (nominated === null) return received.cloneWithout(isDroppedAtEntry);
  return received.cloneWithout((name) => nominated.has(name) || isDroppedAtEntry(name));
}

function isDroppedAtEntry(name: string): boolean {
  return DROPPED_AT_ENTRY.has(name) || isReserved(name);
}

/** Whether a request field (lower case) is one that only the gateway may send upstream. */
export function isReserved(name: string): boolean {
  const isAlias = hasFoldable(name);
  // Everything reserved begins with x-, but for aliases of framing fields.
  if (!isAlias) return name.startsWith('x-') && startsWithAny(name, IDENTITY_PREFIXES);
  const canonical = name.replace(/[_.]/g, '-');
  return (
    startsWithAny(canonical, IDENTITY_PREFIXES) ||
    HOP_BY_HOP.has(canonical) ||
    END_TO_END.has(canonical) ||
    startsWithAny(canonical, END_TO_END_PREFIXES)
  );
}

/** One pass; runs for every field of every request. */
function hasFoldable(name: string): boolean {
  for (let i = 0; i < name.length; i += 1) {
    const code = name.charCodeAt(i);
    if (code === 0x5f || code === 0x2e) return true;
  }
  return false;
}

/** Fields that Connection names and that may go; null when there are none. */
function nominatedBy(headers: HeaderList): ReadonlySet<string> | null {
  if (!headers.has('connection')) return null;
  let names: Set<string> | null = null;
  for (const value of headers.getAll('connection')) {
    for (const token of value.split(',', NOMINATED_MAX)) {
      const name = token.trim().toLowerCase();
      if (name === '' || name === 'close' || name === 'keep-alive') continue;
      if (END_TO_END.has(name) || startsWithAny(name, END_TO_END_PREFIXES)) continue;
      names ??= new Set();
      names.add(name);
    }
  }
  return names;
}

function startsWithAny(name: string, prefixes: readonly string[]): boolean {
  for (const prefix of prefixes) if (name.startsWith(prefix)) return true;
  return false;
}
