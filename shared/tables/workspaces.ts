/** Workspaces: what is asked before a route is known, and what is looked up by plugins. */
import type { ConfigRecord } from '../config/record.ts';
import { PersistentMap } from '../base/persistent-map.ts';
import type { Sliced } from '../base/slices.ts';
import type { BuildEnv } from './build-env.ts';
import type { Changes } from './changes.ts';
import { emptyIndex, type IndexPlan, planIndex, updateIndex } from './entity-index.ts';
import { EMPTY_PLAN } from './plugin-plan.ts';
import type { PluginScopes } from './plugin-scopes.ts';
import type { WorkspaceTable } from './tables.ts';

/** Kept from tables to tables. */
export interface WorkspacesPart {
  /** Workspaces with a record, by id. Groups subscribe to a handful: a copy costs little. */
  readonly tables: ReadonlyMap<string, WorkspaceTable>;
  /** Their names, by id. */
  readonly names: PersistentMap<string>;
  readonly plan: IndexPlan;
}

export function noWorkspaces(env: BuildEnv): WorkspacesPart {
  return { tables: new Map(), names: PersistentMap.empty(), plan: planIndex(env.definitions) };
}

/** Kinds that belong to no workspace: a change to one may concern the routes of all. */
const CLUSTER_KINDS: ReadonlySet<string> = new Set(['ca_certificates']);

/** @param isEnvNew  routes are bound anew, whatever changed */
export function* applyWorkspaces(
  before: WorkspacesPart,
  changes: Changes,
  scopes: PluginScopes,
  isEnvNew: boolean,
): Sliced<WorkspacesPart> {
  const { plan } = before;
  const tables = new Map(before.tables);
  for (const [ws, touched] of yield* touchedWorkspaces(changes, plan)) {
    const old = tables.get(ws) ?? newWorkspace(ws, plan);
    let { index } = old;
    for (const [kind, records] of touched.looked) {
      index = yield* updateIndex(index, kind, records);
    }
    const records = old.records + touched.delta;
    const binding = touched.isBinding ? {} : old.binding;
    if (records === 0) tables.delete(ws);
    else tables.set(ws, { id: ws, records, index, binding, globalPlan: old.globalPlan });
  }
  const isForAll = isEnvNew || [...CLUSTER_KINDS].some((kind) => changes.has(kind));
  for (const [ws, table] of tables) {
    const globalPlan = scopes.plan(ws, null, null);
    const binding = isForAll ? {} : table.binding;
    if (globalPlan === table.globalPlan && binding === table.binding) continue;
    tables.set(ws, { ...table, globalPlan, binding });
  }
  return { tables, names: nextNames(before.names, changes), plan };
}

/** The workspace named `default`, or the only one there is. */
export function fallbackOf({ tables, names }: WorkspacesPart): WorkspaceTable | null {
  for (const [ws, name] of names) {
    const table = name === 'default' ? tables.get(ws) : undefined;
    if (table !== undefined) return table;
  }
  const [only, second] = tables.values();
  return only !== undefined && second === undefined ? only : null;
}

function newWorkspace(id: string, plan: IndexPlan): WorkspaceTable {
  return { id, records: 0, index: emptyIndex(plan), binding: {}, globalPlan: EMPTY_PLAN };
}

interface Touched {
  /** Records more than before. */
  delta: number;
  /** Something that routes are bound to. */
  isBinding: boolean;
  /** By kind, what is looked up by its unique fields. */
  readonly looked: Map<
    string,
    { readonly removed: ConfigRecord[]; readonly added: ConfigRecord[] }
  >;
}

function* touchedWorkspaces(changes: Changes, plan: IndexPlan): Sliced<Map<string, Touched>> {
  const touched = new Map<string, Touched>();
  const take = (record: ConfigRecord, side: 'removed' | 'added'): void => {
    const { kind, ws } = record;
    let of = touched.get(ws);
    if (of === undefined) {
      of = { delta: 0, isBinding: false, looked: new Map() };
      touched.set(ws, of);
    }
    of.delta += side === 'added' ? 1 : -1;
    if (plan.has(kind)) {
      let lists = of.looked.get(kind);
      if (lists === undefined) {
        lists = { removed: [], added: [] };
        of.looked.set(kind, lists);
      }
      lists[side].push(record);
    } else if (kind !== 'routes') {
      of.isBinding = true;
    }
  };
  for (const kind of changes.kinds()) {
    if (kind === 'workspaces' || CLUSTER_KINDS.has(kind)) continue;
    for (const record of changes.removed(kind)) {
      yield;
      take(record, 'removed');
    }
    for (const record of changes.added(kind)) {
      yield;
      take(record, 'added');
    }
  }
  return touched;
}

function nextNames(before: PersistentMap<string>, changes: Changes): PersistentMap<string> {
  const names = before.edit();
  for (const { id } of changes.removed('workspaces')) names.delete(id);
  for (const { id, body } of changes.added('workspaces')) names.set(id, String(body['name']));
  return names.done();
}
