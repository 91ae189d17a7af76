/** Routes, the router made of them, and which service each of them leads to. */
import type { Sliced } from '../base/slices.ts';
import type { ConfigRecord } from '../config/record.ts';
import type { Route } from '../entities/route.ts';
import { type RouteEntry, Router } from '../router/router.ts';
import type { BuildEnv } from './build-env.ts';
import { updateRouter } from './build-router.ts';
import { type Changes, foreignId } from './changes.ts';
import type { EntityKey, QuarantineEdit } from './quarantine.ts';
import { readRoute } from './route-shape.ts';
import { RouteSet } from './route-set.ts';
import type { ServicesPart, ServiceSource } from './services.ts';
import { ScopedMap } from './scoped-map.ts';
import type { RouteTable } from './tables.ts';

/** Kept from tables to tables. */
export interface RoutesPart {
  readonly router: Router;
  /** All routes. */
  readonly sources: ScopedMap<RouteSource>;
  /** The routes of a service, there or not, by the service's id. */
  readonly byService: ScopedMap<RouteSet>;
}

export function noRoutes({ routerFlavor }: BuildEnv): RoutesPart {
  return {
    router: Router.empty(routerFlavor),
    sources: ScopedMap.empty(),
    byService: ScopedMap.empty(),
  };
}

export type RoutesResult =
  | { readonly ok: true; readonly part: RoutesPart }
  /** A matcher that does not compile gives nothing literal to go by (decision 22). */
  | { readonly ok: false; readonly id: string; readonly reason: string };

/** A route as the router holds it: what does not depend on any other entity. */
export class RouteSource implements RouteEntry {
  /** What it was last bound to (`bindRoute`); the table holds as long as that is the same. */
  boundTo: object | null = null;
  table: RouteTable | null = null;
  readonly ws: string;
  readonly route: Route;
  /** Id of its service; null without one. */
  readonly serviceId: string | null;
  readonly isStream: boolean;
  readonly isHttp: boolean;
  readonly isHttpsOnly: boolean;
  readonly isGrpc: boolean;
  readonly isGrpcsOnly: boolean;
  readonly pathHandling: 'v0' | 'v1';
  /** False: it is not well-formed, and nothing literal tells its requests from others'. */
  readonly isCovered: boolean;
  /** This runtime cannot serve it; or, found once it is put into a router, it does not compile. */
  fault: string | null;

  /** @param ws  the record's, the same object for all of a workspace: requests look it up */
  constructor(record: ConfigRecord, ws: string, env: BuildEnv) {
    this.ws = ws;
    const { route, fault, isCovered } = readRoute(record);
    this.route = route;
    this.isCovered = isCovered;
    this.serviceId = foreignId(record, 'service');
    const protocols: readonly unknown[] = route.protocols;
    this.isStream = protocols.some((protocol) => STREAM_PROTOCOLS.has(protocol));
    this.isHttp = protocols.includes('http') || protocols.includes('https');
    this.isHttpsOnly = protocols.includes('https') && !protocols.includes('http');
    this.isGrpc = protocols.includes('grpc') || protocols.includes('grpcs');
    this.isGrpcsOnly = protocols.includes('grpcs') && !protocols.includes('grpc');
    const isTraditional = env.routerFlavor === 'traditional';
    this.pathHandling = isTraditional ? (this.route.path_handling ?? 'v0') : 'v0';
    this.fault = fault ?? faultOf(this, env);
  }
}

const STREAM_PROTOCOLS: ReadonlySet<unknown> = new Set(['tcp', 'tls', 'tls_passthrough', 'udp']);

/** Services before and after the change. */
export interface ServiceSteps {
  readonly before: ServicesPart;
  readonly now: ServicesPart;
}

export function* applyRoutes(
  before: RoutesPart,
  changes: Changes,
  services: ServiceSteps,
  env: BuildEnv,
  quarantine: QuarantineEdit,
): Sliced<RoutesResult> {
  const sources = before.sources.edit();
  const gone = new Set<RouteSource>();
  const made: RouteSource[] = [];
  const removed: RouteSource[] = [];
  const added: RouteSource[] = [];
  for (const record of changes.removed('routes')) {
    yield;
    const source = sources.get(record.ws, record.id);
    if (source === undefined) continue;
    sources.delete(record.ws, record.id);
    gone.add(source);
    quarantine.set(record, null);
    if (isServed(serviceOf(source, services.before))) removed.push(source);
  }
  let ws = '';
  for (const record of changes.added('routes')) {
    yield;
    if (record.ws !== ws) ws = record.ws;
    const source = new RouteSource(record, ws, env);
    sources.set(record.ws, record.id, source);
    made.push(source);
    const service = serviceOf(source, services.now);
    if (!isServed(service)) continue;
    added.push(source);
    quarantine.set(record, source.fault ?? mismatchOf(source, service));
  }
  for (const source of movedRoutes(before.byService, changes, services)) {
    yield;
    if (gone.has(source)) continue;
    const service = serviceOf(source, services.now);
    const wasServed = isServed(serviceOf(source, services.before));
    if (!isServed(service)) {
      if (wasServed) removed.push(source);
      quarantine.set(keyOf(source), null);
      continue;
    }
    if (!wasServed) added.push(source);
    quarantine.set(keyOf(source), source.fault ?? mismatchOf(source, service));
  }
  const open = added.find(({ isCovered }) => !isCovered);
  if (open !== undefined) {
    return { ok: false, id: open.route.id, reason: open.fault ?? 'nothing to match by' };
  }
  const routing = yield* updateRouter(before.router, removed, added);
  if (!routing.ok) return routing;
  for (const [source, reason] of faultsAmong(added, routing.faults)) {
    source.fault = reason;
    quarantine.set(keyOf(source), reason);
  }
  const byService = yield* nextByService(before.byService, gone, made);
  yield* nameMissingServices(
    changes,
    { gone, made },
    { byService, services: services.now },
    quarantine,
  );
  return { ok: true, part: { router: routing.router, sources: sources.done(), byService } };
}

function* faultsAmong(
  sources: readonly RouteSource[],
  faults: ReadonlyMap<RouteEntry, string>,
): Iterable<readonly [RouteSource, string]> {
  if (faults.size === 0) return;
  for (const source of sources) {
    const reason = faults.get(source);
    if (reason !== undefined) yield [source, reason];
  }
}

/** Set: the route leads to a service that does not take what it brings. */
export function mismatchOf(source: RouteSource, service: ServiceSource | undefined): string | null {
  if (service === undefined || service.takes === null) return null;
  if ((service.takes === 'connections') === source.isStream) return null;
  return source.isStream
    ? 'a route of connections cannot lead to a service of requests'
    : 'a route of requests cannot lead to a service of connections';
}

/** The route's service; undefined without one, and when it is missing. */
export function serviceOf(
  { ws, serviceId }: RouteSource,
  services: ServicesPart,
): ServiceSource | undefined {
  return serviceId === null ? undefined : services.get(ws, serviceId);
}

/** Routes of disabled services are not there at all. */
function isServed(service: ServiceSource | undefined): boolean {
  return service === undefined || service.isEnabled;
}

/** What this runtime cannot do is closed and named, never dropped. */
function faultOf({ isStream, isGrpc, isHttp, route }: RouteSource, env: BuildEnv): string | null {
  const named = `routes of protocol ${String(route.protocols)}`;
  if (!isStream && !isGrpc && !isHttp) return `${named} are not known here`;
  return env.runtime === 'edge' && !isHttp ? `${named} are not supported at the edge` : null;
}

function keyOf({ ws, route }: RouteSource): EntityKey {
  return { kind: 'routes', ws, id: route.id, body: { name: route.name } };
}

function* nextByService(
  before: RoutesPart['byService'],
  gone: Iterable<RouteSource>,
  made: Iterable<RouteSource>,
): Sliced<RoutesPart['byService']> {
  const steps = new Map<string, Map<string, { gone: RouteSource[]; made: RouteSource[] }>>();
  const take = (source: RouteSource, side: 'gone' | 'made'): void => {
    const { ws, serviceId } = source;
    if (serviceId === null) return;
    const ofWs = steps.get(ws) ?? new Map<string, { gone: RouteSource[]; made: RouteSource[] }>();
    const step = ofWs.get(serviceId) ?? { gone: [], made: [] };
    step[side].push(source);
    steps.set(ws, ofWs.set(serviceId, step));
  };
  for (const source of gone) {
    yield;
    take(source, 'gone');
  }
  for (const source of made) {
    yield;
    take(source, 'made');
  }
  const byService = before.edit();
  for (const [ws, ofWs] of steps) {
    for (const [id, step] of ofWs) {
      yield;
      const routes = (byService.get(ws, id) ?? RouteSet.EMPTY).with(step.gone, step.made);
      if (routes.size === 0) byService.delete(ws, id);
      else byService.set(ws, id, routes);
    }
  }
  return byService.done();
}

/** Routes that stay, of services that came, went or are no longer to routes what they were. */
function movedRoutes(
  byService: RoutesPart['byService'],
  changes: Changes,
  { before, now }: ServiceSteps,
): ReadonlySet<RouteSource> {
  const moved = new Set<RouteSource>();
  for (const services of [changes.removed('services'), changes.added('services')]) {
    for (const { ws, id } of services) {
      const [old, next] = [before.get(ws, id), now.get(ws, id)];
      if (old?.isEnabled === next?.isEnabled && old?.takes === next?.takes) continue;
      for (const source of byService.get(ws, id) ?? []) moved.add(source);
    }
  }
  return moved;
}

/** A service that routes lead to and that is not there is set aside itself: it closes them all. */
function* nameMissingServices(
  changes: Changes,
  routes: { readonly gone: Iterable<RouteSource>; readonly made: Iterable<RouteSource> },
  now: { readonly byService: RoutesPart['byService']; readonly services: ServicesPart },
  quarantine: QuarantineEdit,
): Sliced<void> {
  const look = (ws: string, id: string): void => {
    if (now.services.get(ws, id) !== undefined) return;
    const isMissed = now.byService.get(ws, id) !== undefined;
    quarantine.set({ kind: 'services', ws, id }, isMissed ? 'the service is missing' : null);
  };
  for (const { ws, id } of changes.removed('services')) {
    yield;
    look(ws, id);
  }
  for (const sources of [routes.gone, routes.made]) {
    for (const { ws, serviceId } of sources) {
      yield;
      if (serviceId !== null) look(ws, serviceId);
    }
  }
}
