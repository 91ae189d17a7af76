/** Definitions as `GET /schemas/…` shows them: what Kong Manager and decK read. */
import type {
  EntityCheck,
  EntityDefinition,
  Field,
  Fields,
  JsonObject,
  JsonValue,
  ShorthandField,
  Subschema,
} from './field.ts';

/** Body of `GET /schemas/{name}`. */
export function toKongSchema(def: EntityDefinition): JsonObject {
  return { fields: fieldsOf(def.fields), entity_checks: checksOf(def.entity_checks) };
}

/** Body of `GET /schemas/plugins/{name}` and `GET /schemas/vaults/{name}`. */
export function subschemaToKongSchema(def: Subschema): JsonObject {
  return { fields: fieldsOf(def.fields), entity_checks: checksOf(def.entity_checks) };
}

/** Kong's lists of one-key objects keep the order that JSON objects need not. */
function fieldsOf(fields: Fields): JsonValue[] {
  return Object.entries(fields).map(([name, field]) => ({ [name]: memberOf(field) }));
}

/** Records inside a record are required unless they say otherwise; list elements do not say. */
function memberOf(field: Field): JsonObject {
  const shown = fieldOf(field);
  if (field.type !== 'record' || field.abstract === true || field.required !== undefined) {
    return shown;
  }
  return { ...shown, required: true };
}

/** Attributes of ours, functions among them: shown to nobody. */
const OURS: ReadonlySet<string> = new Set([
  'custom_validator',
  'secret',
  'costly',
  'random_default',
]);

function fieldOf(field: Partial<Field>): JsonObject {
  const shown: [string, JsonValue][] = [];
  // The fields of an abstract record are those of its subschemas.
  const isAbstract = field.type === 'record' && field.abstract === true;
  for (const [name, value] of Object.entries(field)) {
    if (!OURS.has(name) && !(isAbstract && name === 'fields'))
      shown.push([name, attributeOf(name, value)]);
  }
  return Object.fromEntries(shown);
}

function attributeOf(name: string, value: unknown): JsonValue {
  switch (name) {
    case 'fields':
      return fieldsOf(value as Fields);
    case 'elements':
    case 'keys':
    case 'values':
      return fieldOf(value as Field);
    case 'entity_checks':
      return checksOf(value as readonly EntityCheck[]);
    case 'shorthand_fields':
      return shorthandsOf(value as Readonly<Record<string, ShorthandField>>);
    default:
      // The remaining attributes are plain data in `field.ts`.
      return value as JsonValue;
  }
}

function shorthandsOf(shorthands: Readonly<Record<string, ShorthandField>>): JsonValue[] {
  return Object.entries(shorthands).map(([name, shorthand]) => {
    const { translate: _, ...shown } = shorthand;
    return { [name]: fieldOf(shown as Partial<Field>) };
  });
}

function checksOf(checks: readonly EntityCheck[] | undefined): JsonValue[] {
  return (checks ?? []).map((check) => {
    if (!('custom_entity_check' in check)) return JSON.parse(JSON.stringify(check)) as JsonValue;
    const { fn: _, ...shown } = check.custom_entity_check;
    return { custom_entity_check: shown };
  });
}
