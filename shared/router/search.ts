/** One request against the candidates of an index: which of them matches and is asked first. */
import type { HeaderList } from '../http/headers.ts';
import { HOST_LENGTH_MAX, portColon } from '../http/host.ts';
import { Side } from './address.ts';
import { ExpressionInput } from './expression/input.ts';
import { collectPrefixes, collectSuffixes, radixGet } from './radix.ts';
import { ChunkedList, compareCandidates, isArray } from './candidate-list.ts';
import type { Candidate, CandidateList } from './candidate-list.ts';
import type { Bucket, RouteIndex } from './route-index.ts';
import { withoutBrackets } from './rule.ts';
import type { HeaderTest, NameTest, PathTest, Rule } from './rule.ts';
import type { RequestFacts, StreamFacts } from './facts.ts';
import type { RouteMatch } from './router.ts';
import type { StreamRule } from './stream-rule.ts';

/** A rule with one of its hosts and one of its paths. */
export interface RequestCandidate extends Candidate {
  readonly rule: Rule;
  /** Null for any. */
  readonly host: NameTest | null;
  /** Null for any. */
  readonly path: PathTest | null;
  /** The index does not know its hosts (`PAIRS_MAX`): they are looked through. */
  readonly isWide: boolean;
  /** Where the search finds it, it matches: it asks for nothing else (`asksNothing`). */
  readonly isBare: boolean;
}

/** Most routes do, and of a hundred thousand a request then reads as little as of one. */
export function asksNothing({
  rule,
  host,
  path,
  isWide,
}: Omit<RequestCandidate, 'isBare'>): boolean {
  return (
    !isWide &&
    (host === null || host.port === null) &&
    (path === null || path.regex === null) &&
    rule.scheme === null &&
    rule.methods === null &&
    rule.snis === null &&
    rule.headers.length === 0 &&
    rule.sources === null &&
    rule.destinations === null &&
    rule.expression === null
  );
}

export interface StreamCandidate extends Candidate {
  readonly rule: StreamRule;
}

/** What a route may ask for, in the order in which it is checked. */
export const CONDITIONS = [
  'host',
  'protocol',
  'method',
  'sni',
  'header',
  'source',
  'destination',
  'path',
  'expression',
] as const;

export type Condition = (typeof CONDITIONS)[number];

/** Finds lists by name and text, and the best of what is in them. Reused from one request to the next. */
abstract class Search<C extends Candidate> {
  /** What has been found: ever better ones towards the end, as far as one can tell. */
  readonly lists: CandidateList<C>[] = [];
  readonly #buckets: Bucket<C>[] = [];

  /** The condition that fails; null for a match. Host and path have been looked up already. */
  abstract check(candidate: C): Condition | null;

  /** Adds to `lists`. A candidate in none of them cannot match. */
  protected collect(index: RouteIndex<C>, name: string | null, text: string): void {
    const { lists } = this;
    collectPrefixes(index.any, text, lists);
    if (name === null) {
      collectPrefixes(index.unnamed, text, lists);
      return;
    }
    if (index.prefix !== null || index.suffix !== null) {
      const buckets = this.#buckets;
      buckets.length = 0;
      collectPrefixes(index.prefix, name, buckets);
      collectSuffixes(index.suffix, name, buckets);
      for (const bucket of buckets) collectPrefixes(bucket, text, lists);
    }
    collectPrefixes(radixGet(index.exact, name), text, lists);
  }

  /** Of all in `lists` that match the one that is asked first. */
  best(): C | null {
    const { lists } = this;
    let best: C | null = null;
    // Names given in full and long texts are the likeliest; finding them first spares the others a look.
    for (let i = lists.length - 1; i >= 0; i -= 1) {
      const list = lists[i] as CandidateList<C>;
      if (list instanceof ChunkedList) {
        for (const chunk of list.chunks) best = this.#better(chunk, best);
      } else best = isArray(list) ? this.#better(list, best) : this.#betterOf(list, best);
    }
    return best;
  }

  #betterOf(candidate: C, best: C | null): C | null {
    if (best !== null && compareCandidates(best, candidate) <= 0) return best;
    return this.check(candidate) === null ? candidate : best;
  }

  /** The first of a sorted array that matches, if it is asked before the best so far. */
  #better(sorted: readonly C[], best: C | null): C | null {
    for (const candidate of sorted) {
      if (best !== null && compareCandidates(best, candidate) <= 0) return best;
      if (this.check(candidate) === null) return candidate;
    }
    return best;
  }
}

export class RequestSearch extends Search<RequestCandidate> {
  method = '';
  path = '';
  scheme: 'http' | 'https' = 'http';
  /** Lower case, without port; null for none. */
  host: string | null = null;
  /** What the Host header names; -1 for none. */
  namedPort = -1;
  /** The same, or what stands for it. */
  port = 0;
  headers: HeaderList | null = null;
  sni: string | null = null;
  readonly source = new Side();
  readonly destination = new Side();

  #facts: RequestFacts | null = null;
  readonly #input = new ExpressionInput();
  #isInputSet = false;

  set(facts: RequestFacts, isTraditional: boolean): void {
    this.#facts = facts;
    this.#isInputSet = false;
    this.method = facts.method;
    this.path = facts.path;
    this.scheme = facts.scheme;
    this.headers = facts.headers;
    this.sni = facts.sni === null ? null : normalizeSni(facts.sni);
    this.#setHost(facts.host);
    if (isTraditional && this.host !== null) this.host = withoutBrackets(this.host);
    if (this.namedPort >= 0) this.port = this.namedPort;
    // Where the header names no port, that flavour takes the scheme's, not the listener's.
    else if (isTraditional) this.port = facts.scheme === 'https' ? 443 : 80;
    else this.port = facts.port;
    this.source.set(facts.sourceAddress, facts.sourcePort);
    this.destination.set(facts.address, this.namedPort >= 0 ? this.namedPort : facts.port);
  }

  /** Nothing of a request stays behind. */
  clear(): void {
    this.#facts = null;
    this.headers = null;
    this.lists.length = 0;
    if (this.#isInputSet) this.#input.clear();
  }

  /** What expressions look at; filled when the first of them asks. */
  get input(): ExpressionInput {
    if (!this.#isInputSet && this.#facts !== null) {
      this.#input.setRequest(this.#facts);
      this.#isInputSet = true;
    }
    return this.#input;
  }

  /** Fills `lists`. */
  find(byHost: RouteIndex<RequestCandidate>, bySni: RouteIndex<RequestCandidate>): void {
    this.lists.length = 0;
    this.collect(byHost, this.host, this.path);
    if (this.scheme === 'http') this.collect(bySni, null, this.path);
    else if (this.sni !== null) this.collect(bySni, this.sni, this.path);
  }

  check({ rule, host, path, isWide, isBare }: RequestCandidate): Condition | null {
    if (isBare) return null;
    if (isWide && this.hostOf(rule.hosts) === null) return 'host';
    if (host !== null && !this.#isPort(host)) return 'host';
    if (rule.scheme !== null && rule.scheme !== this.scheme) return 'protocol';
    if (rule.methods !== null && !rule.methods.includes(this.method)) return 'method';
    if (rule.snis !== null && this.scheme === 'https' && !isAnyName(rule.snis, this.sni)) {
      return 'sni';
    }
    if (rule.headers.length > 0 && this.failedHeader(rule.headers) !== null) return 'header';
    if (rule.sources !== null && !this.source.isAny(rule.sources)) return 'source';
    if (rule.destinations !== null && !this.destination.isAny(rule.destinations)) {
      return 'destination';
    }
    if (path !== null && path.regex !== null && !path.regex.test(this.path)) return 'path';
    if (rule.expression !== null && !rule.expression.matches(this.input)) return 'expression';
    return null;
  }

  /** The first that fits the request's host. */
  hostOf(tests: readonly NameTest[]): NameTest | null {
    const { host } = this;
    if (host === null) return null;
    for (const test of tests) if (matchesName(test, host) && this.#isPort(test)) return test;
    return null;
  }

  #isPort({ port, isPortNamed }: NameTest): boolean {
    return port === null || port === (isPortNamed ? this.namedPort : this.port);
  }

  /** The first that no value of the request satisfies. */
  failedHeader(tests: readonly HeaderTest[]): HeaderTest | null {
    const { headers } = this;
    for (const test of tests) if (headers === null || !matchesHeader(headers, test)) return test;
    return null;
  }

  #setHost(host: string | null): void {
    this.host = null;
    this.namedPort = -1;
    // Longer ones match no route by host: whoever asks has refused them.
    if (host === null || host.length > HOST_LENGTH_MAX) return;
    // Host names have no case (RFC 9110 section 4.2.3); another spelling must not reach other routes.
    const lower = host.toLowerCase();
    const colon = portColon(lower);
    if (colon < 0) {
      this.host = lower;
      return;
    }
    this.host = lower.slice(0, colon);
    this.namedPort = Number(lower.slice(colon + 1));
  }
}

/** What a candidate has matched of the request that is being searched for. */
export function matchOf({ rule, path }: RequestCandidate, search: RequestSearch): RouteMatch {
  const { entry, expression } = rule;
  if (expression !== null) {
    const match = expression.matchOf(search.input);
    return { entry, matchedPath: match.path, captures: match.captures };
  }
  if (path === null) return { entry, matchedPath: null, captures: null };
  const match = path.regex === null ? null : path.regex.matchStart(search.path);
  if (match === null) return { entry, matchedPath: path.prefix, captures: null };
  return { entry, matchedPath: match.matched, captures: match };
}

export class StreamSearch extends Search<StreamCandidate> {
  protocol: 'tcp' | 'tls' | 'udp' = 'tcp';
  /** What is in the clear; null for TLS, terminated or not. */
  inClear: 'tcp' | 'udp' | null = null;
  sni: string | null = null;
  #portText = '';
  readonly source = new Side();
  readonly destination = new Side();
  readonly input = new ExpressionInput();

  set(facts: StreamFacts): void {
    this.input.setStream(facts);
    // Kong calls TLS what names a server, terminated or not. Source: `router/atc.lua`, exec.
    this.sni = facts.sni === null || facts.protocol === 'udp' ? null : normalizeSni(facts.sni);
    if (facts.protocol === 'udp') this.protocol = 'udp';
    else this.protocol = this.sni === null ? 'tcp' : 'tls';
    const { protocol } = facts;
    this.inClear = protocol === 'tcp' || protocol === 'udp' ? protocol : null;
    this.#portText = portText(facts.port);
    this.source.set(facts.sourceAddress, facts.sourcePort);
    this.destination.set(facts.address, facts.port);
  }

  clear(): void {
    this.lists.length = 0;
  }

  /** Fills `lists`. */
  find(index: RouteIndex<StreamCandidate>): void {
    this.lists.length = 0;
    this.collect(index, this.sni, this.#portText);
  }

  check({ rule }: StreamCandidate): Condition | null {
    if (rule.protocols !== null && !rule.protocols.includes(this.protocol)) return 'protocol';
    // Kong would carry in the clear what its route takes by TLS alone; and closing it here would shut
    // every route of lower rank that is for it.
    if (this.inClear !== null && !takes(rule, this.inClear)) return 'protocol';
    if (rule.snis !== null && !this.#isSniFine(rule)) return 'sni';
    if (rule.sources !== null && !this.source.isAny(rule.sources)) return 'source';
    if (rule.destinations !== null && !this.destination.isAny(rule.destinations)) {
      return 'destination';
    }
    if (rule.expression !== null && !rule.expression.matches(this.input)) return 'expression';
    return null;
  }

  #isSniFine(rule: StreamRule): boolean {
    if (this.sni === null) return !rule.needsSni;
    return rule.snis === null || isAnyName(rule.snis, this.sni);
  }
}

function takes({ entry }: StreamRule, protocol: string): boolean {
  const protocols: readonly string[] = entry.route.protocols;
  return protocols.includes(protocol);
}

/** The index key of a port: no port's key begins another's. */
export function portText(port: number): string {
  return `${port};`;
}

function normalizeSni(sni: string): string {
  const lower = sni.toLowerCase();
  return lower.length > 1 && lower.endsWith('.') ? lower.slice(0, -1) : lower;
}

function isAnyName(tests: readonly NameTest[], name: string | null): boolean {
  if (name === null) return false;
  for (const test of tests) if (matchesName(test, name)) return true;
  return false;
}

function matchesName(test: NameTest, name: string): boolean {
  if (test.kind === 'exact') return name === test.text;
  return test.kind === 'suffix' ? name.endsWith(test.text) : name.startsWith(test.text);
}

function matchesHeader(headers: HeaderList, test: HeaderTest): boolean {
  for (let i = 0; i < headers.size; i += 1) {
    if (!isSameName(headers.lowerNameAt(i), test.name)) continue;
    const value = headers.valueAt(i).toLowerCase();
    if (test.values.includes(value)) return true;
    for (const regex of test.regexes) if (regex.test(value)) return true;
  }
  return false;
}

/** Kong folds dashes and underscores in header names. */
function isSameName(received: string, name: string): boolean {
  if (received === name) return true;
  if (received.length !== name.length || !received.includes('_')) return false;
  return received.replaceAll('_', '-') === name;
}
