/**
 * The wire shape of an entity (decision 5): the one function through which anything of the store gets
 * to data planes. What it does not pass on, no data plane ever holds.
 */
import { assert } from '#shared/base/assert.ts';
import { makeRecord, type ConfigRecord } from '#shared/config/record.ts';
import { groupPepper, lookupHash } from '#shared/config/secrets.ts';
import type { Crypto } from '#shared/platform/platform.ts';
import type { EntityDefinition, JsonObject, JsonValue } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import type { Registry } from '#shared/schema/plugin-definition.ts';
import { replaceSecrets } from '#shared/schema/secret-leaves.ts';
import { shapeOf } from '#shared/schema/subschema.ts';
import { fieldOf, type RecordShape } from '#shared/schema/validate.ts';

/** Schema levels this release writes. A level is a named, fixed down-conversion; so far there is one. */
export const LEVEL = 1;

/** Placement of plugins in force everywhere in a workspace: one place for all of them. */
const GLOBAL_PLACEMENT = 'global';

/** A group's keys as records need them. */
export interface GroupKeys {
  /** Hashes look-up secrets; rotates with the group's secret. */
  readonly pepper: Uint8Array;
  /** Decides where a credential lies in the tree; never rotates, so the tree keeps its shape. */
  readonly placementKey: Uint8Array;
}

/** Generation whose secret is only used for placement, and never rotated. */
export const PLACEMENT_GENERATION = 0;

/**
 * @param secrets  the group's secret of `generation`, and that of `PLACEMENT_GENERATION`
 */
export function groupKeys(
  secrets: {
    readonly secret: Uint8Array;
    readonly generation: number;
    readonly placement: Uint8Array;
  },
  crypto: Crypto,
): GroupKeys {
  return {
    pepper: groupPepper(secrets.secret, secrets.generation, crypto),
    placementKey: crypto.hmac(secrets.placement, 'headgate-placement-v1'),
  };
}

/** Whether entities of this kind are sent at all. */
export function isWired(def: EntityDefinition): boolean {
  return def.wire !== false;
}

export interface WirePlace {
  /** Workspace id. */
  readonly ws: string;
  readonly keys: GroupKeys;
  /** A schema level; only `LEVEL` exists. */
  readonly level: number;
  /** Where the shape of a plugin's configuration is found. */
  readonly registry: Registry;
}

/**
 * @throws CanonicalError when the entity has no canonical text (refused when written)
 */
export function toWire(
  def: EntityDefinition,
  entity: AnyEntity,
  place: WirePlace,
  crypto: Crypto,
): ConfigRecord {
  assert(isWired(def), `${def.name} is never sent`);
  assert(place.level === LEVEL, `unknown schema level ${place.level}`);
  const { ws, keys, registry } = place;
  const hash: Hash = (key, value) => lookupHash(key, { kind: def.name, ws, value }, crypto);
  const body = hideSecrets(shapeOf(def, entity, registry), entity, (value) =>
    hash(keys.pepper, value),
  );
  const placement = placementOf(def, entity, (value) => hash(keys.placementKey, value));
  return makeRecord(
    { kind: def.name, ws, id: entity.id, placement },
    { ...body, id: entity.id },
    crypto,
  );
}

type Hash = (key: Uint8Array, value: string) => string;

/**
 * Look-up secrets become their hash; what is to be sealed is null until sealing exists, at any depth,
 * and so is what no shape describes.
 */
function hideSecrets(
  shape: RecordShape,
  entity: JsonObject,
  hash: (value: string) => string,
): JsonObject {
  const shown: Record<string, JsonValue> = {};
  for (const name of Object.keys(shape.fields)) {
    const field = fieldOf(shape, name);
    if (field?.transient === true || !Object.hasOwn(entity, name)) continue;
    shown[name] = replaceSecrets(field, entity[name] ?? null, (value, kind) =>
      kind === 'lookup' && typeof value === 'string' ? hash(value) : null,
    );
  }
  // `ttl` of credentials is no field of the definition: it travels as the time of expiry.
  if (Object.hasOwn(entity, 'expires_at')) shown['expires_at'] = entity['expires_at'] ?? null;
  return shown;
}

/** Where the record lies: with what it is looked up by, or looked up with (decision 6). */
function placementOf(
  def: EntityDefinition,
  entity: AnyEntity,
  hash: (value: string) => string,
): string {
  if (def.name === 'plugins') return scopeOf(entity);
  const name = def.placement ?? lookupField(def) ?? 'id';
  const value = entity[name] ?? null;
  if (typeof value === 'string') return def.fields[name]?.secret === 'lookup' ? hash(value) : value;
  return foreignId(value) ?? entity.id;
}

function lookupField(def: EntityDefinition): string | undefined {
  return Object.entries(def.fields).find(([, field]) => field.secret === 'lookup')?.[0];
}

function scopeOf(plugin: AnyEntity): string {
  for (const scope of ['route', 'service', 'consumer']) {
    const id = foreignId(plugin[scope] ?? null);
    if (id !== null) return id;
  }
  return GLOBAL_PLACEMENT;
}

function foreignId(value: JsonValue): string | null {
  if (!isObject(value)) return null;
  const id = value['id'];
  return typeof id === 'string' ? id : null;
}

function isObject(value: JsonValue): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
