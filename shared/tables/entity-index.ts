/** Look-up by unique field, per workspace: what `ctx.find` reads. */
import type { ConfigRecord } from '../config/record.ts';
import { consumer } from '../entities/consumer.ts';
import type { PluginDefinition } from '../plugins/plugin.ts';
import type { AnyEntity } from '../schema/infer.ts';
import type { EntityDefinition } from '../schema/field.ts';
import type { EntityIndex } from './tables.ts';

/** Which fields of which kinds are looked up. Made once per build. */
export interface IndexPlan {
  /** Kind → fields. */
  readonly fields: ReadonlyMap<string, readonly string[]>;
  /** `${kind}.${field}` of those whose wire form is a keyed hash. */
  readonly secret: ReadonlySet<string>;
}

export function planIndex(plugins: ReadonlyMap<string, PluginDefinition>): IndexPlan {
  const fields = new Map<string, readonly string[]>();
  const secret = new Set<string>();
  const definitions: EntityDefinition[] = [consumer];
  for (const plugin of plugins.values()) definitions.push(...(plugin.entities ?? []));
  for (const definition of definitions) {
    const names = ['id'];
    for (const [name, field] of Object.entries(definition.fields)) {
      if (field.secret === 'lookup') secret.add(`${definition.name}.${name}`);
      if (name !== 'id' && (field.unique === true || field.secret === 'lookup')) names.push(name);
    }
    fields.set(definition.name, names);
  }
  return { fields, secret };
}

/** Indexes a workspace's records. Kinds that nothing looks up are left out. */
export function buildIndex(records: readonly ConfigRecord[], plan: IndexPlan): EntityIndex {
  const index = new Map<string, Map<string, Map<string, AnyEntity>>>();
  for (const [kind, fields] of plan.fields) {
    index.set(kind, new Map(fields.map((field) => [field, new Map<string, AnyEntity>()])));
  }
  for (const { kind, body } of records) {
    for (const [field, values] of index.get(kind) ?? []) {
      const value = body[field];
      if (typeof value === 'string') values.set(value, body);
    }
  }
  return index;
}
