/**
 * Replica to tables. Cold: runs once per version, off to the side.
 *
 * One bad entity is set aside with what depends on it and named. It never blocks the rest, and its
 * requests never fall through to something else: a route that cannot be built answers 503, a
 * protecting plugin that cannot be built closes its scope. Only what cannot be confined (a global
 * plugin, a route with nothing literal to go by) refuses the whole version.
 */
import { buildBalancer } from '../balancer/balancer.ts';
import type { ConfigRecord, Replica } from '../config/record.ts';
import { lookupHash } from '../config/secrets.ts';
import type { Service } from '../entities/service.ts';
import type { Target } from '../entities/target.ts';
import type { Upstream } from '../entities/upstream.ts';
import type { Crypto } from '../platform/platform.ts';
import { PLUGIN_DEFINITIONS } from '../plugins/definitions.ts';
import type { PluginDefinition, PluginHandler, Runtime } from '../plugins/plugin.ts';
import type { RouteEntry, RouterFlavor } from '../router/router.ts';
import { buildPlugins } from './build-plugins.ts';
import { entryFor, routerFor } from './build-router.ts';
import { indexFor, planIndex } from './entity-index.ts';
import { type PluginInstance, PluginScopes } from './plugin-plan.ts';
import { foreignId, groupRecords, type RecordGroups } from './records.ts';
import {
  type HashSecret,
  type IndexedRecords,
  type Quarantined,
  type RouterTable,
  type RouteTable,
  scopedKey,
  type ServiceTable,
  type Tables,
  type UpstreamTable,
  type WorkspaceTable,
} from './tables.ts';

export interface BuildDeps {
  readonly handlers: ReadonlyMap<string, PluginHandler<unknown>>;
  readonly runtime: Runtime;
  readonly crypto: Crypto;
  /** `groupPepper`; null without the group's secret: what looks up credentials stays closed. */
  readonly pepper: Uint8Array | null;
  /** Default: traditional_compatible. */
  readonly routerFlavor?: RouterFlavor;
  /** Default: all that ship. */
  readonly definitions?: ReadonlyMap<string, PluginDefinition>;
}

export type BuildResult =
  | { readonly ok: true; readonly tables: Tables; readonly quarantined: readonly Quarantined[] }
  | {
      readonly ok: false;
      readonly entity: { readonly kind: string; readonly id: string } | null;
      readonly detail: string;
    };

/**
 * Never throws.
 *
 * @param previous  what is served now; unchanged parts of it are taken over
 */
export function buildTables(
  replica: Replica,
  deps: BuildDeps,
  previous: Tables | null,
): BuildResult {
  try {
    return build(replica, deps, previous);
  } catch (error) {
    // A shape that this release does not know, or a bug: what is served now goes on.
    return { ok: false, entity: null, detail: messageOf(error) };
  }
}

function build(replica: Replica, deps: BuildDeps, previous: Tables | null): BuildResult {
  const definitions = deps.definitions ?? PLUGIN_DEFINITIONS;
  const groups = groupRecords(replica);
  const quarantined: Quarantined[] = [];
  for (const { kind, id, fault } of groups.faulty) {
    quarantined.push({ kind, id, reason: fault ?? '' });
  }

  const instances = new Map<string, PluginInstance>();
  const plugins = buildPlugins(
    groups.plugins,
    {
      handlers: deps.handlers,
      definitions,
      runtime: deps.runtime,
      hasPepper: deps.pepper !== null,
    },
    previous?.kept.instances ?? new Map(),
    { kept: instances, quarantined },
  );
  if (!plugins.ok) return refuse('plugins', plugins.id, plugins.reason);

  const scopes = new Map<string, PluginScopes>();
  for (const ws of groups.workspaceIds) {
    scopes.set(ws, new PluginScopes(plugins.byWorkspace.get(ws) ?? []));
  }
  const indexPlan = planIndex(definitions);
  const workspaces = new Map<string, WorkspaceTable>();
  const indexes = new Map<string, IndexedRecords>();
  for (const [ws, scope] of scopes) {
    const records = groups.indexed.get(ws) ?? [];
    const indexed = indexFor(records, indexPlan, previous?.kept.indexes.get(ws));
    indexes.set(ws, indexed);
    workspaces.set(ws, { id: ws, globalPlan: scope.plan(null, null), index: indexed.index });
  }

  const upstreams = buildUpstreams(groups, previous, quarantined);
  const compiler = new RouteCompiler({ groups, upstreams, scopes, workspaces, quarantined });
  const entries = compiler.entries(previous);
  const flavor = deps.routerFlavor ?? 'traditional_compatible';
  const routing = routerFor(entries, flavor, previous, quarantined);
  if (!routing.ok) return refuse('routes', routing.id, routing.reason);

  const tables: Tables = {
    epoch: replica.epoch,
    revision: replica.revision,
    hash: replica.hash,
    router: routing.table.router,
    routes: compiler.compile(entries.values(), routing.table),
    workspaces,
    fallback: fallbackOf(groups, workspaces),
    upstreams,
    hashSecret: hasherFor(deps),
    quarantined,
    kept: { instances, entries, routerTable: routing.table, indexes },
  };
  return { ok: true, tables, quarantined };
}

function refuse(kind: string, id: string, reason: string): BuildResult {
  return { ok: false, entity: { kind, id }, detail: reason };
}

function hasherFor(deps: BuildDeps): HashSecret | null {
  const { pepper, crypto } = deps;
  if (pepper === null) return null;
  return (kind, ws, value) => lookupHash(pepper, { kind, ws, value }, crypto);
}

/** The workspace named `default`, or the only one there is. */
function fallbackOf(
  groups: RecordGroups,
  workspaces: ReadonlyMap<string, WorkspaceTable>,
): WorkspaceTable | null {
  const named = groups.workspaces.find((record) => record.body['name'] === 'default');
  const table = named === undefined ? undefined : workspaces.get(named.id);
  if (table !== undefined) return table;
  const [only, second] = workspaces.values();
  return only !== undefined && second === undefined ? only : null;
}

function buildUpstreams(
  groups: RecordGroups,
  previous: Tables | null,
  quarantined: Quarantined[],
): Map<string, UpstreamTable> {
  const tables = new Map<string, UpstreamTable>();
  for (const record of groups.upstreams) {
    const targets = groups.targets.get(scopedKey(record.ws, record.id)) ?? [];
    const signature = [record, ...targets].map(({ hash }) => hash).join();
    // Validated and signed by the control plane; a wrong shape throws below.
    const upstream = record.body as unknown as Upstream;
    const key = scopedKey(record.ws, upstream.name);
    const before = previous?.upstreams.get(key) ?? null;
    if (before !== null && before.signature === signature) {
      tables.set(key, before);
      continue;
    }
    try {
      const entities = targets.map(({ body }) => body as unknown as Target);
      const balancer = buildBalancer(upstream, entities, before?.balancer ?? null);
      tables.set(key, { upstream, balancer, signature });
    } catch (error) {
      quarantined.push({ kind: 'upstreams', id: record.id, reason: messageOf(error) });
      tables.set(key, { upstream, balancer: NOTHING_LEFT, signature: '' });
    }
  }
  return tables;
}

/** An Upstream that could not be built must not be taken for a host name: it has no peer. */
const NOTHING_LEFT: UpstreamTable['balancer'] = { targets: [], pick: () => null };

interface CompilerParts {
  readonly groups: RecordGroups;
  readonly upstreams: ReadonlyMap<string, UpstreamTable>;
  readonly scopes: ReadonlyMap<string, PluginScopes>;
  readonly workspaces: ReadonlyMap<string, WorkspaceTable>;
  readonly quarantined: Quarantined[];
}

/** A service, compiled; or why its routes are closed. */
type ServiceOutcome =
  | { readonly table: ServiceTable; readonly fault: null }
  | { readonly table: null; readonly fault: string };

class RouteCompiler {
  readonly #parts: CompilerParts;
  readonly #services = new Map<string, ServiceOutcome>();

  constructor(parts: CompilerParts) {
    this.#parts = parts;
  }

  /** What the router is built from, by record hash. Routes of disabled services are not there. */
  entries(previous: Tables | null): Map<string, RouteEntry> {
    const entries = new Map<string, RouteEntry>();
    for (const record of this.#parts.groups.routes) {
      const service = this.#serviceRecord(record);
      if (service?.body['enabled'] === false) continue;
      if (!isHttpRoute(record)) {
        const reason = 'routes of the tcp, udp and tls protocols are not supported yet';
        this.#parts.quarantined.push({ kind: 'routes', id: record.id, reason });
        continue;
      }
      entries.set(record.hash, previous?.kept.entries.get(record.hash) ?? entryFor(record));
    }
    return entries;
  }

  compile(entries: Iterable<RouteEntry>, router: RouterTable): Map<RouteEntry, RouteTable> {
    const routes = new Map<RouteEntry, RouteTable>();
    for (const entry of entries) {
      const workspace = this.#parts.workspaces.get(entry.ws);
      const scope = this.#parts.scopes.get(entry.ws);
      if (workspace === undefined || scope === undefined) continue;
      const serviceId = entry.route.service?.id ?? null;
      const service = serviceId === null ? null : this.#service(entry.ws, serviceId);
      const protocols: readonly string[] = entry.route.protocols;
      routes.set(entry, {
        ...entry,
        workspace,
        target: service?.table ?? null,
        plan: scope.plan(entry.route.id, serviceId),
        fault: router.faults.get(entry) ?? service?.fault ?? null,
        isHttpsOnly: protocols.includes('https') && !protocols.includes('http'),
        isGrpc: protocols.includes('grpc') || protocols.includes('grpcs'),
        isGrpcsOnly: protocols.includes('grpcs') && !protocols.includes('grpc'),
      });
    }
    return routes;
  }

  #serviceRecord(route: ConfigRecord): ConfigRecord | null {
    const id = foreignId(route, 'service');
    if (id === null) return null;
    return this.#parts.groups.services.get(scopedKey(route.ws, id)) ?? null;
  }

  #service(ws: string, id: string): ServiceOutcome {
    const key = scopedKey(ws, id);
    let outcome = this.#services.get(key);
    if (outcome === undefined) {
      outcome = this.#makeService(ws, id);
      this.#services.set(key, outcome);
      if (outcome.fault !== null) {
        this.#parts.quarantined.push({ kind: 'services', id, reason: outcome.fault });
      }
    }
    return outcome;
  }

  #makeService(ws: string, id: string): ServiceOutcome {
    const record = this.#parts.groups.services.get(scopedKey(ws, id));
    if (record === undefined) return { table: null, fault: 'the service is missing' };
    // Validated and signed by the control plane; what is used of it is looked at here.
    const service = record.body as unknown as Service;
    const scheme = service.protocol;
    if (scheme !== 'http' && scheme !== 'https') {
      return { table: null, fault: `services of protocol ${scheme} are not supported yet` };
    }
    const upstream = this.#parts.upstreams.get(scopedKey(ws, service.host)) ?? null;
    return { table: { service, scheme, path: service.path ?? '/', upstream }, fault: null };
  }
}

const HTTP_PROTOCOLS: ReadonlySet<unknown> = new Set(['http', 'https', 'grpc', 'grpcs']);

function isHttpRoute(record: ConfigRecord): boolean {
  const protocols = record.body['protocols'];
  return Array.isArray(protocols) && protocols.some((protocol) => HTTP_PROTOCOLS.has(protocol));
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : 'unknown reason';
}
