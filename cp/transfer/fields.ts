/** Fields of other releases: deprecated ones are moved, ones that say nothing are left out. */
import type { Fields, JsonObject, JsonValue, ShorthandField } from '#shared/schema/field.ts';
import type { Registry } from '#shared/schema/plugin-definition.ts';
import { expandShorthands } from '#shared/schema/shorthand.ts';
import { shapeOf } from '#shared/schema/subschema.ts';
import { fieldOf, type RecordShape } from '#shared/schema/validate.ts';
import { violationMessage } from '#shared/schema/violations.ts';
import { isObject, type Item } from './document.ts';
import { NEUTRAL_FIELDS } from './kong-names.ts';

type Shorthands = Readonly<Record<string, ShorthandField>>;

export function modernize(item: Item, registry: Registry): void {
  const { definition } = item;
  if (definition === null) return;
  const shape = shapeOf(definition, item.entity, registry);
  if (definition.subschema_key !== undefined && shape.overrides === undefined) return;
  const shorthands = definition.shorthand_fields ?? {};
  const rest = withoutNeutral(item, shape, shorthands);
  const given = withoutMirrors(item, shape, shorthands, rest, '');
  // What is deprecated is written as its successor; other shorthands are the server's business.
  const deprecated = Object.entries(shorthands).filter(([, { deprecation }]) => deprecation);
  const expanded = expandShorthands(shape, Object.fromEntries(deprecated), given);
  if (!expanded.ok) {
    item.reasons.push(violationMessage(expanded.violations));
    return;
  }
  // Made of JSON values by translations that answer JSON values.
  item.entity = expanded.input as JsonObject;
}

/** The entity without fields that are unknown here and say nothing where they come from. */
function withoutNeutral(item: Item, shape: RecordShape, shorthands: Shorthands): JsonObject {
  const neutral = { ...NEUTRAL_FIELDS.get('*'), ...NEUTRAL_FIELDS.get(item.kind) };
  const kept = Object.entries(item.entity).filter(([name, value]) => {
    if (isKnown(item, shape, shorthands, name)) return true;
    if (value === null) return false;
    const values = Object.hasOwn(neutral, name) ? neutral[name] : undefined;
    return values !== true && values?.includes(value) !== true;
  });
  return Object.fromEntries(kept);
}

function isKnown(item: Item, shape: RecordShape, shorthands: Shorthands, name: string): boolean {
  if (name === 'ttl' && item.definition?.ttl === true) return true;
  return fieldOf(shape, name) !== undefined || Object.hasOwn(shorthands, name);
}

/**
 * Deprecated fields: those that only mirror the new one are left out, the others are told of. In
 * records inside, nulls that no definition knows are left out as well.
 */
function withoutMirrors(
  item: Item,
  shape: RecordShape,
  shorthands: Shorthands,
  record: JsonObject,
  prefix: string,
): JsonObject {
  const kept: [string, JsonValue][] = [];
  for (const [name, value] of Object.entries(record)) {
    const shorthand = Object.hasOwn(shorthands, name) ? shorthands[name] : undefined;
    if (shorthand?.deprecation !== undefined) {
      if (isMirror(shorthand, value, record)) continue;
      item.changes.push(moved(prefix + name, shorthand, prefix));
    }
    const field = fieldOf(shape, name);
    if (field === undefined && shorthand === undefined && prefix !== '' && value === null) continue;
    const isRecord = field?.type === 'record' && field.abstract !== true && isObject(value);
    if (!isRecord) kept.push([name, value]);
    else kept.push([name, inside(item, field, value, `${prefix}${name}.`)]);
  }
  return Object.fromEntries(kept);
}

function inside(
  item: Item,
  field: { readonly fields: Fields; readonly shorthand_fields?: Shorthands },
  value: JsonObject,
  prefix: string,
): JsonObject {
  const shape = { fields: field.fields };
  return withoutMirrors(item, shape, field.shorthand_fields ?? {}, value, prefix);
}

function isMirror({ deprecation }: ShorthandField, value: JsonValue, record: JsonObject): boolean {
  if (value === null) return true;
  const [target] = deprecation?.replaced_with ?? [];
  if (target === undefined) return false;
  let found: JsonValue | undefined = record;
  for (const name of target.path) found = isObject(found) ? found[name] : undefined;
  return JSON.stringify(found) === JSON.stringify(value);
}

function moved(name: string, { deprecation }: ShorthandField, prefix: string): string {
  const paths = (deprecation?.replaced_with ?? []).map(({ path }) => prefix + path.join('.'));
  const where = paths.length === 0 ? 'what replaced it' : paths.join(', ');
  return `${name} is deprecated and has moved to ${where}`;
}
