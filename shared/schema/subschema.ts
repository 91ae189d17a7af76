/** Entities whose shape depends on the value of one field: routes by protocol, plugins by name. */
import type { EntityDefinition, Subschema } from './field.ts';
import type { Registry } from './plugin-definition.ts';
import { REQUIRED, type RecordShape } from './validate.ts';
import type { Violations } from './violations.ts';

type Table = Readonly<Record<string, unknown>>;

/** The definition's fields with the subschema that the entity's own key field chooses. */
export function shapeOf(def: EntityDefinition, entity: Table, registry: Registry): RecordShape {
  const subschema = subschemaOf(def, entity, registry);
  return {
    fields: def.fields,
    overrides: subschema?.fields,
    checks: def.entity_checks,
    overrideChecks: subschema?.entity_checks,
  };
}

function subschemaOf(
  def: EntityDefinition,
  entity: Table,
  registry: Registry,
): Subschema | undefined {
  const { subschema_key: name, subschemas } = def;
  if (name === undefined) return undefined;
  const find = (key: unknown): Subschema | undefined => {
    if (typeof key !== 'string') return undefined;
    if (subschemas === undefined) return registry.plugins.get(key);
    return Object.hasOwn(subschemas, key) ? subschemas[key] : undefined;
  };
  const key = subschemaKey(def, name, entity);
  if (!Array.isArray(key)) return find(key);
  for (const item of key) {
    const found = find(item);
    if (found !== undefined) return found;
  }
  return undefined;
}

function subschemaKey(def: EntityDefinition, name: string, entity: Table): unknown {
  return Object.hasOwn(entity, name) ? entity[name] : def.fields[name]?.default;
}

/** Without a subschema nothing else can be said of an entity. */
export function subschemaViolations(
  def: EntityDefinition,
  entity: Table,
  shape: RecordShape,
): Violations | null {
  const name = def.subschema_key;
  if (name === undefined || shape.overrides !== undefined) return null;
  const key = subschemaKey(def, name, entity);
  if (key === undefined || key === null) return { [name]: REQUIRED };
  const first: unknown = Array.isArray(key) ? key[0] : key;
  if (typeof first !== 'string' && first !== undefined) return { [name]: 'expected a string' };
  const text = def.subschema_error ?? 'unknown type: %s';
  return { [name]: text.replaceAll('%s', () => first ?? 'nil') };
}
