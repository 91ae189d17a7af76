/** How a stored entity is shown. */
import type { EntityDefinition, JsonObject, JsonValue } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import type { Registry } from '#shared/schema/process.ts';

/** A time to live is stored as the moment it ends and shown as the seconds left. */
export function present(
  definition: EntityDefinition,
  entity: AnyEntity,
  _registry: Registry,
  nowSeconds: number,
): JsonObject {
  if (!definition.ttl) return entity;
  const entries: [string, JsonValue][] = Object.entries(entity).filter(
    ([name]) => name !== 'expires_at',
  );
  const expiresAt = entity['expires_at'];
  const ttl =
    typeof expiresAt === 'number' ? Math.max(0, Math.floor(expiresAt - nowSeconds)) : null;
  return Object.fromEntries([...entries, ['ttl', ttl]]);
}
