/**
 * Schemas of the document, by name: for each kind as it is shown (`services`), written
 * (`services.given`) and changed (`services.changed`); where the shape depends on a field, one more for
 * each value of it (`plugins.key-auth`), with the part that only it has (`plugins.key-auth.config`).
 */
import type {
  EntityDefinition,
  Field,
  Fields,
  JsonObject,
  JsonValue,
  Subschema,
} from '#shared/schema/field.ts';
import type { Registry } from '#shared/schema/plugin-definition.ts';
import { fieldSchema, recordSchema, type SchemaUse } from '#shared/schema/to-json-schema.ts';
import { TTL_MAX } from '#shared/schema/ttl.ts';
import { ERROR_SCHEMA } from './errors-docs.ts';

const USES: readonly SchemaUse[] = ['shown', 'given', 'changed'];

/** A subschema, and the values of the key field that mean it. */
interface Variant {
  readonly subschema: Subschema;
  readonly keys: readonly string[];
}

export function schemaName(kind: string, use: SchemaUse): string {
  return use === 'shown' ? kind : `${kind}.${use}`;
}

export function schemaRef(kind: string, use: SchemaUse): JsonObject {
  return refTo(schemaName(kind, use));
}

function refTo(name: string): JsonObject {
  return { $ref: `#/components/schemas/${name}` };
}

export function componentSchemas(registry: Registry): JsonObject {
  const schemas = new Map<string, JsonObject>([['error', ERROR_SCHEMA]]);
  for (const definition of registry.entities.values()) {
    for (const use of USES) addEntity(schemas, definition, registry, use);
  }
  return Object.fromEntries(schemas);
}

function addEntity(
  schemas: Map<string, JsonObject>,
  definition: EntityDefinition,
  registry: Registry,
  use: SchemaUse,
): void {
  const name = schemaName(definition.name, use);
  const variants = variantsOf(definition, registry);
  // A PATCH need not say which variant it changes.
  if (variants.length === 0 || use === 'changed') {
    schemas.set(name, entitySchema(definition, registry, use));
    return;
  }
  const refs = variants.map((variant) => {
    const own = schemaName(`${definition.name}.${variant.subschema.name}`, use);
    schemas.set(own, variantSchema(schemas, definition, registry, use, variant));
    return [variant.keys[0] ?? '', refTo(own)] as const;
  });
  schemas.set(name, { oneOf: refs.map(([, ref]) => ref), ...discriminator(definition, refs) });
}

function entitySchema(
  definition: EntityDefinition,
  { entities }: Registry,
  use: SchemaUse,
): JsonObject {
  const shape = { fields: definition.fields, checks: definition.entity_checks };
  const inPath = namedByPath(definition, use);
  const options = { use, entities, inPath };
  const schema = recordSchema(shape, definition.shorthand_fields, options);
  return withTtl(definition, { title: schemaName(definition.name, use), ...schema });
}

/** The entity above, and the name by which it is put. */
function namedByPath(definition: EntityDefinition, use: SchemaUse): ReadonlySet<string> {
  if (use !== 'given') return new Set();
  const foreign = Object.entries(definition.fields).filter(([, { type }]) => type === 'foreign');
  return new Set([...foreign.map(([name]) => name), definition.endpoint_key ?? 'id']);
}

/** The whole entity, its key field narrowed, what only it has as a schema of its own. */
function variantSchema(
  schemas: Map<string, JsonObject>,
  definition: EntityDefinition,
  { entities }: Registry,
  use: SchemaUse,
  { subschema, keys }: Variant,
): JsonObject {
  const title = `${definition.name}.${subschema.name}`;
  const shape = {
    fields: definition.fields,
    overrides: subschema.fields,
    checks: definition.entity_checks,
    overrideChecks: subschema.entity_checks,
  };
  const inPath = namedByPath(definition, use);
  const options = { use, entities, inPath };
  const whole = recordSchema(shape, definition.shorthand_fields, options);
  const properties = new Map(Object.entries(whole['properties'] as JsonObject));
  for (const [name, field] of Object.entries(subschema.fields)) {
    if (definition.fields[name]?.abstract !== true) continue;
    const part = schemaName(`${title}.${name}`, use);
    schemas.set(part, { title: part, ...fieldSchema(field, { use, entities }) });
    properties.set(name, refTo(part));
  }
  const key = definition.subschema_key ?? '';
  properties.set(key, keySchema(definition.fields, key, keys, properties.get(key)));
  const required = requiredOf(definition, key, keys, whole);
  return withTtl(definition, {
    title: schemaName(title, use),
    ...whole,
    ...required,
    properties: Object.fromEntries(properties),
  });
}

/** The key field decides, so it must be there unless its default means this variant. */
function requiredOf(
  { fields }: EntityDefinition,
  key: string,
  keys: readonly string[],
  whole: JsonObject,
): JsonObject {
  const given = fields[key]?.default;
  const first: unknown = Array.isArray(given) ? given[0] : given;
  const names = (whole['required'] ?? []) as readonly string[];
  if (names.includes(key) || keys.some((value) => value === first)) return {};
  return { required: [...names, key] };
}

function keySchema(
  fields: Fields,
  key: string,
  values: readonly string[],
  schema: JsonValue | undefined,
): JsonObject {
  const general = (schema ?? {}) as JsonObject;
  const only = values.length === 1 ? { const: values[0] ?? null } : { enum: values };
  const isList = fields[key]?.type === 'set' || fields[key]?.type === 'array';
  return isList ? { ...general, items: { type: 'string', ...only } } : { type: 'string', ...only };
}

/** For programs that choose among the variants; only a plain field can tell. */
function discriminator(
  definition: EntityDefinition,
  refs: readonly (readonly [string, JsonObject])[],
): JsonObject {
  const key = definition.subschema_key ?? '';
  if (definition.fields[key]?.type !== 'string') return {};
  const mapping = Object.fromEntries(refs.map(([value, ref]) => [value, ref['$ref'] ?? '']));
  return { discriminator: { propertyName: key, mapping } };
}

function variantsOf(definition: EntityDefinition, registry: Registry): Variant[] {
  if (definition.subschema_key === undefined) return [];
  if (definition.subschemas === undefined) {
    return [...registry.plugins].map(([key, subschema]) => ({ subschema, keys: [key] }));
  }
  const keysOf = new Map<Subschema, string[]>();
  for (const [key, subschema] of Object.entries(definition.subschemas)) {
    keysOf.set(subschema, [...(keysOf.get(subschema) ?? []), key]);
  }
  return [...keysOf].map(([subschema, keys]) => ({ subschema, keys }));
}

const TTL: Field = {
  type: 'integer',
  between: [0, TTL_MAX],
  description: 'Seconds left; 0 or null for ever.',
};

function withTtl(definition: EntityDefinition, schema: JsonObject): JsonObject {
  if (definition.ttl !== true) return schema;
  const properties = schema['properties'] as JsonObject;
  const ttl = fieldSchema(TTL, { use: 'changed', entities: new Map() });
  return { ...schema, properties: { ...properties, ttl } };
}
