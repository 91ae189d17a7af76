/**
 * The path of what is not requests: one TCP connection or one UDP session, from its first bytes to
 * the upstream it is joined to. Top to bottom: match → protocol → preread plugins → tries.
 *
 * What cannot be served is closed: there is nothing in these protocols to answer with.
 *
 * Source: Kong `runloop/handler.lua` (preread.after), `kong/init.lua` (preread, balancer, log)
 */
import type { Choice } from '../balancer/algorithm.ts';
import type { Balancer } from '../balancer/balancer.ts';
import { observeLatency } from '../balancer/latency.ts';
import type { Peer } from '../balancer/peer.ts';
import { hex } from '../base/bytes.ts';
import { isPromise } from '../base/maybe-promise.ts';
import { parseIp } from '../base/ip.ts';
import type { Upstream } from '../entities/upstream.ts';
import { GatewayError } from '../http/errors.ts';
import {
  UpstreamError,
  type Platform,
  type StreamTransport,
  type StreamUpstream,
} from '../platform/platform.ts';
import { bindRoute } from '../tables/bind-route.ts';
import type { RouteTable, ServiceTable, Tables } from '../tables/tables.ts';
import type { Try } from './log-entry.ts';
import type {
  StreamAnswer,
  StreamContext,
  StreamLogEntry,
  StreamOutcome,
  StreamRefusal,
  StreamSession,
} from './stream-context.ts';
import { balancerFor, firstPeer, nextPeer, reportFailure } from './upstream.ts';

export interface StreamOptions {
  readonly platform: Platform;
  readonly transport: StreamTransport;
  /** What is served at this moment; a session ends with what it began with. */
  readonly tables: () => Tables | null;
  /** Sessions and requests under way to one Upstream; to one address. */
  readonly upstreamActiveMax: number;
  readonly targetActiveMax: number;
  /** Gets one entry per session when it is over; null: none are made. */
  readonly accessLog: ((entry: StreamLogEntry) => void) | null;
}

/** One session's life. */
class StreamExchange {
  readonly session: StreamSession;
  readonly id: string;
  /** Epoch milliseconds; and on the monotonic clock. */
  readonly startedAt: number;
  readonly startedMonotonic: number;
  mode: StreamLogEntry['session']['protocol'];
  routed: RouteTable | null = null;
  readonly tries: Try[] = [];
  /** On the monotonic clock; 0 before. */
  triedMonotonic = 0;
  connectedMonotonic = 0;
  /** Gives back the peer that it holds; null while it holds none. */
  release: (() => void) | null = null;

  constructor(session: StreamSession, { clock, random }: Platform) {
    this.session = session;
    this.mode = session.protocol;
    this.id = hex(random.bytes(ID_BYTES));
    this.startedAt = clock.now();
    this.startedMonotonic = clock.monotonic();
  }

  letGo(): void {
    this.release?.();
    this.release = null;
  }
}

const ID_BYTES = 16;

/** Ends a session before it is joined; the message is what the log says. */
class Closed extends Error {
  override readonly name = 'Closed';
}

/**
 * One session, from its first bytes to its upstream. Null: it is to be closed, and the log has it
 * already.
 *
 * Never rejects.
 */
export async function handleStream(
  session: StreamSession,
  options: StreamOptions,
): Promise<StreamAnswer | null> {
  const exchange = new StreamExchange(session, options.platform);
  try {
    const tables = options.tables();
    if (tables === null) throw new Closed('no configuration available');
    const routed = matchRoute(exchange, tables);
    const to = await enter(exchange, routed, options);
    const tunnel = await connect(exchange, to, tables, options);
    const onFinish = (outcome: StreamOutcome): void => finish(exchange, outcome, 200, options);
    return { tunnel, onFinish };
  } catch (error) {
    const end = reasonOf(error, options);
    const outcome = { complete: false, end, bytesFromClient: 0, bytesToClient: 0 };
    finish(exchange, outcome, 500, options);
    return null;
  }
}

function matchRoute(exchange: StreamExchange, tables: Tables): RouteTable {
  const { session } = exchange;
  const entry = tables.router.matchStream({
    protocol: session.protocol,
    sni: session.serverName,
    sourceAddress: session.peerAddress,
    sourcePort: session.peerPort,
    address: session.localAddress,
    port: session.localPort,
  });
  const routed = entry === null ? null : bindRoute(entry, tables);
  if (routed === null) throw new Closed('no route');
  exchange.routed = routed;
  if (routed.fault !== null) throw new Closed('no valid configuration');
  return routed;
}

/** TLS, and the plugins' say. Answers where it goes. */
async function enter(
  exchange: StreamExchange,
  routed: RouteTable,
  options: StreamOptions,
): Promise<ServiceTable> {
  const { session } = exchange;
  const protocols: readonly string[] = routed.route.protocols;
  if (session.protocol === 'tls' && protocols.includes('tls_passthrough')) {
    exchange.mode = 'tls_passthrough';
  } else if (!protocols.includes(session.protocol)) {
    // The routers do not look at it; a route for TLS alone must not carry what is in the clear.
    throw new Closed('protocol not of the route');
  }
  if (exchange.mode === 'tls') {
    await session.terminateTls().catch((error: unknown) => {
      throw new Closed('tls handshake', { cause: error });
    });
  }
  await runPreread(exchange, routed, options);
  const { target } = routed;
  if (target === null) throw new Closed('no service');
  const isUdp = target.service.protocol === 'udp';
  if (isUdp !== (session.protocol === 'udp')) throw new Closed('protocol not of the service');
  return target;
}

async function runPreread(
  exchange: StreamExchange,
  routed: RouteTable,
  options: StreamOptions,
): Promise<void> {
  for (const { name, base } of routed.plan.steps) {
    if (base === null || base.state === 'inert') continue;
    if (base.state === 'closed') throw new Closed(`closed by ${name}`);
    const { handler, prepared } = base;
    if (handler.preread === undefined) continue;
    let refusal: StreamRefusal | void;
    try {
      const answer = handler.preread(contextOf(exchange, routed, options), prepared);
      refusal = isPromise(answer) ? await answer : answer;
    } catch (error) {
      report(options, name, 'preread', error);
      throw new Closed(`crash of ${name}`, { cause: error });
    }
    if (refusal !== undefined) throw new Closed(`${name}: ${refusal.reason}`);
  }
}

/** Up to `retries` more tries than one: nothing of the client's was sent before it is connected. */
async function connect(
  exchange: StreamExchange,
  to: ServiceTable,
  tables: Tables,
  options: StreamOptions,
): Promise<StreamAnswer['tunnel']> {
  const { clock, resolver } = options.platform;
  const balancer = balancerFor(tables, to);
  exchange.triedMonotonic = clock.monotonic();
  const resolving = balancer.ready(resolver, clock);
  if (resolving !== null) await resolving;
  const choice: Choice = {
    tried: null,
    activeMax: options.targetActiveMax,
    hashValue: to.upstream === null ? '' : hashValue(exchange.session, to.upstream.upstream),
    nowMs: clock.monotonic(),
  };
  if (balancer.state.active >= options.upstreamActiveMax) throw new Closed('overloaded');
  const triesMax = 1 + (to.service.retries ?? 0);
  let peer: Peer | null = firstPeer(balancer, choice, to);
  for (let count = 1; ; count += 1) {
    const tunnel = await tryPeer(exchange, { balancer, peer, to }, options);
    if (!(tunnel instanceof UpstreamError)) return tunnel;
    const isLast = count >= triesMax || exchange.session.abort.aborted;
    choice.nowMs = clock.monotonic();
    peer = isLast ? null : nextPeer(balancer, choice, peer);
    if (peer === null) throw new Closed(`upstream ${tunnel.failure}`);
  }
}

/** The tunnel, or why there is none. The peer is held until the session is over, or has failed. */
async function tryPeer(
  exchange: StreamExchange,
  attempt: { readonly balancer: Balancer; readonly peer: Peer; readonly to: ServiceTable },
  { platform, transport }: StreamOptions,
): Promise<StreamAnswer['tunnel'] | UpstreamError> {
  const { clock } = platform;
  const { balancer, peer, to } = attempt;
  const startedMs = clock.monotonic();
  const entry = { host: peer.ip, port: peer.port, started_at: clock.now(), state: 'ok' };
  exchange.tries.push(entry);
  balancer.state.began(peer);
  exchange.release = () => balancer.state.ended(peer);
  try {
    const tunnel = await transport.connect(upstreamOf(exchange, to, peer));
    const nowMs = clock.monotonic();
    exchange.connectedMonotonic = nowMs;
    observeLatency(peer, nowMs - startedMs, nowMs);
    return tunnel;
  } catch (error) {
    exchange.letGo();
    if (!(error instanceof UpstreamError)) throw error;
    entry.state = error.failure;
    exchange.connectedMonotonic = clock.monotonic();
    if (balancer.checks.isPassiveOn) reportFailure(balancer, peer, error);
    return error;
  }
}

/** A connection has nothing to hash but where it comes from. Source: Kong, as for requests. */
function hashValue(session: StreamSession, { hash_on, hash_fallback }: Upstream): string {
  return hash_on === 'ip' || hash_fallback === 'ip' ? session.peerAddress : '';
}

function upstreamOf(exchange: StreamExchange, to: ServiceTable, peer: Peer): StreamUpstream {
  const { service } = to;
  const name =
    to.upstream === null ? service.host : (to.upstream.upstream.host_header ?? peer.host);
  return {
    protocol: PROTOCOLS.get(service.protocol) ?? 'tcp',
    host: peer.host,
    address: peer.address,
    port: peer.port,
    connectTimeoutMs: service.connect_timeout ?? TIMEOUT_MS,
    writeTimeoutMs: service.write_timeout ?? TIMEOUT_MS,
    readTimeoutMs: service.read_timeout ?? TIMEOUT_MS,
    tls: to.tls === null ? null : to.tls.named(parseIp(name) === null ? name : null),
    abort: exchange.session.abort,
  };
}

/** What is spoken to a service; TCP to all others. */
const PROTOCOLS: ReadonlyMap<string, StreamUpstream['protocol']> = new Map([
  ['tls', 'tls'],
  ['udp', 'udp'],
]);

/** Kong's default for a service's three timeouts. */
const TIMEOUT_MS = 60_000;

function contextOf(
  { session }: StreamExchange,
  { ws, route, target }: RouteTable,
  { platform }: StreamOptions,
): StreamContext {
  const service = target === null ? null : target.service;
  return { platform, session, route, service, workspace: ws };
}

function finish(
  exchange: StreamExchange,
  outcome: StreamOutcome,
  status: 200 | 500,
  options: StreamOptions,
): void {
  const { routed } = exchange;
  exchange.letGo();
  const hasLog = routed?.plan.steps.some(({ handler }) => handler.streamLog !== undefined) === true;
  const { accessLog, platform } = options;
  if (accessLog === null && !hasLog) return;
  const entry = entryOf(exchange, outcome, status, platform.clock.monotonic());
  if (routed !== null && hasLog) platform.background(runLog(exchange, routed, entry, options));
  try {
    accessLog?.(entry);
  } catch {
    platform.logger.log('error', 'access log failed', { session_id: exchange.id });
  }
}

async function runLog(
  exchange: StreamExchange,
  routed: RouteTable,
  entry: StreamLogEntry,
  options: StreamOptions,
): Promise<void> {
  for (const { name, base } of routed.plan.steps) {
    if (base === null || base.state !== 'ready') continue;
    try {
      await base.handler.streamLog?.(contextOf(exchange, routed, options), entry, base.prepared);
    } catch (error) {
      report(options, name, 'log', error);
    }
  }
}

function entryOf(
  exchange: StreamExchange,
  outcome: StreamOutcome,
  status: 200 | 500,
  nowMonotonic: number,
): StreamLogEntry {
  const { session, routed, triedMonotonic: asked } = exchange;
  const service = routed === null || routed.target === null ? null : routed.target.service;
  const began = exchange.startedMonotonic;
  return {
    session_id: exchange.id,
    started_at: exchange.startedAt,
    client_ip: session.peerAddress,
    session: {
      protocol: exchange.mode,
      sni: session.serverName,
      server_port: session.localPort,
      status,
      received: outcome.bytesFromClient,
      sent: outcome.bytesToClient,
      complete: outcome.complete,
      end: outcome.end,
    },
    latencies: {
      session: Math.round(nowMonotonic - began),
      proxy: asked === 0 ? -1 : Math.round((exchange.connectedMonotonic || nowMonotonic) - asked),
      gateway: Math.round((asked === 0 ? nowMonotonic : asked) - began),
    },
    workspace: routed === null ? null : routed.ws,
    route: routed === null ? null : { id: routed.route.id, name: routed.route.name },
    service: service === null ? null : { id: service.id, name: service.name },
    tries: exchange.tries,
  };
}

/** What the log says; a bug of ours is reported as one. */
function reasonOf(error: unknown, { platform }: StreamOptions): string {
  if (error instanceof Closed) return error.message;
  if (error instanceof GatewayError) return error.message;
  const text = error instanceof Error ? `${error.name}: ${error.message}` : 'not an Error';
  platform.logger.log('error', 'stream path crashed', { error: text });
  return 'crash';
}

function report({ platform }: StreamOptions, plugin: string, phase: string, error: unknown): void {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : 'not an Error';
  platform.logger.log('error', 'plugin crashed', { plugin, phase, error: text });
}
