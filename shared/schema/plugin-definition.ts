/** A plugin as data, and the registry of all that can be configured. */
import type { EntityDefinition, RecordField, Subschema } from './field.ts';
import type { Violations } from './violations.ts';

/** Kong's names, in the order they run; `preread` is for connections, `log` for both. */
export type Phase = 'rewrite' | 'access' | 'preread' | 'header_filter' | 'body_filter' | 'log';

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
  /** Where its handler runs; none: it has no handler yet, and no data plane can run it. */
  readonly runtimes: readonly Runtime[];
  /**
   * It decides whether a request may reach the upstream (authentication, access, limits, answers in
   * place of the upstream): when it is broken its scope closes (design 4.5).
   */
  readonly protects: boolean;
  /** Overrides of the plugin entity's own fields (`consumer`, `protocols`, …) and `config`. */
  readonly fields: { readonly config: RecordField } & EntityDefinition['fields'];
  /**
   * Ours. What of a valid configuration cannot be run or kept yet, by field: refused when it is
   * written (decision 28), rather than closing its scope when a data plane builds it.
   */
  readonly unsupported?: (config: never) => Violations | null;
  /** Entities that come with it (`keyauth_credentials`). */
  readonly entities?: readonly EntityDefinition[];
}

/** All kinds of entities and plugins. The subschemas of `plugins` are the plugins. */
export interface Registry {
  readonly entities: ReadonlyMap<string, EntityDefinition>;
  readonly plugins: ReadonlyMap<string, PluginDefinition>;
}
