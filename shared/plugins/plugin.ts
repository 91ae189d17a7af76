/** What a plugin is: a definition (both planes know it) and a handler (only data planes do). */
import type { MaybePromise } from '../base/maybe-promise.ts';
import type { BodyFilter } from '../http/body.ts';
import type { GatewayResponse } from '../http/message.ts';
import type { RequestContext } from '../proxy/context.ts';
import type { StreamContext, StreamLogEntry, StreamRefusal } from '../proxy/stream-context.ts';
import type { PluginDefinition } from '../schema/plugin-definition.ts';

export type { Phase, PluginDefinition, Runtime } from '../schema/plugin-definition.ts';

export function definePlugin<const D extends PluginDefinition>(definition: D): D {
  return definition;
}

/** What `prepare` may use. Pure: no I/O, no clock. */
export interface PrepareDeps {
  /** Id of the workspace the plugin row lives in. */
  readonly workspace: string;
  /** Id of the plugin row: a name for its counters. */
  readonly pluginId: string;
}

/**
 * The part that is code. A phase gets the request's context and what `prepare` made of the
 * configuration. It may answer at once or later; the path awaits only a promise.
 */
export interface PluginHandler<C, P = C> {
  /** Cold: once per configuration change. Throws to say that it cannot be built. */
  prepare?(config: C, deps: PrepareDeps): P;
  /** Global plugins only, before the route is known. */
  rewrite?(ctx: RequestContext, prepared: P): MaybePromise<GatewayResponse | void>;
  /** An answer ends the request: `ctx.exit(…)`. */
  access?(ctx: RequestContext, prepared: P): MaybePromise<GatewayResponse | void>;
  headerFilter?(ctx: RequestContext, prepared: P): MaybePromise<void>;
  /** Called once per response after the header filters; null when it leaves the body alone. */
  bodyFilter?(ctx: RequestContext, prepared: P): BodyFilter | null;
  /** After the last byte. */
  log?(ctx: RequestContext, prepared: P): MaybePromise<void>;
  /** For a connection or a UDP session, before an upstream is chosen. An answer closes it. */
  preread?(ctx: StreamContext, prepared: P): MaybePromise<StreamRefusal | void>;
  /** When the connection or session is over. */
  streamLog?(ctx: StreamContext, entry: StreamLogEntry, prepared: P): MaybePromise<void>;
}
