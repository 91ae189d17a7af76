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
}

/**
 * Joins them by `path_handling` v0, escaped for the request line. v1 exists in Kong's `traditional`
 * router only; the others behave as v0 whatever the field says.
 *
 * Source: Kong `router/utils.lua`, get_upstream_uri_v0
 */
export function upstreamPath(parts: UpstreamPathParts): string {
  const base = parts.servicePath ?? '/';
  const path = parts.stripPath ? stripped(parts, base) : unstripped(parts.requestPath, base);
  return escapePath(path);
}

function unstripped(path: string, base: string): string {
  if (base === '/') return path;
  if (base.endsWith('/')) return base + path.slice(1);
  return path === '/' ? base : base + path;
}

function stripped(parts: UpstreamPathParts, base: string): string {
  const { requestPath, matchedPath } = parts;
  const rest = trimDots(requestPath.slice(matchedPath === null ? 1 : matchedPath.length));
  const withoutSlash = base.endsWith('/') ? base.slice(0, -1) : base;
  if (rest.startsWith('/')) return withoutSlash + rest;
  if (rest !== '') return `${withoutSlash}/${rest}`;
  if (base === '/') return '/';
  const endsInSlash = requestPath.length > 1 && requestPath.endsWith('/');
  return endsInSlash ? `${withoutSlash}/` : withoutSlash;
}

/** `/a` matched in `/a../b`: the rest must not climb out of the service's path. */
function trimDots(rest: string): string {
  if (rest === '.' || rest === '..') return '';
  if (rest.startsWith('./')) return rest.slice(2);
  return rest.startsWith('../') ? rest.slice(3) : rest;
}
