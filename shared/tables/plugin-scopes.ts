/**
 * All plugin instances by what they name, and the plans that follow from it. Persistent: a plugin
 * that changes replaces the rows of its own scope, and with them the plans that use them.
 */
import { PersistentMap } from '../base/persistent-map.ts';
import { atOnce, type Sliced } from '../base/slices.ts';
import {
  type ConsumerRows,
  EMPTY_PLAN,
  makePlan,
  type PluginInstance,
  type PluginPlan,
  type Turn,
} from './plugin-plan.ts';
import { UniqueMap } from './unique-map.ts';

/** The instances that name one and the same workspace, route and service. */
interface ScopeRows {
  /** Those without a consumer, by name and then by id: of several of a name the last counts. */
  readonly base: readonly PluginInstance[];
  /** Plugin name → consumer id → instance. */
  readonly byConsumer: ReadonlyMap<string, NameRows>;
  /** The last plan made with them as its most specific rows, for all that ask for the same. */
  memo: Memo | null;
}

interface NameRows {
  readonly rows: UniqueMap<PluginInstance>;
  /** Of them, the closed ones. */
  readonly closedCount: number;
}

/** Rows that a plan is made of, from most to least specific; null where nothing names them. */
interface Layers {
  readonly both: ScopeRows | null;
  readonly route: ScopeRows | null;
  readonly service: ScopeRows | null;
  readonly global: ScopeRows | null;
}

interface Memo {
  readonly layers: Layers;
  readonly plan: PluginPlan;
}

export class PluginScopes {
  readonly #scopes: PersistentMap<ScopeRows>;

  private constructor(scopes: PersistentMap<ScopeRows>) {
    this.#scopes = scopes;
  }

  static readonly EMPTY = new PluginScopes(PersistentMap.empty());

  /** Takes `removed` out (known by id and scope), then puts `added` in. */
  with(removed: Iterable<PluginInstance>, added: Iterable<PluginInstance>): PluginScopes {
    return atOnce(this.withSliced(removed, added));
  }

  *withSliced(
    removed: Iterable<PluginInstance>,
    added: Iterable<PluginInstance>,
  ): Sliced<PluginScopes> {
    const scopes = this.#scopes.edit();
    for (const instance of removed) {
      yield;
      const key = scopeKey(instance.ws, instance.route, instance.service);
      const rows = without(scopes.get(key) ?? NO_ROWS, instance);
      if (rows === null) scopes.delete(key);
      else scopes.set(key, rows);
    }
    for (const instance of added) {
      yield;
      const key = scopeKey(instance.ws, instance.route, instance.service);
      scopes.set(key, including(scopes.get(key) ?? NO_ROWS, instance));
    }
    const next = scopes.done();
    return next === this.#scopes ? this : new PluginScopes(next);
  }

  /** The plan for a route and its service. What no row tells apart shares one plan. */
  plan(ws: string, route: string | null, service: string | null): PluginPlan {
    const layers: Layers = {
      both: route === null || service === null ? null : this.#rows(ws, route, service),
      route: route === null ? null : this.#rows(ws, route, null),
      service: service === null ? null : this.#rows(ws, null, service),
      global: this.#rows(ws, null, null),
    };
    const owner = layers.both ?? layers.route ?? layers.service ?? layers.global;
    if (owner === null) return EMPTY_PLAN;
    if (owner.memo !== null && areSame(owner.memo.layers, layers)) return owner.memo.plan;
    const plan = makePlan(turnsOf(layers));
    owner.memo = { layers, plan };
    return plan;
  }

  #rows(ws: string, route: string | null, service: string | null): ScopeRows | null {
    return this.#scopes.get(scopeKey(ws, route, service)) ?? null;
  }
}

const NO_ROWS: ScopeRows = { base: [], byConsumer: new Map(), memo: null };

function scopeKey(ws: string, route: string | null, service: string | null): string {
  return `${ws}|${route ?? ''}|${service ?? ''}`;
}

function areSame(a: Layers, b: Layers): boolean {
  return (
    a.both === b.both && a.route === b.route && a.service === b.service && a.global === b.global
  );
}

function including(rows: ScopeRows, instance: PluginInstance): ScopeRows {
  const { consumer, name } = instance;
  if (consumer === null) {
    const from = rows.base.findIndex((other) => isAfter(other, instance));
    const base = rows.base.toSpliced(from < 0 ? rows.base.length : from, 0, instance);
    return { ...rows, base, memo: null };
  }
  const before = rows.byConsumer.get(name) ?? NO_NAME_ROWS;
  const byConsumer = new Map(rows.byConsumer);
  byConsumer.set(name, {
    rows: before.rows.with([], [[consumer, instance]]),
    closedCount: before.closedCount + Number(instance.state === 'closed'),
  });
  return { ...rows, byConsumer, memo: null };
}

/** Null when nothing is left. */
function without(rows: ScopeRows, instance: PluginInstance): ScopeRows | null {
  const { consumer, name, id } = instance;
  const base = consumer === null ? rows.base.filter((other) => other.id !== id) : rows.base;
  let { byConsumer } = rows;
  const before = consumer === null ? undefined : byConsumer.get(name);
  if (consumer !== null && before !== undefined) {
    const after = before.rows.with([[consumer, instance]], []);
    const closedCount = before.closedCount - Number(instance.state === 'closed');
    const changed = new Map(byConsumer);
    if (after.size === 0) changed.delete(name);
    else changed.set(name, { rows: after, closedCount });
    byConsumer = changed;
  }
  return base.length === 0 && byConsumer.size === 0 ? null : { base, byConsumer, memo: null };
}

const NO_NAME_ROWS: NameRows = { rows: UniqueMap.empty(), closedCount: 0 };

function isAfter(a: PluginInstance, b: PluginInstance): boolean {
  return a.name === b.name ? a.id > b.id : a.name > b.name;
}

function turnsOf(layers: Layers): Turn[] {
  const names = new Set<string>();
  for (const rows of [layers.both, layers.route, layers.service, layers.global]) {
    if (rows === null) continue;
    for (const { name } of rows.base) names.add(name);
    for (const name of rows.byConsumer.keys()) names.add(name);
  }
  return [...names].map((name) => turnOf(name, layers)).filter((turn) => turn !== null);
}

function turnOf(name: string, { both, route, service, global }: Layers): Turn | null {
  const ofBoth = baseOf(both, name);
  const base = ofBoth ?? baseOf(route, name) ?? baseOf(service, name) ?? baseOf(global, name);
  const narrow: ConsumerRows[] = [];
  let isClosed = base?.state === 'closed';
  for (const rows of [both, route, service]) {
    const named = rows?.byConsumer.get(name);
    if (named === undefined) continue;
    narrow.push(named.rows.winners);
    isClosed ||= named.closedCount > 0;
  }
  // What names the route and the service both outranks what names the consumer alone.
  const wide = ofBoth === null ? (global?.byConsumer.get(name) ?? null) : null;
  isClosed ||= wide !== null && wide.closedCount > 0;
  const any = base ?? first(narrow[0]) ?? first(wide?.rows.winners);
  if (any === null) return null;
  const { handler, priority } = any;
  return { name, handler, priority, base, narrow, wide: wide?.rows.winners ?? null, isClosed };
}

function baseOf(rows: ScopeRows | null, name: string): PluginInstance | null {
  return rows?.base.findLast((instance) => instance.name === name) ?? null;
}

function first(rows: ConsumerRows | undefined): PluginInstance | null {
  for (const instance of rows?.values() ?? []) return instance;
  return null;
}
