/** What an import reads, and what it says about it. */
import type { EntityDefinition, JsonObject, JsonValue } from '#shared/schema/field.ts';

/** One file, or all that a running Kong answered, as Kong's declarative format or decK's. */
export interface SourceDocument {
  /** File name or URL, for messages. */
  readonly label: string;
  readonly content: JsonObject;
  /** Read from an Admin API: passwords are hashes, and all that is there belongs to Kong itself. */
  readonly isLive: boolean;
}

export type Outcome = 'taken over' | 'changed' | 'not possible';

/** What becomes of one entity of the source. */
export interface Verdict {
  /** `routes`; for what Headgate does not know, the name that the source uses. */
  readonly kind: string;
  /** Says which one it is to a person: its name, or what it belongs to. Never a secret. */
  readonly name: string;
  readonly id: string | null;
  /** Where in the source: `kong.yml: services[0].routes[2]`. */
  readonly at: string;
  readonly outcome: Outcome;
  /** How it differs from the source afterwards. */
  readonly changes: readonly string[];
  /** Why it cannot be. */
  readonly reasons: readonly string[];
  /** What is worth knowing although nothing differs. */
  readonly notes: readonly string[];
}

/** An entity cut loose from the file: its fields, and what it points to as objects. */
export interface Item {
  readonly kind: string;
  /** Null: no such kind here. */
  readonly definition: EntityDefinition | null;
  readonly at: string;
  readonly document: DocumentSettings;
  /** Without children; foreign fields as the source wrote them, but for `parents`. */
  entity: JsonObject;
  /** Foreign field → the entity it was nested in or, once resolved, points to. */
  readonly parents: Map<string, Item>;
  readonly changes: string[];
  readonly reasons: string[];
  readonly notes: string[];
}

/** What a document says of all its entities. */
export interface DocumentSettings {
  readonly label: string;
  readonly isLive: boolean;
  /** Below format 3.0 a path is a regex when it looks like one. */
  readonly hasOldPaths: boolean;
  /** What passwords are; null: not said, so that it is told by their looks. */
  readonly passwords: 'hashed' | 'plain' | null;
  /** decK: given to every entity. */
  readonly selectTags: readonly string[];
  /** decK: by kind, fields that an entity leaves out. */
  readonly defaults: ReadonlyMap<string, JsonObject>;
  /** decK: shared plugin configurations by name. */
  readonly pluginConfigs: ReadonlyMap<string, JsonObject>;
}

export function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function textOf(value: JsonValue | undefined): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}

/** The unique field that names entities of a kind, unless it is a secret. */
export function nameField(definition: EntityDefinition): string | null {
  const { endpoint_key: name } = definition;
  if (name === undefined) return null;
  return definition.fields[name]?.unique === true ? name : null;
}
