/** `/` and `/status`: what this node is and how it fares. */
import { HEADGATE_VERSION, KONG_VERSION } from '#shared/base/product.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import type { AdminContext, Endpoint } from '../context.ts';

export function informationEndpoints(): Endpoint[] {
  return [
    {
      path: '/',
      methods: { GET: async (context) => ({ status: 200, body: await root(context) }) },
    },
    {
      path: '/status',
      methods: { GET: async (context) => ({ status: 200, body: await status(context) }) },
    },
  ];
}

async function root(context: AdminContext): Promise<JsonObject> {
  const { information, registry, store } = context;
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
    lua_version: '',
    pids: { master: process.pid, workers: [process.pid] },
    timers: { running: 0, pending: 0 },
    plugins: {
      available_on_server: Object.fromEntries(available),
      enabled_in_cluster: await store.distinct('plugins', 'name', store.defaultWorkspace()),
    },
    configuration: {
      ...information.configuration,
      loaded_plugins: Object.fromEntries(available.map(([name]) => [name, true])),
    },
  };
}

async function status(context: AdminContext): Promise<JsonObject> {
  const memory = process.memoryUsage();
  return {
    database: { reachable: await context.store.isReachable() },
    server: context.information.serverStatus(),
    memory: {
      workers_lua_vms: [{ pid: process.pid, http_allocated_gc: mebibytes(memory.heapUsed) }],
      lua_shared_dicts: {},
    },
  };
}

function mebibytes(bytes: number): string {
  return `${(bytes / 1048576).toFixed(2)} MiB`;
}
