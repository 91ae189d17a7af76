/**
 * Ids of entities that a configuration gives none: the same from one import to the next. Where Kong
 * makes them of the entity's key they are Kong's; otherwise a keyed hash of all that was given, which
 * does not tell what secrets are in it.
 *
 * Source: Kong `kong/db/schema/others/declarative_config.lua`, get_key_for_uuid_gen
 */
import { createHmac } from 'node:crypto';
import { uuid5 } from '#shared/router/uuid5.ts';
import type { EntityDefinition, JsonObject, JsonValue } from '#shared/schema/field.ts';
import { isPlainObject } from '#shared/schema/validate.ts';

/** Kong's namespace; those of the kinds are made in it. */
const NAMESPACE = 'fd02801f-0957-4a15-a55a-c8d9606f30b5';
/** Kong's for "whatever workspace". */
const ANY_WORKSPACE = '*';

export interface ParentId {
  /** The child's foreign field. */
  readonly field: string;
  readonly id: string;
}

export class IdMaker {
  readonly #key: Uint8Array;
  readonly #namespaces = new Map<string, string>();
  /** How often the same content has come by: entities may well be equal. */
  readonly #seen = new Map<string, number>();

  /** @param key  secret, and the same on every control plane */
  constructor(key: Uint8Array) {
    this.#key = key;
  }

  make(definition: EntityDefinition, input: JsonObject, parent: ParentId | null): string {
    const name = nameOf(definition, input, parent);
    if (name === null) return this.#hashed(definition, input, parent);
    const { name: kind } = definition;
    const namespace = this.#namespaces.get(kind) ?? uuid5(NAMESPACE, kind);
    this.#namespaces.set(kind, namespace);
    return uuid5(namespace, name);
  }

  #hashed({ name }: EntityDefinition, input: JsonObject, parent: ParentId | null): string {
    const content = JSON.stringify([name, parent?.id ?? null, sorted(input)]);
    const count = this.#seen.get(content) ?? 0;
    this.#seen.set(content, count + 1);
    const bytes = createHmac('sha256', this.#key)
      .update(`config-id\n${count}\n${content}`)
      .digest();
    // RFC 9562, section 5.8: the bits are our own business.
    bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x80, 6);
    bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
    const hex = bytes.toString('hex').slice(0, 32);
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  }
}

/** What Kong makes the id of; null where it takes a random one. */
function nameOf(
  definition: EntityDefinition,
  input: JsonObject,
  parent: ParentId | null,
): string | null {
  const { cache_key: cacheKey, endpoint_key: endpointKey, fields } = definition;
  if (cacheKey !== undefined) return cacheKeyName(definition, cacheKey, input, parent);
  if (endpointKey === undefined) return null;
  const value = input[endpointKey];
  if (typeof value !== 'string' || fields[endpointKey]?.unique !== true) return null;
  return value;
}

function cacheKeyName(
  { name, fields }: EntityDefinition,
  cacheKey: readonly string[],
  input: JsonObject,
  parent: ParentId | null,
): string | null {
  const parts = [name, ANY_WORKSPACE];
  for (const field of cacheKey) {
    if (fields[field]?.auto === true) return null;
    const value = textOf(input[field]);
    if (value !== null) parts.push(value);
    else if (parent?.field === field) parts.push(parent.id);
    else if (fields[field]?.required === true) return null;
    else parts.push('');
  }
  return parts.join(':');
}

/** A text, or what a reference names. */
function textOf(value: JsonValue | undefined): string | null {
  if (typeof value === 'string') return value;
  if (!isPlainObject(value)) return null;
  const named = Object.values(value).find((member) => typeof member === 'string');
  return typeof named === 'string' ? named : null;
}

function sorted(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map((member: JsonValue) => sorted(member));
  if (!isPlainObject(value)) return value;
  const entries = Object.entries(value as JsonObject).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return entries.map(([name, member]) => [name, sorted(member)]);
}
