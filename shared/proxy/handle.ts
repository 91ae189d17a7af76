/** The request path, top to bottom. Every stage answers or throws; `handle` does neither. */
import { isPromise, type MaybePromise } from '../base/maybe-promise.ts';
import { utf8 } from '../base/bytes.ts';
import type { ErrorFormat } from '../http/error-response.ts';
import { type ErrorCode, GatewayError } from '../http/errors.ts';
import { resolveClient, type TrustedProxies } from '../http/forwarded.ts';
import { HeaderList } from '../http/headers.ts';
import { HOST_LENGTH_MAX } from '../http/host.ts';
import type { GatewayResponse } from '../http/message.ts';
import { normalizeTarget } from '../http/path.ts';
import type { RequestFacts } from '../router/facts.ts';
import { bindRoute } from '../tables/bind-route.ts';
import type { PluginPlan } from '../tables/plugin-plan.ts';
import type { RouteTable, Tables } from '../tables/tables.ts';
import { CLOSED_MESSAGE, runAccess, runRewrite } from './phases.ts';
import { type Exchange, NO_FINISH } from './request-context.ts';
import { respond, type RespondOptions } from './respond.ts';
import { overloaded, proxy, type ProxyOptions } from './upstream.ts';

export interface HandleOptions extends RespondOptions, ProxyOptions {
  readonly trustedIps: TrustedProxies;
  /** Take targets that runtimes read differently. */
  readonly allowOddTargets: boolean;
  /** Of errors that are the server's own, where the request names no format. */
  readonly errorDefaultFormat: ErrorFormat;
  /** Why there are no tables. Default: there is no configuration. */
  readonly unserved?: () => ErrorCode;
  /** Requests under way at a time, all together. */
  readonly activeMax: number;
}

/**
 * One request, from its head to the response's head. Answers at once where no plugin and no
 * upstream has to be waited for.
 *
 * Never throws and never rejects: whatever goes wrong becomes a response.
 */
export function handle(ctx: Exchange, options: HandleOptions): MaybePromise<GatewayResponse> {
  try {
    const outcome = serveOrAnswer(ctx, options);
    if (isPromise(outcome)) return handleLater(ctx, outcome, options);
    const response = respond(ctx, outcome, options);
    return isPromise(response)
      ? response.catch((error: unknown) => lastResort(ctx, error))
      : response;
  } catch (error) {
    return lastResort(ctx, error);
  }
}

/** The same from the moment that something has to be waited for. */
async function handleLater(
  ctx: Exchange,
  pending: Promise<GatewayResponse>,
  options: HandleOptions,
): Promise<GatewayResponse> {
  try {
    let outcome: GatewayResponse;
    try {
      outcome = await pending;
    } catch (error) {
      outcome = answerFor(ctx, error, options);
    }
    const response = respond(ctx, outcome, options);
    return isPromise(response) ? await response : response;
  } catch (error) {
    return lastResort(ctx, error);
  }
}

function serveOrAnswer(ctx: Exchange, options: HandleOptions): MaybePromise<GatewayResponse> {
  try {
    return serve(ctx, options);
  } catch (error) {
    return answerFor(ctx, error, options);
  }
}

/** Accept, then the rewrite phase. */
function serve(ctx: Exchange, options: HandleOptions): MaybePromise<GatewayResponse> {
  const tables = ctx.tables;
  if (!ctx.hasEntered) throw overloaded();
  if (tables === null) throw new GatewayError(options.unserved?.() ?? 'no_configuration');
  accept(ctx, options);
  usePlan(ctx, tables.fallback === null ? null : tables.fallback.globalPlan);
  const early = runRewrite(ctx);
  if (isPromise(early)) return early.then((response) => response ?? route(ctx, tables, options));
  return early ?? route(ctx, tables, options);
}

/** The target in its one reading, and who is asking. */
export function accept(ctx: Exchange, options: HandleOptions): void {
  const { request } = ctx;
  ctx.client = resolveClient(request, options.trustedIps);
  const target = normalizeTarget(request.target, { allowOdd: options.allowOddTargets });
  if (!target.ok) throw new GatewayError('bad_request');
  ctx.path = target.path;
  ctx.forwardPath = target.forward;
  ctx.lenientPaths = target.lenientPaths;
  ctx.query = target.query;
  ctx.upstreamQuery = target.query;
}

/** Match, check the protocol, then the access phase. */
function route(
  ctx: Exchange,
  tables: Tables,
  options: HandleOptions,
): MaybePromise<GatewayResponse> {
  const routed = matchRoute(ctx, tables);
  // Until the route's own plugins begin, those of its workspace answer for it.
  const governing = ctx.governing;
  usePlan(ctx, governing === null ? null : governing.globalPlan);
  const refusal = refuse(ctx, routed);
  if (refusal !== null) return refusal;
  usePlan(ctx, routed.plan);
  const early = runAccess(ctx);
  if (isPromise(early)) return early.then((response) => response ?? forward(ctx, routed, options));
  return early ?? forward(ctx, routed, options);
}

/** What the router is told of the request. Once it was accepted. */
export function requestFacts(ctx: Exchange): RequestFacts {
  const { request } = ctx;
  return {
    method: request.method,
    host: request.headers.get('host'),
    path: ctx.path,
    query: ctx.query,
    scheme: request.scheme,
    headers: request.headers,
    sni: request.tls === null ? null : request.tls.serverName,
    sourceAddress: ctx.clientAddress,
    sourcePort: request.peerPort,
    address: request.localAddress,
    port: request.localPort,
  };
}

/** @throws GatewayError when there is no route, or more than one reading of the path or the host */
export function matchRoute(ctx: Exchange, tables: Tables): RouteTable {
  const facts = requestFacts(ctx);
  // The router knows none, so it would be served as if it had no host; an upstream may go by it.
  if (facts.host !== null && facts.host.length > HOST_LENGTH_MAX) {
    throw new GatewayError('bad_request');
  }
  const match = tables.router.match(facts);
  const routed = match === null ? null : bindRoute(match.entry, tables);
  if (match === null || routed === null) throw new GatewayError('no_route');
  for (const path of ctx.lenientPaths) {
    const other = tables.router.match({ ...facts, path });
    // Let in by this route's plugins, it would be served as what another route guards.
    if (other !== null && other.entry !== match.entry) throw new GatewayError('bad_request');
  }
  ctx.match = match;
  ctx.routed = routed;
  return routed;
}

/**
 * The answer when the route does not take the request, whatever its plugins; null when it does.
 *
 * @throws GatewayError when the route is closed
 */
export function refuse(ctx: Exchange, routed: RouteTable): GatewayResponse | null {
  if (routed.fault === null) return checkProtocol(ctx, routed);
  throw new GatewayError('upstream_unavailable', { message: CLOSED_MESSAGE });
}

/** What the route's protocols demand of the request; null when all is well. */
function checkProtocol(ctx: Exchange, routed: RouteTable): GatewayResponse | null {
  if (routed.isHttpsOnly && ctx.forwardedScheme !== 'https') return demandHttps(ctx, routed);
  return routed.isGrpc ? checkGrpc(ctx, routed) : null;
}

function demandHttps(ctx: Exchange, routed: RouteTable): GatewayResponse {
  const status = routed.route.https_redirect_status_code;
  if (status === 426) {
    return ctx.error(426, 'Please use HTTPS protocol', [
      ['Connection', 'Upgrade'],
      ['Upgrade', 'TLS/1.2, HTTP/1.1'],
    ]);
  }
  const host = ctx.client === null ? '' : ctx.client.host;
  // Without a Host there is nowhere to redirect to.
  if (host === '') return ctx.error(400, 'Bad request');
  return ctx.exit(status, null, [['Location', `https://${host}${ctx.request.target}`]]);
}

function checkGrpc(ctx: Exchange, routed: RouteTable): GatewayResponse | null {
  const contentType = ctx.request.headers.get('content-type');
  if (contentType === null || !contentType.startsWith('application/grpc')) {
    return ctx.error(415, 'Non-gRPC request matched gRPC route');
  }
  if (ctx.request.httpVersion !== '2') {
    return ctx.error(426, 'Please use HTTP2 protocol', [
      ['Connection', 'Upgrade'],
      ['Upgrade', 'HTTP/2'],
    ]);
  }
  if (!routed.isGrpcsOnly || ctx.forwardedScheme === 'https') return null;
  return ctx.exit(200, null, [
    ['Content-Type', 'application/grpc'],
    ['grpc-status', '1'],
    ['grpc-message', 'gRPC request matched gRPCs route'],
  ]);
}

function forward(
  ctx: Exchange,
  routed: RouteTable,
  options: HandleOptions,
): Promise<GatewayResponse> {
  if (routed.target === null) throw new GatewayError('no_service');
  return proxy(ctx, routed.target, options);
}

function usePlan(ctx: Exchange, plan: PluginPlan | null): void {
  if (plan === null) return;
  ctx.plan = plan;
  ctx.resolved = plan.byConsumer ? Array.from({ length: plan.steps.length }) : null;
}

/** The response for what a stage threw. What is not a `GatewayError` is a bug of ours. */
export function answerFor(ctx: Exchange, error: unknown, options: HandleOptions): GatewayResponse {
  if (error instanceof GatewayError) return ctx.errorFor(error, options.errorDefaultFormat);
  logCrash(ctx, error);
  return ctx.error(500, 'An unexpected error occurred');
}

/** When even building a response failed. Touches nothing that could fail again. */
function lastResort(ctx: Exchange, error: unknown): GatewayResponse {
  ctx.leave();
  logCrash(ctx, error);
  const headers = new HeaderList(['Content-Type', 'application/json; charset=utf-8']);
  const body = utf8('{"message":"An unexpected error occurred"}');
  return { status: 500, headers, body, tunnel: null, filters: [], onFinish: NO_FINISH };
}

function logCrash(ctx: Exchange, error: unknown): void {
  ctx.platform.logger.log('error', 'request path crashed', {
    request_id: ctx.requestId,
    error: error instanceof Error ? `${error.name}: ${error.message}` : 'not an Error',
  });
}
