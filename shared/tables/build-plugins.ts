/** Plugin rows to instances that can run, or that keep their scope closed. */
import type { ConfigRecord } from '../config/record.ts';
import type { PluginDefinition, PluginHandler, Runtime } from '../plugins/plugin.ts';
import type { InstanceState, PluginInstance } from './plugin-plan.ts';
import { foreignId } from './records.ts';
import type { Quarantined } from './tables.ts';

export interface PluginDeps {
  readonly handlers: ReadonlyMap<string, PluginHandler<unknown>>;
  readonly definitions: ReadonlyMap<string, PluginDefinition>;
  readonly runtime: Runtime;
  /** Whether look-up secrets can be hashed. */
  readonly hasPepper: boolean;
}

export type PluginsResult =
  | { readonly ok: true; readonly byWorkspace: ReadonlyMap<string, PluginInstance[]> }
  /** A global plugin cannot be built: nothing may be served with it missing. */
  | { readonly ok: false; readonly id: string; readonly reason: string };

/** Runs after all others: by then every plugin that could tell the consumer has run. */
const UNKNOWN_PRIORITY = -1e9;
const NO_HANDLER: PluginHandler<unknown> = {};
const HTTP_PROTOCOLS: ReadonlySet<string> = new Set([
  'http',
  'https',
  'grpc',
  'grpcs',
  'ws',
  'wss',
]);
const NO_SECRET = 'the group secret is missing, so its credentials cannot be looked up';

/**
 * @param previous  instances by record hash; those still valid are taken over as they are
 * @param kept  receives the instances of this build by record hash
 */
export function buildPlugins(
  records: readonly ConfigRecord[],
  deps: PluginDeps,
  previous: ReadonlyMap<string, PluginInstance>,
  out: { readonly kept: Map<string, PluginInstance>; readonly quarantined: Quarantined[] },
): PluginsResult {
  const byWorkspace = new Map<string, PluginInstance[]>();
  for (const record of records) {
    if (record.body['enabled'] === false || !isForHttp(record)) continue;
    const instance = takeOver(previous.get(record.hash), deps) ?? makeInstance(record, deps);
    if (instance.state !== 'ready') {
      const reason = instance.fault ?? '';
      const lacksSecret = reason === NO_SECRET || record.fault !== undefined;
      if (isGlobal(instance) && !lacksSecret) return { ok: false, id: record.id, reason };
      out.quarantined.push({ kind: 'plugins', id: record.id, reason });
    }
    out.kept.set(record.hash, instance);
    const list = byWorkspace.get(record.ws);
    if (list === undefined) byWorkspace.set(record.ws, [instance]);
    else list.push(instance);
  }
  return { ok: true, byWorkspace };
}

/** Only what is well, and still what this process would build. */
function takeOver(instance: PluginInstance | undefined, deps: PluginDeps): PluginInstance | null {
  if (instance === undefined || instance.state !== 'ready') return null;
  if (deps.handlers.get(instance.name) !== instance.handler) return null;
  return deps.hasPepper || !needsPepper(deps.definitions.get(instance.name)) ? instance : null;
}

function makeInstance(record: ConfigRecord, deps: PluginDeps): PluginInstance {
  const name = String(record.body['name']);
  const definition = deps.definitions.get(name);
  const handler = deps.handlers.get(name);
  const base = {
    id: record.id,
    name,
    priority: definition?.priority ?? UNKNOWN_PRIORITY,
    handler: handler ?? NO_HANDLER,
    route: foreignId(record, 'route'),
    service: foreignId(record, 'service'),
    consumer: foreignId(record, 'consumer'),
  };
  const fault = faultOf(definition, handler, deps) ?? record.fault ?? null;
  // What an unknown plugin would have done is not known, so it is taken to protect. One that no data
  // plane has was stored at the operator's own risk: its scope closes whatever it does (decision 28).
  const isInert = definition?.protects === false && definition.runtimes.length > 0;
  const broken: InstanceState = isInert ? 'inert' : 'closed';
  if (fault !== null) return { ...base, state: broken, fault, prepared: null };
  try {
    const prepared = prepare(handler, record);
    return { ...base, state: 'ready', fault: null, prepared };
  } catch (error) {
    const reason = error instanceof Error ? error.message : 'prepare failed';
    return { ...base, state: broken, fault: `${name}: ${reason}`, prepared: null };
  }
}

function faultOf(
  definition: PluginDefinition | undefined,
  handler: PluginHandler<unknown> | undefined,
  deps: PluginDeps,
): string | null {
  if (definition === undefined) return 'unknown plugin';
  if (handler === undefined || !definition.runtimes.includes(deps.runtime)) {
    return `${definition.name} is not available on this data plane`;
  }
  return !deps.hasPepper && needsPepper(definition) ? NO_SECRET : null;
}

function prepare(handler: PluginHandler<unknown> | undefined, record: ConfigRecord): unknown {
  const config = record.body['config'] ?? null;
  if (handler?.prepare === undefined) return config;
  return handler.prepare(config, { workspace: record.ws, pluginId: record.id });
}

/** Whether it looks credentials up by a secret. */
function needsPepper(definition: PluginDefinition | undefined): boolean {
  for (const entity of definition?.entities ?? []) {
    for (const field of Object.values(entity.fields)) if (field.secret === 'lookup') return true;
  }
  return false;
}

/** A plugin's protocols choose the subsystem, nothing finer. */
function isForHttp(record: ConfigRecord): boolean {
  const protocols = record.body['protocols'];
  if (!Array.isArray(protocols)) return true;
  return protocols.some((protocol) => HTTP_PROTOCOLS.has(String(protocol)));
}

function isGlobal(instance: PluginInstance): boolean {
  return instance.route === null && instance.service === null && instance.consumer === null;
}
