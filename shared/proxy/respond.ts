/** From a response, ours or the upstream's, to what the listener sends. */
import { isPromise, type MaybePromise } from '../base/maybe-promise.ts';
import type { Body, BodyFilter } from '../http/body.ts';
import type { HeaderList } from '../http/headers.ts';
import { stripHopByHop } from '../http/hop-by-hop.ts';
import type { GatewayResponse, Outcome } from '../http/message.ts';
import { addOwnHeaders, addProxiedHeaders, type ResponseFields } from '../http/response-headers.ts';
import { asksForTrailers } from '../http/upstream-headers.ts';
import { restoreAgreement } from '../http/websocket.ts';
import type { HashCookie } from './hash-value.ts';
import { type AccessLogEntry, logEntry } from './log-entry.ts';
import { collectBodyFilters, runHeaderFilters, runLog } from './phases.ts';
import type { Exchange } from './request-context.ts';

export interface RespondOptions {
  readonly accessLog: ((entry: AccessLogEntry) => void) | null;
  readonly allowDebugHeader: boolean;
  /** Which of our fields go into responses. */
  readonly responseFields: ResponseFields;
}

/** Header filters, body filters, our own headers; the log phase hangs on the listener's `onFinish`. */
export function respond(
  ctx: Exchange,
  response: GatewayResponse,
  options: RespondOptions,
): MaybePromise<GatewayResponse> {
  if (ctx.proxied) stripHopByHop(response.headers, asksForTrailers(ctx.request.headers));
  if (ctx.proxied && ctx.hashCookie !== null) setHashCookie(response.headers, ctx.hashCookie);
  if (response.tunnel !== null) return respondSwitched(ctx, response, options);
  ctx.response = { status: response.status, headers: response.headers };
  const ran = runHeaderFilters(ctx);
  return isPromise(ran)
    ? ran.then((isWhole) => assemble(ctx, response, isWhole, options))
    : assemble(ctx, response, ran, options);
}

/**
 * The same for a 101 with a tunnel. Header filters may add to it; the handshake itself stays as the
 * two ends agreed on it, and nobody filters what flows through the tunnel.
 */
function respondSwitched(
  ctx: Exchange,
  response: GatewayResponse,
  options: RespondOptions,
): MaybePromise<GatewayResponse> {
  const agreed = response.headers.clone();
  ctx.response = { status: response.status, headers: response.headers };
  const finish = (isWhole: boolean): GatewayResponse => {
    if (!isWhole) return finalize(ctx, replaceCrashed(ctx, response), NO_FILTERS, options);
    const { status, headers, tunnel } = response;
    sign(ctx, headers, options);
    restoreAgreement(headers, agreed);
    const onFinish = finisher(ctx, status, options);
    return { status, headers, body: null, tunnel, filters: NO_FILTERS, onFinish };
  };
  const ran = runHeaderFilters(ctx);
  return isPromise(ran) ? ran.then(finish) : finish(ran);
}

function assemble(
  ctx: Exchange,
  response: GatewayResponse,
  isWhole: boolean,
  options: RespondOptions,
): GatewayResponse {
  const filters = isWhole ? collectBodyFilters(ctx) : null;
  // A filter that crashed may have had something to hide: nothing of the response goes out.
  if (filters === null) return finalize(ctx, replaceCrashed(ctx, response), [], options);
  return finalize(ctx, response, filters, options);
}

function replaceCrashed(ctx: Exchange, response: GatewayResponse): GatewayResponse {
  discard(response.body);
  response.tunnel?.cancel();
  ctx.proxied = false;
  const replacement = ctx.error(500, 'An unexpected error occurred');
  ctx.response = { status: replacement.status, headers: replacement.headers };
  return replacement;
}

function finalize(
  ctx: Exchange,
  response: GatewayResponse,
  filters: readonly BodyFilter[],
  options: RespondOptions,
): GatewayResponse {
  const { status, headers } = ctx.response ?? response;
  sign(ctx, headers, options);
  let body = response.body;
  let kept = filters;
  if (ctx.request.method === 'HEAD' || status === 204 || status === 304 || status < 200) {
    // What a GET would have had: known for bytes of ours, as the upstream said otherwise, and
    // not known at all once a filter would have changed it.
    if (status === 204 || filters.length > 0) headers.remove('content-length');
    else if (body instanceof Uint8Array) headers.set('Content-Length', String(body.length));
    discard(body);
    body = null;
    kept = NO_FILTERS;
  } else if (filters.length > 0) {
    headers.remove('content-length');
  }
  return {
    status,
    headers,
    body,
    tunnel: null,
    filters: kept,
    onFinish: finisher(ctx, status, options),
  };
}

const NO_FILTERS: readonly BodyFilter[] = [];

function finisher(
  ctx: Exchange,
  status: number,
  options: RespondOptions,
): (outcome: Outcome) => void {
  const { accessLog } = options;
  const hasLogPhase = ctx.plan.log.length > 0;
  return (outcome) => {
    ctx.leave();
    if (hasLogPhase) ctx.platform.background(runLog(ctx));
    if (accessLog === null) return;
    try {
      accessLog(logEntry(ctx, status, outcome));
    } catch {
      // A log that fails must not take the listener with it; there is nowhere left to say so.
      ctx.platform.logger.log('error', 'access log failed', { request_id: ctx.requestId });
    }
  };
}

/**
 * Takes the place of one of that name, if the upstream set one.
 *
 * Source: Kong `runloop/balancer/init.lua`, set_cookie (spelling of `Same-Site` included)
 */
function setHashCookie(headers: HeaderList, { name, value, path }: HashCookie): void {
  const cookie = `${name}=${value}; Path=${path}; Same-Site=Lax; HttpOnly`;
  const others = headers.getAll('set-cookie').filter((text) => !text.startsWith(`${name}=`));
  headers.remove('set-cookie');
  for (const other of others) headers.append('Set-Cookie', other);
  headers.append('Set-Cookie', cookie);
}

/** What we say of ourselves, after every plugin. A response after a failed try counts as proxied. */
function sign(ctx: Exchange, headers: HeaderList, options: RespondOptions): void {
  const { requestId } = ctx;
  if (ctx.tried) {
    addProxiedHeaders(headers, options.responseFields, {
      httpVersion: ctx.request.httpVersion,
      upstreamLatencyMs: ctx.answeredMonotonic - ctx.triedMonotonic,
      upstreamStatus: ctx.upstreamStatus,
      proxyLatencyMs: ctx.triedMonotonic - ctx.startedMonotonic,
      requestId,
    });
  } else {
    const responseLatencyMs = ctx.platform.clock.monotonic() - ctx.startedMonotonic;
    addOwnHeaders(headers, options.responseFields, { responseLatencyMs, requestId });
  }
  if (options.allowDebugHeader && ctx.request.headers.has('kong-debug')) {
    addDebugHeaders(ctx, headers);
  }
}

function addDebugHeaders(ctx: Exchange, headers: HeaderList): void {
  const { route, service } = ctx;
  if (route !== null) {
    headers.set('Kong-Route-Id', route.id);
    if (route.name !== null) headers.set('Kong-Route-Name', route.name);
  }
  if (service !== null) {
    headers.set('Kong-Service-Id', service.id);
    if (service.name !== null) headers.set('Kong-Service-Name', service.name);
  }
}

function discard(body: Body): void {
  if (body !== null && !(body instanceof Uint8Array)) body.cancel();
}
