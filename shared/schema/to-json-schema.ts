/**
 * Definitions as JSON Schema 2020-12, for whoever reads the Admin API by its OpenAPI document. What a
 * schema cannot say exactly is left out and said in its description: a schema never refuses what the
 * Admin API takes, but for spellings that only Lua clients need.
 */
import type {
  EntityDefinition,
  Field,
  JsonObject,
  JsonValue,
  ListField,
  MapField,
  NumberField,
  RecordField,
  ShorthandField,
  StringField,
} from './field.ts';
import { describeChecks } from './describe-checks.ts';
import { luaPatternToEcma } from './lua-pattern-to-ecma.ts';
import { fieldOf, isRequired, type RecordShape } from './validate.ts';

/**
 * - `given`: what a new entity may be written as; missing fields take their defaults
 * - `changed`: what a PATCH may say; nothing is required
 * - `shown`: what is answered; every field is there
 */
export type SchemaUse = 'given' | 'changed' | 'shown';

export interface SchemaOptions {
  readonly use: SchemaUse;
  readonly entities: ReadonlyMap<string, EntityDefinition>;
  /** Fields of the outermost record that a path may give instead: not required in a body. */
  readonly inPath?: ReadonlySet<string>;
}

export type Shorthands = Readonly<Record<string, ShorthandField>>;

/** Schema of a field's value, null included where it may be null. */
export function fieldSchema(field: Field, options: SchemaOptions): JsonObject {
  if (field.eq === null) return { type: 'null', ...described(field, []) };
  const schema = annotated(field, options, typedSchema(field, options));
  return mayBeNull(field) ? nullable(schema) : schema;
}

/** Schema of a record, or of a whole entity. */
export function recordSchema(
  shape: RecordShape,
  shorthands: Shorthands | undefined,
  options: SchemaOptions,
): JsonObject {
  const properties: [string, JsonObject][] = [];
  // What lies inside has names of its own.
  const { inPath, ...inside } = options;
  for (const name of Object.keys(shape.fields)) {
    const field = fieldOf(shape, name);
    if (field === undefined) continue;
    const schema = fieldSchema(field, inside);
    const isOptional = inPath?.has(name) === true && needsInput(field);
    properties.push([name, isOptional ? withFact(schema, IN_PATH) : schema]);
  }
  for (const [name, shorthand] of Object.entries(shorthands ?? {})) {
    const schema = shorthandSchema(shorthand, inside);
    if (schema !== null) properties.push([name, schema]);
  }
  const checks = describeChecks([...(shape.checks ?? []), ...(shape.overrideChecks ?? [])]);
  return {
    type: 'object',
    ...(checks === '' ? {} : { description: checks }),
    ...requirement(shape, shorthands, options),
    properties: Object.fromEntries(properties),
    additionalProperties: false,
  };
}

const IN_PATH = 'Needed, unless the path names it.';

function withFact(schema: JsonObject, fact: string): JsonObject {
  const text = schema['description'];
  return { ...schema, description: typeof text === 'string' ? `${text} ${fact}` : fact };
}

/** Which members must be there. */
function requirement(
  shape: RecordShape,
  shorthands: Shorthands | undefined,
  { use, inPath }: SchemaOptions,
): JsonObject {
  const names = Object.keys(shape.fields);
  if (use === 'shown') return names.length === 0 ? {} : { required: names };
  if (use === 'changed') return {};
  const required = names.filter((name) => {
    const field = fieldOf(shape, name);
    return field !== undefined && needsInput(field) && inPath?.has(name) !== true;
  });
  if (required.length === 0) return {};
  const others = Object.keys(shorthands ?? {});
  if (others.length === 0) return { required };
  // Which fields a shorthand stands for is known to its function only.
  return { anyOf: [required, ...others.map((name) => [name])].map((list) => ({ required: list })) };
}

/** Whether leaving it out is an error. */
function needsInput(field: Field): boolean {
  if (field.auto === true || (field.default ?? null) !== null) return false;
  if (field.type !== 'record') return field.required === true;
  return isRequired(field) && Object.values(field.fields).some(needsInput);
}

function mayBeNull(field: Field): boolean {
  return field.auto === true || (!isRequired(field) && field.ne !== null);
}

function nullable(schema: JsonObject): JsonObject {
  const { type, enum: values, const: only, ...rest } = schema;
  if ('$ref' in schema || 'anyOf' in schema) {
    const { description, default: given, ...inner } = schema;
    return {
      anyOf: [inner, { type: 'null' }],
      ...(given === undefined ? {} : { default: given }),
      ...(description === undefined ? {} : { description }),
    };
  }
  return {
    ...(type === undefined ? {} : { type: [type, 'null'] }),
    ...(Array.isArray(values) ? { enum: [...(values as readonly JsonValue[]), null] } : {}),
    ...(only === undefined ? {} : { enum: [only, null] }),
    ...rest,
  };
}

function typedSchema(field: Field, options: SchemaOptions): JsonObject {
  switch (field.type) {
    case 'string':
      return stringSchema(field);
    case 'integer':
    case 'number':
      return numberSchema(field);
    case 'boolean':
      return { type: 'boolean' };
    case 'array':
    case 'set':
      return listSchema(field, options);
    case 'map':
      return mapSchema(field, options);
    case 'record':
      return memberRecordSchema(field, options);
    case 'foreign':
      return foreignSchema(field.reference, options);
    default:
      return {};
  }
}

function memberRecordSchema(field: RecordField, options: SchemaOptions): JsonObject {
  if (field.abstract === true) return { type: 'object' };
  const shape = { fields: field.fields, checks: field.entity_checks };
  return recordSchema(shape, field.shorthand_fields, options);
}

function stringSchema(field: StringField): JsonObject {
  const schema = { type: 'string', ...textLimits(field), ...patternLimits(field) };
  if (field.referenceable !== true) return schema;
  const { type, ...limits } = schema;
  return Object.keys(limits).length === 0
    ? schema
    : { type, anyOf: [limits, { pattern: String.raw`^\{vault://.+\}$` }] };
}

/** Lengths count bytes: a letter takes one to four of them. */
function textLimits(field: StringField): JsonObject {
  if (field.uuid === true) return { format: 'uuid' };
  const least = field.len_eq ?? field.len_min ?? 1;
  const most = field.len_eq ?? field.len_max;
  return {
    ...(least === 0 || field.one_of !== undefined ? {} : { minLength: Math.ceil(least / 4) }),
    ...(most === undefined ? {} : { maxLength: most }),
    ...valueLimits(field, field.one_of),
    ...(field.not_one_of === undefined ? {} : { not: { enum: field.not_one_of } }),
  };
}

function patternLimits(field: StringField): JsonObject {
  const { starts_with: start, match, not_match: notMatch, match_any: any } = field;
  const needed = [match, ...(field.match_all ?? []).map(({ pattern }) => pattern)];
  const banned = [notMatch, ...(field.match_none ?? []).map(({ pattern }) => pattern)];
  const patterns = needed.map(ecma).filter((pattern) => pattern !== null);
  if (start !== undefined) patterns.push(`^${literal(start)}`);
  const limits: JsonObject[] = patterns.map((pattern) => ({ pattern }));
  for (const pattern of banned.map(ecma)) {
    // Any pattern holds for null.
    if (pattern !== null) limits.push({ not: { type: 'string', pattern } });
  }
  const choices = any?.patterns.map(ecma) ?? [];
  if (choices.length > 0 && choices.every((choice) => choice !== null)) {
    limits.push({ anyOf: choices.map((pattern) => ({ pattern })) });
  }
  const [only = {}] = limits;
  return limits.length > 1 ? { allOf: limits } : only;
}

/** A regex for just that text. */
function literal(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|]/g, String.raw`\$&`);
}

function ecma(pattern: string | undefined): string | null {
  return pattern === undefined ? null : luaPatternToEcma(pattern);
}

function valueLimits(field: Field, allowed: readonly JsonValue[] | undefined): JsonObject {
  return {
    // An empty list of allowed values is no schema: there nothing is valid.
    ...(allowed === undefined ? {} : allowed.length === 0 ? { not: {} } : { enum: allowed }),
    ...(field.eq === undefined ? {} : { const: field.eq }),
  };
}

function numberSchema(field: NumberField): JsonObject {
  const above = field.gt ?? (field.timestamp === true ? 0 : undefined);
  return {
    type: field.type,
    ...(field.between === undefined
      ? {}
      : { minimum: field.between[0], maximum: field.between[1] }),
    ...(above === undefined ? {} : { exclusiveMinimum: above }),
    ...valueLimits(field, field.one_of),
  };
}

function listSchema(field: ListField, options: SchemaOptions): JsonObject {
  const least = field.len_eq ?? field.len_min;
  const most = field.len_eq ?? field.len_max;
  const { contains, costly } = field;
  return {
    type: 'array',
    items: memberSchema(field.elements, options),
    // Of records, two may be alike once missing members are filled in.
    ...(field.type === 'set' && field.elements.type !== 'record' ? { uniqueItems: true } : {}),
    ...(least === undefined ? {} : { minItems: least }),
    ...(most === undefined ? {} : { maxItems: most }),
    ...(contains === undefined ? {} : { contains: { const: contains } }),
    ...(costly === undefined || contains !== undefined
      ? {}
      : {
          contains: { pattern: `^${literal(costly.starts_with)}` },
          minContains: 0,
          maxContains: costly.max,
        }),
  };
}

function mapSchema(field: MapField, options: SchemaOptions): JsonObject {
  const { type: _, ...names } = memberSchema(field.keys, options);
  return {
    type: 'object',
    ...(Object.keys(names).length === 0 ? {} : { propertyNames: names }),
    additionalProperties: memberSchema(field.values, options),
    ...(field.len_min === undefined ? {} : { minProperties: field.len_min }),
    ...(field.len_max === undefined ? {} : { maxProperties: field.len_max }),
  };
}

/** Of a member of a list or map: never null, and complete even in a PATCH, which replaces lists whole. */
function memberSchema(field: Field, options: SchemaOptions): JsonObject {
  const use = options.use === 'changed' ? 'given' : options.use;
  return fieldSchema({ ...field, required: true, auto: false }, { ...options, use });
}

/** Written by id or by a unique field of what it points to, shown by id. */
function foreignSchema(reference: string, { use, entities }: SchemaOptions): JsonObject {
  const id = { type: 'string', format: 'uuid' };
  if (use === 'shown') {
    return { type: 'object', required: ['id'], properties: { id }, additionalProperties: false };
  }
  const names = Object.entries(entities.get(reference)?.fields ?? {})
    .filter(([, field]) => field.unique === true && field.type === 'string')
    .map(([name]): [string, JsonObject] => [name, { type: 'string' }]);
  return {
    type: 'object',
    properties: { id, ...Object.fromEntries(names) },
    anyOf: ['id', ...names.map(([name]) => name)].map((name) => ({ required: [name] })),
  };
}

/** Null: not there in this use. */
function shorthandSchema(shorthand: ShorthandField, options: SchemaOptions): JsonObject | null {
  const { translate: _, translate_backwards: backwards, deprecation, ...field } = shorthand;
  const paths = deprecation?.replaced_with?.map(({ path }) => path.join('.')) ?? [];
  const isShown = (backwards ?? deprecation?.replaced_with?.[0]) !== undefined;
  if (options.use === 'shown' && !isShown) return null;
  // A shorthand carries the attributes of a field of its type.
  const schema = fieldSchema({ ...field, required: false } as Field, options);
  const hint = paths.length > 0 ? `Use ${paths.map((path) => `\`${path}\``).join(' and ')}.` : null;
  const text = [schema['description'], hint].filter((part) => typeof part === 'string').join(' ');
  return {
    ...schema,
    ...(text === '' ? {} : { description: text }),
    ...(deprecation === undefined ? {} : { deprecated: true }),
    ...(options.use === 'shown' || isShown ? {} : { writeOnly: true }),
  };
}

/** What every type has: default, description, and the facts that no keyword tells. */
function annotated(field: Field, { use }: SchemaOptions, schema: JsonObject): JsonObject {
  const facts: string[] = [];
  if (field.unique === true) facts.push('Unique.');
  if (field.immutable === true) facts.push('Stays as it was written first.');
  if (field.referenceable === true) facts.push('May be a reference, `{vault://…}`.');
  if (field.type === 'string') facts.push(...byteFacts(field));
  if ('timestamp' in field && field.timestamp === true) facts.push('Seconds since the epoch.');
  if (field.type === 'foreign') facts.push(`Points to one of \`${field.reference}\`.`);
  if (field.type === 'set' || field.type === 'array') {
    const subsets = field.mutually_exclusive_subsets ?? [];
    const sets = subsets.map((subset) => subset.map((item) => `\`${item}\``).join(', '));
    if (sets.length > 0) facts.push(`All from one of these sets: ${sets.join('; ')}.`);
  }
  const { description: own, ...rest } = schema;
  const all = [...facts, ...(typeof own === 'string' ? [own] : [])];
  const isDefault = use === 'given' && field.default !== undefined && field.default !== null;
  return {
    ...rest,
    ...(isDefault ? { default: field.default } : {}),
    ...described(field, all),
  };
}

function byteFacts({ len_min: least = 1, len_max: most, len_eq: exact }: StringField): string[] {
  if (exact !== undefined) return [`${exact} bytes.`];
  const facts: string[] = [];
  if (least > 1) facts.push(`At least ${least} bytes.`);
  if (most !== undefined) facts.push(`At most ${most} bytes.`);
  return facts;
}

function described(field: Field, facts: readonly string[]): JsonObject {
  const text = [field.description, ...facts].filter((part) => part !== undefined).join(' ');
  return text === '' ? {} : { description: text };
}
