/** `/clustering/*`: the data planes, and the tokens by which they join. */
import { isUuid } from '#shared/schema/attributes.ts';
import { defineFields } from '#shared/schema/infer.ts';
import { parseRecord } from '#shared/schema/parse.ts';
import { readArguments } from '../arguments.ts';
import type { AdminContext, AdminRequest, AdminResponse, Endpoint } from '../context.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import { notFound, schemaViolation } from '../errors.ts';
import { encodeOffset, pageQuery } from '../pagination.ts';

/** Body of `POST /clustering/join-tokens`. */
export const JOIN_TOKEN_REQUEST = defineFields({
  group: {
    type: 'string',
    required: true,
    default: 'default',
    description: 'Group that nodes joining with this token belong to.',
  },
  ttl: {
    type: 'integer',
    required: true,
    default: 900,
    between: [60, 86400],
    description: 'Seconds until the token expires.',
  },
  uses: {
    type: 'integer',
    required: true,
    default: 1,
    between: [1, 1000],
    description: 'How many nodes may join with it.',
  },
});

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
    { path: '/clustering/join-tokens', area: 'cluster', methods: { POST: mint } },
  ];
}

const PATH = '/clustering/data-planes';

/** In order of id, as all collections. */
async function dataPlanes(context: AdminContext, request: AdminRequest): Promise<AdminResponse> {
  const { size, after } = pageQuery(request.query, false);
  const nodes = (await context.nodes.list()).toSorted((a, b) => (idOf(a) < idOf(b) ? -1 : 1));
  const rest = after === null ? nodes : nodes.filter((node) => idOf(node) > after);
  const data = rest.slice(0, size);
  const last = data.at(-1);
  if (rest.length <= size || last === undefined) return { status: 200, body: { data, next: null } };
  const offset = encodeOffset(idOf(last));
  const next = `${PATH}?${new URLSearchParams({ offset })}`;
  return { status: 200, body: { data, next, offset } };
}

async function dataPlane(context: AdminContext, request: AdminRequest): Promise<AdminResponse> {
  const id = (request.params[0] ?? '').toLowerCase();
  const found = (await context.nodes.list()).find((node) => node['id'] === id);
  if (found === undefined) throw notFound();
  return { status: 200, body: found };
}

function idOf(node: JsonObject): string {
  return String(node['id']);
}

/** Kong's older list, by id. */
async function status(context: AdminContext): Promise<AdminResponse> {
  const nodes = (await context.nodes.list()).map((node): [string, JsonObject] => {
    const { config_hash = null, hostname = null, ip = null, last_seen = null } = node;
    return [idOf(node), { config_hash, hostname, ip, last_seen }];
  });
  return { status: 200, body: Object.fromEntries(nodes), headers: { Deprecation: 'true' } };
}

/** Revokes a node's identity: its session ends, and it can never come back with that key. */
async function revoke(context: AdminContext, request: AdminRequest): Promise<AdminResponse> {
  const id = request.params[0] ?? '';
  if (!isUuid(id) || !(await context.nodes.revoke(id.toLowerCase()))) throw notFound();
  return { status: 204, body: null };
}

async function mint(context: AdminContext, request: AdminRequest): Promise<AdminResponse> {
  const fieldOf = (name: string) =>
    Object.entries(JOIN_TOKEN_REQUEST).find(([key]) => key === name)?.[1] ?? null;
  const input = await readArguments(request.raw, context.bodyMax, fieldOf);
  const parsed = parseRecord(JOIN_TOKEN_REQUEST, input);
  if (!parsed.ok) throw schemaViolation(parsed.violations);
  const { group, ttl, uses } = parsed.value;
  const minted = await context.nodes.mintJoinToken({
    group,
    ttlSeconds: ttl,
    uses,
    actor: request.actor.name,
  });
  if (minted === null) throw schemaViolation({ group: `no group named '${group}'` });
  const { id, token, expiresAt } = minted;
  return { status: 201, body: { id, token, group, uses, expires_at: expiresAt } };
}
