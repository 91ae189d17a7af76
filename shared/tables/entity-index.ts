/** Look-up by unique field, per workspace: what `ctx.find` reads. */
import type { ConfigRecord } from '../config/record.ts';
import { consumer } from '../entities/consumer.ts';
import type { PluginDefinition } from '../plugins/plugin.ts';
import type { EntityDefinition } from '../schema/field.ts';
import type { AnyEntity } from '../schema/infer.ts';
import type { EntityIndex, IndexedRecords } from './tables.ts';

/** Which fields of which kinds are looked up: kind → field → whether its wire form is a hash. */
export type IndexPlan = ReadonlyMap<string, ReadonlyMap<string, boolean>>;

/** Made once per build. */
export function planIndex(plugins: ReadonlyMap<string, PluginDefinition>): IndexPlan {
  const plan = new Map<string, ReadonlyMap<string, boolean>>();
  const definitions: EntityDefinition[] = [consumer];
  for (const plugin of plugins.values()) definitions.push(...(plugin.entities ?? []));
  for (const definition of definitions) {
    const fields = new Map([['id', false]]);
    for (const [name, field] of Object.entries(definition.fields)) {
      const isSecret = field.secret === 'lookup';
      if (isSecret || field.unique === true) fields.set(name, isSecret);
    }
    plan.set(definition.name, fields);
  }
  return plan;
}

/** The index of before, when the records are those of before; else a new one. */
export function indexFor(
  records: readonly ConfigRecord[],
  plan: IndexPlan,
  previous: IndexedRecords | undefined,
): IndexedRecords {
  if (previous !== undefined && haveSameHashes(records, previous.records)) return previous;
  return { records, index: buildIndex(records, plan) };
}

function haveSameHashes(a: readonly ConfigRecord[], b: readonly ConfigRecord[]): boolean {
  return a.length === b.length && a.every((record, i) => record.hash === b[i]?.hash);
}

/** Indexes a workspace's records. Kinds that nothing looks up are left out. */
function buildIndex(records: readonly ConfigRecord[], plan: IndexPlan): EntityIndex {
  const index = new Map<string, Map<string, GrowingIndex>>();
  for (const [kind, fields] of plan) {
    const indexes = new Map<string, GrowingIndex>();
    for (const [field, isSecret] of fields) indexes.set(field, { isSecret, byValue: new Map() });
    index.set(kind, indexes);
  }
  for (const { kind, body } of records) {
    for (const [field, { byValue }] of index.get(kind) ?? []) {
      const value = body[field];
      if (typeof value === 'string') byValue.set(value, body);
    }
  }
  return index;
}

interface GrowingIndex {
  readonly isSecret: boolean;
  readonly byValue: Map<string, AnyEntity>;
}
