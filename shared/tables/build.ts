/**
 * Replica to tables. Cold: runs once per version, off to the side, and costs what changed: the
 * difference to the configuration of the tables before, taken in part by part. The first tables are
 * the difference to nothing.
 *
 * One bad entity is set aside with what depends on it and named. It never blocks the rest, and its
 * requests never fall through to something else: a route that cannot be built answers 503, a
 * protecting plugin that cannot be built closes its scope. Only what cannot be confined (a global
 * plugin, a route with nothing literal to go by) refuses the whole version.
 */
import { atOnce, type Breaks, inSlices, type Sliced } from '../base/slices.ts';
import type { Replica } from '../config/record.ts';
import { lookupHash } from '../config/secrets.ts';
import { HealthRegistry } from '../health/registry.ts';
import type { Crypto } from '../platform/platform.ts';
import { PLUGIN_DEFINITIONS } from '../plugins/definitions.ts';
import type { PluginDefinition, PluginHandler, Runtime } from '../plugins/plugin.ts';
import type { RouterFlavor } from '../settings/common.ts';
import { type BuildEnv, isSameProcess } from './build-env.ts';
import { applyPlugins, NO_PLUGINS } from './build-plugins.ts';
import { type CertificateFault, Certificates } from './certificates.ts';
import { Changes } from './changes.ts';
import type { Parts } from './parts.ts';
import { messageOf, Quarantine } from './quarantine.ts';
import { applyRoutes, noRoutes } from './routes.ts';
import { UPSTREAM_TLS_DEFAULTS, type UpstreamTlsDefaults } from './service-tls.ts';
import { applyServices, NO_SERVICES } from './services.ts';
import type { HashSecret, Quarantined, Tables } from './tables.ts';
import { applyUpstreams, NO_UPSTREAMS } from './upstreams.ts';
import { applyWorkspaces, fallbackOf, noWorkspaces } from './workspaces.ts';

export interface BuildDeps {
  readonly handlers: ReadonlyMap<string, PluginHandler<unknown>>;
  readonly runtime: Runtime;
  readonly crypto: Crypto;
  /** `groupPepper`; null without the group's secret: what looks up credentials stays closed. */
  readonly pepper: Uint8Array | null;
  /** Default: traditional_compatible. */
  readonly routerFlavor?: RouterFlavor;
  /** What is known of the Upstreams' targets. Default: that of the tables before. */
  readonly health?: HealthRegistry;
  /** Default: certificates are not looked at, as nobody is served any. */
  readonly certificateFault?: CertificateFault | null;
  /** Default: Kong's. */
  readonly upstreamTls?: UpstreamTlsDefaults;
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
 * @param previous  what is served now: it goes on as it was, and shares what did not change
 */
export function buildTables(
  replica: Replica,
  deps: BuildDeps,
  previous: Tables | null,
): BuildResult {
  try {
    return atOnce(build(replica, deps, previous));
  } catch (error) {
    return failure(error);
  }
}

/**
 * The same, with breaks: a hundred thousand records at once would keep every request waiting for half
 * a second. `previous` must go on being what is served until it ends.
 */
export async function buildTablesInSlices(
  replica: Replica,
  deps: BuildDeps,
  previous: Tables | null,
  breaks: Breaks,
): Promise<BuildResult> {
  try {
    return await inSlices(build(replica, deps, previous), breaks);
  } catch (error) {
    return failure(error);
  }
}

/** A shape that this release does not know, or a bug: what is served now goes on. */
function failure(error: unknown): BuildResult {
  return { ok: false, entity: null, detail: messageOf(error) };
}

function* build(replica: Replica, deps: BuildDeps, previous: Tables | null): Sliced<BuildResult> {
  const env = envOf(deps, previous);
  const isKept = previous !== null && isSameProcess(previous.parts.env, env);
  const before = isKept ? previous.parts : nothing(env);
  const changes = yield* Changes.between(replica.tree, isKept ? previous.tree : null);
  yield;
  const quarantine = before.quarantine.edit();
  for (const record of changes.closed.removed) quarantine.set(record, null);
  for (const record of changes.closed.added) quarantine.set(record, record.fault ?? null);

  const plugins = yield* applyPlugins(before.plugins, changes, env, quarantine);
  if (!plugins.ok) return refuse('plugins', plugins.id, plugins.reason);
  const certificates = yield* before.certificates.next(changes, env.certificateFault, quarantine);
  const upstreams = yield* applyUpstreams(before.upstreams, changes, env, quarantine);
  const services = yield* applyServices(before.services, changes, env, quarantine);
  const steps = { before: before.services, now: services };
  const routes = yield* applyRoutes(before.routes, changes, steps, env, quarantine);
  if (!routes.ok) return refuse('routes', routes.id, routes.reason);
  const isEnvNew = before.env.handlers !== env.handlers || before.env.hasPepper !== env.hasPepper;
  const { scopes } = plugins.part;
  const workspaces = yield* applyWorkspaces(before.workspaces, changes, scopes, isEnvNew);

  const parts: Parts = {
    env,
    plugins: plugins.part,
    certificates,
    upstreams,
    services,
    routes: routes.part,
    workspaces,
    quarantine: quarantine.done(),
  };
  const quarantined = parts.quarantine.list;
  const tables: Tables = {
    epoch: replica.epoch,
    revision: replica.revision,
    hash: replica.hash,
    router: parts.routes.router,
    workspaces: workspaces.tables,
    fallback: fallbackOf(workspaces),
    certificates,
    hashSecret: hasherFor(deps),
    quarantined,
    tree: replica.tree,
    parts,
  };
  return { ok: true, tables, quarantined };
}

function envOf(deps: BuildDeps, previous: Tables | null): BuildEnv {
  const { handlers, definitions, runtime, pepper, routerFlavor, health } = deps;
  return {
    handlers,
    definitions: definitions ?? PLUGIN_DEFINITIONS,
    runtime,
    routerFlavor: routerFlavor ?? 'traditional_compatible',
    hasPepper: pepper !== null,
    certificateFault: deps.certificateFault ?? null,
    upstreamTls: deps.upstreamTls ?? UPSTREAM_TLS_DEFAULTS,
    health: health ?? previous?.parts.env.health ?? new HealthRegistry(),
  };
}

/** What the first tables are built upon. */
function nothing(env: BuildEnv): Parts {
  return {
    env,
    plugins: NO_PLUGINS,
    certificates: Certificates.NONE,
    upstreams: NO_UPSTREAMS,
    services: NO_SERVICES,
    routes: noRoutes(env),
    workspaces: noWorkspaces(env),
    quarantine: Quarantine.NONE,
  };
}

function refuse(kind: string, id: string, reason: string): BuildResult {
  return { ok: false, entity: { kind, id }, detail: reason };
}

function hasherFor(deps: BuildDeps): HashSecret | null {
  const { pepper, crypto } = deps;
  if (pepper === null) return null;
  return (kind, ws, value) => lookupHash(pepper, { kind, ws, value }, crypto);
}
