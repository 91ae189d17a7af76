/** What a plugin is: a definition (both planes know it) and a handler (only data planes do). */
import type { MaybePromise } from '../base/maybe-promise.ts';
import type { BodyFilter } from '../http/body.ts';
import type { GatewayResponse } from '../http/message.ts';
import type { RequestContext } from '../proxy/context.ts';
import type { EntityDefinition, RecordField, Subschema } from '../schema/field.ts';

/** Kong's names, in the order they run. */
export type Phase = 'rewrite' | 'access' | 'header_filter' | 'body_filter' | 'log';

export type Runtime = 'node' | 'edge';

/**
 * The part of a plugin that is data: its schema in Kong's vocabulary and what both planes must know
 * without importing its code (decision 20).
 */
export interface PluginDefinition extends Subschema {
  /** As in Kong: `key-auth`. */
  readonly name: string;
  /** Of the handler, `X.Y.Z`. */
  readonly version: string;
  /** Kong's number; higher runs first. The order is pinned by a test. */
  readonly priority: number;
  readonly phases: readonly Phase[];
  readonly runtimes: readonly Runtime[];
  /** An authentication or access plugin: when it is broken its scope closes (design 4.5). */
  readonly protects: boolean;
  /** Overrides of the plugin entity's own fields (`consumer`, `protocols`, …) and `config`. */
  readonly fields: { readonly config: RecordField } & EntityDefinition['fields'];
  /** Entities that come with it (`keyauth_credentials`). */
  readonly entities?: readonly EntityDefinition[];
}

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
}
