/** `/` and `/status`: what this node is and how it fares. */
import { HEADGATE_VERSION, KONG_VERSION } from '#shared/base/product.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import type { Store } from '../../store/store.ts';
import type { AdminContext, Endpoint } from '../context.ts';

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
      methods: { GET: async (context) => ({ status: 200, body: await status(context) }) },
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

async function status(context: AdminContext): Promise<JsonObject> {
  const memory = process.memoryUsage();
  return {
    database: { reachable: await isReachable(context.store) },
    server: context.information.serverStatus(),
    memory: {
      workers_lua_vms: [{ pid: process.pid, http_allocated_gc: mebibytes(memory.heapUsed) }],
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

function mebibytes(bytes: number): string {
  return `${(bytes / 1048576).toFixed(2)} MiB`;
}
