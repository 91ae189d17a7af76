/**
 * The router's rules in their plainest form: every route is looked at, those that match are sorted by
 * Kong's 64-bit number or, in the traditional flavour, by its sort keys. Independent of the real one
 * but for expressions, which are evaluated by the same code; slow; for comparison only.
 */
import { createHash } from 'node:crypto';
import type { Route } from '../entities/route.ts';
import type { RouterFlavor } from '../settings/common.ts';
import { compileExpression } from './expression/compile.ts';
import { ExpressionInput } from './expression/input.ts';
import type { RequestFacts, StreamFacts } from './facts.ts';
import type { RouteEntry } from './router.ts';

interface Part {
  readonly entry: RouteEntry;
  readonly id: string;
  readonly hosts: readonly string[];
  readonly paths: readonly string[];
  /** Compared one after the other, the greater first. */
  readonly keys: readonly bigint[];
}

export interface ReferenceMatch {
  readonly id: string;
  readonly matchedPath: string | null;
}

/** Of all routes that match, best first. A route whose parts match stands where its best part does. */
export function referenceOrder(
  entries: readonly RouteEntry[],
  facts: RequestFacts,
  flavor: RouterFlavor,
): ReferenceMatch[] {
  const parts = entries
    .filter(({ route }) => !isStream(route))
    .flatMap((entry) => split(entry, flavor))
    .filter((part) => matches(part, facts, flavor));
  return distinct(parts).map((part) => ({
    id: part.entry.route.id,
    matchedPath: matchedPath(part, facts),
  }));
}

export function referenceStreamOrder(
  entries: readonly RouteEntry[],
  facts: StreamFacts,
  flavor: RouterFlavor,
): string[] {
  const parts = entries
    .filter(({ route }) => isStream(route))
    .map((entry): Part => {
      const { route } = entry;
      return { entry, id: route.id, hosts: [], paths: [], keys: streamKeys(route, flavor) };
    })
    .filter(({ entry }) => matchesStream(entry.route, facts, flavor));
  return distinct(parts).map(({ entry }) => entry.route.id);
}

function distinct(parts: readonly Part[]): Part[] {
  const sorted = parts.toSorted((a, b) => {
    for (const [index, key] of a.keys.entries()) {
      const other = b.keys[index] ?? 0n;
      if (key !== other) return key > other ? -1 : 1;
    }
    if (a.id !== b.id) return a.id > b.id ? -1 : 1;
    return 0;
  });
  const seen = new Set<RouteEntry>();
  return sorted.filter(({ entry }) => !seen.has(entry) && seen.add(entry));
}

function isStream(route: Route): boolean {
  return ['tcp', 'udp', 'tls', 'tls_passthrough'].includes(route.protocols[0] ?? '');
}

function expressionOf(route: Route & { expression?: string }): string | null {
  return route.expression ?? null;
}

function split(entry: RouteEntry, flavor: RouterFlavor): Part[] {
  const { route } = entry;
  const paths = expressionOf(route) === null ? (route.paths ?? []) : [];
  const hosts = route.hosts ?? [];
  if (flavor === 'traditional') return splitTraditional(entry, hosts, paths);
  const groups = [...new Set(paths.map(groupKey))];
  if (groups.length <= 1) {
    return [{ entry, id: route.id, hosts, paths, keys: [priorityOf(route, paths)] }];
  }
  return groups.map((key, index) => {
    const group = paths.filter((path) => groupKey(path) === key);
    const id = v5('7f145bf9-0dce-4f91-98eb-debbce4b9f6b', `${route.id}#${index + 1}`);
    return { entry, id, hosts, paths: group, keys: [priorityOf(route, group)] };
  });
}

function splitTraditional(
  entry: RouteEntry,
  hosts: readonly string[],
  paths: readonly string[],
): Part[] {
  const { route } = entry;
  const parts: Part[] = [];
  for (const host of hosts.length === 0 ? [null] : hosts) {
    for (const path of paths.length === 0 ? [null] : paths) {
      parts.push({
        entry,
        id: route.id,
        hosts: host === null ? [] : [host],
        paths: path === null ? [] : [path],
        keys: traditionalKeys(route, host, path),
      });
    }
  }
  return parts;
}

function traditionalKeys(route: Route, host: string | null, path: string | null): bigint[] {
  const headerCount = Object.keys(route.headers ?? {}).length;
  const { hosts, methods, snis, sources, destinations, regex_priority: priority } = route;
  const has = [isSet(hosts), headerCount > 0, path !== null, isSet(methods), isSet(snis)].concat(
    [sources, destinations].map((list) => isSet(list)),
  );
  const isRegex = path?.startsWith('~') ?? false;
  const wildcards = (hosts ?? []).filter((text) => text.includes('*'));
  return [
    has.filter(Boolean).length,
    Number.parseInt(has.map(Number).join(''), 2),
    Number(host !== null && /^[^*]*:\d+$/.test(host)),
    Number(hosts !== null && wildcards.length === 0),
    Number(wildcards.some((text) => /:\d+$/.test(text))),
    Number(isRegex),
    headerCount,
    isRegex ? (priority ?? 0) : 0,
    isRegex ? 0 : (path?.length ?? 0),
    -(route.created_at ?? 0),
  ].map(BigInt);
}

function groupKey(path: string): number {
  return path.startsWith('~') ? 0 : path.length;
}

function priorityOf(route: Route & { priority?: number }, paths: readonly string[]): bigint {
  if (expressionOf(route) !== null) return (0xffn << 56n) | BigInt(route.priority ?? 0);
  const { hosts, methods, snis, headers, sources, destinations } = route;
  const headerCount = Object.keys(headers ?? {}).length;
  const lists = [hosts, methods, snis, paths, sources, destinations];
  const kinds = lists.filter((list) => isSet<unknown>(list)).length;
  const [first] = paths;
  const isRegex = first?.startsWith('~') ?? false;
  let priority = BigInt(kinds + (headerCount > 0 ? 1 : 0)) << 61n;
  if (hosts !== null && !hosts.some((host) => host.includes('*'))) priority |= 1n << 60n;
  priority |= BigInt(headerCount) << 52n;
  if (isRegex) {
    priority |= (1n << 51n) | BigInt.asUintN(64, BigInt(route.regex_priority ?? 0) << 19n);
  } else if (first !== undefined) priority |= BigInt(first.length);
  return priority;
}

function streamKeys(route: Route & { priority?: number }, flavor: RouterFlavor): bigint[] {
  if (expressionOf(route) !== null) return [(0xffn << 56n) | BigInt(route.priority ?? 0)];
  const { snis, sources, destinations } = route;
  if (flavor === 'traditional') {
    const has = [isSet(snis), isSet(sources), isSet(destinations)];
    const both = [sources, destinations].map((list) =>
      Number((list ?? []).some(({ ip, port }) => ip !== null && port !== null)),
    );
    return [
      has.filter(Boolean).length,
      Number.parseInt(has.map(Number).join(''), 2),
      ...both,
      -(route.created_at ?? 0),
    ].map(BigInt);
  }
  let priority = isSet(snis) || (isSet(sources) && isSet(destinations)) ? 1n << 61n : 0n;
  for (const [shift, list] of [[4n, sources] as const, [0n, destinations] as const]) {
    for (const { ip, port } of list ?? []) {
      if (typeof ip === 'string') priority |= (ip.includes('/') ? 1n : 8n) << shift;
      if (typeof port === 'number') priority |= 4n << shift;
    }
  }
  return [priority];
}

function matches(part: Part, facts: RequestFacts, flavor: RouterFlavor): boolean {
  const { route } = part.entry;
  if (flavor === 'expressions' && !takesScheme(route, facts.scheme)) return false;
  const expression = expressionOf(route);
  if (expression !== null) return evaluated(expression, facts)?.matches ?? false;
  const { methods, headers, snis, sources, destinations } = route;
  const isTraditional = flavor === 'traditional';
  if (isSet(methods) && !methods.includes(facts.method)) return false;
  if (part.hosts.length > 0 && !part.hosts.some((host) => matchHost(host, facts, isTraditional))) {
    return false;
  }
  if (part.paths.length > 0 && !part.paths.some((path) => isText(matchPath(path, facts.path)))) {
    return false;
  }
  for (const [name, values] of Object.entries(headers ?? {})) {
    const isLiteral = isTraditional && values.length > 1;
    if (!values.some((value) => matchHeader(name, value, isLiteral, facts))) return false;
  }
  if (!matchSides(sources, destinations, facts, portOf(facts))) return false;
  if (!isSet(snis) || facts.scheme === 'http') return true;
  return facts.sni !== null && snis.some((test) => matchSni(test, facts.sni ?? '', isTraditional));
}

function portOf(facts: RequestFacts): number {
  const named = /:(\d+)$/.exec(facts.host ?? '')?.[1];
  return named === undefined ? facts.port : Number(named);
}

function takesScheme(route: Route, scheme: string): boolean {
  if (route.protocols.length === 1 && route.protocols[0] === 'https') return true;
  const names = { grpc: 'http', grpcs: 'https' } as Readonly<Record<string, string>>;
  return route.protocols.some((protocol) => (names[protocol] ?? protocol) === scheme);
}

function matchesStream(route: Route, facts: StreamFacts, flavor: RouterFlavor): boolean {
  const { protocols, snis, sources, destinations } = route;
  const isClear = facts.protocol === 'tcp' || facts.protocol === 'udp';
  if (isClear && !protocols.some((name) => name === facts.protocol)) return false;
  const sni = facts.protocol === 'udp' ? null : facts.sni;
  const plain = sni === null ? 'tcp' : 'tls';
  const protocol = facts.protocol === 'udp' ? 'udp' : plain;
  const isOpen =
    protocols.length === 1 && (protocols[0] === 'tls' || protocols[0] === 'tls_passthrough');
  if (flavor === 'expressions' && !isOpen && !protocols.some((name) => name === protocol)) {
    return false;
  }
  const expression = expressionOf(route);
  if (expression !== null) {
    const compiled = compileExpression(expression, 'stream');
    const input = new ExpressionInput();
    input.setStream(facts);
    return compiled.ok && compiled.expression.matches(input);
  }
  const isTraditional = flavor === 'traditional';
  if (isSet(snis)) {
    if (sni === null && isTraditional) return false;
    if (sni !== null && !snis.some((test) => matchSni(test, sni, isTraditional))) return false;
  }
  return matchSides(sources, destinations, facts, facts.port);
}

function matchSides(
  sources: Route['sources'],
  destinations: Route['destinations'],
  facts: RequestFacts | StreamFacts,
  port: number,
): boolean {
  const source = { ip: facts.sourceAddress, port: facts.sourcePort };
  const destination = { ip: facts.address, port };
  return (
    (!isSet(sources) || sources.some((test) => matchAddress(test, source))) &&
    (!isSet(destinations) || destinations.some((test) => matchAddress(test, destination)))
  );
}

type Address = NonNullable<Route['sources']>[number];

/** IPv4 only. */
function matchAddress(test: Address, received: { ip: string; port: number }): boolean {
  if (typeof test.port === 'number' && test.port !== received.port) return false;
  if (typeof test.ip !== 'string') return true;
  const [address = '', bits = '32'] = test.ip.split('/');
  const number = (ip: string): number =>
    ip.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  const size = 2 ** (32 - Number(bits));
  return Math.floor(number(address) / size) === Math.floor(number(received.ip) / size);
}

function evaluated(expression: string, facts: RequestFacts) {
  const compiled = compileExpression(expression, 'http');
  if (!compiled.ok) return null;
  const input = new ExpressionInput();
  input.setRequest(facts);
  const isMatch = compiled.expression.matches(input);
  return { matches: isMatch, path: isMatch ? compiled.expression.matchOf(input).path : null };
}

function matchedPath(part: Part, facts: RequestFacts): string | null {
  const expression = expressionOf(part.entry.route);
  if (expression !== null) return evaluated(expression, facts)?.path ?? null;
  return part.paths.map((path) => matchPath(path, facts.path)).find(isText) ?? null;
}

function isSet<T>(list: readonly T[] | null): list is readonly T[] {
  return list !== null && list.length > 0;
}

function isText(value: string | null): value is string {
  return value !== null;
}

function matchHost(test: string, facts: RequestFacts, isTraditional: boolean): boolean {
  if (facts.host === null) return false;
  const [, name = facts.host, port] = /^([^:]*):(\d+)$/.exec(facts.host) ?? [];
  const [, testName = test, testPort] = /^([^:]*):(\d+)$/.exec(test) ?? [];
  if (testPort !== undefined) {
    const scheme = facts.scheme === 'https' ? 443 : 80;
    const implied = isTraditional ? (test.includes('*') ? scheme : -1) : facts.port;
    if (Number(testPort) !== Number(port ?? implied)) return false;
  }
  return matchWildcard(testName, name);
}

function matchSni(test: string, sni: string, isLiteral: boolean): boolean {
  const [name, received] = [test, sni].map((text) => text.toLowerCase().replace(/(.)\.$/, '$1'));
  if (name === undefined || received === undefined) return false;
  return isLiteral ? name === received : matchWildcard(name, received);
}

function matchWildcard(test: string, name: string): boolean {
  if (test.startsWith('*')) return name.endsWith(test.slice(1));
  if (test.endsWith('*')) return name.startsWith(test.slice(0, -1));
  return name === test;
}

function matchPath(test: string, path: string): string | null {
  if (!test.startsWith('~')) return path.startsWith(test) ? test : null;
  return new RegExp(`^(?:${test.slice(1)})`).exec(path)?.[0] ?? null;
}

function matchHeader(
  name: string,
  value: string,
  isLiteral: boolean,
  facts: RequestFacts,
): boolean {
  for (let i = 0; i < facts.headers.size; i += 1) {
    if (fold(facts.headers.nameAt(i)) !== fold(name)) continue;
    const received = facts.headers.valueAt(i).toLowerCase();
    if (received === value.toLowerCase()) return true;
    if (isLiteral || !value.startsWith('~*')) continue;
    if (new RegExp(value.slice(2), 'i').test(received)) return true;
  }
  return false;
}

function fold(name: string): string {
  return name.toLowerCase().replaceAll('-', '_');
}

function v5(namespace: string, name: string): string {
  const bytes = createHash('sha1')
    .update(Buffer.from(namespace.replaceAll('-', ''), 'hex'))
    .update(name)
    .digest()
    .subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x50, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = bytes.toString('hex');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
