/** From a routed request to the head of an upstream response: target, tries, and how they fail. */
import { must } from '../base/assert.ts';
import { parseIp } from '../base/ip.ts';
import type { Choice } from '../balancer/algorithm.ts';
import type { Balancer } from '../balancer/balancer.ts';
import { observeLatency } from '../balancer/latency.ts';
import type { Peer } from '../balancer/peer.ts';
import type { CheckOutcome } from '../health/checks.ts';
import { GatewayError } from '../http/errors.ts';
import type { BodyFilter } from '../http/body.ts';
import { holdBody } from '../http/held-body.ts';
import { splitHost } from '../http/host.ts';
import type { GatewayResponse } from '../http/message.ts';
import { addForwardingHeaders, asksForTrailers, upstreamHost } from '../http/upstream-headers.ts';
import { escapePath } from '../http/path.ts';
import { upstreamPath } from '../http/upstream-uri.ts';
import { askToSwitch } from '../http/websocket.ts';
import {
  UpstreamError,
  type UpstreamRequest,
  type UpstreamResponse,
} from '../platform/platform.ts';
import type { ServiceTable, Tables } from '../tables/tables.ts';
import { hashValue } from './hash-value.ts';
import { pathOf, type Try } from './log-entry.ts';
import { type Exchange, NO_FINISH } from './request-context.ts';

export interface ProxyOptions {
  /** Send X-Kong-Request-Id upstream. */
  readonly sendsRequestId: boolean;
  /** Requests under way to one Upstream, or to one host that is none. */
  readonly upstreamActiveMax: number;
  /** Requests under way to one address. */
  readonly targetActiveMax: number;
}

/** RFC 9110 section 9.2.2: doing it twice has the effect of doing it once. */
const IDEMPOTENT: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'OPTIONS',
  'TRACE',
  'PUT',
  'DELETE',
]);

/**
 * Sends the request, up to `retries` more times than once, each time to a peer that was not tried yet
 * while there is one.
 *
 * @throws GatewayError when no try brought a response
 */
export async function proxy(
  ctx: Exchange,
  to: ServiceTable,
  options: ProxyOptions,
): Promise<GatewayResponse> {
  const { clock, resolver, transport } = ctx.platform;
  const holding = holdRequest(ctx, to);
  if (holding !== null) await holding;
  const balancer = balancerFor(must(ctx.tables, 'proxying needs tables'), to);
  let nowMs = clock.monotonic();
  const resolving = balancer.ready(resolver, clock, nowMs);
  if (resolving !== null) {
    await resolving;
    nowMs = clock.monotonic();
  }
  const choice: Choice = {
    tried: null,
    activeMax: options.targetActiveMax,
    hashValue: to.upstream === null ? '' : hashValue(ctx, to.upstream.upstream),
    nowMs,
  };
  if (balancer.state.active >= options.upstreamActiveMax) throw overloaded();
  let peer = firstPeer(balancer, choice, to);
  const target = writeTarget(ctx, to, options);
  const triesMax = 1 + (to.service.retries ?? 0);
  for (let count = 1; ; count++) {
    const attempt = beginTry(ctx, balancer, peer, choice.nowMs);
    let error: UpstreamError;
    // Here, not in a function of its own: that would be one promise more for every request.
    try {
      const response = await transport.send(requestTo(ctx, to, peer, target));
      return takeResponse(ctx, attempt, response);
    } catch (cause) {
      error = takeFailure(ctx, attempt, cause);
    }
    if (count >= triesMax || !mayRetry(ctx, error)) throw gatewayError(error);
    choice.nowMs = clock.monotonic();
    const next = nextPeer(balancer, choice, peer);
    if (next === null) throw gatewayError(error);
    peer = next;
  }
}

/**
 * With `request_buffering`, the upstream is not bothered before the body is here, and it can be sent
 * again. Null: the body goes on as it comes. gRPC always does, as in Kong.
 */
function holdRequest(ctx: Exchange, to: ServiceTable): Promise<void> | null {
  const body = ctx.upstreamBody;
  const memory = ctx.platform.bodyMemory;
  if (body === null || body instanceof Uint8Array || memory === null) return null;
  if (to.httpVersion === '2' || (body.length ?? 0) > memory.perBodyMax) return null;
  if (!must(ctx.routed, 'proxying needs a route').buffersRequest) return null;
  return holdBody(body, memory).then(
    (held) => {
      ctx.upstreamBody = held.body;
      ctx.heldBytes = held.bytes;
    },
    (error: unknown) => {
      throw new GatewayError('client_closed_request', { cause: error });
    },
  );
}

const NO_FILTERS: readonly BodyFilter[] = [];

interface Attempt {
  readonly balancer: Balancer;
  readonly peer: Peer;
  /** On the monotonic clock. */
  readonly startedMs: number;
  readonly entry: Try;
}

/** The peer is held until the exchange is over, or has failed. */
function beginTry(ctx: Exchange, balancer: Balancer, peer: Peer, startedMs: number): Attempt {
  if (!ctx.tried) {
    ctx.tried = true;
    ctx.triedMonotonic = startedMs;
  }
  const startedAt = ctx.platform.clock.now();
  const entry = { host: peer.ip, port: peer.port, started_at: startedAt, state: 'ok' };
  ctx.tries.push(entry);
  ctx.hold(balancer.state, peer);
  return { balancer, peer, startedMs, entry };
}

function takeResponse(
  ctx: Exchange,
  { balancer, peer, startedMs }: Attempt,
  response: UpstreamResponse,
): GatewayResponse {
  const nowMs = ctx.platform.clock.monotonic();
  const { status, headers, body, tunnel } = response;
  ctx.answeredMonotonic = nowMs;
  ctx.proxied = true;
  ctx.upstreamStatus = status;
  observeLatency(peer, nowMs - startedMs, nowMs);
  if (balancer.checks.isPassiveOn) reportStatus(balancer, peer, status);
  return { status, headers, body, tunnel, filters: NO_FILTERS, onFinish: NO_FINISH };
}

/**
 * Why there is no response.
 *
 * @throws what is no failure of the upstream
 */
function takeFailure(ctx: Exchange, attempt: Attempt, error: unknown): UpstreamError {
  const { balancer, peer, startedMs, entry } = attempt;
  ctx.release();
  if (!(error instanceof UpstreamError)) throw error;
  entry.state = error.failure;
  const nowMs = ctx.platform.clock.monotonic();
  ctx.answeredMonotonic = nowMs;
  // A slow failure is slow; a quick one must not make a peer look good.
  if (isTimeout(error)) observeLatency(peer, nowMs - startedMs, nowMs);
  if (balancer.checks.isPassiveOn) reportFailure(balancer, peer, error);
  return error;
}

/** Never replays what a target may have acted upon, nor a body that has begun to flow. */
function mayRetry(ctx: Exchange, error: UpstreamError): boolean {
  const { method, abort } = ctx.request;
  const body = ctx.upstreamBody;
  if (abort.aborted || error.failure === 'aborted') return false;
  // The target answered, so it is reached; another try would only repeat the answer.
  if (error.failure === 'invalid_response') return false;
  const isReplayable = body === null || body instanceof Uint8Array;
  if (error.maybeProcessed) return isReplayable && IDEMPOTENT.has(method);
  return isReplayable || !body.consumed;
}

export function balancerFor({ parts }: Tables, to: ServiceTable): Balancer {
  return to.upstream === null ? parts.env.health.balancerOf(to.service) : to.upstream.balancer;
}

export function firstPeer(balancer: Balancer, choice: Choice, to: ServiceTable): Peer {
  const peer = balancer.pick(choice);
  if (peer !== null) return peer;
  if (to.upstream === null && balancer.isUnresolved) {
    throw new GatewayError('name_resolution_failed');
  }
  throw balancer.isHealthy(choice.nowMs) ? overloaded() : new GatewayError('no_peer');
}

/** One not tried yet; when all were, another round begins. Null: there is nobody left to ask. */
export function nextPeer(balancer: Balancer, choice: Choice, failed: Peer): Peer | null {
  choice.tried ??= new Set();
  choice.tried.add(failed);
  const peer = balancer.pick(choice);
  if (peer !== null) return peer;
  choice.tried.clear();
  return balancer.pick(choice);
}

/** How soon it is worth coming back: by then, much of what is under way is over. */
const RETRY_AFTER = [['Retry-After', '1']] as const;

/** Early, rather than to wait in a line that only grows. */
export function overloaded(): GatewayError {
  return new GatewayError('overloaded', { headers: RETRY_AFTER });
}

const TIMEOUT: CheckOutcome = { type: 'timeout' };
const TCP_FAILURE: CheckOutcome = { type: 'tcp_failure' };

/** Source: Kong `runloop/handler.lua`, log.after: a 504 of the upstream's own counts as a timeout. */
function reportStatus({ state }: Balancer, peer: Peer, status: number): void {
  state.report(peer, status === 504 ? TIMEOUT : { type: 'status', status }, 'passive');
}

/** Source: Kong `init.lua`, balancer: what is no timeout is a TCP failure. */
export function reportFailure({ state }: Balancer, peer: Peer, error: UpstreamError): void {
  if (error.failure === 'aborted') return;
  state.report(peer, isTimeout(error) ? TIMEOUT : TCP_FAILURE, 'passive');
}

function isTimeout({ failure }: UpstreamError): boolean {
  return failure === 'connect_timeout' || failure === 'write_timeout' || failure === 'read_timeout';
}

/** Path and query of the upstream request; says in the headers what was done to them. */
export function writeTarget(ctx: Exchange, to: ServiceTable, options: ProxyOptions): string {
  const { request } = ctx;
  const { stripsPath, pathHandling } = must(ctx.routed, 'proxying needs a route');
  const matchedPath = must(ctx.match, 'proxying needs a match').matchedPath;
  const path =
    to.path === '/' && !stripsPath
      ? ctx.forwardPath
      : upstreamPath({
          servicePath: to.path,
          requestPath: ctx.path,
          matchedPath,
          stripPath: stripsPath,
          pathHandling,
        });
  addForwardingHeaders(ctx.upstreamHeaders, {
    httpVersion: request.httpVersion,
    client: must(ctx.client, 'proxying needs a client'),
    peerAddress: request.peerAddress,
    wantsTrailers: asksForTrailers(request.headers),
    originalPath: pathOf(request.target),
    strippedPrefix: stripsPath && matchedPath !== null ? escapePath(matchedPath) : null,
    requestId: options.sendsRequestId ? ctx.requestId : null,
  });
  if (request.upgrade !== null) askToSwitch(ctx.upstreamHeaders);
  ctx.upstreamPath = path;
  return ctx.upstreamQuery === null ? path : `${path}?${ctx.upstreamQuery}`;
}

function requestTo(ctx: Exchange, to: ServiceTable, peer: Peer, target: string): UpstreamRequest {
  const { service, scheme } = to;
  const headers = ctx.upstreamHeaders;
  const host = hostFor(ctx, to, peer);
  headers.set('Host', host);
  return {
    scheme,
    host: peer.host,
    address: peer.address,
    port: peer.port,
    httpVersion: to.httpVersion,
    upgrade: ctx.request.upgrade,
    method: ctx.request.method,
    target,
    headers,
    body: ctx.upstreamBody,
    readsAhead: readsAhead(ctx, to),
    connectTimeoutMs: service.connect_timeout ?? TIMEOUT_MS,
    writeTimeoutMs: service.write_timeout ?? TIMEOUT_MS,
    readTimeoutMs: service.read_timeout ?? TIMEOUT_MS,
    tls: to.tls === null ? null : to.tls.named(serverNameOf(host)),
    abort: ctx.request.abort,
  };
}

/** Source: Kong `runloop/handler.lua`, access.after: gRPC is never buffered. */
function readsAhead(ctx: Exchange, to: ServiceTable): boolean {
  return must(ctx.routed, 'proxying needs a route').buffersResponse && to.httpVersion !== '2';
}

/** The Host that a peer is sent. */
export function hostFor(
  ctx: Exchange,
  to: ServiceTable,
  peer: Pick<Peer, 'host' | 'srvName' | 'port'>,
): string {
  return upstreamHost({
    preserveHost: must(ctx.routed, 'proxying needs a route').preservesHost,
    requestHost: ctx.request.headers.get('host'),
    hostHeader: to.upstream === null ? null : to.upstream.upstream.host_header,
    targetHost:
      to.upstream?.upstream.use_srv_name === true ? (peer.srvName ?? peer.host) : peer.host,
    targetPort: peer.port,
    scheme: to.scheme,
  });
}

/** The name to ask for and to verify; null for an address (RFC 6066 section 3 allows names only). */
function serverNameOf(host: string): string | null {
  const { name } = splitHost(host);
  return parseIp(name) === null && !name.startsWith('[') ? name : null;
}

/** Kong's default for a service's three timeouts. */
const TIMEOUT_MS = 60_000;

function gatewayError(error: UpstreamError): GatewayError {
  switch (error.failure) {
    case 'resolve':
      return new GatewayError('name_resolution_failed', { cause: error });
    case 'connect_timeout':
    case 'write_timeout':
    case 'read_timeout':
      return new GatewayError('upstream_timeout', { cause: error });
    case 'aborted':
      return new GatewayError('client_closed_request', { cause: error });
    case 'connect':
    case 'reset':
    case 'invalid_response':
      return new GatewayError('bad_gateway', { cause: error });
  }
}
