/** Fields that are only shown: what they say is kept with the entities that it is about. */
import type { EntityDefinition } from './field.ts';
import type { AnyEntity } from './infer.ts';

/** An entity as it comes back from the store. */
export function withoutTransient({ fields }: EntityDefinition, entity: AnyEntity): AnyEntity {
  const kept = Object.entries(entity).filter(([name]) => fields[name]?.transient !== true);
  return { ...Object.fromEntries(kept), id: entity.id };
}
