/**
 * Cross-field rules (`entity_checks`), over a record whose fields have been read.
 *
 * Source of texts and of what runs when: Kong `kong/db/schema/init.lua`, Schema.entity_checkers and
 * run_entity_check.
 */
import { isReference, quotedList } from './attributes.ts';
import type {
  Conditional,
  ConditionalAtLeastOneOf,
  CustomEntityCheck,
  EntityCheck,
  Field,
  Fields,
  JsonValue,
  Matcher,
} from './field.ts';
import { addAt, addEntityError, type ViolationsDraft } from './violations.ts';

export interface CheckContext {
  readonly shape: { readonly fields: Fields; readonly overrides?: Fields | undefined };
  readonly entity: { readonly [name: string]: JsonValue };
  /** Errors so far, by field; checks add theirs. */
  readonly errors: ViolationsDraft;
  readonly updating: boolean;
  /** Why a value does not satisfy a field; null when it does. */
  readonly matches: (field: Field, value: JsonValue) => JsonValue;
}

export function runEntityChecks(
  checks: readonly EntityCheck[] | undefined,
  context: CheckContext,
): void {
  for (const check of checks ?? []) run(check, context);
}

function run(check: EntityCheck, context: CheckContext): void {
  if ('conditional' in check) return conditional(check.conditional, context);
  if ('conditional_at_least_one_of' in check) {
    return conditionalAtLeastOneOf(check.conditional_at_least_one_of, context);
  }
  if ('custom_entity_check' in check) return custom(check.custom_entity_check, context);
  if ('at_least_one_of' in check) return atLeastOneOf(check.at_least_one_of, context);
  if ('only_one_of' in check) return onlyOneOf(check.only_one_of, context);
  if ('distinct' in check) return distinct(check.distinct, context);
  if ('mutually_required' in check) return mutuallyRequired(check.mutually_required, context);
  return mutuallyExclusive(check.mutually_exclusive, context);
}

/** The value at `config.redis.host`; undefined when there is nothing to look into. */
function valueAt(entity: JsonValue, path: string): JsonValue | undefined {
  let value: JsonValue | undefined = entity;
  for (const name of path.split('.')) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
    const record = value as { readonly [name: string]: JsonValue };
    value = Object.hasOwn(record, name) ? record[name] : undefined;
  }
  return value;
}

function fieldAt(shape: CheckContext['shape'], path: string): Field | undefined {
  const [first = '', ...rest] = path.split('.');
  let field = shape.overrides?.[first] ?? shape.fields[first];
  for (const name of rest) field = field?.type === 'record' ? field.fields[name] : undefined;
  return field;
}

function isNonEmpty(value: JsonValue | undefined): boolean {
  if (value === undefined || value === null || value === '') return false;
  return typeof value !== 'object' || Object.keys(value).length > 0;
}

/** A referenceable field that holds a reference: nothing can be said of its value here. */
function hasReference(paths: readonly string[], context: CheckContext): boolean {
  return paths.some((path) => {
    const field = fieldAt(context.shape, path);
    if (field?.type !== 'string' || field.referenceable !== true) return false;
    return isReference(valueAt(context.entity, path));
  });
}

function hasErrors(paths: readonly string[], context: CheckContext): boolean {
  return paths.some((path) => hasErrorAt(context.errors, path));
}

/** A text on the way speaks of the whole record, so of all that is in it. */
function hasErrorAt(errors: ViolationsDraft, path: string): boolean {
  let at: JsonValue | ViolationsDraft = errors;
  for (const name of path.split('.')) {
    if (!isTable(at)) return true;
    const next: JsonValue | ViolationsDraft | undefined = Object.hasOwn(at, name)
      ? at[name]
      : undefined;
    if (next === undefined) return false;
    at = next;
  }
  return true;
}

function isTable(value: JsonValue | ViolationsDraft): value is ViolationsDraft {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Nothing at all to check: the record that the fields stand in is not there. */
function allAbsent(paths: readonly string[], context: CheckContext): boolean {
  return paths.every((path) => valueAt(context.entity, path) === undefined);
}

function isMissing(path: string, context: CheckContext): boolean {
  if (valueAt(context.entity, path) !== undefined) return false;
  const suffix = context.updating ? ' when updating' : '';
  addAt(context.errors, path, `field required for entity check${suffix}`);
  return true;
}

function nonEmptyOf(paths: readonly string[], context: CheckContext): readonly string[] {
  return paths.filter((path) => isNonEmpty(valueAt(context.entity, path)));
}

function atLeastOneOfText(paths: readonly string[], context: CheckContext): string {
  const text = `at least one of these fields must be non-empty: ${quotedList(paths)}`;
  return context.updating ? `when updating, ${text}` : text;
}

function atLeastOneOf(paths: readonly string[], context: CheckContext): void {
  if (context.updating && allAbsent(paths, context)) return;
  if (hasReference(paths, context) || nonEmptyOf(paths, context).length > 0) return;
  addEntityError(context.errors, atLeastOneOfText(paths, context));
}

function onlyOneOf(paths: readonly string[], context: CheckContext): void {
  if (allAbsent(paths, context)) return;
  if (hasReference(paths, context) || paths.filter((path) => isMissing(path, context)).length > 0) {
    return;
  }
  if (nonEmptyOf(paths, context).length === 1) return;
  addEntityError(
    context.errors,
    `exactly one of these fields must be non-empty: ${quotedList(paths)}`,
  );
}

function distinct(paths: readonly string[], context: CheckContext): void {
  if (hasReference(paths, context)) return;
  const values = nonEmptyOf(paths, context).map((path) => valueAt(context.entity, path));
  if (new Set(values).size === values.length) return;
  addEntityError(context.errors, `values of these fields must be distinct: ${quotedList(paths)}`);
}

function mutuallyRequired(paths: readonly string[], context: CheckContext): void {
  if (hasReference(paths, context) || hasErrors(paths, context)) return;
  const count = nonEmptyOf(paths, context).length;
  if (count === 0 || count === paths.length) return;
  addEntityError(context.errors, `all or none of these fields must be set: ${quotedList(paths)}`);
}

function mutuallyExclusive(paths: readonly string[], context: CheckContext): void {
  if (hasReference(paths, context) || hasErrors(paths, context)) return;
  if (nonEmptyOf(paths, context).length <= 1) return;
  addEntityError(
    context.errors,
    `only one or none of these fields must be set: ${quotedList(paths)}`,
  );
}

/** Whether the value at a path satisfies its own field with some attributes put over it. */
function matchError(path: string, matcher: Matcher, context: CheckContext): JsonValue {
  const field = fieldAt(context.shape, path);
  // A matcher holds attributes of the field it is laid over; definitions are checked by tests.
  const laidOver = { ...field, ...matcher } as Field;
  return context.matches(laidOver, valueAt(context.entity, path) ?? null);
}

function conditional(check: Conditional, context: CheckContext): void {
  const { if_field: ifField, then_field: thenField } = check;
  const paths = [ifField, thenField];
  if (hasReference(paths, context) || allAbsent(paths, context)) return;
  if (isMissing(ifField, context)) return;
  if (matchError(ifField, check.if_match, context) !== null) return;
  const error = matchError(thenField, check.then_match, context);
  if (error === null) return;
  addAt(context.errors, thenField, error);
  addEntityError(
    context.errors,
    check.then_err?.replaceAll('%s', ifField) ??
      `failed conditional validation given value of field '${ifField}'`,
  );
}

function conditionalAtLeastOneOf(check: ConditionalAtLeastOneOf, context: CheckContext): void {
  const { if_field: ifField, else_match: elseMatch } = check;
  if (valueAt(context.entity, ifField) === undefined) return;
  let paths = check.then_at_least_one_of;
  let text = check.then_err;
  if (matchError(ifField, check.if_match, context) !== null) {
    if (elseMatch === undefined || matchError(ifField, elseMatch, context) !== null) return;
    paths = check.else_then_at_least_one_of ?? [];
    text = check.else_then_err;
  }
  if (hasReference(paths, context) || nonEmptyOf(paths, context).length > 0) return;
  addEntityError(
    context.errors,
    text?.replaceAll('%s', quotedList(paths)) ?? atLeastOneOfText(paths, context),
  );
}

function custom(check: CustomEntityCheck, context: CheckContext): void {
  const paths = check.field_sources;
  if (hasReference(paths, context) || hasErrors(paths, context)) return;
  if (allAbsent(paths, context)) return;
  // The fields are without errors, so they are what the definition's author wrote the check for.
  const outcome = check.fn?.(context.entity as never) ?? null;
  if (outcome === null) return;
  if (typeof outcome === 'string') return addEntityError(context.errors, outcome);
  for (const [path, text] of Object.entries(outcome)) addAt(context.errors, path, text);
}
