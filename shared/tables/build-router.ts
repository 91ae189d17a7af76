/** Routes to a router; a matcher that does not compile closes what it might have matched. */
import type { ConfigRecord } from '../config/record.ts';
import type { Route } from '../entities/route.ts';
import { Router, type RouteEntry, type RouterFlavor } from '../router/router.ts';
import type { Quarantined, RouterTable, Tables } from './tables.ts';

export type RouterResult =
  | { readonly ok: true; readonly table: RouterTable }
  | { readonly ok: false; readonly id: string; readonly reason: string };

/**
 * Builds the router out of the one of before and what has changed since.
 *
 * Not ok when a route that does not compile gives nothing literal to go by (decision 22).
 * @param entries  by record hash
 */
export function routerFor(
  entries: ReadonlyMap<string, RouteEntry>,
  flavor: RouterFlavor,
  previous: Tables | null,
  quarantined: Quarantined[],
): RouterResult {
  const before = previous !== null && previous.router.flavor === flavor ? previous.kept : null;
  const added: RouteEntry[] = [];
  const removed: RouteEntry[] = [];
  for (const [hash, entry] of entries) if (before?.entries.has(hash) !== true) added.push(entry);
  for (const [hash, entry] of before?.entries ?? []) if (!entries.has(hash)) removed.push(entry);
  const router = before === null ? Router.empty(flavor) : before.routerTable.router;
  const isSame = before !== null && added.length === 0 && removed.length === 0;
  const build = isSame ? { router, failures: router.failures } : router.update(removed, added);
  const faults = new Map<RouteEntry, string>();
  for (const { entry, reason, isCovered } of build.failures) {
    const { id } = entry.route;
    if (!isCovered) return { ok: false, id, reason };
    faults.set(entry, reason);
    quarantined.push({ kind: 'routes', id, reason });
  }
  return { ok: true, table: { router: build.router, faults } };
}

/** The router's entry for a route record. */
export function entryFor(record: ConfigRecord): RouteEntry {
  // The control plane validated it and signed it; a wrong shape does not compile.
  return { ws: record.ws, route: record.body as unknown as Route };
}
