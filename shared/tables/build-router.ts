/** Routes to a router; a matcher that does not compile closes what it might have matched. */
import type { ConfigRecord } from '../config/record.ts';
import type { Route } from '../entities/route.ts';
import { buildRouter, type RouteEntry } from '../router/router.ts';
import type { Quarantined, RouterTable, Tables } from './tables.ts';

export type RouterResult =
  | { readonly ok: true; readonly table: RouterTable }
  | { readonly ok: false; readonly id: string; readonly reason: string };

/**
 * Builds the router, or takes over the one of before when the routes are those of before.
 *
 * Not ok when a route that does not compile gives nothing literal to go by (decision 22).
 * @param entries  by record hash
 */
export function routerFor(
  entries: ReadonlyMap<string, RouteEntry>,
  previous: Tables | null,
  quarantined: Quarantined[],
): RouterResult {
  const table = takeOver(entries, previous) ?? makeRouterTable([...entries.values()]);
  if ('ok' in table) return table;
  for (const [entry, reason] of table.faults) {
    quarantined.push({ kind: 'routes', id: entry.route.id, reason });
  }
  return { ok: true, table };
}

function takeOver(
  entries: ReadonlyMap<string, RouteEntry>,
  previous: Tables | null,
): RouterTable | null {
  if (previous === null || previous.kept.entries.size !== entries.size) return null;
  for (const hash of entries.keys()) if (!previous.kept.entries.has(hash)) return null;
  return previous.kept.routerTable;
}

function makeRouterTable(entries: readonly RouteEntry[]): RouterTable | Refused {
  const { router, failures } = buildRouter(entries);
  const faults = new Map<RouteEntry, string>();
  if (failures.length === 0) return { router, faults };
  const byId = new Map<string, RouteEntry[]>();
  for (const entry of entries) {
    const twins = byId.get(entry.route.id);
    if (twins === undefined) byId.set(entry.route.id, [entry]);
    else twins.push(entry);
  }
  for (const { id, reason, isCovered } of failures) {
    if (!isCovered) return { ok: false, id, reason };
    // An id may stand in two workspaces; closing the twin as well errs on the safe side.
    for (const entry of byId.get(id) ?? []) faults.set(entry, reason);
  }
  return { router, faults };
}

interface Refused {
  readonly ok: false;
  readonly id: string;
  readonly reason: string;
}

/** The router's entry for a route record. */
export function entryFor(record: ConfigRecord): RouteEntry {
  // The control plane validated it and signed it; a wrong shape does not compile.
  return { ws: record.ws, route: record.body as unknown as Route };
}
