/** `/headgate/tokens`: the named tokens of the Admin API. A secret is answered once and never again. */
import { must } from '#shared/base/assert.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import { defineFields } from '#shared/schema/infer.ts';
import { type NewToken, TOKENS_MAX, type TokenView } from '../../access/admin-tokens.ts';
import { areNone, SCOPES } from '../../access/scopes.ts';
import { isTokenId } from '../../access/token-text.ts';
import { RESERVED_ACTORS } from '../access.ts';
import { readFields } from '../arguments.ts';
import type { AdminContext, AdminRequest, AdminResponse, Endpoint } from '../context.ts';
import { AdminError, notFound, schemaViolation } from '../errors.ts';

function nameError(name: string): string | null {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name)) {
    return 'expected 1 to 64 letters, digits, dots, dashes and underscores';
  }
  if (isTokenId(name)) return 'looks like the id of a token';
  return RESERVED_ACTORS.includes(name) ? `'${name}' is reserved` : null;
}

/** Body of `POST /headgate/tokens`. */
export const TOKEN_REQUEST = defineFields({
  name: {
    type: 'string',
    required: true,
    custom_validator: nameError,
    description: 'What the change log and the audit call its holder.',
  },
  scopes: { type: 'record', required: true, fields: SCOPES },
  expires_at: {
    type: 'integer',
    gt: 0,
    description: 'Epoch seconds after which it is refused. Without: never.',
  },
});

/** Body of `POST /headgate/tokens/{name}/rotate`. */
export const ROTATION_REQUEST = defineFields({
  overlap: {
    type: 'integer',
    required: true,
    default: 300,
    between: [0, 86_400],
    description: 'Seconds that the secret so far goes on working.',
  },
});

const PATH = '/headgate/tokens';
/** A proxy or a browser must not keep a secret. */
const NOT_STORED = { 'Cache-Control': 'no-store' };

export function tokenEndpoints(): Endpoint[] {
  return [
    { path: PATH, area: 'admin', methods: { GET: list, POST: create } },
    {
      path: `${PATH}/:0`,
      parameters: ['token'],
      area: 'admin',
      methods: { GET: show, DELETE: remove },
    },
    { path: `${PATH}/:0/rotate`, parameters: ['token'], area: 'admin', methods: { POST: rotate } },
  ];
}

/** All on one page: there are at most `TOKENS_MAX`. */
async function list({ tokens }: AdminContext): Promise<AdminResponse> {
  const data = (await tokens.list()).map(viewOf);
  return { status: 200, body: { data, next: null } };
}

async function show({ tokens }: AdminContext, request: AdminRequest): Promise<AdminResponse> {
  const found = await tokens.get(nameOf(request));
  if (found === null) throw notFound();
  return { status: 200, body: viewOf(found) };
}

async function create(context: AdminContext, request: AdminRequest): Promise<AdminResponse> {
  const {
    name,
    scopes,
    expires_at: expiresAt,
  } = await readFields(request.raw, context.bodyMax, TOKEN_REQUEST);
  if (areNone(scopes)) {
    throw schemaViolation({ scopes: 'give at least one of workspaces, cluster and admin' });
  }
  if (expiresAt !== null && expiresAt <= context.processDeps().nowSeconds) {
    throw schemaViolation({ expires_at: 'must lie in the future' });
  }
  const made = await context.tokens.create({ name, scopes, expiresAt }, request.actor);
  if (made === null) {
    throw new AdminError(409, { message: `there are ${TOKENS_MAX} tokens already` });
  }
  return withSecret(201, made);
}

async function rotate(context: AdminContext, request: AdminRequest): Promise<AdminResponse> {
  const { overlap } = await readFields(request.raw, context.bodyMax, ROTATION_REQUEST);
  const made = await context.tokens.rotate(nameOf(request), overlap, request.actor);
  if (made !== null) return withSecret(200, made);
  if ((await context.tokens.get(nameOf(request))) === null) throw notFound();
  throw new AdminError(409, { message: 'the token has expired; make a new one' });
}

/** Revokes it, at once here, and within seconds on every control plane. */
async function remove({ tokens }: AdminContext, request: AdminRequest): Promise<AdminResponse> {
  if (!(await tokens.remove(nameOf(request), request.actor))) throw notFound();
  return { status: 204, body: null };
}

function nameOf({ params }: AdminRequest): string {
  return must(params[0], 'the path has a name');
}

function withSecret(status: number, { token, ...view }: NewToken): AdminResponse {
  return { status, body: { ...viewOf(view), token }, headers: NOT_STORED };
}

function viewOf({ scopes, ...rest }: TokenView): JsonObject {
  const { workspaces, cluster, admin } = scopes;
  return { ...rest, scopes: { workspaces, cluster, admin } };
}
