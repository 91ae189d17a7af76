/**
 * A route as the router sees it: conditions compiled, rank settled. Everything here happens when
 * tables are built, nothing per request.
 *
 * Source: Kong `router/transform.lua` (get_expression, get_priority, group_by_regex_or_length).
 */
import { utf8 } from '../base/bytes.ts';
import { compileHeaderRegex, compileRouteRegex } from '../regex/regex.ts';
import type { LinearRegex } from '../regex/regex.ts';
import type { Route } from '../entities/route.ts';
import { splitHost } from '../http/host.ts';
import type { RouteEntry } from './router.ts';
import { uuid5 } from './uuid5.ts';

/** A route or one part of it: the parts differ in their paths only. */
export interface Rule extends Rank {
  readonly entry: RouteEntry;
  /** Null for any. */
  readonly methods: ReadonlySet<string> | null;
  readonly headers: readonly HeaderTest[];
  /** Null for any. */
  readonly snis: readonly HostTest[] | null;
  /** Empty for any. */
  readonly hosts: readonly HostTest[];
  /** Empty for any. */
  readonly paths: readonly PathTest[];
}

/** What decides between two rules that both match; see `isBefore`. */
export interface Rank {
  /** Number of attribute kinds, all hosts plain, number of header names, path is a regex. */
  readonly weight: number;
  /** Of a regex; 0 otherwise. */
  readonly regexPriority: number;
  /** Bytes; 0 for a regex. */
  readonly prefixLength: number;
  /** The route's, or derived from it for a part of a split route. */
  readonly id: string;
  readonly ws: string;
}

export interface HostTest {
  readonly type: 'exact' | 'suffix' | 'prefix';
  /** Lower case, without `*`. */
  readonly text: string;
  /** Null for any. */
  readonly port: number | null;
}

export interface PathTest {
  /** What the path must begin with; for a regex, the literal part in front, possibly empty. */
  readonly prefix: string;
  /** Null when the prefix is all there is. */
  readonly regex: LinearRegex | null;
}

/** One header name; any of its values may match. */
export interface HeaderTest {
  /** Lower case, underscores as dashes. */
  readonly name: string;
  /** Lower case. */
  readonly values: ReadonlySet<string>;
  readonly regexes: readonly LinearRegex[];
}

export interface CompiledRoute {
  readonly rules: readonly Rule[];
  /**
   * Why something of it does not compile; null when all is well. The rules then match more than the
   * route would, never less, so that its requests are not served by another (decision 22).
   */
  readonly fault: string | null;
  /** A faulty route can be stood in for: a host or a literal path says whose requests they are. */
  readonly isCovered: boolean;
}

/** Kong's namespace for the ids of split routes. */
const SPLIT_NAMESPACE = '7f145bf9-0dce-4f91-98eb-debbce4b9f6b';
const HEADER_COUNT_MAX = 255;
const STREAM_PROTOCOLS: ReadonlySet<string> = new Set(['tcp', 'udp', 'tls', 'tls_passthrough']);

/** Whether the route is for TCP or UDP: no concern of an HTTP router. */
export function isStreamRoute(route: Route): boolean {
  const [first] = route.protocols;
  return first !== undefined && STREAM_PROTOCOLS.has(first);
}

export function compileRoute(entry: RouteEntry): CompiledRoute {
  const { route } = entry;
  const faults: string[] = [];
  const headers = compileHeaders(route.headers ?? {}, faults);
  const hosts = (route.hosts ?? []).map((host) => hostTest(host));
  const snis = (route.snis ?? []).map((sni) => sniTest(sni));
  const methods = route.methods ?? [];
  const groups = groupPaths(route.paths ?? []);
  const rules: Rule[] = [];
  for (const [index, group] of groups.entries()) {
    const id = groups.length === 1 ? route.id : uuid5(SPLIT_NAMESPACE, `${route.id}#${index + 1}`);
    rules.push({
      entry,
      ...rankOf(entry, group, id),
      methods: methods.length === 0 ? null : new Set(methods),
      headers,
      snis: snis.length === 0 ? null : snis,
      hosts,
      paths: group.map((path) => pathTest(path, faults)),
    });
  }
  const kinds = methods.length + hosts.length + snis.length + headers.length;
  for (const name of ['expression', 'sources', 'destinations']) {
    // Without it the route would match more than it says.
    if (isMatcher(route, name)) faults.push(`routes cannot match by '${name}' yet`);
  }
  if (kinds === 0 && (route.paths ?? []).length === 0) faults.push('nothing to match by');
  const isLiteral = rules.every((rule) => rule.paths.length > 0 && rule.paths.every(hasLiteral));
  return { rules, fault: faults[0] ?? null, isCovered: hosts.length > 0 || isLiteral };
}

function isMatcher(route: Readonly<Record<string, unknown>>, name: string): boolean {
  const value = route[name] ?? null;
  return Array.isArray(value) ? value.length > 0 : value !== null;
}

/**
 * Whether `a` is asked before `b`: more kinds of attributes, plain hosts, more header names, regex
 * before prefix, regex_priority, longer prefix, larger id.
 *
 * Kong packs the same into 64 bits, where a regex_priority below 0 or above 2^32 spills over.
 */
export function isBefore(a: Rank, b: Rank): boolean {
  if (a.weight !== b.weight) return a.weight > b.weight;
  if (a.regexPriority !== b.regexPriority) return a.regexPriority > b.regexPriority;
  if (a.prefixLength !== b.prefixLength) return a.prefixLength > b.prefixLength;
  if (a.id !== b.id) return a.id > b.id;
  // Ids are unique within a workspace only.
  return a.ws > b.ws;
}

function rankOf(entry: RouteEntry, group: readonly string[], id: string): Rank {
  const { route } = entry;
  const { hosts, methods, snis } = route;
  const headerCount = Math.min(Object.keys(route.headers ?? {}).length, HEADER_COUNT_MAX);
  const kinds =
    Number(isSet(methods)) +
    Number(isSet(hosts)) +
    Number(headerCount > 0) +
    Number(isSet(snis)) +
    Number(group.length > 0);
  // An empty list counts as plain hosts, as in Kong; null does not.
  const isPlain = hosts !== null && hosts.every((host) => !host.includes('*'));
  const [first] = group;
  const isRegex = first !== undefined && isRegexPath(first);
  return {
    // Bits 61–63, 60, 52–59 and 51 of Kong's number.
    weight: (kinds << 10) | (Number(isPlain) << 9) | (headerCount << 1) | Number(isRegex),
    regexPriority: isRegex ? (route.regex_priority ?? 0) : 0,
    prefixLength: isRegex || first === undefined ? 0 : utf8(first).length,
    id,
    ws: entry.ws,
  };
}

function isSet(list: readonly unknown[] | null): boolean {
  return list !== null && list.length > 0;
}

function isRegexPath(path: string): boolean {
  return path.startsWith('~');
}

/** All regexes together, one group per prefix length, in order of appearance. */
function groupPaths(paths: readonly string[]): readonly (readonly string[])[] {
  if (paths.length === 0) return [[]];
  const groups = new Map<number, string[]>();
  for (const path of paths) {
    const key = isRegexPath(path) ? 0 : utf8(path).length;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [path]);
    else group.push(path);
  }
  return [...groups.values()];
}

function hostTest(host: string): HostTest {
  const { name, port } = splitHost(host.toLowerCase());
  if (name.startsWith('*')) return { type: 'suffix', text: name.slice(1), port };
  if (name.endsWith('*')) return { type: 'prefix', text: name.slice(0, -1), port };
  return { type: 'exact', text: name, port };
}

function sniTest(sni: string): HostTest {
  const test = hostTest(sni.length > 1 && sni.endsWith('.') ? sni.slice(0, -1) : sni);
  return { ...test, port: null };
}

function pathTest(path: string, faults: string[]): PathTest {
  if (!isRegexPath(path)) return { prefix: path, regex: null };
  const source = path.slice(1);
  const prefix = literalPrefix(source);
  const compiled = compileRouteRegex(source);
  if (compiled.ok) return { prefix, regex: compiled.regex };
  faults.push(`path ${path}: ${compiled.reason}`);
  return { prefix, regex: null };
}

function hasLiteral(test: PathTest): boolean {
  return test.prefix.length > 1;
}

function compileHeaders(
  headers: Readonly<Record<string, readonly string[]>>,
  faults: string[],
): HeaderTest[] {
  const tests: HeaderTest[] = [];
  for (const [name, values] of Object.entries(headers)) {
    const exact = new Set<string>();
    const regexes: LinearRegex[] = [];
    let isWhole = values.length > 0;
    for (const value of values) {
      if (!value.startsWith('~*')) {
        exact.add(value.toLowerCase());
        continue;
      }
      const compiled = compileHeaderRegex(value.slice(2));
      if (compiled.ok) regexes.push(compiled.regex);
      else isWhole = false;
    }
    if (isWhole) {
      tests.push({ name: name.toLowerCase().replaceAll('_', '-'), values: exact, regexes });
    } else {
      // Left out: without its condition the route matches more, never less.
      faults.push(`header ${name}: ${values.length === 0 ? 'no values' : 'invalid regex'}`);
    }
  }
  return tests;
}

/**
 * What every match of a regex begins with. Only an index key: too short is slow, never wrong.
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
