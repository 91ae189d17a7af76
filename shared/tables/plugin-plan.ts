/**
 * Which plugins run for a request, in which order, with which configuration.
 *
 * One configuration per plugin name and request: the most specific, nothing merged. From most to
 * least specific: route+service+consumer, route+consumer, service+consumer, route+service,
 * consumer, route, service, global. All that does not depend on the consumer is settled here, once
 * per route; the consumer's share is one or two map look-ups at the plugin's turn.
 *
 * Source: kong/runloop/plugins_iterator.lua
 */
import type { PersistentMap } from '../base/persistent-map.ts';
import type { PluginHandler } from '../plugins/plugin.ts';

/** How a configured plugin takes part. */
export type InstanceState =
  /** Works. */
  | 'ready'
  /** Cannot be built and protects its scope: whoever selects it is answered 503. */
  | 'closed'
  /** Cannot be built and protects nothing: it and what is less specific are left out. */
  | 'inert';

/** One plugin row, ready to run. Kept from tables to tables while its record is unchanged. */
export interface PluginInstance {
  readonly id: string;
  /** Workspace id. */
  readonly ws: string;
  readonly name: string;
  readonly priority: number;
  readonly state: InstanceState;
  /** Why it is not `ready`; null when it is. */
  readonly fault: string | null;
  readonly handler: PluginHandler<unknown>;
  /** What the handler's `prepare` made of the configuration; the configuration without one. */
  readonly prepared: unknown;
  readonly route: string | null;
  readonly service: string | null;
  readonly consumer: string | null;
}

/** One plugin name's turn in a plan. */
export interface PlanStep {
  /** Its place in `PluginPlan.steps`. */
  readonly index: number;
  readonly name: string;
  /** The same for all instances of a name. */
  readonly handler: PluginHandler<unknown>;
  readonly priority: number;
  /** For requests without a consumer; null when only consumers have it. */
  readonly base: PluginInstance | null;
  /** By consumer id: configurations that also name this route or service, most specific first. */
  readonly narrow: readonly ConsumerRows[];
  /** By consumer id: configurations that name a consumer only; null when `base` outranks them. */
  readonly wide: ConsumerRows | null;
  /** Some configuration of it is closed: its turn in the access phase comes even without code. */
  readonly isClosed: boolean;
}

export type ConsumerRows = PersistentMap<PluginInstance>;

export interface PluginPlan {
  /** PRIORITY descending, then name descending. */
  readonly steps: readonly PlanStep[];
  /** True when a step may resolve differently from consumer to consumer. */
  readonly byConsumer: boolean;
  /** Steps that may have work in the phase, in order. */
  readonly rewrite: readonly PlanStep[];
  readonly access: readonly PlanStep[];
  readonly headerFilter: readonly PlanStep[];
  readonly bodyFilter: readonly PlanStep[];
  readonly log: readonly PlanStep[];
}

/** The configuration that applies; null when none does. `consumer` is an id. */
export function resolveStep(step: PlanStep, consumer: string | null): PluginInstance | null {
  if (consumer !== null) {
    for (const rows of step.narrow) {
      const narrow = rows.get(consumer);
      if (narrow !== undefined) return narrow;
    }
    const wide = step.wide?.get(consumer);
    if (wide !== undefined) return wide;
  }
  return step.base;
}

/** A step before it has its place. */
export type Turn = Omit<PlanStep, 'index'>;

/** Orders the turns; of no use on the request path. */
export function makePlan(unordered: readonly Turn[]): PluginPlan {
  const steps = unordered
    .toSorted((a, b) => b.priority - a.priority || (a.name < b.name ? 1 : -1))
    .map((turn, index) => withIndex(turn, index));
  return {
    steps,
    byConsumer: steps.some((step) => step.narrow.length > 0 || step.wide !== null),
    rewrite: steps.filter((step) => step.base !== null && step.handler.rewrite !== undefined),
    access: steps.filter((step) => step.handler.access !== undefined || step.isClosed),
    headerFilter: steps.filter((step) => step.handler.headerFilter !== undefined),
    bodyFilter: steps.filter((step) => step.handler.bodyFilter !== undefined),
    log: steps.filter((step) => step.handler.log !== undefined),
  };
}

function withIndex(turn: Turn, index: number): PlanStep {
  return { ...turn, index };
}

/** A plan without plugins. */
export const EMPTY_PLAN: PluginPlan = makePlan([]);
