/** `/` and `/status`: what this node is and how it fares. */
import { HEADGATE_VERSION, KONG_VERSION } from '#shared/base/product.ts';
import type { JsonObject, JsonValue } from '#shared/schema/field.ts';
import type { Store } from '../../store/store.ts';
import type { AdminContext, AdminRequest, Endpoint } from '../context.ts';
import { AdminError } from '../errors.ts';

export function informationEndpoints(): Endpoint[] {
  return [
    {
      path: '/',
      area: 'info',
      methods: { GET: async (context) => ({ status: 200, body: await root(context) }) },
    },
    {
      path: '/status',
      area: 'info',
      methods: {
        GET: async (context, request) => ({ status: 200, body: await status(context, request) }),
      },
    },
  ];
}

async function root(context: AdminContext): Promise<JsonObject> {
  const { information, registry } = context;
  const available: [string, JsonObject][] = [...registry.plugins.values()].map((plugin) => [
    plugin.name,
    { version: plugin.version, priority: plugin.priority },
  ]);
  return {
    tagline: 'Welcome to Headgate',
    version: KONG_VERSION,
    edition: 'community',
    headgate_version: HEADGATE_VERSION,
    hostname: information.hostname,
    node_id: information.nodeId,
    cluster_id: information.clusterId,
    lua_version: '',
    pids: { master: process.pid, workers: [process.pid] },
    timers: { running: 0, pending: 0 },
    plugins: {
      available_on_server: Object.fromEntries(available),
      enabled_in_cluster: await enabledPlugins(context),
    },
    configuration: {
      ...information.configuration,
      loaded_plugins: Object.fromEntries(available.map(([name]) => [name, true])),
    },
  };
}

async function status(context: AdminContext, { query }: AdminRequest): Promise<JsonObject> {
  const { heapUsed } = process.memoryUsage();
  const heap = inUnit(heapUsed, query.get('unit') ?? 'm', query.get('scale') ?? '2');
  return {
    database: { reachable: await isReachable(context.store) },
    server: context.information.serverStatus(),
    memory: {
      workers_lua_vms: [{ pid: process.pid, http_allocated_gc: heap }],
      lua_shared_dicts: {},
    },
  };
}

/** Names of the plugins that are configured somewhere. */
async function enabledPlugins({ store }: AdminContext): Promise<string[]> {
  const { rows } = await store.db.query<{ name: string }>(
    "SELECT DISTINCT doc->>'name' AS name FROM plugins ORDER BY name",
  );
  return rows.map(({ name }) => name);
}

async function isReachable(store: Store): Promise<boolean> {
  try {
    await store.db.query('SELECT 1');
    return true;
  } catch {
    return false; // What is asked is just whether it answers.
  }
}

const UNITS: ReadonlyMap<string, { readonly bytes: number; readonly name: string }> = new Map([
  ['k', { bytes: 1024, name: 'KiB' }],
  ['m', { bytes: 1024 ** 2, name: 'MiB' }],
  ['g', { bytes: 1024 ** 3, name: 'GiB' }],
]);

/** `1.50 MiB`, or a number of bytes. Source: Kong `kong/tools/string.lua`, bytes_to_str */
function inUnit(bytes: number, unit: string, scale: string): JsonValue {
  if (unit.toLowerCase() === 'b') return bytes;
  const known = UNITS.get(unit.toLowerCase());
  if (known === undefined) {
    const message = `invalid unit '${unit}' (expected 'b', 'k', 'm' or 'g')`;
    throw new AdminError(400, { message });
  }
  if (!/^\d{1,2}$/.test(scale)) {
    throw new AdminError(400, { message: `invalid scale '${scale}' (expected 0 to 99)` });
  }
  return `${(bytes / known.bytes).toFixed(Number(scale))} ${known.name}`;
}
