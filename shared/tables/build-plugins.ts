/** Plugin rows to instances that can run, or that keep their scope closed. */
import type { Sliced } from '../base/slices.ts';
import type { ConfigRecord } from '../config/record.ts';
import type { PluginDefinition, PluginHandler } from '../plugins/plugin.ts';
import type { BuildEnv } from './build-env.ts';
import { type Changes, foreignId } from './changes.ts';
import type { InstanceState, PluginInstance } from './plugin-plan.ts';
import { PluginScopes } from './plugin-scopes.ts';
import type { QuarantineEdit } from './quarantine.ts';
import { isReferenceOrNone } from './route-shape.ts';
import { ScopedMap } from './scoped-map.ts';

interface Held {
  readonly record: ConfigRecord;
  readonly instance: PluginInstance;
  /** It as connections meet it; null where it is for requests only. */
  readonly forStreams: PluginInstance | null;
  readonly isForHttp: boolean;
  /** The instance is of an earlier record: this one cannot be built. */
  readonly isLastGood: boolean;
}

/** Kept from tables to tables. */
export interface PluginsPart {
  /** What runs for requests. */
  readonly scopes: PluginScopes;
  /** What runs for connections and UDP sessions. */
  readonly streamScopes: PluginScopes;
  /** All instances with the record each was made of. */
  readonly held: ScopedMap<Held>;
  readonly env: BuildEnv | null;
}

export const NO_PLUGINS: PluginsPart = {
  scopes: PluginScopes.EMPTY,
  streamScopes: PluginScopes.EMPTY,
  held: ScopedMap.empty(),
  env: null,
};

export type PluginsResult =
  | { readonly ok: true; readonly part: PluginsPart }
  /** A global plugin cannot be built: nothing may be served with it missing. */
  | { readonly ok: false; readonly id: string; readonly reason: string };

/** Runs after all others: by then every plugin that could tell the consumer has run. */
const UNKNOWN_PRIORITY = -1e9;
const SCOPES = ['route', 'service', 'consumer'] as const;
const NO_HANDLER: PluginHandler<unknown> = {};
const HTTP_PROTOCOLS: ReadonlySet<string> = new Set([
  'http',
  'https',
  'grpc',
  'grpcs',
  'ws',
  'wss',
]);
const STREAM_PROTOCOLS: ReadonlySet<string> = new Set(['tcp', 'udp', 'tls', 'tls_passthrough']);
/** How the quarantine names a plugin that goes on as it was. */
export const LAST_GOOD = 'goes on in its last good form';
const NO_SECRET = 'the group secret is missing, so its credentials cannot be looked up';

/** Takes in what changed, and what came out otherwise than this process would make it now. */
export function* applyPlugins(
  before: PluginsPart,
  changes: Changes,
  env: BuildEnv,
  quarantine: QuarantineEdit,
): Sliced<PluginsResult> {
  const held = before.held.edit();
  const gone: Held[] = [];
  const taken: Held[] = [];
  const drop = (record: ConfigRecord): void => {
    const old = held.get(record.ws, record.id);
    if (old === undefined) return;
    gone.push(old);
    held.delete(record.ws, record.id);
    quarantine.set(record, null);
  };
  const outdated = outdatedRecords(before, env);
  for (const record of outdated) {
    yield;
    drop(record);
  }
  for (const record of changes.removed('plugins')) {
    yield;
    drop(record);
  }

  const take = (record: ConfigRecord): PluginsResult | null => {
    const isForHttp = isFor(record, HTTP_PROTOCOLS);
    const isForStreams = env.runtime === 'node' && isFor(record, STREAM_PROTOCOLS);
    if (record.body['enabled'] === false || (!isForHttp && !isForStreams)) return null;
    const made = makeInstance(record, env);
    let instance = made;
    if (made.state !== 'ready') {
      const reason = made.fault ?? '';
      const lacksSecret = reason === NO_SECRET || record.fault !== undefined;
      if (isForHttp && isGlobal(made) && !lacksSecret) return { ok: false, id: record.id, reason };
      instance = lastGoodOf(made, before.held.get(record.ws, record.id)?.instance, env) ?? made;
      quarantine.set(record, instance === made ? reason : `${LAST_GOOD}: ${reason}`);
    }
    const forStreams = isForStreams ? asStreamInstance(instance, env) : null;
    const entry = { record, instance, forStreams, isForHttp, isLastGood: instance !== made };
    taken.push(entry);
    held.set(record.ws, record.id, entry);
    return null;
  };
  const removed = new Set(changes.removed('plugins'));
  for (const record of outdated) {
    yield;
    const refusal = removed.has(record) ? null : take(record);
    if (refusal !== null) return refusal;
  }
  for (const record of changes.added('plugins')) {
    yield;
    const refusal = take(record);
    if (refusal !== null) return refusal;
  }
  const scopes = yield* before.scopes.withSliced(
    gone.flatMap(forRequests),
    taken.flatMap(forRequests),
  );
  const streamScopes = yield* before.streamScopes.withSliced(
    gone.flatMap(forConnections),
    taken.flatMap(forConnections),
  );
  return { ok: true, part: { scopes, streamScopes, held: held.done(), env } };
}

function forRequests({ instance, isForHttp }: Held): readonly PluginInstance[] {
  return isForHttp ? [instance] : [];
}

function forConnections({ forStreams }: Held): readonly PluginInstance[] {
  return forStreams === null ? [] : [forStreams];
}

/** What protects requests and has nothing to say of connections keeps connections out. */
function asStreamInstance(instance: PluginInstance, env: BuildEnv): PluginInstance {
  const { name, handler, state } = instance;
  const protects = env.definitions.get(name)?.protects !== false;
  if (state !== 'ready' || !protects || handler.preread !== undefined) return instance;
  return { ...instance, state: 'closed', fault: `${name} does not guard connections` };
}

/** Records whose instance this process would no longer make as it is. None while all is as before. */
function outdatedRecords({ held, env: before }: PluginsPart, env: BuildEnv): ConfigRecord[] {
  if (before === null) return [];
  const isSame = before.handlers === env.handlers && before.hasPepper === env.hasPepper;
  if (isSame) return [];
  const outdated: ConfigRecord[] = [];
  for (const { record, instance, isLastGood } of held.values()) {
    if (isLastGood || !isCurrent(instance, env)) outdated.push(record);
  }
  return outdated;
}

/** Only what is well, and still what this process would build. */
function isCurrent(instance: PluginInstance, env: BuildEnv): boolean {
  if (instance.state !== 'ready') return false;
  if (env.handlers.get(instance.name) !== instance.handler) return false;
  return env.hasPepper || !needsPepper(env.definitions.get(instance.name));
}

function makeInstance(record: ConfigRecord, deps: BuildEnv): PluginInstance {
  const name = String(record.body['name']);
  const definition = deps.definitions.get(name);
  const handler = deps.handlers.get(name);
  const base = {
    id: record.id,
    ws: record.ws,
    name,
    priority: definition?.priority ?? UNKNOWN_PRIORITY,
    handler: handler ?? NO_HANDLER,
    route: foreignId(record, 'route'),
    service: foreignId(record, 'service'),
    consumer: foreignId(record, 'consumer'),
  };
  const fault = faultOf(definition, handler, deps) ?? scopeFault(record) ?? record.fault ?? null;
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

/**
 * What protects and cannot be built as it is meant now goes on as it was when it last could be, as long
 * as it protects the same. Null: it was never well, it did not protect just this, or nothing of it can
 * run in this process; its scope is then closed. Tables that are made anew know of no last good form.
 */
function lastGoodOf(
  broken: PluginInstance,
  before: PluginInstance | undefined,
  env: BuildEnv,
): PluginInstance | null {
  if (broken.state !== 'closed' || before === undefined || !isCurrent(before, env)) return null;
  const isSameScope =
    before.name === broken.name &&
    before.route === broken.route &&
    before.service === broken.service &&
    before.consumer === broken.consumer;
  return isSameScope ? before : null;
}

function faultOf(
  definition: PluginDefinition | undefined,
  handler: PluginHandler<unknown> | undefined,
  deps: BuildEnv,
): string | null {
  if (definition === undefined) return 'unknown plugin';
  if (handler === undefined || !definition.runtimes.includes(deps.runtime)) {
    return `${definition.name} is not available on this data plane`;
  }
  return !deps.hasPepper && needsPepper(definition) ? NO_SECRET : null;
}

/** What does not say where it applies must not apply elsewhere, or everywhere. */
function scopeFault({ body }: ConfigRecord): string | null {
  const wrong = SCOPES.filter((field) => !isReferenceOrNone(body[field]));
  return wrong.length === 0 ? null : `no reference to an entity: ${wrong.join(', ')}`;
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
function isFor(record: ConfigRecord, subsystem: ReadonlySet<string>): boolean {
  const protocols = record.body['protocols'];
  // One that names none is meant for requests.
  if (!Array.isArray(protocols)) return subsystem === HTTP_PROTOCOLS;
  return protocols.some((protocol) => subsystem.has(String(protocol)));
}

function isGlobal(instance: PluginInstance): boolean {
  return instance.route === null && instance.service === null && instance.consumer === null;
}
