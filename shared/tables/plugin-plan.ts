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
  /** By consumer id: configurations that also name this route or service. */
  readonly narrow: ReadonlyMap<string, PluginInstance> | null;
  /** By consumer id: configurations that name a consumer only; null when `base` outranks them. */
  readonly wide: ReadonlyMap<string, PluginInstance> | null;
}

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
    const narrow = step.narrow?.get(consumer);
    if (narrow !== undefined) return narrow;
    const wide = step.wide?.get(consumer);
    if (wide !== undefined) return wide;
  }
  return step.base;
}

type Turn = Omit<PlanStep, 'index'>;

/** All instances of one workspace, grouped for look-up by scope. */
export class PluginScopes {
  /** Plugin name → scope → instance. */
  readonly #byName = new Map<string, Map<string, PluginInstance>>();
  /** Plugin name → consumer id → instance, for rows that name a consumer only. */
  readonly #wide = new Map<string, Map<string, PluginInstance>>();
  /** Consumers with rows that also name a route or service: plugin name → scope → consumer → row. */
  readonly #narrow = new Map<string, Map<string, Map<string, PluginInstance>>>();
  /** Routes and services that at least one row names. */
  readonly #named = new Set<string>();
  /** Plugin names with a closed instance anywhere: their turn in the access phase must come. */
  readonly #closed = new Set<string>();
  readonly #plans = new Map<string, PluginPlan>();

  constructor(instances: Iterable<PluginInstance>) {
    for (const instance of instances) this.#add(instance);
  }

  /** The plan for a route and its service. Routes that no row tells apart share one plan. */
  plan(route: string | null, service: string | null): PluginPlan {
    const namedRoute = route !== null && this.#named.has(route) ? route : '';
    const namedService = service !== null && this.#named.has(service) ? service : '';
    const key = `${namedRoute}|${namedService}`;
    let plan = this.#plans.get(key);
    if (plan === undefined) {
      plan = makePlan(this.#steps(namedRoute, namedService), this.#closed);
      this.#plans.set(key, plan);
    }
    return plan;
  }

  #add(instance: PluginInstance): void {
    const { name, route, service, consumer } = instance;
    if (route !== null) this.#named.add(route);
    if (service !== null) this.#named.add(service);
    if (instance.state === 'closed') this.#closed.add(name);
    const scope = scopeKey(route, service);
    if (consumer === null) {
      entry(this.#byName, name).set(scope, instance);
    } else if (route === null && service === null) {
      entry(this.#wide, name).set(consumer, instance);
    } else {
      const scopes = entry(this.#narrow, name);
      entry(scopes, scope).set(consumer, instance);
    }
  }

  #steps(route: string, service: string): Turn[] {
    const names = new Set([...this.#byName.keys(), ...this.#wide.keys(), ...this.#narrow.keys()]);
    const steps: Turn[] = [];
    for (const name of names) {
      const step = this.#step(name, route, service);
      if (step !== null) steps.push(step);
    }
    return steps;
  }

  #step(name: string, route: string, service: string): Turn | null {
    const scopes = this.#byName.get(name);
    const both = scopes?.get(scopeKey(route, service)) ?? null;
    const isBothNamed = route !== '' && service !== '';
    const base =
      both ??
      scopes?.get(scopeKey(route, null)) ??
      scopes?.get(scopeKey(null, service)) ??
      scopes?.get(GLOBAL_SCOPE) ??
      null;
    const narrow = this.#narrowFor(name, route, service);
    const wide = isBothNamed && both !== null ? null : (this.#wide.get(name) ?? null);
    const any = base ?? first(narrow) ?? first(wide);
    if (any === null) return null;
    return { name, handler: any.handler, priority: any.priority, base, narrow, wide };
  }

  #narrowFor(name: string, route: string, service: string): Map<string, PluginInstance> | null {
    const scopes = this.#narrow.get(name);
    if (scopes === undefined) return null;
    // From least to most specific, so that the later `set` wins.
    const keys: string[] = [];
    if (service !== '') keys.push(scopeKey(null, service));
    if (route !== '') keys.push(scopeKey(route, null));
    if (route !== '' && service !== '') keys.push(scopeKey(route, service));
    const merged = new Map<string, PluginInstance>();
    for (const key of keys) {
      for (const [consumer, instance] of scopes.get(key) ?? []) merged.set(consumer, instance);
    }
    return merged.size === 0 ? null : merged;
  }
}

/** A plan without plugins. */
export const EMPTY_PLAN: PluginPlan = makePlan([], new Set());

const GLOBAL_SCOPE = scopeKey(null, null);

function scopeKey(route: string | null, service: string | null): string {
  return `${route ?? ''}|${service ?? ''}`;
}

function entry<K, L, V>(maps: Map<K, Map<L, V>>, key: K): Map<L, V> {
  let map = maps.get(key);
  if (map === undefined) {
    map = new Map();
    maps.set(key, map);
  }
  return map;
}

function makePlan(unordered: readonly Turn[], closed: ReadonlySet<string>): PluginPlan {
  const steps = unordered
    .toSorted((a, b) => b.priority - a.priority || (a.name < b.name ? 1 : -1))
    .map((turn, index) => withIndex(turn, index));
  return {
    steps,
    byConsumer: steps.some((step) => step.narrow !== null || step.wide !== null),
    rewrite: steps.filter((step) => step.base !== null && step.handler.rewrite !== undefined),
    access: steps.filter((step) => step.handler.access !== undefined || closed.has(step.name)),
    headerFilter: steps.filter((step) => step.handler.headerFilter !== undefined),
    bodyFilter: steps.filter((step) => step.handler.bodyFilter !== undefined),
    log: steps.filter((step) => step.handler.log !== undefined),
  };
}

function withIndex(turn: Turn, index: number): PlanStep {
  return { ...turn, index };
}

function first(map: ReadonlyMap<string, PluginInstance> | null): PluginInstance | null {
  for (const instance of map?.values() ?? []) return instance;
  return null;
}
