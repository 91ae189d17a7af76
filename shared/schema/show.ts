/** From a stored entity to what is shown of it. Nothing is checked: it was when it was written. */
import type { EntityDefinition, Field, JsonObject, JsonValue } from './field.ts';
import type { AnyEntity } from './infer.ts';
import type { Registry } from './plugin-definition.ts';
import { showShorthands } from './shorthand.ts';
import { shapeOf } from './subschema.ts';
import { secondsLeft, withoutExpiry } from './ttl.ts';
import { fieldOf, isPlainObject, isRequired, readField, type RecordShape } from './validate.ts';

/**
 * A stored entity with the fields that its definition has gained since: their defaults, or null.
 * A null where the definition now requires a value becomes the default as well.
 */
export function completeEntity(
  def: EntityDefinition,
  stored: AnyEntity,
  registry: Registry,
): AnyEntity {
  const shape = shapeOf(def, stored, registry);
  const ends = def.ttl === true ? { expires_at: stored['expires_at'] ?? null } : {};
  return { ...completeRecord(shape, stored), ...ends, id: stored.id };
}

/**
 * An entity as the Admin API shows it: complete, deprecated fields beside those that replaced them,
 * and the time to live in place of its end.
 */
export function showEntity(
  def: EntityDefinition,
  entity: AnyEntity,
  registry: Registry,
  nowSeconds: number,
): JsonObject {
  const shape = shapeOf(def, entity, registry);
  const shown = Object.entries(
    withShorthands(shape, completeRecord(shape, withoutExpiry(def, entity))),
  );
  if (def.ttl === true) shown.push(['ttl', secondsLeft(entity['expires_at'] ?? null, nowSeconds)]);
  return Object.fromEntries(shown);
}

/** Records inside with their deprecated fields; a record's own are its owner's business. */
function withShorthands(shape: RecordShape, record: JsonObject): JsonObject {
  return Object.fromEntries(
    Object.entries(record).map(([name, value]): [string, JsonValue] => {
      const field = fieldOf(shape, name);
      if (field?.type !== 'record' || field.abstract === true || !isPlainObject(value)) {
        return [name, value];
      }
      const inner = withShorthands({ fields: field.fields }, value as JsonObject);
      return [name, showShorthands(field.shorthand_fields, inner)];
    }),
  );
}

const FILL = { fill: true, lua: false, updating: false } as const;

function completeRecord(shape: RecordShape, stored: JsonObject): JsonObject {
  return Object.fromEntries(
    Object.keys(shape.fields).map((name): [string, JsonValue] => {
      const value = Object.hasOwn(stored, name) ? stored[name] : undefined;
      const field = fieldOf(shape, name);
      return [name, field === undefined ? (value ?? null) : completeValue(field, value)];
    }),
  );
}

function completeValue(field: Field, value: JsonValue | undefined): JsonValue {
  if (value === undefined || (value === null && isRequired(field))) {
    return readField(field, undefined, FILL).value;
  }
  if (field.type !== 'record' || field.abstract === true || !isPlainObject(value)) return value;
  return completeRecord({ fields: field.fields }, value as JsonObject);
}
