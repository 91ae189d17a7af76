/**
 * The definition language: Kong's own schema vocabulary as TypeScript data.
 *
 * An entity, a plugin's configuration, a wire frame and the settings of a process are all written in
 * it, once. Everything else (types, validation, defaults, Admin endpoints, SQL keys, `/schemas/*`) is
 * an interpreter over these objects. Attribute names are Kong's (`kong/db/schema/init.lua`); the few
 * of our own are marked so and never shown in `/schemas/*`.
 */

export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue };

export type JsonObject = { readonly [key: string]: JsonValue };

/** Attributes that a field of any type may carry. */
interface FieldBase {
  readonly required?: boolean;
  readonly unique?: boolean;
  /** Unique over all workspaces, not within one. */
  readonly unique_across_ws?: boolean;
  /** Generated when absent: uuid, timestamp or 32 random characters, by the other attributes. */
  readonly auto?: boolean;
  readonly eq?: JsonValue;
  readonly ne?: JsonValue;
  readonly immutable?: boolean;
  /** May hold a vault reference. */
  readonly referenceable?: boolean;
  /** Kong's mark for "encrypted at rest". */
  readonly encrypted?: boolean;
  /** Not stored: computed on read. */
  readonly transient?: boolean;
  /** Its shape comes from a subschema (`plugins.config`). */
  readonly abstract?: boolean;
  readonly description?: string;
  /** Shown, and nothing more: the field still counts. */
  readonly deprecation?: Deprecation;
  /** Replaces the message of the attribute that failed. */
  readonly err?: string;
  /**
   * Ours. A check that no attribute expresses. Gets a value of the right type, answers `null` when
   * it is fine, else the error text (never with the field's name in it).
   */
  readonly custom_validator?: (value: never) => string | null;
  /**
   * Ours. How a secret is kept. `lookup`: stored as ciphertext plus blind index; a data plane gets a
   * keyed hash (decisions 11 and 12). `sealed`: stored as ciphertext; a data plane gets it sealed.
   */
  readonly secret?: 'lookup' | 'sealed';
}

export interface Deprecation {
  readonly message?: string;
  readonly removal_in_version?: string;
  /** What its default was before, or is. */
  readonly old_default?: JsonValue;
  readonly replaced_with?: readonly { readonly path: readonly string[] }[];
}

/** A Lua pattern, as Kong writes it (`%d`, `%u`, …), with an optional message of its own. */
export interface LuaPattern {
  readonly pattern: string;
  readonly err?: string;
}

export interface StringField extends FieldBase {
  readonly type: 'string';
  readonly default?: string | null;
  readonly uuid?: boolean;
  readonly len_min?: number;
  readonly len_max?: number;
  readonly len_eq?: number;
  readonly one_of?: readonly string[];
  readonly not_one_of?: readonly string[];
  readonly starts_with?: string;
  readonly match?: string;
  readonly not_match?: string;
  /** A regular expression of the operator's: it must compile (`regex/regex.ts`). */
  readonly is_regex?: boolean;
  readonly match_all?: readonly LuaPattern[];
  readonly match_any?: { readonly patterns: readonly string[]; readonly err?: string };
  readonly match_none?: readonly LuaPattern[];
  /**
   * Ours. So many random letters and digits stand in for it when it is absent or null. Kong shows a
   * default in such a place that is another one in every process.
   */
  readonly random_default?: number;
}

export interface NumberField extends FieldBase {
  readonly type: 'number' | 'integer';
  readonly default?: number | null;
  readonly between?: readonly [number, number];
  readonly gt?: number;
  readonly one_of?: readonly number[];
  /** Epoch time; with `auto`, set on writing. */
  readonly timestamp?: boolean;
}

export interface BooleanField extends FieldBase {
  readonly type: 'boolean';
  readonly default?: boolean | null;
}

export interface ListField extends FieldBase {
  readonly type: 'array' | 'set';
  readonly elements: Field;
  readonly default?: readonly JsonValue[] | null;
  readonly len_min?: number;
  readonly len_max?: number;
  readonly len_eq?: number;
  readonly contains?: JsonValue;
  /**
   * Ours. At most `max` members that start so (all do with ''): checking one costs so much (compiling a regex), here
   * and on every data plane, that a body full of them would stall the process.
   */
  readonly costly?: { readonly starts_with: string; readonly max: number };
  readonly mutually_exclusive_subsets?: readonly (readonly string[])[];
}

export interface MapField extends FieldBase {
  readonly type: 'map';
  readonly keys: StringField;
  readonly values: Field;
  readonly default?: JsonObject | null;
  readonly len_min?: number;
  readonly len_max?: number;
}

export interface RecordField extends FieldBase {
  readonly type: 'record';
  readonly fields: Fields;
  readonly default?: JsonObject | null;
  readonly entity_checks?: readonly EntityCheck[];
  readonly shorthand_fields?: Readonly<Record<string, ShorthandField>>;
}

export interface ForeignField extends FieldBase {
  readonly type: 'foreign';
  /** Name of the definition it points to (`services`). */
  readonly reference: string;
  readonly on_delete?: 'cascade' | 'null';
  readonly default?: null;
}

/** Any JSON value. Kong has `json` with a schema; we use it for what is opaque to us. */
export interface JsonField extends FieldBase {
  readonly type: 'json';
  /** Shown, not interpreted: of Kong's WebAssembly filters, which there are none of. */
  readonly json_schema?: JsonObject;
  readonly default?: JsonValue;
}

export type Field =
  | StringField
  | NumberField
  | BooleanField
  | ListField
  | MapField
  | RecordField
  | ForeignField
  | JsonField;

/** Field name → field, in the order they are shown. */
export type Fields = { readonly [name: string]: Field };

/** What a `conditional` check compares a field's value with. */
export type Matcher = Readonly<Partial<StringField & NumberField & ListField>> | Partial<Field>;

/** Cross-field rules, in Kong's shape (`entity_checks`). */
export type EntityCheck =
  | { readonly at_least_one_of: readonly string[] }
  | { readonly only_one_of: readonly string[] }
  | { readonly mutually_required: readonly string[] }
  | { readonly mutually_exclusive: readonly string[] }
  | { readonly distinct: readonly string[] }
  | { readonly conditional: Conditional }
  | { readonly conditional_at_least_one_of: ConditionalAtLeastOneOf }
  | { readonly custom_entity_check: CustomEntityCheck };

export interface Conditional {
  readonly if_field: string;
  readonly if_match: Matcher;
  readonly then_field: string;
  readonly then_match: Matcher;
  readonly then_err?: string;
}

export interface ConditionalAtLeastOneOf {
  readonly if_field: string;
  readonly if_match: Matcher;
  readonly then_at_least_one_of: readonly string[];
  /** `%s` stands for the quoted list of fields. */
  readonly then_err?: string;
  /** Tried when `if_match` does not hold. */
  readonly else_match?: Matcher;
  readonly else_then_at_least_one_of?: readonly string[];
  readonly else_then_err?: string;
}

export interface CustomEntityCheck {
  readonly field_sources: readonly string[];
  readonly run_with_missing_fields?: boolean;
  readonly run_with_invalid_fields?: boolean;
  /**
   * Answers `null`, or an error text (shown under `@entity`), or texts by field name. Absent where
   * Kong's check asks about its own process: then it is only shown.
   */
  readonly fn?: (entity: never) => string | Readonly<Record<string, JsonValue>> | null;
}

/** A write-only or deprecated field that stands for others (`url`, `redis_host`). */
export interface ShorthandField {
  readonly type: Field['type'];
  readonly elements?: Field;
  readonly default?: JsonValue;
  readonly len_min?: number;
  readonly referenceable?: boolean;
  readonly custom_validator?: FieldBase['custom_validator'];
  readonly deprecation?: Deprecation;
  /** Produces the fields it stands for; throws nothing; returns an error text for a bad value. */
  readonly translate: (value: never) => Readonly<Record<string, JsonValue>> | string;
  /** For a deprecated field that is shown again on read: reads it back from the entity's record. */
  readonly translate_backwards?: readonly string[];
}

/** One kind of entity: everything that is true of it, in one object. */
export interface EntityDefinition {
  /** Collection name as in Kong's tables and `/schemas/{name}`: `services`, `keyauth_credentials`. */
  readonly name: string;
  /** Path segment of the collection when it differs from `name` (`key-auths`). */
  readonly admin_api_name?: string;
  /** Path segment under a parent when it differs from the collection's (`key-auth`). */
  readonly admin_api_nested_name?: string;
  /** False: no generated collection at the top level (`targets`). Nested ones still exist. */
  readonly generate_admin_api?: boolean;
  /** The unique field that a path may use instead of the id. */
  readonly endpoint_key?: string;
  /** Fields unique together. */
  readonly cache_key?: readonly string[];
  /** Rows may carry a time to live. */
  readonly ttl?: boolean;
  readonly workspaceable: boolean;
  /**
   * Ours. False: there is no table and no generated path; only `/schemas/{name}` knows it. Such a
   * kind need not have an `id`.
   */
  readonly stored?: boolean;
  /** Ours. False: never sent to data planes. Default true. */
  readonly wire?: boolean;
  /** Ours. The field that decides which shard its record lies in (decision 6). Default `id`. */
  readonly placement?: string;
  readonly fields: Fields;
  readonly entity_checks?: readonly EntityCheck[];
  readonly shorthand_fields?: Readonly<Record<string, ShorthandField>>;
  /**
   * Entities whose shape depends on the value of one field: `routes` on the first of `protocols`,
   * `plugins` on `name`. The registry is handed to `validate`, so entities need not import plugins.
   */
  readonly subschema_key?: string;
  /** Text for a value of it that has no subschema; `%s` stands for the value. */
  readonly subschema_error?: string;
  /** Subschemas known to the definition itself (routes by protocol). */
  readonly subschemas?: Readonly<Record<string, Subschema>>;
  /** Ours. Last step before storing: normalises a valid entity (`targets.target` gets its port). */
  readonly normalize?: (entity: never) => Readonly<Record<string, JsonValue>>;
}

/** Overrides and additions to a definition's fields for one value of its `subschema_key`. */
export interface Subschema {
  readonly name: string;
  readonly fields: Fields;
  readonly entity_checks?: readonly EntityCheck[];
}
