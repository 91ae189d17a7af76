/** Who points to whom: by nesting, by id, or by name. */
import type { JsonValue } from '#shared/schema/field.ts';
import { isObject, type Item, nameField, textOf } from './document.ts';
import { foreignFields } from './flatten.ts';

/**
 * Finds the entity that each foreign field means and moves it to `parents`. What means nothing in
 * the source is a reason; so is an entity that is there twice.
 */
export function resolveReferences(items: readonly Item[]): void {
  const index = new Index(items);
  for (const item of items) {
    if (item.definition === null) continue;
    const rest = new Map(Object.entries(item.entity));
    for (const [field, { reference }] of foreignFields(item.definition)) {
      const value = rest.get(field) ?? null;
      rest.delete(field);
      if (value === null) continue;
      if (item.parents.has(field)) continue;
      const found = index.find(reference, value);
      if (found === null) {
        item.reasons.push(`${field}: ${described(value)} is not among the source's ${reference}`);
      } else item.parents.set(field, found);
    }
    item.entity = Object.fromEntries(rest);
  }
}

/** An entity whose parent cannot be taken over cannot be either. */
export function propagate(items: readonly Item[]): void {
  const isImpossible = new Map<Item, boolean>();
  const visit = (item: Item): boolean => {
    const known = isImpossible.get(item);
    if (known !== undefined) return known;
    isImpossible.set(item, item.reasons.length > 0);
    for (const [field, parent] of item.parents) {
      if (visit(parent)) item.reasons.push(`its ${field} is not possible: ${labelOf(parent)}`);
    }
    isImpossible.set(item, item.reasons.length > 0);
    return item.reasons.length > 0;
  };
  for (const item of items) visit(item);
}

class Index {
  readonly #byKey = new Map<string, Item>();

  constructor(items: readonly Item[]) {
    for (const item of items) this.#add(item);
  }

  #add(item: Item): void {
    const { definition, kind, entity } = item;
    if (definition === null) return;
    for (const [field, { type, unique }] of Object.entries(definition.fields)) {
      if (field !== 'id' && (unique !== true || type !== 'string')) continue;
      const value = textOf(entity[field]);
      if (value === null) continue;
      const key = keyOf(kind, field, field === 'id' ? value.toLowerCase() : value);
      const other = this.#byKey.get(key);
      if (other === undefined) this.#byKey.set(key, item);
      else item.reasons.push(`${field} is the same as that of ${other.at}`);
    }
  }

  find(kind: string, value: JsonValue): Item | null {
    if (typeof value === 'string') return this.#named(kind, value);
    if (!isObject(value)) return null;
    const id = textOf(value['id']);
    if (id !== null) return this.#byKey.get(keyOf(kind, 'id', id.toLowerCase())) ?? null;
    for (const [field, name] of Object.entries(value)) {
      const found = this.#byKey.get(keyOf(kind, field, textOf(name) ?? ''));
      if (found !== undefined) return found;
    }
    return null;
  }

  #named(kind: string, text: string): Item | null {
    const byId = this.#byKey.get(keyOf(kind, 'id', text.toLowerCase()));
    if (byId !== undefined) return byId;
    for (const field of ['name', 'username', 'prefix']) {
      const found = this.#byKey.get(keyOf(kind, field, text));
      if (found?.definition?.endpoint_key === field) return found;
    }
    return null;
  }
}

function keyOf(kind: string, field: string, value: string): string {
  return `${kind}\0${field}\0${value}`;
}

function described(value: JsonValue): string {
  if (typeof value === 'string') return `'${value}'`;
  return JSON.stringify(value);
}

/** Which one it is, to a person: `routes 'x'`, `plugins 'key-auth' of services 'x'`. */
export function labelOf(item: Item): string {
  const name = nameOf(item);
  return name === '' ? `${item.kind} at ${item.at}` : `${item.kind} ${name}`;
}

/** Its name, and what it belongs to; empty when it has neither. Never a secret. */
export function nameOf(item: Item): string {
  const own = ownName(item);
  const of = [...item.parents.values()].map((parent) => {
    const name = ownName(parent);
    return name === null ? parent.kind : `${parent.kind} ${name}`;
  });
  return [own, of.length === 0 ? null : `of ${of.join(', ')}`]
    .filter((part) => part !== null)
    .join(' ');
}

const NAMES = ['name', 'username', 'custom_id', 'target', 'group', 'prefix', 'type', 'id'] as const;

function ownName({ definition, entity }: Item): string | null {
  const key = definition === null ? null : nameField(definition);
  const candidates = key === null ? NAMES : [key, ...NAMES];
  for (const field of candidates) {
    const value = textOf(entity[field]);
    if (value !== null && !isSecret(definition?.fields[field])) return `'${value}'`;
  }
  return null;
}

function isSecret(field: { readonly secret?: string; readonly encrypted?: boolean } | undefined) {
  return field?.secret !== undefined || field?.encrypted === true;
}
