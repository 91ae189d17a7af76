/**
 * From a request to its route, by the rules of Kong's `traditional_compatible` router: every
 * attribute that a route names must match, one value of it suffices, and of the routes that match
 * the one with the highest rank is taken.
 *
 * Routes lie in buckets by host; within a bucket, by path prefix. A search asks at most one exact
 * host, the wildcards that can fit, and the routes without host; what decides between finds from
 * different buckets is the same rank that orders each of them.
 */
import type { RegexMatch } from '../regex/regex.ts';
import type { Route } from '../entities/route.ts';
import { splitHost } from '../http/host.ts';
import { Bucket, Search } from './bucket.ts';
import type { Candidate } from './bucket.ts';
import type { RequestFacts } from './facts.ts';
import { compileRoute, isStreamRoute } from './rule.ts';
import type { HostTest, PathTest, Rule } from './rule.ts';

export interface RouteEntry {
  /** Workspace id. */
  readonly ws: string;
  readonly route: Route;
}

export interface RouteMatch {
  readonly entry: RouteEntry;
  /** The prefix, or the whole match of the regex; null when the route has no paths. */
  readonly matchedPath: string | null;
  /** Groups of the regex; null when it was none. */
  readonly captures: {
    readonly named: Record<string, string>;
    readonly indexed: readonly string[];
  } | null;
}

export interface Router {
  match(facts: RequestFacts): RouteMatch | null;
}

/** A route that does not compile. */
export interface RouteFailure {
  readonly id: string;
  readonly reason: string;
  /**
   * True: the router still answers with its entry for every request that could be its own (and maybe
   * more), so that it can be closed. False: nothing literal tells its requests from others'; it is
   * left out.
   */
  readonly isCovered: boolean;
}

export interface RouterBuild {
  readonly router: Router;
  readonly failures: readonly RouteFailure[];
}

/** Longer names exist in no DNS; they match no route by host. */
const HOST_LENGTH_MAX = 255;
const ANY_PATH: readonly (PathTest | null)[] = [null];

/**
 * Builds the router.
 *
 * @param entries  routes of enabled services, and routes without service; ids are unique
 */
export function buildRouter(entries: readonly RouteEntry[]): RouterBuild {
  const failures: RouteFailure[] = [];
  const hosts = new HostIndexBuilder();
  for (const entry of entries) {
    if (isStreamRoute(entry.route)) continue;
    const { rules, fault, isCovered } = compileRoute(entry);
    if (fault !== null) failures.push({ id: entry.route.id, reason: fault, isCovered });
    if (fault !== null && !isCovered) continue;
    for (const rule of rules) hosts.add(rule);
  }
  return { router: hosts.build(), failures };
}

class HostIndexBuilder {
  readonly #exact = new Map<string, Candidate[]>();
  readonly #suffixes = new Map<string, Candidate[]>();
  readonly #prefixes = new Map<string, Candidate[]>();
  readonly #hostless: Candidate[] = [];

  add(rule: Rule): void {
    const paths = rule.paths.length === 0 ? ANY_PATH : rule.paths;
    for (const [ordinal, path] of paths.entries()) {
      if (rule.hosts.length === 0) this.#hostless.push({ rule, port: null, path, ordinal });
      for (const host of rule.hosts) {
        const list = this.#listFor(host);
        list.push({ rule, port: host.port, path, ordinal });
      }
    }
  }

  build(): Router {
    return new HostRouter(
      toBuckets(this.#exact),
      toBuckets(this.#suffixes),
      toBuckets(this.#prefixes),
      new Bucket(this.#hostless),
    );
  }

  #listFor(host: HostTest): Candidate[] {
    const lists = { exact: this.#exact, suffix: this.#suffixes, prefix: this.#prefixes }[host.type];
    let list = lists.get(host.text);
    if (list === undefined) {
      list = [];
      lists.set(host.text, list);
    }
    return list;
  }
}

function toBuckets(lists: ReadonlyMap<string, Candidate[]>): ReadonlyMap<string, Bucket> {
  return new Map([...lists].map(([host, candidates]) => [host, new Bucket(candidates)]));
}

class HostRouter implements Router {
  readonly #exact: ReadonlyMap<string, Bucket>;
  /** By what comes after `*`: begins with a dot. */
  readonly #suffixes: ReadonlyMap<string, Bucket>;
  /** By what comes before `*`: ends with a dot. */
  readonly #prefixes: ReadonlyMap<string, Bucket>;
  readonly #hostless: Bucket;
  /** Matching is synchronous, so one is enough. */
  readonly #search = new Search();

  constructor(
    exact: ReadonlyMap<string, Bucket>,
    suffixes: ReadonlyMap<string, Bucket>,
    prefixes: ReadonlyMap<string, Bucket>,
    hostless: Bucket,
  ) {
    this.#exact = exact;
    this.#suffixes = suffixes;
    this.#prefixes = prefixes;
    this.#hostless = hostless;
  }

  match(facts: RequestFacts): RouteMatch | null {
    const search = this.#search;
    search.method = facts.method;
    search.path = facts.path;
    search.port = facts.port;
    search.headers = facts.headers;
    search.isTls = facts.scheme === 'https';
    search.sni = facts.sni === null ? null : normalizeSni(facts.sni);
    search.best = null;
    search.bestMatch = null;
    const { host } = facts;
    if (host !== null && host.length <= HOST_LENGTH_MAX) this.#searchHost(search, host);
    this.#hostless.search(search);
    const { best, bestMatch } = search;
    // Nothing of a request stays behind.
    search.headers = null;
    return best === null ? null : toMatch(best, bestMatch);
  }

  #searchHost(search: Search, host: string): void {
    // Host names have no case (RFC 9110 section 4.2.3); another spelling must not reach other routes.
    const { name, port } = splitHost(host.toLowerCase());
    if (port !== null) search.port = port;
    this.#exact.get(name)?.search(search);
    if (this.#suffixes.size === 0 && this.#prefixes.size === 0) return;
    for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) {
      this.#suffixes.get(name.slice(dot))?.search(search);
      this.#prefixes.get(name.slice(0, dot + 1))?.search(search);
    }
  }
}

function normalizeSni(sni: string): string {
  const lower = sni.toLowerCase();
  return lower.length > 1 && lower.endsWith('.') ? lower.slice(0, -1) : lower;
}

function toMatch({ rule, path }: Candidate, match: RegexMatch | null): RouteMatch {
  const { entry } = rule;
  if (match !== null) return { entry, matchedPath: match.matched, captures: match };
  return { entry, matchedPath: path === null ? null : path.prefix, captures: null };
}
