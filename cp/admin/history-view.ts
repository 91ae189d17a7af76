/** What is told of the difference between two states of an entity: everything but its secrets. */
import type { EntityDefinition, JsonObject } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import type { Registry } from '#shared/schema/plugin-definition.ts';
import { replaceSecrets } from '#shared/schema/secret-leaves.ts';
import { shapeOf } from '#shared/schema/subschema.ts';
import { fieldOf } from '#shared/schema/validate.ts';
import { changedFields, nameOf } from '../declarative/report.ts';
import type { Difference } from '../store/store.ts';
import { hideSecrets } from './hidden-secrets.ts';

/** Where nothing is left of a kind's definition, its name and the id have to do. */
export function changeView(difference: Difference, registry: Registry): JsonObject {
  const { kind, id, before, after } = difference;
  const definition = registry.entities.get(kind);
  const entity = after ?? before;
  const name = definition === undefined || entity === null ? {} : nameOf(definition, entity);
  const isBoth = before !== null && after !== null;
  const operation = before === null ? 'create' : after === null ? 'delete' : 'update';
  const fields = isBoth ? changedFields(before, after) : [];
  return { kind, id, key: null, ...name, operation, fields };
}

/** With both states, and for each secret whether it is another one. */
export function differenceView(difference: Difference, registry: Registry): JsonObject {
  const { kind, before, after } = difference;
  const definition = registry.entities.get(kind);
  const view = changeView(difference, registry);
  if (definition === undefined) return { ...view, before: null, after: null, secrets: {} };
  const shown = (entity: AnyEntity | null) =>
    entity === null ? null : hideSecrets(definition, entity, registry);
  const [old, now] = [before, after].map((entity) => secretsOf(definition, entity, registry));
  const places = new Set([...(old?.keys() ?? []), ...(now?.keys() ?? [])]);
  const secrets = [...places].map(
    (place) => [place, old?.get(place) === now?.get(place) ? 'unchanged' : 'changed'] as const,
  );
  return {
    ...view,
    before: shown(before),
    after: shown(after),
    secrets: Object.fromEntries(secrets),
  };
}

/** Secrets as JSON text, by where they stand: `key`, `config/redis/password`. */
function secretsOf(
  definition: EntityDefinition,
  entity: AnyEntity | null,
  registry: Registry,
): ReadonlyMap<string, string> {
  const secrets = new Map<string, string>();
  if (entity === null) return secrets;
  const shape = shapeOf(definition, entity, registry);
  for (const [name, value] of Object.entries(entity)) {
    const field = fieldOf(shape, name);
    if (field === undefined) continue;
    replaceSecrets(field, value, (secret, _kind, pointer) => {
      secrets.set(`${name}${pointer}`, JSON.stringify(secret));
      return null;
    });
  }
  return secrets;
}
