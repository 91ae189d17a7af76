/** Whether a plugin can ever run where it is put: its protocols against those of the routes there. */
import { must } from '#shared/base/assert.ts';
import type { EntityDefinition, JsonValue } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import { foreignId } from '../store/sql.ts';
import type { Page, Reader } from '../store/store.ts';

const PAGE_SIZE = 1000;

/**
 * Kong's text when they do not meet, else null. A service without routes accepts anything.
 *
 * Source: Kong `kong/db/dao/plugins.lua`, check_protocols_match
 */
export async function protocolsError(
  reader: Reader,
  entities: ReadonlyMap<string, EntityDefinition>,
  ws: string,
  plugin: AnyEntity,
): Promise<string | null> {
  const routes = must(entities.get('routes'), 'routes are defined');
  const routeId = foreignId(plugin['route']);
  if (routeId !== null) {
    const route = await reader.get(routes, ws, routeId);
    return route === null || meet(plugin, route)
      ? null
      : "must match the associated route's protocols";
  }
  const serviceId = foreignId(plugin['service']);
  if (serviceId === null) return null;
  let after: string | null = null;
  let hasRoutes = false;
  do {
    const where = { field: 'service', id: serviceId };
    const page: Page = await reader.list(routes, ws, { size: PAGE_SIZE, after, where });
    if (page.rows.some((route) => meet(plugin, route))) return null;
    hasRoutes ||= page.rows.length > 0;
    after = page.next;
  } while (after !== null);
  return hasRoutes
    ? "must match the protocols of at least one route pointing to this Plugin's service"
    : null;
}

function meet(plugin: AnyEntity, route: AnyEntity): boolean {
  const theirs = new Set(listOf(route['protocols']));
  return listOf(plugin['protocols']).some((protocol) => theirs.has(protocol));
}

function listOf(value: JsonValue | undefined): readonly JsonValue[] {
  return Array.isArray(value) ? value : [];
}
