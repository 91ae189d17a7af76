/**
 * From a route to all that its requests need, as one version of the configuration has it.
 *
 * A route's own part never changes because another entity did; what leads from it to its service,
 * its upstream and its plugins is looked up at its first request after a change in its workspace, and
 * kept until the next one. So a swap costs nothing per route, and a request one comparison.
 */
import type { RouteEntry } from '../router/router.ts';
import { mismatchOf, RouteSource, serviceOf } from './routes.ts';
import type { RouteTable, ServiceTable, Tables } from './tables.ts';

/** @param entry  what the router of these tables answered with */
export function bindRoute(entry: RouteEntry, tables: Tables): RouteTable | null {
  if (!(entry instanceof RouteSource)) return null;
  const workspace = tables.workspaces.get(entry.ws);
  if (workspace === undefined) return null;
  // A request that began before a swap may bind its route back to what it began with.
  if (entry.table === null || entry.boundTo !== workspace.binding) {
    entry.table = rebind(entry, tables);
    entry.boundTo = workspace.binding;
  }
  return entry.table;
}

/** The table of before where nothing in it changed. */
function rebind(source: RouteSource, { parts }: Tables): RouteTable {
  const { ws, route, serviceId } = source;
  const service = serviceOf(source, parts.services);
  let target: ServiceTable | null = null;
  let fault = source.fault;
  if (service !== undefined) {
    const upstream = parts.upstreams.byName.get(service.upstreamKey) ?? null;
    const bound = service.bind(upstream, parts.certificates);
    target = bound.table;
    fault ??= bound.fault ?? mismatchOf(source, service);
  } else if (serviceId !== null) {
    fault ??= 'the service is missing';
  }
  const { scopes, streamScopes } = parts.plugins;
  const plan = (source.isStream ? streamScopes : scopes).plan(ws, route.id, serviceId);
  const before = source.table;
  if (
    before !== null &&
    before.target === target &&
    before.plan === plan &&
    before.fault === fault
  ) {
    return before;
  }
  const { isHttpsOnly, isGrpc, isGrpcsOnly, pathHandling } = source;
  return {
    ws,
    route,
    target,
    plan,
    fault,
    isHttpsOnly,
    isGrpc,
    isGrpcsOnly,
    pathHandling,
    stripsPath: route.strip_path,
    preservesHost: route.preserve_host,
    buffersRequest: route.request_buffering,
    buffersResponse: route.response_buffering,
  };
}
