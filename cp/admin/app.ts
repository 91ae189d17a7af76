/** The Admin API as one hono app: routing, the guard, and the only place that turns errors into answers. */
import { Hono, type Context } from 'hono';
import { must } from '#shared/base/assert.ts';
import { SERVER_TOKEN } from '#shared/base/product.ts';
import type { Logger } from '#shared/platform/platform.ts';
import type { EntityDefinition } from '#shared/schema/field.ts';
import { StoreError } from '../store/errors.ts';
import type { RequestTrail } from '../access/request-trail.ts';
import {
  ANONYMOUS,
  AccessError,
  type AccessGuard,
  authorize,
  authorizeWorkspace,
  isWrite,
  type Principal,
} from './access.ts';
import { refuseLongTarget } from './arguments.ts';
import type { AdminContext, AdminRequest, AdminResponse, Endpoint, Method } from './context.ts';
import { aclEndpoints } from './endpoints/acls.ts';
import { bulkEndpoints } from './endpoints/bulk.ts';
import { certificateEndpoints } from './endpoints/certificates.ts';
import { DRY_RUN_HEADER, notTryable, readSwitch } from './commit.ts';
import { auditEndpoints } from './endpoints/audit.ts';
import { clusteringEndpoints } from './endpoints/clustering.ts';
import { signingKeyEndpoints } from './endpoints/signing-keys.ts';
import { joinTokenEndpoints } from './endpoints/join-tokens.ts';
import { configEndpoints } from './endpoints/config.ts';
import { consumerEndpoints } from './endpoints/consumers.ts';
import { debugEndpoints } from './endpoints/debug.ts';
import { epochEndpoints } from './endpoints/epochs.ts';
import { explainEndpoints } from './endpoints/explain.ts';
import { filterChainEndpoints } from './endpoints/filter-chains.ts';
import { healthEndpoints } from './endpoints/health.ts';
import { historyEndpoints } from './endpoints/history.ts';
import { informationEndpoints } from './endpoints/information.ts';
import { keyEndpoints } from './endpoints/keys.ts';
import { nodeCallEndpoints } from './endpoints/node-calls.ts';
import { endpointsEndpoint, nodeEndpoints } from './endpoints/node.ts';
import { isPage, openapiEndpoints } from './endpoints/openapi.ts';
import { receiptEndpoints } from './endpoints/receipts.ts';
import { schemaEndpoints } from './endpoints/schemas.ts';
import { tagEndpoints } from './endpoints/tags.ts';
import { targetEndpoints } from './endpoints/targets.ts';
import { tokenEndpoints } from './endpoints/tokens.ts';
import { AdminError, methodNotAllowed, notFound, storeFailure } from './errors.ts';
import { ARGUMENT_COUNT_MAX, tooManyArguments } from './form.ts';
import { notAwaitable } from './wait.ts';
import { notRepeatable, repeatableOf } from './idempotency.ts';
import { generatedEndpoints } from './routes.ts';
import {
  firstSegments,
  resolveWorkspace,
  workspaceIn,
  type WorkspacePath,
} from './workspace-path.ts';

/** What the server knows of a connection and hono does not. */
export interface AdminBindings {
  readonly peer: string;
  /** The request target as it was sent; a `Request` only has what became of it. */
  readonly target?: string;
}

export interface AdminApp {
  fetch(request: Request, bindings: AdminBindings): Promise<Response>;
}

/** What is known once a request was let in: hono routes by `path`. */
interface Routed extends AdminBindings {
  readonly where: WorkspacePath;
  readonly principal: Principal;
  readonly trail: RequestTrail;
}

type AdminEnv = { Bindings: Routed & { readonly respond: Respond } };
type Respond = (work: () => Promise<AdminResponse> | AdminResponse) => Promise<Response>;

const METHODS: readonly Method[] = ['DELETE', 'GET', 'PATCH', 'POST', 'PUT'];
const JSON_TYPE = 'application/json; charset=utf-8';

/** Every path there is; of two that match, the first one answers. */
export function adminEndpoints(entities: ReadonlyMap<string, EntityDefinition>): Endpoint[] {
  const endpoints: Endpoint[] = [
    ...informationEndpoints(),
    ...nodeEndpoints(),
    ...debugEndpoints(),
    ...healthEndpoints(),
    ...schemaEndpoints(),
    ...clusteringEndpoints(),
    ...nodeCallEndpoints(),
    ...joinTokenEndpoints(),
    ...signingKeyEndpoints(),
    ...epochEndpoints(),
    ...bulkEndpoints(),
    ...tokenEndpoints(),
    ...auditEndpoints(),
    ...keyEndpoints(),
    ...configEndpoints(),
    ...historyEndpoints(),
    ...receiptEndpoints(),
    ...explainEndpoints(),
    ...consumerEndpoints(),
    ...aclEndpoints(),
    ...certificateEndpoints(),
    ...filterChainEndpoints(),
    ...tagEndpoints(),
    ...targetEndpoints(),
    ...generatedEndpoints(entities),
    ...openapiEndpoints(() => endpoints),
  ];
  endpoints.unshift(endpointsEndpoint(endpoints));
  return endpoints;
}

export function createAdminApp(
  options: Omit<AdminContext, 'reserved'>,
  guard: AccessGuard,
  logger: Logger,
): AdminApp {
  const { entities } = options.registry;
  const endpoints = adminEndpoints(entities);
  const reserved = firstSegments(endpoints.map(({ path }) => path));
  const context: AdminContext = { ...options, reserved };
  const workspaces = must(entities.get('workspaces'), 'workspaces are defined');
  const app = new Hono<AdminEnv>({ getPath });
  for (const endpoint of endpoints) {
    // `all`, because a method that a known path lacks is a 405 and not a 404.
    app.all(endpoint.path, (c) => c.env.respond(() => run(endpoint, context, c)));
  }
  app.notFound((c) => c.env.respond(() => Promise.reject(notFound())));
  return {
    fetch: async (request, bindings) => {
      const trail = context.audit.trail(request, bindings.peer);
      const respond = responder(request, { guard, trail, logger });
      let routed: Routed;
      try {
        // Before anything else: not even which paths exist is told to whoever may not come in.
        const principal = await guard
          .authenticate(request, bindings.peer)
          .catch((error: unknown) => {
            const lacksToken = error instanceof AccessError && error.status === 401;
            if (lacksToken && isPage(request)) return ANONYMOUS;
            throw error;
          });
        trail.sentBy(principal);
        const path = wellFormedPath(request, bindings.target ?? null);
        const named = workspaceIn(path, reserved);
        if (principal.kind === 'preflight') return await respond(() => preflight(request));
        if (named !== null) authorizeWorkspace(principal, named);
        const where = await resolveWorkspace(path, reserved, workspaces, context.store);
        routed = { ...bindings, where, principal, trail };
      } catch (error) {
        return respond(() => Promise.reject(error));
      }
      return app.fetch(request, { ...routed, respond });
    },
  };
}

/** Of the API, without the workspace. */
function getPath(_request: Request, options?: { env?: Routed }): string {
  return options?.env?.where.path ?? '/';
}

async function run(
  endpoint: Endpoint,
  context: AdminContext,
  c: Context<AdminEnv>,
): Promise<AdminResponse> {
  if (c.req.method === 'OPTIONS') return describeMethods(endpoint, c);
  const method = (c.req.method === 'HEAD' ? 'GET' : c.req.method) as Method;
  const handler = Object.hasOwn(endpoint.methods, method) ? endpoint.methods[method] : undefined;
  if (handler === undefined) throw methodNotAllowed();
  const { where, principal, trail } = c.env;
  const { area = 'entities' } = endpoint;
  const params = parameters(endpoint, c);
  trail.reached(where.workspaceName, area !== 'info');
  authorize(principal, { area, workspace: where.workspaceName, method: c.req.method, params });
  const repeatable = isWrite(method) ? repeatableOf(c.req.raw, scopeOf(c.env, context)) : null;
  const query = queryOf(c);
  if (isWrite(method) && (area === 'cluster' || area === 'admin')) {
    if (repeatable !== null) throw notRepeatable();
    if (readSwitch(query, 'dry_run')) throw notTryable();
    if (query.has('wait')) throw notAwaitable();
  }
  const request: AdminRequest = {
    raw: repeatable?.raw ?? c.req.raw,
    repeatable,
    query,
    params,
    workspace: where.workspace,
    workspaceName: where.workspaceName,
    pathPrefix: where.prefix,
    actor: trail.actor,
    principal,
  };
  return handler(context, request);
}

/** Whose an `Idempotency-Key` is: a token's, whatever it is called, or that of whoever needs none. */
function scopeOf({ where, principal }: Routed, { tagKey }: AdminContext) {
  const owner = `${principal.kind}/${principal.tokenId ?? principal.name}`;
  return { tagKey, owner, workspace: where.workspace };
}

function queryOf(c: Context<AdminEnv>): URLSearchParams {
  const query = new URL(c.req.url).searchParams;
  if (query.size > ARGUMENT_COUNT_MAX) throw tooManyArguments();
  return query;
}

/** Decoded; a NUL can name nothing. */
function parameters(endpoint: Endpoint, c: Context<AdminEnv>): string[] {
  const params: string[] = [];
  for (const match of endpoint.path.matchAll(/:(\d)/g)) {
    const value = c.req.param(match[1] ?? '');
    if (value === undefined || value.includes('\u0000')) throw notFound();
    params.push(value);
  }
  return params;
}

function describeMethods(endpoint: Endpoint, c: Context<AdminEnv>): AdminResponse {
  const methods: string[] = METHODS.filter((method) => endpoint.methods[method] !== undefined);
  if (methods.includes('GET')) methods.push('HEAD');
  const allow = [...methods, 'OPTIONS'].toSorted().join(', ');
  const asked = c.req.header('access-control-request-headers');
  const headers = {
    Allow: allow,
    'Access-Control-Allow-Methods': allow,
    'Access-Control-Allow-Headers': asked ?? 'Content-Type',
  };
  return { status: 204, body: null, headers };
}

/** The same for every path: who asks has not shown that it may know which there are. */
function preflight(request: Request): AdminResponse {
  const headers = {
    'Access-Control-Allow-Methods': [...METHODS, 'HEAD', 'OPTIONS'].toSorted().join(', '),
    'Access-Control-Allow-Headers':
      request.headers.get('access-control-request-headers') ?? 'Content-Type',
  };
  return { status: 204, body: null, headers };
}

/** Turns what a handler answers or throws into a response. */
function responder(
  request: Request,
  { guard, trail, logger }: { guard: AccessGuard; trail: RequestTrail; logger: Logger },
): Respond {
  const startedAt = performance.now();
  return async (work) => {
    let result: AdminResponse;
    let isRefused = false;
    try {
      result = await work();
    } catch (error) {
      isRefused = error instanceof AccessError;
      result = failed(error, trail, logger);
    }
    const isTrial = result.headers?.[DRY_RUN_HEADER] !== undefined;
    await trail.end({ status: result.status, isRefused, isTrial });
    const headers = new Headers(result.headers);
    headers.set('Server', SERVER_TOKEN);
    headers.set('X-Kong-Admin-Request-ID', trail.id);
    headers.set('X-Kong-Admin-Latency', String(Math.round(performance.now() - startedAt)));
    setCors(headers, request, guard);
    const { body, status } = result;
    if (body === null) {
      if (status !== 204 && status !== 304) headers.set('Content-Length', '0');
      return new Response(null, { status, headers });
    }
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    if (!headers.has('Content-Type')) headers.set('Content-Type', JSON_TYPE);
    headers.set('Content-Length', String(Buffer.byteLength(text)));
    return new Response(request.method === 'HEAD' ? null : text, { status, headers });
  };
}

function setCors(headers: Headers, request: Request, guard: AccessGuard): void {
  const origin = request.headers.get('origin');
  if (origin === null) return;
  headers.set('Vary', 'Origin');
  if (!guard.isAllowedOrigin(origin, request)) return;
  headers.set('Access-Control-Allow-Origin', origin);
  headers.set('Access-Control-Allow-Credentials', 'true');
}

/** The path as it was sent, a slash at its end aside. Left as it is, `%zz` would name an entity that no client can mean. */
function wellFormedPath(request: Request, target: string | null): string {
  const url = new URL(request.url);
  if (target !== null) refuseRewritten(target);
  refuseLongTarget(url);
  const { pathname } = url;
  try {
    decodeURIComponent(pathname);
    return pathname.length > 1 && pathname.endsWith('/') ? pathname.slice(0, -1) : pathname;
  } catch {
    throw new AdminError(400, { message: 'The path is not percent-encoded UTF-8' });
  }
}

/**
 * A URL resolves `..`, so that a name which somebody put into a path would make it another one. Nothing of ours is called so.
 *
 * @param target  as it was sent: a path with its query, or a whole URL
 * @throws AdminError 400
 */
function refuseRewritten(target: string): void {
  const [path = ''] = target.replace(/^[a-z]+:\/\/[^/?#]*/i, '').split('?');
  const isDots = (segment: string) => /^(\.|%2e){1,2}$/i.test(segment);
  if (!path.split('/').some(isDots)) return;
  throw new AdminError(400, { message: "The path has a segment '.' or '..'" });
}

function failed(error: unknown, trail: RequestTrail, logger: Logger): AdminResponse {
  if (error instanceof AdminError) return { status: error.status, body: error.body };
  const where = { method: trail.method, path: trail.path, request: trail.id };
  if (error instanceof StoreError) {
    const known = storeFailure(error.failure);
    if (known.status >= 500) {
      // The answer does not say what is wrong with the database; whoever runs it has to know.
      const cause = error.cause instanceof Error ? error.cause.message : null;
      logger.log('error', 'database failed', { ...where, error: error.message, cause });
    }
    return { status: known.status, body: known.body };
  }
  logger.log('error', 'admin request failed', {
    ...where,
    error: error instanceof Error ? (error.stack ?? error.message) : String(error),
  });
  return { status: 500, body: { message: 'An unexpected error occurred' } };
}
