/**
 * Time to live. The Admin API speaks of `ttl`, seconds left; what is stored and sent is `expires_at`,
 * epoch seconds, so that it means the same whenever it is read.
 */
import type { EntityDefinition, JsonObject, JsonValue } from './field.ts';
import type { Violations } from './violations.ts';

/** Longest time to live, in seconds. Source: Kong `kong/constants.lua`, DAO_MAX_TTL */
export const TTL_MAX = 100_000_000;

/**
 * Whole seconds an entity has left, never negative; null when it lives for ever. Always below the
 * `ttl` it was written with, as clients of Kong expect (they see 9 right after writing 10).
 */
export function secondsLeft(expiresAt: JsonValue, nowSeconds: number): number | null {
  if (typeof expiresAt !== 'number') return null;
  return Math.max(0, Math.ceil(expiresAt - nowSeconds) - 1);
}

/** Why a `ttl` is refused (Kong: code 11, `invalid option (ttl: …)`); null when it is fine. */
export function ttlError(ttl: unknown): string | null {
  if (ttl === null || ttl === undefined) return null;
  const isFine = Number.isInteger(ttl) && Number(ttl) >= 0 && Number(ttl) <= TTL_MAX;
  return isFine ? null : `must be an integer between 0 and ${TTL_MAX}`;
}

export type Expiry =
  | { readonly ok: true; readonly expiresAt: number | null }
  | { readonly ok: false; readonly violations: Violations };

/** When an entity written with `input` ends: without a `ttl`, as `current` does. */
export function expiryOf(
  def: EntityDefinition,
  input: JsonObject,
  current: JsonObject | null,
  nowSeconds: number,
): Expiry {
  if (def.ttl !== true) return { ok: true, expiresAt: null };
  const ttl = input['ttl'] ?? null;
  const error = ttlError(ttl);
  if (error !== null) return { ok: false, violations: { ttl: error } };
  if (ttl === null) {
    const kept = current?.['expires_at'];
    return { ok: true, expiresAt: typeof kept === 'number' ? kept : null };
  }
  // Milliseconds are enough, and keep the number short.
  const expiresAt = ttl === 0 ? null : Math.round((nowSeconds + Number(ttl)) * 1000) / 1000;
  return { ok: true, expiresAt };
}

/** The fields that the definition names. */
export function withoutExpiry(def: EntityDefinition, entity: JsonObject): JsonObject {
  if (def.ttl !== true) return entity;
  const { expires_at: _, ...rest } = entity;
  return rest;
}

/** Whether a stored entity's `expires_at` can be one; absent counts as "never". */
export function isExpiry(value: JsonValue | undefined): boolean {
  return value === undefined || value === null || (typeof value === 'number' && value > 0);
}
