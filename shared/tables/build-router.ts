/** Routes to a router; a matcher that does not compile closes what it might have matched. */
import type { ConfigRecord } from '../config/record.ts';
import type { Route } from '../entities/route.ts';
import { buildRouter, type RouteEntry } from '../router/router.ts';
import type { Quarantined, RouterTable } from './tables.ts';

export type RouterResult =
  | { readonly ok: true; readonly table: RouterTable }
  | { readonly ok: false; readonly id: string; readonly reason: string };

/** Rounds of replacing what does not compile; a replacement compiles, so two are enough. */
const ROUNDS_MAX = 3;

/**
 * A route whose matcher does not compile is replaced by one that matches at least as much and is
 * closed (decision 22): its requests must not fall through to another route.
 *
 * Not ok when a route gives nothing literal to go by.
 */
export function makeRouterTable(
  entries: readonly RouteEntry[],
  quarantined: Quarantined[],
): RouterResult {
  const faults = new Map<RouteEntry, string>();
  let current = entries;
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const { router, failures } = buildRouter(current);
    if (failures.length === 0) return { ok: true, table: { router, faults } };
    const reasons = new Map(failures.map((failure) => [failure.id, failure.reason]));
    const next: RouteEntry[] = [];
    for (const entry of current) {
      const reason = reasons.get(entry.route.id);
      if (reason === undefined) {
        next.push(entry);
        continue;
      }
      const wider = faults.has(entry) ? null : overApproximate(entry.route);
      if (wider === null) return { ok: false, id: entry.route.id, reason };
      const replacement = { ws: entry.ws, route: wider };
      faults.set(replacement, reason);
      quarantined.push({ kind: 'routes', id: wider.id, reason });
      next.push(replacement);
    }
    current = next;
  }
  const [entry] = current;
  return { ok: false, id: entry?.route.id ?? '', reason: 'the router does not settle' };
}

/**
 * A route that matches whatever the given one may have been meant to match, at the same priority:
 * each regex becomes its literal prefix as a regex, each header regex "any value".
 *
 * @returns null when no host, method, header or path is left to tell it from everything
 */
export function overApproximate(route: Route): Route | null {
  const paths = route.paths?.map((path) =>
    path.startsWith('~') ? `~${literalPrefix(path.slice(1))}` : path,
  );
  const isAnyPath = paths === undefined || paths.some((path) => path === '~/' || path === '/');
  const hasOther = hasItems(route.hosts) || hasItems(route.methods) || route.headers !== null;
  if (isAnyPath && !hasOther) return null;
  const headers =
    route.headers === null
      ? null
      : Object.fromEntries(
          Object.entries(route.headers).map(([name, values]) => [name, values.map(anyValue)]),
        );
  return { ...route, paths: paths ?? null, headers };
}

/** The text that every match of a regex must begin with; `/` when nothing longer is certain. */
export function literalPrefix(source: string): string {
  if (hasTopLevelAlternative(source)) return '/';
  const start = source.startsWith('^') ? 1 : 0;
  let end = start;
  while (end < source.length && LITERAL.test(source.charAt(end))) end++;
  // A quantifier makes the character before it optional.
  if (end < source.length && '*?{'.includes(source.charAt(end))) end--;
  const prefix = source.slice(start, Math.max(start, end));
  return prefix.startsWith('/') ? prefix : '/';
}

/** Characters that stand for themselves in a regex and in a path. `-` and `_` included. */
const LITERAL = /[A-Za-z0-9/\-_~%!@&=:;,']/;

/** Whether `|` stands outside of brackets. What is malformed counts as having one. */
function hasTopLevelAlternative(source: string): boolean {
  let depth = 0;
  for (let i = 0; i < source.length; i++) {
    const char = source.charAt(i);
    if (char === '\\') i++;
    else if (char === '(' || char === '[') depth++;
    else if (char === ')' || char === ']') depth--;
    if (depth < 0 || (char === '|' && depth === 0)) return true;
  }
  return false;
}

function anyValue(value: string): string {
  return value.startsWith('~*') ? '~*.*' : value;
}

function hasItems(list: readonly unknown[] | null): boolean {
  return list !== null && list.length > 0;
}

/** The router's entry for a route record. */
export function entryFor(record: ConfigRecord): RouteEntry {
  // The control plane validated it and signed it; a wrong shape fails in the router or here.
  return { ws: record.ws, route: record.body as unknown as Route };
}
