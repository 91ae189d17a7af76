/**
 * What consistent hashing goes by, read off a request.
 *
 * Source: Kong `runloop/balancer/init.lua`, get_value_to_hash and get_query_arg
 */
import type { Upstream } from '../entities/upstream.ts';
import type { Exchange } from './request-context.ts';

/** Parameters of a query that are looked at. Source: Kong `lua_max_uri_args` */
const QUERY_ARGS_MAX = 100;

/** A cookie that the response is to set, so that the client comes back to the same target. */
export interface HashCookie {
  readonly name: string;
  readonly value: string;
  readonly path: string;
}

/** Where to look: the first choice or the fallback. */
interface HashInput {
  readonly on: Upstream['hash_on'];
  readonly header: string | null;
  readonly queryArg: string | null;
  readonly uriCapture: string | null;
}

/** The empty text when there is nothing to go by: all such requests then go to one target. */
export function hashValue(ctx: Exchange, upstream: Upstream): string {
  if (upstream.hash_on === null || upstream.hash_on === 'none') return '';
  const first = {
    on: upstream.hash_on,
    header: upstream.hash_on_header,
    queryArg: upstream.hash_on_query_arg,
    uriCapture: upstream.hash_on_uri_capture,
  };
  const value = read(ctx, upstream, first);
  if (value !== null) return value;
  const fallback = {
    on: upstream.hash_fallback,
    header: upstream.hash_fallback_header,
    queryArg: upstream.hash_fallback_query_arg,
    uriCapture: upstream.hash_fallback_uri_capture,
  };
  return read(ctx, upstream, fallback) ?? '';
}

function read(ctx: Exchange, upstream: Upstream, input: HashInput): string | null {
  switch (input.on) {
    case null:
    case 'none':
      return null;
    case 'consumer':
      return ctx.consumer?.id ?? ctx.credential?.id ?? null;
    case 'ip':
      return ctx.clientAddress;
    case 'header':
      return input.header === null ? null : headerValue(ctx, input.header);
    case 'cookie':
      return cookieValue(ctx, upstream);
    case 'path':
      return ctx.path;
    case 'query_arg':
      return input.queryArg === null ? null : queryArg(ctx.query, input.queryArg);
    case 'uri_capture':
      return input.uriCapture === null ? null : uriCapture(ctx, input.uriCapture);
  }
}

function headerValue(ctx: Exchange, name: string): string | null {
  const values = ctx.request.headers.getAll(name.toLowerCase());
  return values.length === 0 ? null : values.join(', ');
}

/** A client without the cookie is given one; it is set on the response by `setHashCookie`. */
function cookieValue(ctx: Exchange, upstream: Upstream): string | null {
  const name = upstream.hash_on_cookie;
  if (name === null) return null;
  const known = readCookie(ctx.request.headers.getAll('cookie'), name);
  if (known !== null) return known;
  const value = ctx.platform.random.uuid();
  ctx.hashCookie = { name, value, path: upstream.hash_on_cookie_path ?? '/' };
  return value;
}

/** Of several by that name the first. */
function readCookie(fields: readonly string[], name: string): string | null {
  for (const field of fields) {
    for (const pair of field.split(';')) {
      const equals = pair.indexOf('=');
      if (equals > 0 && pair.slice(0, equals).trim() === name) return pair.slice(equals + 1).trim();
    }
  }
  return null;
}

/** All values of a parameter, sorted; one without `=` counts as `true`. */
function queryArg(query: string | null, name: string): string | null {
  if (query === null) return null;
  const values: string[] = [];
  for (const part of query.split('&', QUERY_ARGS_MAX)) {
    const equals = part.indexOf('=');
    const found = decode(equals < 0 ? part : part.slice(0, equals));
    if (found !== name || part === '') continue;
    values.push(equals < 0 ? 'true' : decode(part.slice(equals + 1)));
  }
  return values.length === 0 ? null : values.toSorted().join(',');
}

function decode(text: string): string {
  const spaced = text.replaceAll('+', ' ');
  try {
    return decodeURIComponent(spaced);
  } catch {
    // Not UTF-8: as it stands is as good a value to hash.
    return spaced;
  }
}

function uriCapture(ctx: Exchange, name: string): string | null {
  const named = ctx.match?.captures?.named;
  return named !== undefined && Object.hasOwn(named, name) ? (named[name] ?? null) : null;
}
