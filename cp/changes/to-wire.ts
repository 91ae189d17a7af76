/**
 * The wire shape of an entity (decision 5): the one function through which anything of the store gets
 * to data planes. What it does not pass on, no data plane ever holds.
 */
import { assert } from '#shared/base/assert.ts';
import { makeRecord, type ConfigRecord } from '#shared/config/record.ts';
import {
  sealingKey,
  sealSecrets,
  type SealingGroup,
  type SealingKey,
} from '#shared/config/sealed-secrets.ts';
import { groupPepper, lookupHash } from '#shared/config/secrets.ts';
import type { Crypto } from '#shared/platform/platform.ts';
import type { EntityDefinition, JsonObject, JsonValue } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import type { Registry } from '#shared/schema/plugin-definition.ts';
import { replaceSecrets, type ReplaceSecret } from '#shared/schema/secret-leaves.ts';
import { shapeOf } from '#shared/schema/subschema.ts';
import { fieldOf, type RecordShape } from '#shared/schema/validate.ts';

/** Placement of plugins in force everywhere in a workspace: one place for all of them. */
const GLOBAL_PLACEMENT = 'global';

/** A group's keys as records need them. */
export interface GroupKeys {
  /** Seals what data planes need as it is; rotates with the group's secret. */
  readonly sealing: SealingKey;
  /** Hashes look-up secrets; rotates with the group's secret. */
  readonly pepper: Uint8Array;
  /** Decides where a credential lies in the tree; never rotates, so the tree keeps its shape. */
  readonly placementKey: Uint8Array;
}

/** Generation whose secret is only used for placement, and never rotated. */
export const PLACEMENT_GENERATION = 0;

/**
 * @param secrets  the group's secret of its generation, and that of `PLACEMENT_GENERATION`
 */
export async function groupKeys(
  group: SealingGroup,
  secrets: { readonly secret: Uint8Array; readonly placement: Uint8Array },
  crypto: Crypto,
): Promise<GroupKeys> {
  return {
    sealing: await sealingKey(secrets.secret, group, crypto),
    pepper: groupPepper(secrets.secret, group.generation, crypto),
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
  /** Where the shape of a plugin's configuration is found. */
  readonly registry: Registry;
}

/**
 * The entity's record and, when it has secrets that data planes need as they are, the one in which
 * they are sealed.
 *
 * @throws CanonicalError when the entity has no canonical text (refused when written)
 */
export async function toWire(
  def: EntityDefinition,
  entity: AnyEntity,
  place: WirePlace,
  crypto: Crypto,
): Promise<readonly [ConfigRecord] | readonly [ConfigRecord, ConfigRecord]> {
  assert(isWired(def), `${def.name} is never sent`);
  const { ws, keys, registry } = place;
  const hash: Hash = (key, value) => lookupHash(key, { kind: def.name, ws, value }, crypto);
  const { body, sealed } = splitSecrets(shapeOf(def, entity, registry), entity, (value) =>
    hash(keys.pepper, value),
  );
  const placement = placementOf(def, entity, (value) => hash(keys.placementKey, value));
  const record = makeRecord(
    { kind: def.name, ws, id: entity.id, placement },
    { ...body, id: entity.id },
    crypto,
  );
  if (Object.keys(sealed).length === 0) return [record];
  return [record, await sealSecrets(record, sealed, keys.sealing, crypto)];
}

type Hash = (key: Uint8Array, value: string) => string;

/**
 * Look-up secrets become their hash; what is to be sealed is taken out, at any depth, and so is what
 * no shape describes.
 */
function splitSecrets(
  shape: RecordShape,
  entity: JsonObject,
  hash: (value: string) => string,
): { readonly body: JsonObject; readonly sealed: JsonObject } {
  const shown: Record<string, JsonValue> = {};
  const sealed: Record<string, JsonValue> = {};
  const replace: ReplaceSecret = (value, kind, pointer) => {
    if (kind === 'lookup' && typeof value === 'string') return hash(value);
    sealed[pointer] = value;
    return null;
  };
  for (const name of Object.keys(shape.fields)) {
    const field = fieldOf(shape, name);
    if (field?.transient === true || !Object.hasOwn(entity, name)) continue;
    shown[name] = replaceSecrets(field, entity[name] ?? null, replace, `/${name}`);
  }
  // `ttl` of credentials is no field of the definition: it travels as the time of expiry.
  if (Object.hasOwn(entity, 'expires_at')) shown['expires_at'] = entity['expires_at'] ?? null;
  return { body: shown, sealed };
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
