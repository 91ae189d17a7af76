/**
 * A route as the router sees it: conditions compiled, rank settled. Everything here happens when
 * tables are built, nothing per request.
 *
 * Source: Kong `router/transform.lua` (get_expression, group_by_regex_or_length) and, for the
 * traditional flavour, `router/traditional.lua` (marshall_route).
 */
import { must } from '../base/assert.ts';
import { utf8 } from '../base/bytes.ts';
import { compileHeaderRegex, compileRouteRegex } from '../regex/regex.ts';
import type { LinearRegex } from '../regex/regex.ts';
import type { Route } from '../entities/route.ts';
import { splitHost } from '../http/host.ts';
import { compileAddresses } from './address.ts';
import type { AddressTest } from './address.ts';
import { compileExpression } from './expression/compile.ts';
import type { Expression } from './expression/compile.ts';
import type { HostHint } from './expression/hints.ts';
import { bitRank, expressionRank, isGiven, isSet, Rank, traditionalRank } from './rank.ts';
import type { RankKeys, TraditionalHosts } from './rank.ts';
import type { NameKey } from './route-index.ts';
import type { RouterFlavor } from '../settings/common.ts';
import type { RouteEntry } from './router.ts';

/** A route or one part of it. */
export interface Rule {
  readonly entry: RouteEntry;
  readonly rank: Rank;
  /** Null for any. */
  readonly methods: readonly string[] | null;
  readonly headers: readonly HeaderTest[];
  /** Null for any. */
  readonly snis: readonly NameTest[] | null;
  /** Empty for any. */
  readonly hosts: readonly NameTest[];
  /** Empty for any. */
  readonly paths: readonly PathTest[];
  /** Null for any. */
  readonly scheme: 'http' | 'https' | null;
  /** Null for none. `hosts` and `paths` are then what its matches have in common, for the index. */
  readonly expression: Expression | null;
  /** Null for any. */
  readonly sources: readonly AddressTest[] | null;
  /** Null for any. */
  readonly destinations: readonly AddressTest[] | null;
}

export interface NameTest {
  readonly kind: 'exact' | 'suffix' | 'prefix';
  /** Lower case, without `*`. */
  readonly text: string;
  /** Null for any. */
  readonly port: number | null;
  /** The request itself has to name the port: no default stands for it. */
  readonly isPortNamed: boolean;
}

export interface PathTest {
  /** What the path must begin with; for a regex, the literal part in front, possibly empty. */
  readonly prefix: string;
  /** Null when the prefix is all there is. */
  readonly regex: LinearRegex | null;
  /** As written. */
  readonly text: string;
}

/** One header name; any of its values may match. */
export interface HeaderTest {
  /** Lower case, underscores as dashes. */
  readonly name: string;
  /** Lower case. */
  readonly values: readonly string[];
  readonly regexes: readonly LinearRegex[];
  /** As written. */
  readonly text: readonly string[];
}

export interface Compiled<R> {
  readonly rules: readonly R[];
  /**
   * Why something of it does not compile; null when all is well. The rules then match more than the
   * route would, never less, so that its requests are not served by another (decision 22).
   */
  readonly fault: string | null;
  /** A faulty route can be stood in for: a host or a literal path says whose requests they are. */
  readonly isCovered: boolean;
}

/** Hosts of a route that rank alike. */
interface HostGroup {
  readonly tests: readonly NameTest[];
  /** Of the traditional flavour. */
  readonly traits: TraditionalHosts;
}

/** A part of a route: what of its hosts and paths ranks alike. */
interface Part {
  readonly hosts: HostGroup;
  readonly paths: readonly string[];
}

export function compileRoute(entry: RouteEntry, flavor: RouterFlavor): Compiled<Rule> {
  const { route } = entry;
  const source = expressionOf(route);
  if (source !== null) return compileExpressionRoute(entry, source, flavor);
  const faults: string[] = [];
  const isTraditional = flavor === 'traditional';
  const methods = isSet(route.methods) ? route.methods : null;
  const headers = compileHeaders(route.headers ?? {}, isTraditional, faults);
  const snis = isSet(route.snis) ? route.snis.map((sni) => sniTest(sni, isTraditional)) : null;
  const scheme = flavor === 'expressions' ? schemeOf(route) : null;
  const { sources, destinations } = compileSides(route, flavor, faults);
  const parts = partsOf(route, flavor);
  const rules: Rule[] = [];
  for (const [index, part] of parts.entries()) {
    // In full: what is spread into an object lies outside of it, and requests go through many of these.
    rules.push({
      entry,
      rank: rankOfPart(entry, parts, index, flavor),
      methods,
      headers,
      snis,
      hosts: part.hosts.tests,
      paths: part.paths.map((path) => pathTest(path, faults)),
      scheme,
      expression: null,
      sources,
      destinations,
    });
  }
  if (isUnconditional(route)) faults.push('nothing to match by');
  const isLiteral = rules.every((rule) => rule.paths.length > 0 && rule.paths.every(hasLiteral));
  return { rules, fault: faults[0] ?? null, isCovered: isSet(route.hosts) || isLiteral };
}

/** Those of its rules, without compiling anything. */
export function ranksOf(entry: RouteEntry, flavor: RouterFlavor): readonly Rank[] {
  if (expressionOf(entry.route) !== null) return [expressionRankOf(entry)];
  const parts = partsOf(entry.route, flavor);
  return parts.map((_, index) => rankOfPart(entry, parts, index, flavor));
}

function expressionRankOf(entry: RouteEntry): Rank {
  return new Rank(expressionRank(expressionPriorityOf(entry.route)), entry);
}

/** Where the candidates of a route lie in the index: each name with each text. */
export interface IndexKeys {
  readonly names: readonly NameKey[];
  readonly texts: readonly string[];
}

/**
 * Above so many pairs of a host and a path a route lies in the index by its paths alone, and its hosts
 * are looked through: a document of ten kilobytes can name 65,536 pairs, each of which takes 200 bytes
 * in every data plane, and a hundred such documents all of its memory.
 */
export const PAIRS_MAX = 4096;

export function hasTooManyPairs({ hosts, paths }: Route): boolean {
  return (hosts ?? []).length * (paths ?? []).length > PAIRS_MAX;
}

/** Without a host the SNI tells such routes apart, where the client names one. */
export function isFiledBySni(route: Route): boolean {
  const { hosts, snis, paths } = route;
  if (isSet(hosts) || !isSet(snis) || expressionOf(route) !== null) return false;
  return snis.length * (paths ?? []).length <= PAIRS_MAX;
}

/** Names under which a route by SNI lies; without TLS nobody asks for the SNI. */
export function sniNames(snis: readonly NameTest[]): readonly NameKey[] {
  return [...snis, { kind: 'unnamed', text: '' }];
}

/** The same as the rules would say. */
export function indexKeysOf(entry: RouteEntry, flavor: RouterFlavor): IndexKeys {
  const { route } = entry;
  const source = expressionOf(route);
  if (source !== null) {
    const [rule] = compileExpressionRoute(entry, source, flavor).rules;
    return rule === undefined ? NO_KEYS : keysOf(rule);
  }
  const isTraditional = flavor === 'traditional';
  const texts = isSet(route.paths) ? route.paths.map((path) => pathTest(path, []).prefix) : [''];
  if (isFiledBySni(route)) {
    const snis = (route.snis ?? []).map((sni) => sniTest(sni, isTraditional));
    return { names: sniNames(snis), texts };
  }
  if (!isSet(route.hosts) || hasTooManyPairs(route)) return { names: ANY_NAME, texts };
  return { names: route.hosts.map((host) => hostTest(host, isTraditional)), texts };
}

export const ANY_NAME: readonly NameKey[] = [{ kind: 'any', text: '' }];
const NO_KEYS: IndexKeys = { names: [], texts: [] };

function keysOf({ hosts, paths }: Rule): IndexKeys {
  return {
    names: hosts.length === 0 ? ANY_NAME : hosts,
    texts: paths.length === 0 ? [''] : paths.map(({ prefix }) => prefix),
  };
}

/** A route of the expressions flavour has fields that the others do not know. */
interface ExpressionFields {
  readonly expression?: string | null;
  readonly priority?: number | null;
}

/** Null for a route of lists. */
export function expressionOf(route: Route & ExpressionFields): string | null {
  return route.expression ?? null;
}

export function expressionPriorityOf(route: Route & ExpressionFields): number {
  return route.priority ?? 0;
}

/** Why an expression does not count; null when it does. */
export function flavorFault(flavor: RouterFlavor): string | null {
  if (flavor === 'expressions') return null;
  return `an expression needs the router flavor 'expressions', and this is '${flavor}'`;
}

/** One that does not parse says nothing of whose requests are its own. */
function compileExpressionRoute(
  entry: RouteEntry,
  source: string,
  flavor: RouterFlavor,
): Compiled<Rule> {
  const { route } = entry;
  const compiled = compileExpression(source, 'http');
  if (!compiled.ok) return { rules: [], fault: `expression: ${compiled.reason}`, isCovered: false };
  const { expression } = compiled;
  const rule: Rule = {
    entry,
    rank: expressionRankOf(entry),
    methods: null,
    headers: NO_HEADERS,
    snis: null,
    hosts: (expression.hosts ?? []).map(hintTest),
    paths: (expression.prefixes ?? []).map((prefix) => ({ prefix, regex: null, text: prefix })),
    scheme: flavor === 'expressions' ? schemeOf(route) : null,
    expression,
    sources: null,
    destinations: null,
  };
  return { rules: [rule], fault: flavorFault(flavor), isCovered: true };
}

function hintTest({ type, text }: HostHint): NameTest {
  return { kind: type, text, port: null, isPortNamed: false };
}

function isUnconditional(route: Route): boolean {
  const { methods, hosts, snis, paths, sources, destinations } = route;
  if (Object.keys(route.headers ?? {}).length > 0) return false;
  return ![methods, hosts, snis, paths, sources, destinations].some((list) => isSet<unknown>(list));
}

/**
 * The parts that rank apart: all regexes together and one per prefix length, in order of appearance;
 * in the traditional flavour each path for itself, and plain hosts with a port from the others.
 */
function partsOf(route: Route, flavor: RouterFlavor): readonly Part[] {
  const hosts = route.hosts ?? [];
  const paths = route.paths ?? [];
  if (flavor !== 'traditional') {
    const tests = hosts.map((host) => hostTest(host, false));
    return groupPaths(paths).map((group) => ({
      hosts: { tests, traits: NO_TRAITS },
      paths: group,
    }));
  }
  const alone: readonly (readonly string[])[] =
    paths.length === 0 ? [paths] : paths.map((path) => [path]);
  return traditionalGroups(route).flatMap((group) =>
    alone.map((each) => ({ hosts: group, paths: each })),
  );
}

const NO_TRAITS: TraditionalHosts = {
  isPlainWithPort: false,
  isPlain: false,
  hasWildcardWithPort: false,
};

function traditionalGroups(route: Route): readonly HostGroup[] {
  const ported: NameTest[] = [];
  const others: NameTest[] = [];
  for (const host of route.hosts ?? []) {
    const test = hostTest(host, true);
    (test.kind === 'exact' && test.port !== null ? ported : others).push(test);
  }
  const traits: TraditionalHosts = {
    isPlainWithPort: false,
    isPlain: isGiven(route.hosts) && others.every(({ kind }) => kind === 'exact'),
    hasWildcardWithPort: others.some(({ kind, port }) => kind !== 'exact' && port !== null),
  };
  const groups: HostGroup[] = [];
  if (ported.length > 0) {
    groups.push({ tests: ported, traits: { ...traits, isPlainWithPort: true } });
  }
  // Without any host there is one group, too.
  if (others.length > 0 || groups.length === 0) groups.push({ tests: others, traits });
  return groups;
}

function groupPaths(paths: readonly string[]): readonly (readonly string[])[] {
  if (paths.length < 2) return [paths];
  const groups = new Map<number, string[]>();
  for (const path of paths) {
    const key = isRegexPath(path) ? 0 : utf8(path).length;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [path]);
    else group.push(path);
  }
  return [...groups.values()];
}

function rankOfPart(
  entry: RouteEntry,
  parts: readonly Part[],
  index: number,
  flavor: RouterFlavor,
): Rank {
  const part = must(parts[index], 'a part of the route');
  const isSplit = flavor !== 'traditional' && parts.length > 1;
  return new Rank(keysOfPart(entry.route, part, flavor), entry, index, isSplit);
}

function keysOfPart(route: Route, part: Part, flavor: RouterFlavor): RankKeys {
  const [first] = part.paths;
  const isRegex = first !== undefined && isRegexPath(first);
  const parts = {
    route,
    hasPath: first !== undefined,
    isRegex,
    prefixLength: isRegex || first === undefined ? 0 : utf8(first).length,
  };
  return flavor === 'traditional' ? traditionalRank(parts, part.hosts.traits) : bitRank(parts);
}

/** Addresses count where Kong gives an HTTP router them; elsewhere their route is closed. */
function compileSides(
  route: Route,
  flavor: RouterFlavor,
  faults: string[],
): Pick<Rule, 'sources' | 'destinations'> {
  const isKnown = flavor === 'expressions';
  for (const name of ['sources', 'destinations'] as const) {
    if (isKnown || !isSet(route[name])) continue;
    // Without it the route would match more than it says.
    faults.push(`'${name}' of an HTTP route need the router flavor 'expressions'`);
  }
  return {
    sources: isKnown ? compileAddresses(route.sources, faults) : null,
    destinations: isKnown ? compileAddresses(route.destinations, faults) : null,
  };
}

/**
 * The protocol that the route insists on. An https-only route also takes http, so that it can be
 * redirected.
 *
 * Source: Kong `router/expressions.lua`, get_expression
 */
export function schemeOf(route: Route): 'http' | 'https' | null {
  const protocols: readonly string[] = route.protocols;
  if (protocols.length === 1 && protocols[0] === 'https') return null;
  const takesHttp = protocols.includes('http') || protocols.includes('grpc');
  const takesHttps = protocols.includes('https') || protocols.includes('grpcs');
  if (takesHttp === takesHttps) return null;
  return takesHttp ? 'http' : 'https';
}

function isRegexPath(path: string): boolean {
  return path.startsWith('~');
}

function hostTest(host: string, isTraditional: boolean): NameTest {
  const { name, port } = splitHost(host.toLowerCase());
  return nameTest(isTraditional ? withoutBrackets(name) : name, port, isTraditional);
}

function nameTest(name: string, port: number | null, isTraditional: boolean): NameTest {
  if (name.startsWith('*')) {
    return { kind: 'suffix', text: name.slice(1), port, isPortNamed: false };
  }
  if (name.endsWith('*')) {
    return { kind: 'prefix', text: name.slice(0, -1), port, isPortNamed: false };
  }
  return { kind: 'exact', text: name, port, isPortNamed: isTraditional };
}

/** `[::1]` is `::1` to the traditional flavour. Source: `router/traditional.lua`, split_port */
export function withoutBrackets(name: string): string {
  return name.startsWith('[') && name.endsWith(']') ? name.slice(1, -1) : name;
}

/** @param isPlain  a wildcard is nothing special: the traditional flavour knows none in SNIs */
export function sniTest(sni: string, isPlain: boolean): NameTest {
  const lower = sni.toLowerCase();
  const name = lower.length > 1 && lower.endsWith('.') ? lower.slice(0, -1) : lower;
  if (isPlain) return { kind: 'exact', text: name, port: null, isPortNamed: false };
  return nameTest(name, null, false);
}

function pathTest(path: string, faults: string[]): PathTest {
  if (!isRegexPath(path)) return { prefix: path, regex: null, text: path };
  const source = path.slice(1);
  const compiled = compileRouteRegex(source);
  if (compiled.ok) return { prefix: compiled.regex.prefix, regex: compiled.regex, text: path };
  faults.push(`path ${path}: ${compiled.reason}`);
  return { prefix: literalPrefix(source), regex: null, text: path };
}

function hasLiteral(test: PathTest): boolean {
  return test.prefix.length > 1;
}

/** One for all routes that name none. */
const NO_HEADERS: readonly HeaderTest[] = [];

function compileHeaders(
  headers: Readonly<Record<string, readonly string[]>>,
  isTraditional: boolean,
  faults: string[],
): readonly HeaderTest[] {
  const tests: HeaderTest[] = [];
  for (const [name, values] of Object.entries(headers)) {
    const exact: string[] = [];
    const regexes: LinearRegex[] = [];
    let isWhole = values.length > 0;
    for (const value of values) {
      // The traditional flavour reads a regex only where it stands alone.
      if (!value.startsWith('~*') || (isTraditional && values.length > 1)) {
        exact.push(value.toLowerCase());
        continue;
      }
      const compiled = compileHeaderRegex(value.slice(2));
      if (compiled.ok) regexes.push(compiled.regex);
      else isWhole = false;
    }
    if (isWhole) {
      tests.push({
        name: name.toLowerCase().replaceAll('_', '-'),
        values: exact,
        regexes,
        text: values,
      });
    } else {
      // Left out: without its condition the route matches more, never less.
      faults.push(`header ${name}: ${values.length === 0 ? 'no values' : 'invalid regex'}`);
    }
  }
  return tests.length === 0 ? NO_HEADERS : tests;
}

/**
 * What a regex that does not compile begins with, as far as plain characters go: whoever wrote it
 * meant no request without. Too short is safe.
 */
export function literalPrefix(source: string): string {
  if (source.includes('|')) return '';
  let prefix = '';
  let last = '';
  let at = 0;
  for (; at < source.length; at += 1) {
    let char = source.charAt(at);
    if (char === '\\' && /[!-/:-@[-`{-~]/.test(source.charAt(at + 1))) {
      at += 1;
      char = source.charAt(at);
    } else if ('\\^$.[]|()?*+{}'.includes(char) || char > '~') break;
    prefix += last;
    last = char;
  }
  // What follows may make the last character optional.
  return '?*{'.includes(source.charAt(at)) && at < source.length ? prefix : prefix + last;
}
