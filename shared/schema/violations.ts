/** What is wrong with a record, by field; and the one-line message made of it. */
import type { JsonValue } from './field.ts';

/** Kong's `fields` object: texts by field name, nested like the record, `@entity` for the whole. */
export type Violations = { readonly [field: string]: JsonValue };

/** Violations while they are collected. It has no prototype: names come from clients. */
export interface ViolationsDraft {
  [field: string]: JsonValue | ViolationsDraft;
}

export function newViolations(): ViolationsDraft {
  return Object.create(null) as ViolationsDraft;
}

/** The draft as violations, null when there is none. It must not be changed any more. */
export function finish(draft: ViolationsDraft): Violations | null {
  return Object.keys(draft).length === 0 ? null : (draft as Violations);
}

/** Sets the text at a path such as `config.redis.host`. */
export function addAt(draft: ViolationsDraft, path: string, text: JsonValue): void {
  const names = path.split('.');
  const last = names.pop() ?? path;
  let at = draft;
  for (const name of names) {
    const below = at[name];
    // A text there speaks of the whole record, which says more than one of its fields.
    if (typeof below === 'string' || Array.isArray(below)) return;
    const next = Object.assign(newViolations(), below);
    at[name] = next;
    at = next;
  }
  at[last] = text;
}

export function addEntityError(draft: ViolationsDraft, text: string): void {
  const texts = draft['@entity'];
  draft['@entity'] = Array.isArray(texts) ? [...texts, text] : [text];
}

/**
 * Kong's message: `schema violation (host: required field missing)`, or
 * `2 schema violations (…; …)`: entity errors, then fields by name, one level flattened (`a.b`,
 * 1-based for lists), deeper ones as Lua tables.
 *
 * Source: Kong `kong/db/errors.lua`, schema_violation
 */
export function violationMessage(violations: Violations): string {
  const parts: string[] = [];
  const whole = violations['@entity'];
  if (Array.isArray(whole)) parts.push(...whole.map(String));
  for (const name of Object.keys(violations).toSorted(byBytes)) {
    if (name === '@entity') continue;
    const error = violations[name] ?? null;
    for (const [key, value] of flatten(error)) {
      const text = typeof value === 'string' ? value : luaText(value, '  ');
      parts.push(`${name}${key}: ${text}`);
    }
  }
  return parts.length === 1
    ? `schema violation (${parts[0]})`
    : `${parts.length} schema violations (${parts.join('; ')})`;
}

function flatten(error: JsonValue): (readonly [key: string, value: JsonValue])[] {
  if (typeof error !== 'object' || error === null) return [['', error]];
  if (Array.isArray(error)) {
    return error.flatMap((value: JsonValue, index) =>
      value === null ? [] : [[`.${index + 1}`, value] as const],
    );
  }
  return Object.entries(error)
    .toSorted(([a], [b]) => byBytes(a, b))
    .map(([key, value]) => [`.${key}`, value] as const);
}

function byBytes(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}

/**
 * A value as Kong prints it in messages: `{id="…",name="x"}` on one line with `indent` empty, else
 * one line per member. Holes of a list (null) are left out and its later members get their index.
 *
 * Source: Penlight `pl.pretty.write`
 */
export function luaText(value: JsonValue, indent: string): string {
  return write(value, '', indent);
}

function write(value: JsonValue, outer: string, indent: string): string {
  if (typeof value === 'string') return quote(value);
  if (typeof value !== 'object' || value === null) return String(value);
  const inner = outer + indent;
  const equals = indent === '' ? '=' : ' = ';
  const members = Array.isArray(value)
    ? listMembers(value, inner, indent, equals)
    : Object.entries(value as { readonly [key: string]: JsonValue })
        .toSorted(([a], [b]) => byBytes(a, b))
        .map(([key, item]) => `${luaKey(key)}${equals}${write(item, inner, indent)}`);
  if (indent === '') return `{${members.join(',')}}`;
  if (members.length === 0) return `{\n${outer}}`;
  return `{\n${members.map((member) => inner + member).join(',\n')}\n${outer}}`;
}

function listMembers(
  list: readonly JsonValue[],
  inner: string,
  indent: string,
  equals: string,
): string[] {
  let isSequence = true;
  const members: string[] = [];
  for (const [index, item] of list.entries()) {
    if (item === null) {
      isSequence = false;
      continue;
    }
    const text = write(item, inner, indent);
    members.push(isSequence ? text : `[${index + 1}]${equals}${text}`);
  }
  return members;
}

function luaKey(key: string): string {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(key) ? key : `[${quote(key)}]`;
}

function quote(text: string): string {
  return `"${text.replaceAll(/["\\\n]/g, String.raw`\$&`).replaceAll('\r', String.raw`\r`)}"`;
}
