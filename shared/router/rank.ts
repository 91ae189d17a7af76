/**
 * What decides between two routes that both match.
 *
 * Three numbers, compared one after the other, then the id: the greater wins. For the flavours of
 * Kong that compile routes to expressions the first two are the halves of its 64-bit priority, bit
 * by bit as `router/transform.lua` (get_priority) lays them out; for `traditional` they are the keys
 * of its sort (`router/traditional.lua`, sort_categories and sort_routes).
 */
import type { Route } from '../entities/route.ts';
import type { RouteEntry } from './router.ts';
import { uuid5 } from './uuid5.ts';

/** Kong's namespace for the ids of split routes. */
const SPLIT_NAMESPACE = '7f145bf9-0dce-4f91-98eb-debbce4b9f6b';

export interface RankKeys {
  readonly major: number;
  readonly middle: number;
  readonly minor: number;
}

export class Rank implements RankKeys {
  readonly major: number;
  readonly middle: number;
  readonly minor: number;
  readonly #entry: RouteEntry;
  readonly part: number;
  /** Made when a tie asks for it: hashing is most of what a split route would cost. */
  #id: string | null;

  /**
   * @param part  position in the route, from 0
   * @param hasOwnId  the route was split into parts that have ids of their own
   */
  constructor(keys: RankKeys, entry: RouteEntry, part = 0, hasOwnId = false) {
    this.major = keys.major;
    this.middle = keys.middle;
    this.minor = keys.minor;
    this.#entry = entry;
    this.part = part;
    this.#id = hasOwnId ? null : entry.route.id;
  }

  /** The route's, or derived from it for a part. */
  get id(): string {
    this.#id ??= uuid5(SPLIT_NAMESPACE, `${this.#entry.route.id}#${this.part + 1}`);
    return this.#id;
  }

  get ws(): string {
    return this.#entry.ws;
  }
}

/** Negative when `a` is asked before `b`. */
export function compareRanks(a: Rank, b: Rank): number {
  if (a.major !== b.major) return b.major - a.major;
  if (a.middle !== b.middle) return b.middle - a.middle;
  if (a.minor !== b.minor) return b.minor - a.minor;
  if (a === b) return 0;
  if (a.id !== b.id) return a.id > b.id ? -1 : 1;
  // Ids are unique within a workspace only.
  if (a.ws !== b.ws) return a.ws > b.ws ? -1 : 1;
  return a.part - b.part;
}

/** What a part of a route has of each kind of attribute. */
export interface RankedParts {
  readonly route: Route;
  /** Bytes of the longest prefix; 0 for a regex or no path. */
  readonly prefixLength: number;
  readonly hasPath: boolean;
  readonly isRegex: boolean;
}

const HEADER_COUNT_MAX = 255;
const PREFIX_LENGTH_MAX = 0x7ffff;

/** A route of lists, by Kong's 64 bits. */
export function bitRank(parts: RankedParts): RankKeys {
  const { route, isRegex } = parts;
  const headerCount = Math.min(headerCountOf(route), HEADER_COUNT_MAX);
  const kinds =
    Number(isSet(route.sources)) +
    Number(isSet(route.destinations)) +
    Number(isSet(route.methods)) +
    Number(isSet(route.hosts)) +
    Number(headerCount > 0) +
    Number(isSet(route.snis)) +
    Number(parts.hasPath);
  // An empty list counts as plain hosts, as in Kong; null does not.
  const isPlain = isGiven(route.hosts) && route.hosts.every((host) => !host.includes('*'));
  const high =
    ((kinds << 29) | (Number(isPlain) << 28) | (headerCount << 20) | (Number(isRegex) << 19)) >>> 0;
  const low = Math.min(parts.prefixLength, PREFIX_LENGTH_MAX);
  const priority = isRegex ? (route.regex_priority ?? 0) : 0;
  return priority === 0
    ? { major: high, middle: low, minor: 0 }
    : withRegexPriority(high, low, priority);
}

/**
 * Bits 19 to 50. Kong does not keep it within them: what is below 0 or above 2^32 spills into the
 * bits of the regex, the headers and the kinds.
 */
function withRegexPriority(high: number, low: number, priority: number): RankKeys {
  const bits = BigInt.asUintN(64, BigInt(priority) << 19n);
  return {
    major: (high | Number(bits >> 32n)) >>> 0,
    middle: (low | Number(bits & 0xffff_ffffn)) >>> 0,
    minor: 0,
  };
}

/** A route with an expression: bits 56 to 63 are set, above any route of lists. */
export function expressionRank(priority: number): RankKeys {
  return {
    major: (0xff00_0000 | Math.floor(priority / 0x1_0000_0000)) >>> 0,
    middle: priority % 0x1_0000_0000,
    minor: 0,
  };
}

/** A stream route of lists. Source: `router/transform.lua`, stream_get_priority. */
export function streamBitRank(route: Route): RankKeys {
  const isUpper = isSet(route.snis) || (isSet(route.sources) && isSet(route.destinations));
  return {
    major: isUpper ? 0x2000_0000 : 0,
    middle: (addressBits(route.sources) << 4) | addressBits(route.destinations),
    minor: 0,
  };
}

function addressBits(addresses: Route['sources']): number {
  let bits = 0;
  for (const { ip, port } of addresses ?? []) {
    if (isGiven(ip)) bits |= ip.includes('/') ? 1 : 8;
    if (isGiven(port)) bits |= 4;
  }
  return bits;
}

/** Of the traditional flavour: which kinds of hosts a part has. */
export interface TraditionalHosts {
  /** Each names a port. */
  readonly isPlainWithPort: boolean;
  readonly isPlain: boolean;
  readonly hasWildcardWithPort: boolean;
}

const TIME_MAX = 2 ** 33 - 1;

/**
 * The traditional flavour: number of kinds, then host, headers, path, method, SNI, source and
 * destination; within the same kinds a plain host that names the port, plain hosts, a wildcard with a
 * port, a regex, more headers, regex_priority, the longer prefix, the older route.
 *
 * Kong sorts wildcards with a port above plain hosts, but looks plain hosts up in an index first.
 */
export function traditionalRank(parts: RankedParts, hosts: TraditionalHosts): RankKeys {
  const { route, isRegex } = parts;
  const headerCount = headerCountOf(route);
  const kinds =
    (Number(isSet(route.hosts)) << 6) |
    (Number(headerCount > 0) << 5) |
    (Number(parts.hasPath) << 4) |
    (Number(isSet(route.methods)) << 3) |
    (Number(isSet(route.snis)) << 2) |
    (Number(isSet(route.sources)) << 1) |
    Number(isSet(route.destinations));
  const within =
    (Number(hosts.isPlainWithPort) << 3) |
    (Number(hosts.isPlain) << 2) |
    (Number(hosts.hasWildcardWithPort) << 1) |
    Number(isRegex);
  return {
    major: (countBits(kinds) << 19) | (kinds << 12) | (within << 8) | Math.min(headerCount, 255),
    middle: isRegex ? (route.regex_priority ?? 0) : 0,
    minor: ageBelow(Math.min(parts.prefixLength, PREFIX_LENGTH_MAX), route),
  };
}

/** Stream routes of the traditional flavour; an address with a port counts for more. */
export function traditionalStreamRank(route: Route): RankKeys {
  const kinds =
    (Number(isSet(route.snis)) << 2) |
    (Number(isSet(route.sources)) << 1) |
    Number(isSet(route.destinations));
  const exact = (Number(hasBoth(route.sources)) << 1) | Number(hasBoth(route.destinations));
  return { major: (countBits(kinds) << 3) | kinds, middle: exact, minor: ageBelow(0, route) };
}

function hasBoth(addresses: Route['sources']): boolean {
  return (addresses ?? []).some(({ ip, port }) => isGiven(ip) && isGiven(port));
}

/** One number: the length, and below it how old the route is. */
function ageBelow(length: number, route: Route): number {
  const createdAt = Math.min(Math.max(route.created_at ?? 0, 0), TIME_MAX);
  return length * (TIME_MAX + 1) + (TIME_MAX - createdAt);
}

function countBits(bits: number): number {
  let count = 0;
  for (let rest = bits; rest !== 0; rest &= rest - 1) count += 1;
  return count;
}

function headerCountOf(route: Route): number {
  return Object.keys(route.headers ?? {}).length;
}

export function isGiven<T>(value: T | null | undefined): value is T {
  return value !== null && value !== undefined;
}

export function isSet<T>(list: readonly T[] | null | undefined): list is readonly T[] {
  return isGiven(list) && list.length > 0;
}
