/** From what a configuration calls an entity (`service: my-service`) to the entity. */
import { isUuid } from '#shared/schema/attributes.ts';
import type { EntityDefinition, JsonObject, JsonValue } from '#shared/schema/field.ts';
import { isPlainObject } from '#shared/schema/validate.ts';
import type { Item } from './flatten.ts';
import { uniqueFields } from './present.ts';

export class References {
  readonly #byId = new Map<string, Map<string, Item>>();
  /** By kind and unique field. */
  readonly #byField = new Map<string, Map<string, Item>>();

  constructor(kinds: readonly EntityDefinition[], items: ReadonlyMap<string, readonly Item[]>) {
    for (const definition of kinds) {
      const { name } = definition;
      const own = items.get(name) ?? [];
      this.#byId.set(name, new Map(own.map((item) => [item.id, item])));
      for (const field of uniqueFields(definition)) {
        const values = new Map<string, Item>();
        for (const item of own) {
          const value = item.input[field];
          if (typeof value === 'string') values.set(value, item);
        }
        this.#byField.set(`${name}.${field}`, values);
      }
    }
  }

  /** Null: there is no such entity in the configuration. */
  find(definition: EntityDefinition, reference: string | JsonObject): Item | null {
    if (typeof reference === 'string') {
      const key = definition.endpoint_key;
      return (
        (key === undefined ? null : this.#by(definition, key, reference)) ??
        this.#get(definition, reference)
      );
    }
    const { id } = reference;
    if (typeof id === 'string') return this.#get(definition, id);
    for (const field of uniqueFields(definition)) {
      const value = reference[field];
      if (typeof value === 'string') return this.#by(definition, field, value);
    }
    return null;
  }

  #get({ name }: EntityDefinition, id: string): Item | null {
    return isUuid(id) ? (this.#byId.get(name)?.get(id.toLowerCase()) ?? null) : null;
  }

  #by({ name }: EntityDefinition, field: string, value: string): Item | null {
    return this.#byField.get(`${name}.${field}`)?.get(value) ?? null;
  }
}

/** A value that names another entity; what is neither is left for the schema to refuse. */
export function asReference(value: JsonValue | undefined): string | JsonObject | null {
  if (typeof value === 'string') return value;
  return isPlainObject(value) ? (value as JsonObject) : null;
}

export function danglingText(field: string, value: JsonValue, kind: string): string {
  const shown = typeof value === 'string' ? value : JSON.stringify(value);
  return `invalid reference '${field}: ${shown}' (no such entry in '${kind}')`;
}
