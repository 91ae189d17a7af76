/** Edits of a JSON object, as `name:value` texts say them. */
import type { JsonValue } from '../../schema/field.ts';

export interface Pair {
  readonly name: string;
  /** Empty when there is none: such an edit does nothing. */
  readonly value: string;
}

export interface ValueEdit {
  readonly name: string;
  readonly value: JsonValue;
}

export interface Edits {
  readonly remove: readonly string[];
  readonly rename: readonly Pair[];
  readonly replace: readonly ValueEdit[];
  readonly add: readonly ValueEdit[];
  readonly append: readonly ValueEdit[];
}

/** Reads `name:value`; further colons right after the first are skipped, as Kong does. */
export function readPairs(texts: readonly string[]): Pair[] {
  return texts.map((text) => {
    const [, name = '', value = ''] = /^([^:]+):*(.*)$/s.exec(text) ?? [];
    return { name, value };
  });
}

/** The same with a JSON type for each; what has no value, or not of its type, is left out. */
export function readValues(texts: readonly string[], types: readonly string[]): ValueEdit[] {
  const edits: ValueEdit[] = [];
  for (const [i, { name, value }] of readPairs(texts).entries()) {
    const cast = value === '' ? null : castValue(value, types[i]);
    if (cast !== null) edits.push({ name, value: cast });
  }
  return edits;
}

function castValue(value: string, type: string | undefined): JsonValue {
  if (type === 'boolean') return value === 'true';
  if (type !== 'number') return value;
  const number = Number(value);
  return Number.isFinite(number) && value.trim() !== '' ? number : null;
}

/**
 * Applies the edits to the object's own members: remove, rename, replace, add, append. A member that
 * is `false` counts as missing for replace and add, as in Kong.
 *
 * @returns the new text; the old one when it is JSON but no object; null when it is no JSON
 */
export function editJson(text: string, edits: Edits): string | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return text;
  // A map, so that a member called `__proto__` is a member like any other.
  const members = new Map<string, unknown>(Object.entries(value));
  for (const name of edits.remove) members.delete(name);
  for (const { name, value: newName } of edits.rename) {
    if (newName === '' || !members.has(name)) continue;
    const moved = members.get(name);
    members.delete(name);
    members.set(newName, moved);
  }
  for (const edit of edits.replace) if (isThere(members, edit)) members.set(edit.name, edit.value);
  for (const edit of edits.add) if (!isThere(members, edit)) members.set(edit.name, edit.value);
  for (const edit of edits.append) members.set(edit.name, appended(members.get(edit.name), edit));
  return writeObject(members);
}

function isThere(members: ReadonlyMap<string, unknown>, { name }: ValueEdit): boolean {
  return (members.get(name) ?? members.has(name)) !== false;
}

/** Kong keeps texts and lists, and puts a new list in the place of a number, a boolean or null. */
function appended(current: unknown, edit: ValueEdit): unknown {
  if (Array.isArray(current)) return [...(current as unknown[]), edit.value];
  // Kong gives an object a member `1`; nobody can want that.
  const isKept = typeof current === 'string' || (typeof current === 'object' && current !== null);
  return isKept ? [current, edit.value] : [edit.value];
}

function writeObject(members: ReadonlyMap<string, unknown>): string {
  const parts: string[] = [];
  for (const [name, value] of members) {
    parts.push(`${JSON.stringify(name)}:${JSON.stringify(value)}`);
  }
  return `{${parts.join(',')}}`;
}
