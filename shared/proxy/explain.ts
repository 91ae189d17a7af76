/**
 * What would be done with a request, and why, without doing it: the same reading of the target, the
 * same router, plans and upstream as on the request path, put in words. Nothing is sent, and no plugin
 * runs. It names entities and what they match by; configurations of plugins and secrets are not in it.
 */
import { fromUtf8 } from '../base/bytes.ts';
import type { Upstream } from '../entities/upstream.ts';
import type { AddressHealth } from '../health/registry.ts';
import { GatewayError } from '../http/errors.ts';
import type { GatewayResponse } from '../http/message.ts';
import type { Platform } from '../platform/platform.ts';
import type { ExplainedMatch, ExplainedMiss, RankExplanation, Reason } from '../router/explain.ts';
import type { RouteEntry } from '../router/router.ts';
import type { JsonObject } from '../schema/field.ts';
import type { ServiceTable, Tables } from '../tables/tables.ts';
import { closingStep, explainPlugins, isClosedEarly } from './explain-plugins.ts';
import { type ExplainRequest, toGatewayRequest } from './explain-request.ts';
import {
  accept,
  answerFor,
  type HandleOptions,
  matchRoute,
  refuse,
  requestFacts,
} from './handle.ts';
import { closed } from './phases.ts';
import { Exchange } from './request-context.ts';
import { hostFor, writeTarget } from './upstream.ts';

/** No request has it. */
const NO_REQUEST_ID = '0'.repeat(32);

/** @param tables  null: there is no configuration */
export function explain(
  tables: Tables | null,
  asked: ExplainRequest,
  platform: Platform,
  options: HandleOptions,
): JsonObject {
  const ctx = new Exchange(platform, tables, toGatewayRequest(asked), NO_REQUEST_ID);
  const found = decide(ctx, options, asked.consumer);
  const { routed, match } = ctx;
  const target = found.answer === null && routed !== null ? routed.target : null;
  return {
    configuration:
      tables === null
        ? null
        : { epoch: tables.epoch, revision: tables.revision, hash: tables.hash },
    request: requestView(ctx, found.isAccepted),
    outcome: found.answer === null ? 'proxied' : 'answered',
    answer: found.answer === null ? null : answerView(found.answer),
    route: routed === null ? null : { ...routeView(routed), fault: routed.fault },
    matched_path: match === null ? null : match.matchedPath,
    captures:
      match === null || match.captures === null
        ? null
        : { named: match.captures.named, indexed: [...match.captures.indexed] },
    routing: tables === null || !found.isAccepted ? null : routingView(ctx, tables, asked.limit),
    plugins: explainPlugins(ctx, asked.consumer, found.hasAccess),
    upstream: target === null ? null : upstreamView(ctx, target, options),
  };
}

interface Found {
  /** What the gateway itself would answer, if no plugin does; null: the request goes upstream. */
  readonly answer: GatewayResponse | null;
  /** The target could be read. */
  readonly isAccepted: boolean;
  /** The route's plugins get their turn. */
  readonly hasAccess: boolean;
}

/** `serve` and `route` of the request path, without the plugins. */
function decide(ctx: Exchange, options: HandleOptions, consumer: string | null): Found {
  let isAccepted = false;
  let hasAccess = false;
  try {
    const { tables } = ctx;
    if (tables === null) throw new GatewayError('no_configuration');
    accept(ctx, options);
    isAccepted = true;
    if (isClosedEarly(tables)) return { answer: closed(ctx), isAccepted, hasAccess };
    const routed = matchRoute(ctx, tables);
    const refusal = refuse(ctx, routed);
    if (refusal !== null) return { answer: refusal, isAccepted, hasAccess };
    hasAccess = true;
    if (closingStep(ctx, consumer) !== null) return { answer: closed(ctx), isAccepted, hasAccess };
    if (routed.target === null) throw new GatewayError('no_service');
    return { answer: null, isAccepted, hasAccess };
  } catch (error) {
    return { answer: answerFor(ctx, error, options), isAccepted, hasAccess };
  }
}

function requestView(ctx: Exchange, isAccepted: boolean): JsonObject {
  const { request } = ctx;
  return {
    method: request.method,
    scheme: request.scheme,
    host: request.headers.get('host'),
    target: request.target,
    // As it is matched; null: refused, because it can be read in more than one way.
    path: isAccepted ? ctx.path : null,
    query: ctx.query,
    client_address: ctx.clientAddress,
    forwarded_scheme: ctx.forwardedScheme,
  };
}

function answerView({ status, headers, body }: GatewayResponse): JsonObject {
  return {
    status,
    headers: pairsOf(headers.raw),
    body: body instanceof Uint8Array ? fromUtf8(body) : null,
  };
}

function pairsOf(raw: readonly string[]): string[][] {
  const pairs: string[][] = [];
  for (let i = 0; i < raw.length; i += 2) pairs.push(raw.slice(i, i + 2));
  return pairs;
}

/** Which routes could have been taken, best first, and by what those that lie near were missed. */
function routingView(ctx: Exchange, tables: Tables, limit: number): JsonObject {
  const facts = requestFacts(ctx);
  const { matches, misses } = tables.router.explain(facts, limit);
  const readings = ctx.lenientPaths.map((path) => {
    const other = tables.router.match({ ...facts, path });
    return { path, route: other === null ? null : routeView(other.entry) };
  });
  return {
    flavor: tables.router.flavor,
    matches: matches.map(matchView),
    misses: misses.map(missView),
    // What lenient upstreams may take the path for: of another route, the request is refused.
    other_readings: readings,
  };
}

function matchView({ match, reasons, rank }: ExplainedMatch): JsonObject {
  return {
    route: routeView(match.entry),
    because: reasons.map(reasonView),
    rank: rankView(rank),
  };
}

function missView({ entry, failed, rank }: ExplainedMiss): JsonObject {
  return { route: routeView(entry), failed: reasonView(failed), rank: rankView(rank) };
}

function reasonView({ attribute, condition, value }: Reason): JsonObject {
  return { attribute, condition, value };
}

function rankView({ priority, terms, id }: RankExplanation): JsonObject {
  return { priority, terms: terms.map(({ name, value }) => ({ name, value })), id };
}

function routeView({ ws, route }: RouteEntry): JsonObject {
  return { id: route.id, name: route.name ?? null, workspace: ws };
}

function upstreamView(ctx: Exchange, to: ServiceTable, options: HandleOptions): JsonObject {
  const { service, upstream } = to;
  writeTarget(ctx, to, options);
  return {
    service: { id: service.id, name: service.name ?? null },
    upstream: upstream === null ? null : { id: upstream.id, ...algorithmView(upstream.upstream) },
    scheme: to.scheme,
    http_version: to.httpVersion,
    path: ctx.upstreamPath,
    query: ctx.upstreamQuery,
    retries: service.retries ?? 0,
    targets: targetViews(ctx, to),
  };
}

function algorithmView({ name, algorithm, hash_on: hashOn }: Upstream): JsonObject {
  return { name, algorithm: algorithm ?? null, hash_on: hashOn ?? null };
}

/** Where a try may go; health where this data plane knows it. */
function targetViews(ctx: Exchange, to: ServiceTable): JsonObject[] {
  const { service, upstream } = to;
  if (upstream === null) {
    const { host, port } = service;
    const hostHeader = hostFor(ctx, to, { host, port, srvName: null });
    return [{ host, port, weight: null, host_header: hostHeader, health: null, addresses: [] }];
  }
  const registry = ctx.tables?.parts.env.health;
  const nowMs = ctx.platform.clock.monotonic();
  const known = registry?.snapshot(upstream.ws, upstream.upstream.name, nowMs)?.targets ?? [];
  const byKey = new Map(known.map((target) => [target.target, target]));
  return upstream.balancer.targets.map(({ key, host, port, weight }) => ({
    host,
    port,
    weight,
    host_header: hostFor(ctx, to, { host, port, srvName: null }),
    health: byKey.get(key)?.health ?? null,
    addresses: (byKey.get(key)?.addresses ?? []).map(addressView),
  }));
}

function addressView({ ip, port, weight, health }: AddressHealth): JsonObject {
  return { ip, port, weight, health };
}
