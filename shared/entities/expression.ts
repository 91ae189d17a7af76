/**
 * Routes that match by an expression: what they say, and what they cannot say beside it.
 *
 * Source: Kong 3.9 `db/schema/entities/routes.lua`, validate_route.
 */
import { parseExpression } from '../expression/check.ts';

const STREAM_PROTOCOLS: ReadonlySet<unknown> = new Set(['tcp', 'udp', 'tls', 'tls_passthrough']);

const MATCHERS = [
  'methods',
  'hosts',
  'paths',
  'headers',
  'snis',
  'sources',
  'destinations',
] as const;
const PREFIX = 'Router Expression failed validation: ';

/** Parsed and checked as the router does, for the route's protocols. */
export function expressionError(route: Readonly<Record<string, unknown>>): string | null {
  const { expression, protocols } = route;
  if (typeof expression !== 'string') return null;
  const isStream = Array.isArray(protocols) && STREAM_PROTOCOLS.has(protocols[0]);
  const parsed = parseExpression(expression, isStream ? 'stream' : 'http');
  return parsed.ok ? null : `${PREFIX}${parsed.reason}`;
}

/** A route matches by its expression or by its lists, each with its own kind of priority. */
export function mixtureError(route: Readonly<Record<string, unknown>>): string | null {
  const hasExpression = typeof route['expression'] === 'string';
  const set = MATCHERS.filter((name) => isSet(route[name]));
  if (hasExpression && set.length > 0) {
    return `${PREFIX}'expression' cannot be set beside ${quoted(set)}`;
  }
  if (hasExpression && isOrder(route['regex_priority'])) {
    return `${PREFIX}'regex_priority' cannot be set beside 'expression'`;
  }
  if (set.length > 0 && isOrder(route['priority'])) {
    return `${PREFIX}'priority' cannot be set beside ${quoted(set)}`;
  }
  return null;
}

function isSet(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length > 0;
}

function isOrder(value: unknown): boolean {
  return typeof value === 'number' && value !== 0;
}

function quoted(names: readonly string[]): string {
  return names.map((name) => `'${name}'`).join(', ');
}
