/** `/clustering/*`: the data planes, and what is done to their identities. */
import { isUuid } from '#shared/schema/attributes.ts';
import type { AdminContext, AdminRequest, AdminResponse, Endpoint } from '../context.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import { readSwitch } from '../commit.ts';
import { invalidOption, notFound } from '../errors.ts';
import { encodeOffset, pageQuery } from '../pagination.ts';

export function clusteringEndpoints(): Endpoint[] {
  return [
    { path: '/clustering/data-planes', area: 'cluster', methods: { GET: dataPlanes } },
    {
      path: '/clustering/data-planes/:0',
      area: 'cluster',
      parameters: ['clustering_data_planes'],
      methods: { GET: dataPlane, DELETE: revoke },
    },
    { path: '/clustering/status', area: 'cluster', methods: { GET: status } },
    {
      path: '/clustering/data-planes/:0/unlock',
      area: 'cluster',
      parameters: ['clustering_data_planes'],
      methods: { POST: unlock },
    },
    {
      path: '/clustering/data-planes/:0/rotate-key',
      area: 'cluster',
      parameters: ['clustering_data_planes'],
      methods: { POST: rotateKey },
    },
    {
      path: '/clustering/groups/:0/rotate-secret',
      area: 'cluster',
      parameters: ['groups'],
      methods: { POST: rotateSecret },
    },
    {
      path: '/clustering/groups/:0/boot-key',
      area: 'cluster',
      parameters: ['groups'],
      methods: { POST: bootKey },
    },
  ];
}

const PATH = '/clustering/data-planes';

/** Rows of `/clustering/status`, which has no pages. */
const STATUS_MAX = 10_000;

/** In order of id, as all collections. */
async function dataPlanes(context: AdminContext, request: AdminRequest): Promise<AdminResponse> {
  const { size, after } = pageQuery(request.query, false);
  const filter = filterOf(request.query);
  const rows = await context.nodes.list({ size: size + 1, after, ...filter });
  const data = rows.slice(0, size);
  const last = data.at(-1);
  if (rows.length <= size || last === undefined) return { status: 200, body: { data, next: null } };
  const offset = encodeOffset(idOf(last));
  const kept = [...request.query].filter(([name]) => FILTERS.has(name));
  const next = `${PATH}?${new URLSearchParams([...kept, ['offset', offset]])}`;
  return { status: 200, body: { data, next, offset } };
}

const FILTERS: ReadonlySet<string> = new Set(['group', 'connected', 'labels']);

function filterOf(query: URLSearchParams) {
  const isConnected = query.has('connected') ? readSwitch(query, 'connected') : null;
  return { group: query.get('group'), isConnected, labels: labelsOf(query.get('labels')) };
}

/** `key:value,key:value`, as data planes are given theirs. */
function labelsOf(text: string | null): Record<string, string> {
  if (text === null) return {};
  const pairs = text.split(',').map((pair): [string, string] => {
    const colon = pair.indexOf(':');
    if (colon < 1 || text.includes('\0')) throw invalidOption('labels', "expected 'key:value,…'");
    return [pair.slice(0, colon), pair.slice(colon + 1)];
  });
  return Object.fromEntries(pairs);
}

async function dataPlane(context: AdminContext, request: AdminRequest): Promise<AdminResponse> {
  const [found] = await context.nodes.list({ size: 1, after: null, id: nodeOf(request) });
  if (found === undefined) throw notFound();
  return { status: 200, body: found };
}

function idOf(node: JsonObject): string {
  return String(node['id']);
}

/** Kong's older list, by id. */
async function status(context: AdminContext): Promise<AdminResponse> {
  const all = await context.nodes.list({ size: STATUS_MAX, after: null });
  const nodes = all.map((node): [string, JsonObject] => {
    const { config_hash = null, hostname = null, ip = null, last_seen = null } = node;
    return [idOf(node), { config_hash, hostname, ip, last_seen }];
  });
  return { status: 200, body: Object.fromEntries(nodes), headers: { Deprecation: 'true' } };
}

/**
 * Revokes a node's identity: its session ends, it can never come back with that key, and its group gets
 * another secret. The answer names what it held.
 */
async function revoke(context: AdminContext, request: AdminRequest): Promise<AdminResponse> {
  const revocation = await context.identities.revoke(nodeOf(request));
  if (revocation === null) throw notFound();
  const { node, group, secretGeneration, secrets } = revocation;
  const named = secrets.named.map(({ kind, ws, id }) => ({ kind, workspace: ws, id }));
  const held = { count: secrets.count, named };
  return {
    status: 200,
    body: { id: node, group, secret_generation: secretGeneration, secrets: held },
  };
}

/** Takes back what is held against a node's identity. */
async function unlock(context: AdminContext, request: AdminRequest): Promise<AdminResponse> {
  if (!(await context.identities.unlock(nodeOf(request)))) throw notFound();
  return { status: 204, body: null };
}

/** Asks the node for another key; who it is stays the same. */
async function rotateKey(context: AdminContext, request: AdminRequest): Promise<AdminResponse> {
  if (!(await context.identities.renewKey(nodeOf(request)))) throw notFound();
  return { status: 204, body: null };
}

async function rotateSecret(context: AdminContext, request: AdminRequest): Promise<AdminResponse> {
  const rotated = await context.identities.rotateSecret(request.params[0] ?? '');
  if (rotated === null) throw notFound();
  return { status: 200, body: rotated };
}

async function bootKey(context: AdminContext, request: AdminRequest): Promise<AdminResponse> {
  const key = await context.bootKeys.of(request.params[0] ?? '');
  if (key === null) throw notFound();
  // A proxy or a browser must not keep a secret.
  return { status: 200, body: key, headers: { 'Cache-Control': 'no-store' } };
}

function nodeOf({ params }: AdminRequest): string {
  const id = params[0] ?? '';
  if (!isUuid(id)) throw notFound();
  return id.toLowerCase();
}
