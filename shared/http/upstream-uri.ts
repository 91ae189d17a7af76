/** The path of the upstream request: the service's path and what is left of the client's. */
import { escapePath } from './path.ts';

export interface UpstreamPathParts {
  /** Path of the service; null for none. */
  readonly servicePath: string | null;
  /** The request's normalised path. */
  readonly requestPath: string;
  /** What the route's path matched; null when the route has no paths. */
  readonly matchedPath: string | null;
  readonly stripPath: boolean;
  /** v1 joins without a look at slashes. */
  readonly pathHandling: 'v0' | 'v1';
}

/**
 * Joins them by the route's `path_handling`, escaped for the request line. v1 exists in Kong's
 * `traditional` router only; in the others a route is v0 whatever the field says.
 *
 * Source: Kong `router/utils.lua`, get_upstream_uri_v0; `router/traditional.lua`, find_match
 */
export function upstreamPath(parts: UpstreamPathParts): string {
  const base = parts.servicePath ?? '/';
  if (parts.pathHandling === 'v1') return escapePath(plainlyJoined(parts, base));
  const path = parts.stripPath ? stripped(parts, base) : unstripped(parts.requestPath, base);
  return escapePath(path);
}

function plainlyJoined(parts: UpstreamPathParts, base: string): string {
  if (!parts.stripPath) return base + parts.requestPath.slice(1);
  const rest = restOf(parts);
  return base.endsWith('/') && rest.startsWith('/') ? base + rest.slice(1) : base + rest;
}

function unstripped(path: string, base: string): string {
  if (base === '/') return path;
  if (base.endsWith('/')) return base + path.slice(1);
  return path === '/' ? base : base + path;
}

function stripped(parts: UpstreamPathParts, base: string): string {
  const { requestPath } = parts;
  const rest = restOf(parts);
  const withoutSlash = base.endsWith('/') ? base.slice(0, -1) : base;
  if (rest.startsWith('/')) return withoutSlash + rest;
  if (rest !== '') return `${withoutSlash}/${rest}`;
  if (base === '/') return '/';
  const endsInSlash = requestPath.length > 1 && requestPath.endsWith('/');
  return endsInSlash ? `${withoutSlash}/` : withoutSlash;
}

function restOf({ requestPath, matchedPath }: UpstreamPathParts): string {
  return trimDots(requestPath.slice(matchedPath === null ? 1 : matchedPath.length));
}

/** `/a` matched in `/a../b`: the rest must not climb out of the service's path. */
function trimDots(rest: string): string {
  if (rest === '.' || rest === '..') return '';
  if (rest.startsWith('./')) return rest.slice(2);
  return rest.startsWith('../') ? rest.slice(3) : rest;
}
