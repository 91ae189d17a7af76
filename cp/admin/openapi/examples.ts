/** Entities to begin with, one per kind: shown in the document, and taken by the API as they are. */
import type { JsonObject } from '#shared/schema/field.ts';
import type { SchemaUse } from '#shared/schema/to-json-schema.ts';

/** By kind. */
export const EXAMPLES: Readonly<Record<string, JsonObject>> = {
  workspaces: { name: 'team-a' },
  services: { name: 'orders', url: 'http://orders.internal:8080' },
  routes: { name: 'orders', hosts: ['api.example.com'], paths: ['/orders'] },
  consumers: { username: 'alice' },
  plugins: { name: 'rate-limiting', config: { minute: 60, policy: 'local' } },
  upstreams: { name: 'orders.internal', algorithm: 'round-robin' },
  targets: { target: '10.0.0.7:8080', weight: 100 },
  keyauth_credentials: { consumer: { username: 'alice' }, key: 'a-secret-of-alice' },
};

/** Something small that a PATCH may say. */
const CHANGE: JsonObject = { tags: ['team-a'] };

export function exampleOf(kind: string, use: SchemaUse): JsonObject | null {
  if (use === 'changed') return kind === 'workspaces' ? null : CHANGE;
  return EXAMPLES[kind] ?? null;
}
