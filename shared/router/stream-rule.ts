/**
 * A route of the tcp, udp, tls and tls_passthrough protocols.
 *
 * Source: Kong `router/transform.lua` (get_expression), `router/expressions.lua`, and for the
 * traditional flavour `router/traditional.lua`.
 */
import type { Route } from '../entities/route.ts';
import { compileAddresses } from './address.ts';
import type { AddressTest } from './address.ts';
import { compileExpression } from './expression/compile.ts';
import type { Expression } from './expression/compile.ts';
import {
  expressionRank,
  isGiven,
  isSet,
  Rank,
  streamBitRank,
  traditionalStreamRank,
} from './rank.ts';
import type { NameKey } from './route-index.ts';
import type { RouterFlavor } from '../settings/common.ts';
import type { RouteEntry } from './router.ts';
import {
  ANY_NAME,
  expressionOf,
  expressionPriorityOf,
  flavorFault,
  PAIRS_MAX,
  sniNames,
  sniTest,
} from './rule.ts';
import type { Compiled, IndexKeys, NameTest } from './rule.ts';
import { portText } from './search.ts';

export interface StreamRule {
  readonly entry: RouteEntry;
  readonly rank: Rank;
  /** As Kong names them when it matches; null for any. */
  readonly protocols: readonly string[] | null;
  /** Null for any. */
  readonly snis: readonly NameTest[] | null;
  /** A connection without SNI does not match. */
  readonly needsSni: boolean;
  /** Null for any. */
  readonly sources: readonly AddressTest[] | null;
  /** Null for any. */
  readonly destinations: readonly AddressTest[] | null;
  /** Null for none. */
  readonly expression: Expression | null;
}

const STREAM_PROTOCOLS: ReadonlySet<string> = new Set(['tcp', 'udp', 'tls', 'tls_passthrough']);

export function isStreamRoute(route: Route): boolean {
  const [first] = route.protocols;
  return first !== undefined && STREAM_PROTOCOLS.has(first);
}

export function compileStreamRoute(entry: RouteEntry, flavor: RouterFlavor): Compiled<StreamRule> {
  const { route } = entry;
  const source = expressionOf(route);
  if (source !== null) return compileExpressionRoute(entry, source, flavor);
  const faults: string[] = [];
  const isTraditional = flavor === 'traditional';
  const rule: StreamRule = {
    entry,
    rank: streamRankOf(entry, flavor),
    protocols: flavor === 'expressions' ? protocolsOf(route) : null,
    snis: isSet(route.snis) ? route.snis.map((sni) => sniTest(sni, isTraditional)) : null,
    needsSni: isTraditional && isSet(route.snis),
    sources: compileAddresses(route.sources, faults),
    destinations: compileAddresses(route.destinations, faults),
    expression: null,
  };
  if (rule.snis === null && !isSet(route.sources) && !isSet(route.destinations)) {
    faults.push('nothing to match by');
  }
  // A name or a port of ours says whose connections they are.
  const isCovered = rule.snis !== null || streamIndexKeysOf(route, flavor).texts[0] !== '';
  return { rules: [rule], fault: faults[0] ?? null, isCovered };
}

export function streamRankOf(entry: RouteEntry, flavor: RouterFlavor): Rank {
  const { route } = entry;
  if (expressionOf(route) !== null) {
    return new Rank(expressionRank(expressionPriorityOf(route)), entry);
  }
  const isTraditional = flavor === 'traditional';
  return new Rank(isTraditional ? traditionalStreamRank(route) : streamBitRank(route), entry);
}

function compileExpressionRoute(
  entry: RouteEntry,
  source: string,
  flavor: RouterFlavor,
): Compiled<StreamRule> {
  const compiled = compileExpression(source, 'stream');
  if (!compiled.ok) return { rules: [], fault: `expression: ${compiled.reason}`, isCovered: false };
  const rule: StreamRule = {
    entry,
    rank: streamRankOf(entry, flavor),
    protocols: flavor === 'expressions' ? protocolsOf(entry.route) : null,
    snis: null,
    needsSni: false,
    sources: null,
    destinations: null,
    expression: compiled.expression,
  };
  return { rules: [rule], fault: flavorFault(flavor), isCovered: true };
}

const ANY_PORT: readonly string[] = [''];

/** By SNI, and by our port where every destination names one and there are not too many pairs. */
export function streamIndexKeysOf(route: Route, flavor: RouterFlavor): IndexKeys {
  if (expressionOf(route) !== null) return { names: ANY_NAME, texts: ANY_PORT };
  const names = namesOf(route, flavor === 'traditional');
  const ports = new Set<number>();
  for (const { port } of route.destinations ?? []) {
    if (!isGiven(port)) return { names, texts: ANY_PORT };
    ports.add(port);
  }
  if (ports.size === 0 || names.length * ports.size > PAIRS_MAX) return { names, texts: ANY_PORT };
  return { names, texts: [...ports].map((port) => portText(port)) };
}

function namesOf(route: Route, isTraditional: boolean): readonly NameKey[] {
  if (!isSet(route.snis)) return ANY_NAME;
  const snis = route.snis.map((sni) => sniTest(sni, isTraditional));
  // Where a connection names no server, Kong does not ask for one; its traditional router does.
  return isTraditional ? snis : sniNames(snis);
}

/**
 * What the route insists on. A route for TLS alone also takes what is not (yet) TLS.
 *
 * Source: Kong `router/expressions.lua`, get_expression
 */
export function protocolsOf(route: Route): readonly string[] | null {
  const protocols: readonly string[] = route.protocols;
  const [first] = protocols;
  if (protocols.length === 1 && (first === 'tls' || first === 'tls_passthrough')) return null;
  return protocols.map((protocol) => (protocol === 'tls_passthrough' ? 'tcp' : protocol));
}
