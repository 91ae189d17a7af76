/** `/clustering/join-tokens`: by what data planes join. A secret is answered once and never again. */
import { parseCidr } from '#shared/base/ip.ts';
import { isUuid } from '#shared/schema/attributes.ts';
import { defineFields } from '#shared/schema/infer.ts';
import { parseRecord } from '#shared/schema/parse.ts';
import {
  TOKEN_CIDRS_MAX,
  TOKEN_TTL_S_MAX,
  TOKEN_TTL_S_MIN,
  TOKEN_USES_MAX,
} from '../../nodes/join-tokens.ts';
import { readArguments } from '../arguments.ts';
import type { AdminContext, AdminRequest, AdminResponse, Endpoint } from '../context.ts';
import { notFound, schemaViolation } from '../errors.ts';

/** Body of `POST /clustering/join-tokens`. */
export const JOIN_TOKEN_REQUEST = defineFields({
  group: {
    type: 'string',
    description:
      'Group that nodes joining with this token belong to. Without: the one whose labels they have, ' +
      'the most specific first; default, while no group asks for labels.',
  },
  ttl: {
    type: 'integer',
    required: true,
    default: 900,
    between: [TOKEN_TTL_S_MIN, TOKEN_TTL_S_MAX],
    description: 'Seconds until the token expires.',
  },
  uses: {
    type: 'integer',
    required: true,
    default: 1,
    between: [1, TOKEN_USES_MAX],
    description: 'How many nodes may join with it.',
  },
  name: {
    type: 'string',
    len_max: 253,
    description: 'The only hostname that may join with it. Without: any.',
  },
  cidrs: {
    type: 'array',
    required: true,
    default: [],
    len_max: TOKEN_CIDRS_MAX,
    elements: { type: 'string', custom_validator: networkError },
    description: 'The only networks that may join with it. Without: any.',
  },
});

function networkError(text: string): string | null {
  return parseCidr(text) === null ? 'an IP address or a block such as 10.0.0.0/8' : null;
}

const PATH = '/clustering/join-tokens';
/** A proxy or a browser must not keep a secret. */
const NOT_STORED = { 'Cache-Control': 'no-store' };

export function joinTokenEndpoints(): Endpoint[] {
  return [
    { path: PATH, area: 'cluster', methods: { GET: list, POST: mint } },
    {
      path: `${PATH}/:0`,
      area: 'cluster',
      parameters: ['join_token'],
      methods: { GET: show, DELETE: revoke },
    },
  ];
}

/** The newest, on one page. */
async function list({ joinTokens }: AdminContext): Promise<AdminResponse> {
  return { status: 200, body: { data: await joinTokens.list(), next: null } };
}

async function show({ joinTokens }: AdminContext, request: AdminRequest): Promise<AdminResponse> {
  const found = await joinTokens.get(idOf(request));
  if (found === null) throw notFound();
  return { status: 200, body: found };
}

async function mint(context: AdminContext, request: AdminRequest): Promise<AdminResponse> {
  const fieldOf = (name: string) =>
    Object.entries(JOIN_TOKEN_REQUEST).find(([key]) => key === name)?.[1] ?? null;
  const input = await readArguments(request.raw, context.bodyMax, fieldOf);
  const parsed = parseRecord(JOIN_TOKEN_REQUEST, input);
  if (!parsed.ok) throw schemaViolation(parsed.violations);
  const { group, ttl, uses, name, cidrs } = parsed.value;
  const minted = await context.joinTokens.mint({
    group,
    ttlSeconds: ttl,
    uses,
    name,
    cidrs,
    actor: request.actor.name,
  });
  if (minted === null) throw schemaViolation({ group: `no group named '${group}'` });
  const { id, token, expiresAt } = minted;
  const body = {
    id,
    token,
    group: minted.group,
    uses,
    name,
    cidrs: [...cidrs],
    expires_at: expiresAt,
  };
  return { status: 201, body, headers: NOT_STORED };
}

/** Nobody joins with it any more. */
async function revoke({ joinTokens }: AdminContext, request: AdminRequest): Promise<AdminResponse> {
  if (!(await joinTokens.revoke(idOf(request)))) throw notFound();
  return { status: 204, body: null };
}

function idOf({ params }: AdminRequest): string {
  const id = params[0] ?? '';
  if (!isUuid(id)) throw notFound();
  return id.toLowerCase();
}
