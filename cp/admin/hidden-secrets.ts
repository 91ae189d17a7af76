/**
 * `HEADGATE_SECRETS_WRITE_ONLY`: secrets are shown to whoever writes them first, and never again.
 * What stands in their place may be sent back, as clients do that write whole entities: it leaves the
 * secret as it is.
 */
import type { EntityDefinition, Field, JsonObject, JsonValue } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import type { Registry } from '#shared/schema/plugin-definition.ts';
import { replaceSecrets } from '#shared/schema/secret-leaves.ts';
import { shapeOf } from '#shared/schema/subschema.ts';
import { fieldOf, isPlainObject } from '#shared/schema/validate.ts';
import { schemaViolation } from './errors.ts';

/** Stands for a secret; also what Kong shows in place of secret settings. */
export const HIDDEN = '******';

/** A stored entity without its secrets; `{vault://…}` references are none. */
export function hideSecrets(
  definition: EntityDefinition,
  entity: AnyEntity,
  registry: Registry,
): AnyEntity {
  const shape = shapeOf(definition, entity, registry);
  const entries = Object.entries(entity).map(([name, value]): [string, JsonValue] => {
    const field = fieldOf(shape, name);
    // Members beside the definition's fields (`expires_at`) are the store's own.
    return [name, field === undefined ? value : replaceSecrets(field, value, hidden)];
  });
  return { ...Object.fromEntries(entries), id: entity.id };
}

function hidden(value: JsonValue): JsonValue {
  return typeof value === 'string' && value.startsWith('{vault://') ? value : HIDDEN;
}

/**
 * The input with the stored secrets in the places where it only has what stands for them.
 *
 * @param current  null: there is nothing yet that could be kept
 * @throws AdminError 400
 */
export function restoreSecrets(
  definition: EntityDefinition,
  input: JsonObject,
  current: AnyEntity | null,
  registry: Registry,
): JsonObject {
  const shape = shapeOf(definition, { ...current, ...input }, registry);
  const entries = Object.entries(input).map(([name, value]): [string, JsonValue] => {
    const field = fieldOf(shape, name);
    if (field === undefined) return [name, value];
    const given = restoreShorthands(field, value, current?.[name] ?? null);
    const restored = replaceSecrets(field, given, (secret, _kind, pointer) => {
      if (secret !== HIDDEN) return secret;
      const stored = valueAt(current?.[name] ?? null, pointer);
      if (stored !== null) return stored;
      const text = `'${HIDDEN}' stands for a secret, and there is none to keep; give a value`;
      throw schemaViolation({ [name]: text });
    });
    return [name, restored];
  });
  return Object.fromEntries(entries);
}

/** A deprecated spelling shows the same secret as the field that replaced it. */
function restoreShorthands(field: Field, value: JsonValue, current: JsonValue): JsonValue {
  if (field.type !== 'record' || field.shorthand_fields === undefined || !isPlainObject(value)) {
    return value;
  }
  const restored = Object.entries(value as JsonObject).map(
    ([name, member]): [string, JsonValue] => {
      const shorthand = field.shorthand_fields?.[name];
      const path = shorthand?.deprecation?.replaced_with?.[0]?.path;
      const isHidden = path !== undefined && member === HIDDEN;
      return [name, isHidden ? valueAt(current, `/${path.join('/')}`) : member];
    },
  );
  return Object.fromEntries(restored);
}

function valueAt(value: JsonValue, pointer: string): JsonValue {
  let at: unknown = value;
  for (const segment of pointer.split('/').slice(1)) {
    const name = segment.replaceAll('~1', '/').replaceAll('~0', '~');
    if (Array.isArray(at)) at = at[Number(name)];
    else if (isPlainObject(at) && Object.hasOwn(at, name)) at = at[name];
    else return null;
  }
  // Looked up in an entity, which is JSON.
  return (at ?? null) as JsonValue;
}
