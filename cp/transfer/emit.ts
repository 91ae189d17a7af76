/** The configuration to load: flat, with references by id or name. */
import { uuid5 } from '#shared/router/uuid5.ts';
import type { JsonObject, JsonValue } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import type { Registry } from '#shared/schema/plugin-definition.ts';
import { rulesOf } from '../rules/rules.ts';
import { type Item, nameField, textOf } from './document.ts';

/** Of ids for entities that have neither id nor name and are pointed to. */
const NAMESPACE = '6e1f3c8a-5d0b-4f7e-9a53-2b8c1d4e7f60';

/**
 * @param items   all that is loaded
 * @param hashed  those among them whose password or secret is a hash already
 */
export async function emit(
  items: readonly Item[],
  hashed: ReadonlySet<Item>,
  registry: Registry,
): Promise<JsonObject> {
  const keepsHashes = items.some((item) => hashed.has(item));
  const references = new References(items, keepsHashes);
  const lists = new Map<string, JsonObject[]>();
  for (const item of items) {
    const foreign = [...item.parents].map(([field, parent]) => [field, references.of(parent)]);
    const entity: JsonObject = { ...item.entity, ...Object.fromEntries(foreign) };
    const id = references.assigned(item);
    const list = lists.get(item.kind) ?? [];
    lists.set(item.kind, list);
    const complete = id === null ? entity : { ...entity, id };
    const isPlain = keepsHashes && HASHING.has(item.kind) && !hashed.has(item);
    list.push(isPlain ? await hash(item, complete, references) : complete);
  }
  const kinds = [...registry.entities.keys()].filter((kind) => lists.has(kind));
  return {
    _format_version: '3.0',
    _transform: !keepsHashes,
    ...Object.fromEntries(kinds.map((kind): [string, JsonValue] => [kind, lists.get(kind) ?? []])),
  };
}

/** Kinds of which `_transform` says whether they are hashed when they are loaded. */
const HASHING = new Set(['basicauth_credentials', 'oauth2_credentials']);

/** A document that holds hashes is not hashed again, so what is plain in it is hashed here. */
async function hash(item: Item, entity: JsonObject, references: References): Promise<JsonObject> {
  const consumer = item.parents.get('consumer');
  if (consumer === undefined) return entity;
  const withIds: AnyEntity = { ...entity, id: '', consumer: { id: references.idOf(consumer) } };
  const { derive } = rulesOf(item.kind);
  const derived = derive === undefined ? withIds : await derive(withIds, null);
  const changed = ['password', 'client_secret'].flatMap((name): [string, JsonValue][] => {
    const value = derived[name];
    return value === undefined ? [] : [[name, value]];
  });
  return { ...entity, ...Object.fromEntries(changed) };
}

class References {
  readonly #assigned = new Map<Item, string>();
  readonly #taken = new Set<string>();

  /** @param byId  consumers get an id although they have a name: hashes go with it */
  constructor(items: readonly Item[], byId: boolean) {
    for (const item of items) {
      for (const parent of item.parents.values()) {
        const isSalt = byId && HASHING.has(item.kind) && parent.kind === 'consumers';
        if (isSalt || nameOf(parent) === null) this.#assign(parent);
      }
    }
  }

  /** What a foreign field says: the id, or else the name. */
  of(item: Item): string {
    return idOf(item) ?? this.#assigned.get(item) ?? nameOf(item) ?? '';
  }

  idOf(item: Item): string {
    return idOf(item) ?? this.#assigned.get(item) ?? '';
  }

  /** The id that the source does not give it. */
  assigned(item: Item): string | null {
    return this.#assigned.get(item) ?? null;
  }

  /** The same content gets the same id in every import. */
  #assign(item: Item): void {
    if (idOf(item) !== null || this.#assigned.has(item)) return;
    const parents = [...item.parents].map(([field, parent]) => `${field}=${this.of(parent)}`);
    const what = nameOf(item) ?? `${parents.join(' ')} ${JSON.stringify(item.entity)}`;
    for (let copy = 0; ; copy += 1) {
      const id = uuid5(NAMESPACE, `${item.kind} ${copy} ${what}`);
      if (this.#taken.has(id)) continue;
      this.#taken.add(id);
      this.#assigned.set(item, id);
      return;
    }
  }
}

function idOf({ entity }: Item): string | null {
  return textOf(entity['id']);
}

function nameOf({ definition, entity }: Item): string | null {
  const field = definition === null ? null : nameField(definition);
  return field === null ? null : textOf(entity[field]);
}
