/**
 * From nested documents to a flat list of entities. Kong's format and decK's both put entities in
 * one another; what an entity holds under the name of a kind that can point to it is its children.
 *
 * Source: Kong `kong/db/schema/others/declarative_config.lua`; go-database-reconciler `pkg/file`
 */
import type { EntityDefinition, JsonObject, JsonValue } from '#shared/schema/field.ts';
import type { Registry } from '#shared/schema/plugin-definition.ts';
import { childKinds, type ChildKind, declarableKinds } from '../declarative/kinds.ts';
import { type DocumentSettings, isObject, type Item, type SourceDocument } from './document.ts';
import { settingsOf, SourceError } from './settings.ts';

/** Kong's own bookkeeping, which says nothing about the configuration. */
const NO_CONFIGURATION = new Set(['tags', 'parameters', 'clustering_data_planes']);

/** Notes of the author, in any entity. */
const REMARKS = new Set(['_comment', '_ignore']);

/** decK: the groups that a consumer is in. */
const GROUPS = 'groups';

/** @throws SourceError  the document is not what it says it is */
export function flatten(documents: readonly SourceDocument[], registry: Registry): Item[] {
  const flattening = new Flattening(registry);
  for (const document of documents) flattening.add(document);
  return flattening.items;
}

class Flattening {
  readonly items: Item[] = [];
  readonly #kinds: ReadonlyMap<string, EntityDefinition>;
  readonly #children: ReadonlyMap<string, ReadonlyMap<string, ChildKind>>;

  constructor(registry: Registry) {
    const kinds = declarableKinds(registry.entities);
    this.#kinds = new Map(kinds.map((definition) => [definition.name, definition]));
    this.#children = new Map(kinds.map((kind) => [kind.name, childKinds(kind, kinds)]));
  }

  add(document: SourceDocument): void {
    const settings = settingsOf(document);
    for (const [kind, list] of Object.entries(document.content)) {
      if (kind.startsWith('_') || NO_CONFIGURATION.has(kind)) continue;
      if (kind === 'workspaces' && isOnlyDefault(list)) continue;
      this.#addList(settings, kind, list, `${document.label}: ${kind}`, null);
    }
  }

  #addList(
    settings: DocumentSettings,
    kind: string,
    list: JsonValue,
    at: string,
    parent: Item | null,
  ): void {
    // An empty table of Lua may be either.
    if (list === null || (isObject(list) && Object.keys(list).length === 0)) return;
    if (!Array.isArray(list)) throw new SourceError(`${at} must be a list`);
    for (const [index, entry] of list.entries()) {
      this.#addEntry(settings, kind, entry, `${at}[${index}]`, parent);
    }
  }

  #addEntry(
    settings: DocumentSettings,
    kind: string,
    entry: JsonValue,
    at: string,
    parent: Item | null,
  ): void {
    const definition = this.#kinds.get(kind) ?? null;
    const given = isObject(entry) ? entry : nameOnly(definition, entry);
    if (given === null) throw new SourceError(`${at} must be a map of fields`);
    const item: Item = {
      kind,
      definition,
      at,
      document: settings,
      entity: {},
      parents: new Map(),
      changes: [],
      reasons: [],
      notes: [],
    };
    this.items.push(item);
    if (parent !== null) item.parents.set(this.#fieldFor(parent.kind, kind), parent);
    const own: [string, JsonValue][] = [];
    for (const [name, value] of Object.entries(given)) {
      if (REMARKS.has(name)) continue;
      const child = definition === null ? null : this.#childKind(definition, name, value);
      if (child === null) own.push([name, value]);
      // What a live Kong shows of an entity's children is listed by itself as well.
      else if (!settings.isLive) {
        this.#addList(settings, child, value, `${at}.${name}`, item);
      }
    }
    item.entity = Object.fromEntries(own);
  }

  #fieldFor(parent: string, child: string): string {
    return this.#children.get(parent)?.get(child)?.field ?? parent.replace(/s$/, '');
  }

  /** The kind of what a field holds when it holds entities, else null. */
  #childKind(definition: EntityDefinition, name: string, value: JsonValue): string | null {
    if (this.#children.get(definition.name)?.has(name) === true) return name;
    if (Object.hasOwn(definition.fields, name)) return null;
    if (definition.name === 'plugins' || !Array.isArray(value) || value.length === 0) return null;
    if (definition.name === 'consumers' && name === GROUPS) return 'consumer_group_consumers';
    return value.every((entry: JsonValue) => isObject(entry)) ? name : null;
  }
}

export function foreignFields(definition: EntityDefinition) {
  return Object.entries(definition.fields).flatMap(([name, field]) =>
    field.type === 'foreign' ? [[name, field] as const] : [],
  );
}

/** Some lists name their entities only: SNIs of a certificate, groups of a consumer. */
function nameOnly(definition: EntityDefinition | null, entry: JsonValue): JsonObject | null {
  if (typeof entry !== 'string') return null;
  return { [definition?.endpoint_key ?? 'name']: entry };
}

function isOnlyDefault(list: JsonValue): boolean {
  if (!Array.isArray(list)) return false;
  return list.every((entry: JsonValue) => isObject(entry) && entry['name'] === 'default');
}
