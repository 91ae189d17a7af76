/** Look-up by unique field, per workspace: what `ctx.find` reads. */
import type { ConfigRecord } from '../config/record.ts';
import type { Sliced } from '../base/slices.ts';
import { consumer } from '../entities/consumer.ts';
import type { PluginDefinition } from '../plugins/plugin.ts';
import type { EntityDefinition } from '../schema/field.ts';
import type { AnyEntity } from '../schema/infer.ts';
import type { EntityIndex, FieldIndex } from './tables.ts';
import { UniqueMap } from './unique-map.ts';

/** Which fields of which kinds are looked up: kind → field → whether its wire form is a hash. */
export type IndexPlan = ReadonlyMap<string, ReadonlyMap<string, boolean>>;

/** Made once per set of definitions. */
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

/** A workspace without anything to look up. */
export function emptyIndex(plan: IndexPlan): EntityIndex {
  const index = new Map<string, ReadonlyMap<string, FieldIndex>>();
  for (const [kind, fields] of plan) {
    const indexes = new Map<string, FieldIndex>();
    for (const [field, isSecret] of fields) {
      indexes.set(field, { isSecret, byValue: UniqueMap.empty() });
    }
    index.set(kind, indexes);
  }
  return index;
}

/** The index after some of a kind's records went and came. */
export function* updateIndex(
  before: EntityIndex,
  kind: string,
  records: { readonly removed: readonly ConfigRecord[]; readonly added: readonly ConfigRecord[] },
): Sliced<EntityIndex> {
  const fields = new Map(before.get(kind));
  for (const [field, { isSecret, byValue }] of fields) {
    const [gone, made] = [valuesOf(records.removed, field), valuesOf(records.added, field)];
    const next = yield* byValue.withSliced(gone, made);
    if (next !== byValue) fields.set(field, { isSecret, byValue: next });
  }
  return new Map(before).set(kind, fields);
}

function* valuesOf(
  records: readonly ConfigRecord[],
  field: string,
): Iterable<readonly [string, AnyEntity]> {
  for (const { body } of records) {
    const value = body[field];
    if (typeof value === 'string') yield [value, body];
  }
}
