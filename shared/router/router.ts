/**
 * From a request or a connection to its route, by Kong's rules: every attribute that a route names
 * must match, one value of it suffices, and of the routes that match the one with the highest rank is
 * taken (`rank.ts`).
 *
 * A router never changes. `update` makes another one that shares all but what the changed routes
 * touch, so that one route among 100,000 costs as much as one among ten.
 */
import { atOnce, type Sliced } from '../base/slices.ts';
import type { Route } from '../entities/route.ts';
import type { RouterFlavor } from '../settings/common.ts';
import type { Candidate } from './candidate-list.ts';
import type { RequestFacts, StreamFacts } from './facts.ts';
import { explainRequest, explainStream } from './explain.ts';
import type { Explanation } from './explain.ts';
import type { Rank } from './rank.ts';
import { EMPTY_INDEX, IndexEdit } from './route-index.ts';
import type { RouteIndex } from './route-index.ts';
import {
  compileRoute,
  hasTooManyPairs,
  indexKeysOf,
  isFiledBySni,
  ranksOf,
  sniNames,
} from './rule.ts';
import type { IndexKeys, NameTest, PathTest, Rule } from './rule.ts';
import { asksNothing, matchOf, RequestSearch, StreamSearch } from './search.ts';
import type { RequestCandidate, StreamCandidate } from './search.ts';
import {
  compileStreamRoute,
  isStreamRoute,
  streamIndexKeysOf,
  streamRankOf,
} from './stream-rule.ts';

/** Routers know routes by this object: the one that was added is the one that is answered and removed. */
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

/** A route that does not compile. */
export interface RouteFailure {
  readonly entry: RouteEntry;
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
  /** Of all routes that are in the router or should be. */
  readonly failures: readonly RouteFailure[];
}

/** @param entries  routes of enabled services, and routes without service; ids are unique */
export function buildRouter(
  entries: readonly RouteEntry[],
  flavor: RouterFlavor = 'traditional_compatible',
): RouterBuild {
  return Router.empty(flavor).update([], entries);
}

interface RouterParts {
  readonly flavor: RouterFlavor;
  readonly requests: RouteIndex<RequestCandidate>;
  /** Those with SNIs and without hosts. */
  readonly sniRequests: RouteIndex<RequestCandidate>;
  readonly streams: RouteIndex<StreamCandidate>;
  readonly failures: ReadonlyMap<RouteEntry, RouteFailure>;
}

export class Router {
  readonly #parts: RouterParts;
  readonly #isTraditional: boolean;
  // Matching is synchronous, so one of each is enough.
  readonly #request = new RequestSearch();
  readonly #stream = new StreamSearch();

  private constructor(parts: RouterParts) {
    this.#parts = parts;
    this.#isTraditional = parts.flavor === 'traditional';
  }

  static empty(flavor: RouterFlavor): Router {
    return new Router({
      flavor,
      requests: EMPTY_INDEX,
      sniRequests: EMPTY_INDEX,
      streams: EMPTY_INDEX,
      failures: new Map(),
    });
  }

  get flavor(): RouterFlavor {
    return this.#parts.flavor;
  }

  /** Routes in it or missing from it that do not compile. */
  get failures(): readonly RouteFailure[] {
    return [...this.#parts.failures.values()];
  }

  /**
   * Another router, without some entries and with others. Costs what changes, not what stays.
   *
   * @param removed  entries that are in this router, the same objects
   * @param added  entries that are not in it, or are removed as well
   */
  update(removed: readonly RouteEntry[], added: readonly RouteEntry[]): RouterBuild {
    return atOnce(this.updateSliced(removed, added));
  }

  *updateSliced(removed: readonly RouteEntry[], added: readonly RouteEntry[]): Sliced<RouterBuild> {
    const update = new Update(this.#parts);
    for (const entry of removed) {
      yield;
      update.remove(entry);
    }
    for (const entry of added) {
      yield;
      update.add(entry);
    }
    const router = new Router(update.finish());
    return { router, failures: router.failures };
  }

  match(facts: RequestFacts): RouteMatch | null {
    const search = this.#request;
    search.set(facts, this.#isTraditional);
    search.find(this.#parts.requests, this.#parts.sniRequests);
    const best = search.best();
    const match = best === null ? null : matchOf(best, search);
    search.clear();
    return match;
  }

  /** For a TCP connection or a UDP session; nothing of it has a path. */
  matchStream(facts: StreamFacts): RouteEntry | null {
    const search = this.#stream;
    search.set(facts);
    search.find(this.#parts.streams);
    const best = search.best();
    search.clear();
    return best === null ? null : best.rule.entry;
  }

  /**
   * What `match` decides, and why: routes that match, best first, and of those that lie where the
   * search looks and do not match, what fails. At most `limit` of each.
   */
  explain(facts: RequestFacts, limit: number): Explanation {
    const search = this.#request;
    search.set(facts, this.#isTraditional);
    search.find(this.#parts.requests, this.#parts.sniRequests);
    const explanation = explainRequest(search, this.#parts.flavor, limit);
    search.clear();
    return explanation;
  }

  /** The same of `matchStream`. */
  explainStream(facts: StreamFacts, limit: number): Explanation {
    const search = this.#stream;
    search.set(facts);
    search.find(this.#parts.streams);
    const explanation = explainStream(search, this.#parts.flavor, limit);
    search.clear();
    return explanation;
  }
}

const ANY_HOST: readonly (NameTest | null)[] = [null];
const ANY_PATH: readonly (PathTest | null)[] = [null];
const ANY_KEY = { kind: 'any', text: '' } as const;

class Update {
  readonly #flavor: RouterFlavor;
  readonly #requests: IndexEdit<RequestCandidate>;
  readonly #sniRequests: IndexEdit<RequestCandidate>;
  readonly #streams: IndexEdit<StreamCandidate>;
  #failures: ReadonlyMap<RouteEntry, RouteFailure>;
  /** The same, once it is a copy of our own. */
  #changed: Map<RouteEntry, RouteFailure> | null = null;

  constructor(parts: RouterParts) {
    this.#flavor = parts.flavor;
    this.#requests = new IndexEdit(parts.requests);
    this.#sniRequests = new IndexEdit(parts.sniRequests);
    this.#streams = new IndexEdit(parts.streams);
    this.#failures = parts.failures;
  }

  remove(entry: RouteEntry): void {
    if (this.#failures.has(entry)) this.#changedFailures().delete(entry);
    const flavor = this.#flavor;
    if (isStreamRoute(entry.route)) {
      const ranks = [streamRankOf(entry, flavor)];
      this.#removeFrom(this.#streams, entry, streamIndexKeysOf(entry.route, flavor), ranks);
    } else {
      const edit = isFiledBySni(entry.route) ? this.#sniRequests : this.#requests;
      this.#removeFrom(edit, entry, indexKeysOf(entry, flavor), ranksOf(entry, flavor));
    }
  }

  add(entry: RouteEntry): void {
    if (isStreamRoute(entry.route)) this.#addStream(entry);
    else this.#addRequest(entry);
  }

  finish(): RouterParts {
    return {
      flavor: this.#flavor,
      requests: this.#requests.finish(),
      sniRequests: this.#sniRequests.finish(),
      streams: this.#streams.finish(),
      failures: this.#failures,
    };
  }

  #removeFrom<C extends Candidate>(
    edit: IndexEdit<C>,
    entry: RouteEntry,
    { names, texts }: IndexKeys,
    ranks: readonly Rank[],
  ): void {
    for (const name of names) for (const text of texts) edit.remove(name, text, entry, ranks);
  }

  #addRequest(entry: RouteEntry): void {
    const { rules, fault, isCovered } = compileRoute(entry, this.#flavor);
    if (this.#isLeftOut(entry, fault, isCovered)) return;
    for (const rule of rules) this.#addRule(rule);
  }

  #addRule(rule: Rule): void {
    const { route } = rule.entry;
    const isBySni = isFiledBySni(route);
    const edit = isBySni ? this.#sniRequests : this.#requests;
    const isWide = rule.expression === null && hasTooManyPairs(route);
    const hosts = rule.hosts.length === 0 || isWide ? ANY_HOST : rule.hosts;
    const paths = rule.paths.length === 0 ? ANY_PATH : rule.paths;
    const names = isBySni ? sniNames(rule.snis ?? []) : null;
    for (const [ordinal, path] of paths.entries()) {
      const text = path === null ? '' : path.prefix;
      for (const host of hosts) {
        const isBare = asksNothing({ rule, ordinal, host, path, isWide });
        const candidate = { rule, ordinal, host, path, isWide, isBare };
        if (names === null) edit.add(host ?? ANY_KEY, text, candidate);
        else for (const name of names) edit.add(name, text, candidate);
      }
    }
  }

  #addStream(entry: RouteEntry): void {
    const { rules, fault, isCovered } = compileStreamRoute(entry, this.#flavor);
    if (this.#isLeftOut(entry, fault, isCovered)) return;
    const { names, texts } = streamIndexKeysOf(entry.route, this.#flavor);
    for (const rule of rules) {
      for (const name of names) {
        for (const text of texts) this.#streams.add(name, text, { rule, ordinal: 0 });
      }
    }
  }

  #isLeftOut(entry: RouteEntry, reason: string | null, isCovered: boolean): boolean {
    if (reason === null) return false;
    this.#changedFailures().set(entry, { entry, reason, isCovered });
    return !isCovered;
  }

  /** A fault that comes or goes costs as much as there are faults: they are few. */
  #changedFailures(): Map<RouteEntry, RouteFailure> {
    this.#changed ??= new Map(this.#failures);
    this.#failures = this.#changed;
    return this.#changed;
  }
}
