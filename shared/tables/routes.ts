/** Routes, the router made of them, and which service each of them leads to. */
import { type MapEdit, PersistentMap } from '../base/persistent-map.ts';
import type { ConfigRecord } from '../config/record.ts';
import type { Route } from '../entities/route.ts';
import { type RouteEntry, Router } from '../router/router.ts';
import type { BuildEnv } from './build-env.ts';
import { updateRouter } from './build-router.ts';
import { type Changes, foreignId } from './changes.ts';
import type { EntityKey, QuarantineEdit } from './quarantine.ts';
import type { ServicesPart } from './services.ts';
import { type RouteTable, scopedKey } from './tables.ts';

/** Kept from tables to tables. */
export interface RoutesPart {
  readonly router: Router;
  /** All routes, by `scopedKey(ws, id)`. */
  readonly sources: PersistentMap<RouteSource>;
  /** The routes of a service, there or not, by `scopedKey(ws, id of the service)`. */
  readonly byService: PersistentMap<PersistentMap<RouteSource>>;
}

export function noRoutes({ routerFlavor }: BuildEnv): RoutesPart {
  return {
    router: Router.empty(routerFlavor),
    sources: PersistentMap.empty(),
    byService: PersistentMap.empty(),
  };
}

export type RoutesResult =
  | { readonly ok: true; readonly part: RoutesPart }
  /** A matcher that does not compile gives nothing literal to go by (decision 22). */
  | { readonly ok: false; readonly id: string; readonly reason: string };

/** A route as the router holds it: what does not depend on any other entity. */
export class RouteSource implements RouteEntry {
  readonly ws: string;
  readonly route: Route;
  /** `scopedKey(ws, id)` of its service; null without one. */
  readonly serviceKey: string | null;
  readonly isStream: boolean;
  readonly isHttp: boolean;
  readonly isHttpsOnly: boolean;
  readonly isGrpc: boolean;
  readonly isGrpcsOnly: boolean;
  readonly pathHandling: 'v0' | 'v1';
  /** This runtime cannot serve it; or, found once it is put into a router, it does not compile. */
  fault: string | null;
  /** What it was last bound to (`bindRoute`); the table holds as long as that is the same. */
  boundTo: object | null = null;
  table: RouteTable | null = null;

  constructor(record: ConfigRecord, env: BuildEnv) {
    this.ws = record.ws;
    // The control plane validated it and signed it; a wrong shape does not compile.
    this.route = record.body as unknown as Route;
    const service = foreignId(record, 'service');
    this.serviceKey = service === null ? null : scopedKey(record.ws, service);
    const listed: unknown = record.body['protocols'];
    const protocols: readonly unknown[] = Array.isArray(listed) ? listed : [];
    this.isStream = protocols.some((protocol) => STREAM_PROTOCOLS.has(protocol));
    this.isHttp = protocols.includes('http') || protocols.includes('https');
    this.isHttpsOnly = protocols.includes('https') && !protocols.includes('http');
    this.isGrpc = protocols.includes('grpc') || protocols.includes('grpcs');
    this.isGrpcsOnly = protocols.includes('grpcs') && !protocols.includes('grpc');
    const isTraditional = env.routerFlavor === 'traditional';
    this.pathHandling = isTraditional ? (this.route.path_handling ?? 'v0') : 'v0';
    this.fault = faultOf(this, env);
  }
}

const STREAM_PROTOCOLS: ReadonlySet<unknown> = new Set(['tcp', 'tls', 'tls_passthrough', 'udp']);

/** Services before and after the change. */
export interface ServiceSteps {
  readonly before: ServicesPart;
  readonly now: ServicesPart;
}

export function applyRoutes(
  before: RoutesPart,
  changes: Changes,
  services: ServiceSteps,
  env: BuildEnv,
  quarantine: QuarantineEdit,
): RoutesResult {
  const sources = before.sources.edit();
  const gone = new Set<RouteSource>();
  const made = new Set<RouteSource>();
  for (const record of changes.removed('routes')) {
    const key = scopedKey(record.ws, record.id);
    const source = sources.get(key);
    if (source === undefined) continue;
    sources.delete(key);
    gone.add(source);
    quarantine.set(record, null);
  }
  for (const record of changes.added('routes')) {
    const source = new RouteSource(record, env);
    sources.set(scopedKey(record.ws, record.id), source);
    made.add(source);
  }
  const byService = nextByService(before.byService, gone, made);
  const moved = movedRoutes(before.byService, changes, services).filter(
    (source) => !gone.has(source),
  );
  const wasServed = (source: RouteSource): boolean => isServed(source, services.before);
  const isNow = (source: RouteSource): boolean => isServed(source, services.now);
  const removed = [...gone, ...moved.filter((source) => !isNow(source))].filter(wasServed);
  const added = [...made, ...moved.filter((source) => !wasServed(source))].filter(isNow);
  for (const source of removed) quarantine.set(keyOf(source), null);
  for (const source of [...made, ...moved].filter(isNow)) {
    quarantine.set(keyOf(source), source.fault ?? mismatchOf(source, services.now));
  }
  const now = { byService, services: services.now };
  nameMissingServices(changes, { gone, made }, now, quarantine);
  const routing = updateRouter(before.router, removed, added);
  if (!routing.ok) return routing;
  for (const source of added) {
    const reason = routing.faults.get(source);
    if (reason === undefined) continue;
    source.fault = reason;
    quarantine.set(keyOf(source), reason);
  }
  return { ok: true, part: { router: routing.router, sources: sources.done(), byService } };
}

/** Set: the route leads to a service that does not take what it brings. */
export function mismatchOf(source: RouteSource, services: ServicesPart): string | null {
  const service = source.serviceKey === null ? undefined : services.get(source.serviceKey);
  if (service === undefined || service.takes === null) return null;
  if ((service.takes === 'connections') === source.isStream) return null;
  return source.isStream
    ? 'a route of connections cannot lead to a service of requests'
    : 'a route of requests cannot lead to a service of connections';
}

/** Routes of disabled services are not there at all. */
function isServed({ serviceKey }: RouteSource, services: ServicesPart): boolean {
  return serviceKey === null || services.get(serviceKey)?.isEnabled !== false;
}

/** What this runtime cannot do is closed and named, never dropped. */
function faultOf({ isStream, isGrpc, isHttp, route }: RouteSource, env: BuildEnv): string | null {
  const named = `routes of protocol ${String(route.protocols)}`;
  if (!isStream && !isGrpc && !isHttp) return `${named} are not known here`;
  return env.runtime === 'edge' && !isHttp ? `${named} are not supported at the edge` : null;
}

function keyOf({ ws, route }: RouteSource): EntityKey {
  return { kind: 'routes', ws, id: route.id };
}

function nextByService(
  before: RoutesPart['byService'],
  gone: Iterable<RouteSource>,
  made: Iterable<RouteSource>,
): RoutesPart['byService'] {
  const edits = new Map<string, MapEdit<RouteSource>>();
  const editOf = (key: string): MapEdit<RouteSource> => {
    const edit = edits.get(key) ?? (before.get(key) ?? NO_SOURCES).edit();
    edits.set(key, edit);
    return edit;
  };
  for (const { serviceKey, route } of gone) {
    if (serviceKey !== null) editOf(serviceKey).delete(route.id);
  }
  for (const source of made) {
    if (source.serviceKey !== null) editOf(source.serviceKey).set(source.route.id, source);
  }
  const byService = before.edit();
  for (const [key, edit] of edits) {
    const routes = edit.done();
    if (routes.size === 0) byService.delete(key);
    else byService.set(key, routes);
  }
  return byService.done();
}

const NO_SOURCES: PersistentMap<RouteSource> = PersistentMap.empty();

/** Routes that stay as they are, of services that came, went or are no longer what they were to routes. */
function movedRoutes(
  byService: RoutesPart['byService'],
  changes: Changes,
  { before, now }: ServiceSteps,
): RouteSource[] {
  const moved: RouteSource[] = [];
  for (const key of serviceKeys(changes)) {
    const [old, next] = [before.get(key), now.get(key)];
    if (old?.isEnabled === next?.isEnabled && old?.takes === next?.takes) continue;
    for (const source of byService.get(key)?.values() ?? []) moved.push(source);
  }
  return moved;
}

function serviceKeys(changes: Changes): Set<string> {
  const keys = new Set<string>();
  for (const { ws, id } of changes.removed('services')) keys.add(scopedKey(ws, id));
  for (const { ws, id } of changes.added('services')) keys.add(scopedKey(ws, id));
  return keys;
}

/** A service that routes lead to and that is not there is set aside itself: it closes them all. */
function nameMissingServices(
  changes: Changes,
  routes: { readonly gone: Iterable<RouteSource>; readonly made: Iterable<RouteSource> },
  now: { readonly byService: RoutesPart['byService']; readonly services: ServicesPart },
  quarantine: QuarantineEdit,
): void {
  const keys = serviceKeys(changes);
  for (const sources of [routes.gone, routes.made]) {
    for (const { serviceKey } of sources) if (serviceKey !== null) keys.add(serviceKey);
  }
  for (const key of keys) {
    if (now.services.has(key)) continue;
    const [first] = now.byService.get(key)?.values() ?? [];
    const [ws = '', id = ''] = key.split('\n');
    const isMissed = first !== undefined;
    quarantine.set({ kind: 'services', ws, id }, isMissed ? 'the service is missing' : null);
  }
}
