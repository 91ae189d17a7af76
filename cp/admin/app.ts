/** The Admin API as one hono app: routing, the guard, and the only place that turns errors into answers. */
import { Hono, type Context } from 'hono';
import { SERVER_TOKEN } from '#shared/base/product.ts';
import type { Logger } from '#shared/platform/platform.ts';
import type { EntityDefinition } from '#shared/schema/field.ts';
import { StoreError } from '../store/errors.ts';
import type { AccessGuard } from './access.ts';
import type { AdminContext, AdminRequest, AdminResponse, Endpoint, Method } from './context.ts';
import { clusteringEndpoints } from './endpoints/clustering.ts';
import { consumerEndpoints } from './endpoints/consumers.ts';
import { informationEndpoints } from './endpoints/information.ts';
import { schemaEndpoints } from './endpoints/schemas.ts';
import { targetEndpoints } from './endpoints/targets.ts';
import { AdminError, methodNotAllowed, notFound, storeFailure } from './errors.ts';
import { ARGUMENT_COUNT_MAX, tooManyArguments } from './form.ts';
import { generatedEndpoints } from './routes.ts';

/** What the server knows of a connection and hono does not. */
export interface AdminBindings {
  readonly peer: string;
}

type AdminEnv = { Bindings: AdminBindings };

const METHODS: readonly Method[] = ['DELETE', 'GET', 'PATCH', 'POST', 'PUT'];
const JSON_TYPE = 'application/json; charset=utf-8';

/** Every path there is; of two that match, the first one answers. */
export function adminEndpoints(entities: ReadonlyMap<string, EntityDefinition>): Endpoint[] {
  return [
    ...informationEndpoints(),
    ...schemaEndpoints(),
    ...clusteringEndpoints(),
    ...consumerEndpoints(),
    ...targetEndpoints(),
    ...generatedEndpoints(entities),
  ];
}

export function createAdminApp(
  context: AdminContext,
  guard: AccessGuard,
  logger: Logger,
): Hono<AdminEnv> {
  const app = new Hono<AdminEnv>({ strict: false });
  for (const endpoint of adminEndpoints(context.registry.entities)) {
    // `all`, because a method that a known path lacks is a 405 and not a 404.
    app.all(endpoint.path, (c) =>
      answer(c, guard, logger, (name) => run(endpoint, context, c, name)),
    );
  }
  app.notFound((c) => answer(c, guard, logger, () => Promise.reject(notFound())));
  return app;
}

async function run(
  endpoint: Endpoint,
  context: AdminContext,
  c: Context<AdminEnv>,
  name: string,
): Promise<AdminResponse> {
  if (c.req.method === 'OPTIONS') return options(endpoint, c);
  const method = (c.req.method === 'HEAD' ? 'GET' : c.req.method) as Method;
  const handler = Object.hasOwn(endpoint.methods, method) ? endpoint.methods[method] : undefined;
  if (handler === undefined) throw methodNotAllowed();
  const request: AdminRequest = {
    raw: c.req.raw,
    query: queryOf(c),
    params: parameters(endpoint, c),
    workspace: context.store.defaultWorkspace(),
    actor: { name, source: c.env.peer },
  };
  return handler(context, request);
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

function options(endpoint: Endpoint, c: Context<AdminEnv>): AdminResponse {
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

async function answer(
  c: Context<AdminEnv>,
  guard: AccessGuard,
  logger: Logger,
  work: (actor: string) => Promise<AdminResponse>,
): Promise<Response> {
  const startedAt = performance.now();
  let result: AdminResponse;
  try {
    // Before anything else: not even which paths exist is told to whoever may not come in.
    const actor = guard.check(c.req.raw, c.env.peer);
    refuseMalformedPath(c);
    result = await work(actor);
  } catch (error) {
    result = failed(error, c, logger);
  }
  const headers = new Headers(result.headers);
  headers.set('Server', SERVER_TOKEN);
  headers.set('X-Kong-Admin-Latency', String(Math.round(performance.now() - startedAt)));
  const origin = c.req.header('origin');
  if (origin !== undefined) headers.set('Vary', 'Origin');
  if (origin !== undefined && guard.isAllowedOrigin(origin, c.req.raw)) {
    headers.set('Access-Control-Allow-Origin', origin);
    headers.set('Access-Control-Allow-Credentials', 'true');
  }
  if (result.body === null) {
    if (result.status !== 204) headers.set('Content-Length', '0');
    return new Response(null, { status: result.status, headers });
  }
  const text = JSON.stringify(result.body);
  headers.set('Content-Type', JSON_TYPE);
  headers.set('Content-Length', String(Buffer.byteLength(text)));
  const body = c.req.method === 'HEAD' ? null : text;
  return new Response(body, { status: result.status, headers });
}

/** Left as it is, `%zz` would name an entity that no client can mean. */
function refuseMalformedPath(c: Context<AdminEnv>): void {
  try {
    decodeURIComponent(new URL(c.req.url).pathname);
  } catch {
    throw new AdminError(400, { message: 'The path is not percent-encoded UTF-8' });
  }
}

function failed(error: unknown, c: Context<AdminEnv>, logger: Logger): AdminResponse {
  if (error instanceof AdminError) return { status: error.status, body: error.body };
  const where = { method: c.req.method, path: c.req.path.slice(0, 500) };
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
