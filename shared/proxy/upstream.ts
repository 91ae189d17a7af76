/** From a routed request to the head of an upstream response: target, tries, and how they fail. */
import { must } from '../base/assert.ts';
import { parseIp } from '../base/ip.ts';
import type { Target } from '../balancer/balancer.ts';
import { GatewayError } from '../http/errors.ts';
import { splitHost } from '../http/host.ts';
import type { GatewayResponse } from '../http/message.ts';
import { addForwardingHeaders, asksForTrailers, upstreamHost } from '../http/upstream-headers.ts';
import { escapePath } from '../http/path.ts';
import { upstreamPath } from '../http/upstream-uri.ts';
import { askToSwitch } from '../http/websocket.ts';
import { UpstreamError, type UpstreamRequest } from '../platform/platform.ts';
import type { ServiceTable } from '../tables/tables.ts';
import { pathOf } from './log-entry.ts';
import { type Exchange, NO_FINISH } from './request-context.ts';

/** Where one try goes. */
interface Peer {
  /** Names the target among those already tried; null for a service without an Upstream. */
  readonly key: string | null;
  readonly host: string;
  readonly port: number;
}

export interface ProxyOptions {
  /** Send X-Kong-Request-Id upstream. */
  readonly sendsRequestId: boolean;
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

const NONE_TRIED: ReadonlySet<string> = new Set();

/**
 * Sends the request, up to `retries` more times than once.
 *
 * @throws GatewayError when no try brought a response
 */
export async function proxy(
  ctx: Exchange,
  to: ServiceTable,
  options: ProxyOptions,
): Promise<GatewayResponse> {
  const { transport, clock } = ctx.platform;
  const triesMax = 1 + (to.service.retries ?? 0);
  const target = writeTarget(ctx, to, options);
  let tried: Set<string> | null = null;

  for (let count = 1; ; count++) {
    const peer = pickPeer(to, tried);
    if (!ctx.tried) {
      ctx.tried = true;
      ctx.triedMonotonic = clock.monotonic();
    }
    const attempt = { host: peer.host, port: peer.port, started_at: clock.now(), state: 'ok' };
    ctx.tries.push(attempt);
    try {
      const response = await transport.send(requestTo(ctx, to, peer, target));
      ctx.answeredMonotonic = clock.monotonic();
      ctx.proxied = true;
      ctx.upstreamStatus = response.status;
      return { ...response, filters: [], onFinish: NO_FINISH };
    } catch (error) {
      if (!(error instanceof UpstreamError)) throw error;
      attempt.state = error.failure;
      ctx.answeredMonotonic = clock.monotonic();
      if (count >= triesMax || !mayRetry(ctx, error)) throw gatewayError(error);
      if (peer.key !== null) {
        tried ??= new Set();
        tried.add(peer.key);
      }
    }
  }
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

function pickPeer(to: ServiceTable, tried: Set<string> | null): Peer {
  const { upstream, service } = to;
  if (upstream === null) return { key: null, host: service.host, port: service.port };
  let target: Target | null = upstream.balancer.pick(tried ?? NONE_TRIED);
  if (target === null && tried !== null) {
    // Every target failed once and tries are left: begin another round.
    tried.clear();
    target = upstream.balancer.pick(tried);
  }
  if (target === null) throw new GatewayError('no_peer');
  return { key: target.key, host: target.host, port: target.port };
}

/** Path and query of the upstream request; says in the headers what was done to them. */
function writeTarget(ctx: Exchange, to: ServiceTable, options: ProxyOptions): string {
  const { request } = ctx;
  const { route, pathHandling } = must(ctx.routed, 'proxying needs a route');
  const matchedPath = must(ctx.match, 'proxying needs a match').matchedPath;
  const path =
    to.path === '/' && !route.strip_path
      ? ctx.forwardPath
      : upstreamPath({
          servicePath: to.path,
          requestPath: ctx.path,
          matchedPath,
          stripPath: route.strip_path,
          pathHandling,
        });
  addForwardingHeaders(ctx.upstreamHeaders, {
    client: must(ctx.client, 'proxying needs a client'),
    peerAddress: request.peerAddress,
    wantsTrailers: asksForTrailers(request.headers),
    originalPath: pathOf(request.target),
    strippedPrefix: route.strip_path && matchedPath !== null ? escapePath(matchedPath) : null,
    requestId: options.sendsRequestId ? ctx.requestId : null,
  });
  if (request.upgrade !== null) askToSwitch(ctx.upstreamHeaders);
  ctx.upstreamPath = path;
  return ctx.upstreamQuery === null ? path : `${path}?${ctx.upstreamQuery}`;
}

function requestTo(ctx: Exchange, to: ServiceTable, peer: Peer, target: string): UpstreamRequest {
  const { service, scheme } = to;
  const headers = ctx.upstreamHeaders;
  const host = upstreamHost({
    preserveHost: must(ctx.routed, 'proxying needs a route').route.preserve_host,
    requestHost: ctx.request.headers.get('host'),
    hostHeader: to.upstream === null ? null : to.upstream.upstream.host_header,
    targetHost: peer.host,
    targetPort: peer.port,
    scheme,
  });
  headers.set('Host', host);
  return {
    scheme,
    host: peer.host,
    address: null,
    port: peer.port,
    httpVersion: to.httpVersion,
    upgrade: ctx.request.upgrade,
    method: ctx.request.method,
    target,
    headers,
    body: ctx.upstreamBody,
    connectTimeoutMs: service.connect_timeout ?? TIMEOUT_MS,
    writeTimeoutMs: service.write_timeout ?? TIMEOUT_MS,
    readTimeoutMs: service.read_timeout ?? TIMEOUT_MS,
    tls:
      scheme === 'https'
        ? {
            serverName: serverNameOf(host),
            verify: service.tls_verify ?? false,
            verifyDepth: null,
            ca: null,
            clientCertificate: null,
          }
        : null,
    abort: ctx.request.abort,
  };
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
