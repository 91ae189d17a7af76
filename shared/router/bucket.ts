/**
 * The rules that apply to one host (or one wildcard, or no host in particular), indexed by path.
 * A bucket depends on its own rules only, so a change to one host rebuilds one bucket.
 */
import type { LinearRegex, RegexMatch } from '../regex/regex.ts';
import type { HeaderList } from '../http/headers.ts';
import { isBefore } from './rule.ts';
import type { HeaderTest, HostTest, PathTest, Rule } from './rule.ts';

/** Below this many candidates a list is faster than an index. */
const INDEX_MIN = 8;

/** One way in which a rule can match: a host's port and a path. */
export interface Candidate {
  readonly rule: Rule;
  /** Null for any. */
  readonly port: number | null;
  /** Null for any. */
  readonly path: PathTest | null;
  /** Position of the path in its rule: the first that matches wins. */
  readonly ordinal: number;
}

/** What a search looks at and what it has found so far. Reused from one request to the next. */
export class Search {
  method = '';
  path = '';
  port = 0;
  headers: HeaderList | null = null;
  /** Null when the connection is not TLS: SNIs are then not asked about. */
  sni: string | null = null;
  isTls = false;
  /** Scratch of the bucket that is being searched. */
  readonly found: (readonly Candidate[])[] = [];
  best: Candidate | null = null;
  bestMatch: RegexMatch | null = null;

  /** Takes the candidate if it matches. */
  offer(candidate: Candidate): boolean {
    const { rule, port, path } = candidate;
    if (port !== null && port !== this.port) return false;
    if (path !== null && !this.path.startsWith(path.prefix)) return false;
    if (rule.methods !== null && !rule.methods.has(this.method)) return false;
    if (rule.snis !== null && this.isTls && !matchesAnySni(rule.snis, this.sni)) return false;
    if (rule.headers.length > 0 && !this.#matchesHeaders(rule.headers)) return false;
    let match: RegexMatch | null = null;
    const regex: LinearRegex | null = path === null ? null : path.regex;
    if (regex !== null) {
      match = regex.matchStart(this.path);
      if (match === null) return false;
    }
    this.best = candidate;
    this.bestMatch = match;
    return true;
  }

  #matchesHeaders(tests: readonly HeaderTest[]): boolean {
    const { headers } = this;
    if (headers === null) return false;
    for (const test of tests) if (!matchesHeader(headers, test)) return false;
    return true;
  }
}

export class Bucket {
  /** Hash of a path prefix → candidates, best first. Whoever is offered compares the text itself. */
  readonly #byPrefix = new Map<number, Candidate[]>();
  /** Lengths of the prefixes in the index, shortest first. */
  readonly #lengths: readonly number[];
  /** Candidates that are not in the index, best first. */
  readonly #others: Candidate[] = [];

  constructor(candidates: readonly Candidate[]) {
    const isIndexed = candidates.length >= INDEX_MIN;
    const lengths = new Set<number>();
    for (const candidate of candidates.toSorted(compareCandidates)) {
      const prefix = candidate.path === null ? '' : candidate.path.prefix;
      if (!isIndexed || prefix === '') {
        this.#others.push(candidate);
        continue;
      }
      lengths.add(prefix.length);
      const hash = hashOf(prefix);
      const list = this.#byPrefix.get(hash);
      if (list === undefined) this.#byPrefix.set(hash, [candidate]);
      else list.push(candidate);
    }
    this.#lengths = [...lengths].toSorted((a, b) => a - b);
  }

  /** Improves on what the search has found, if something here is asked before it. */
  search(search: Search): void {
    if (this.#lengths.length > 0) this.#searchPrefixes(search);
    if (this.#others.length > 0) offerInOrder(search, this.#others);
  }

  /**
   * Walks the path once, and looks up the hash of what has been walked wherever a prefix may end:
   * no text is cut out, and ten thousand routes cost as much as their lengths are many.
   */
  #searchPrefixes(search: Search): void {
    const { path, found } = search;
    found.length = 0;
    let hash = HASH_START;
    let at = 0;
    for (const length of this.#lengths) {
      if (length > path.length) break;
      for (; at < length; at += 1) hash = hashStep(hash, path.charCodeAt(at));
      const list = this.#byPrefix.get(hash);
      if (list !== undefined) found.push(list);
    }
    // The longest prefixes are the likeliest; finding them first spares the others a look.
    for (let i = found.length - 1; i >= 0; i -= 1) offerInOrder(search, found[i] ?? NO_CANDIDATES);
  }
}

const HASH_START = 0x11c9dc5;
const NO_CANDIDATES: readonly Candidate[] = [];

/** FNV-1a, kept within 30 bits: such integers cost nothing as keys. */
function hashStep(hash: number, code: number): number {
  return Math.imul(hash ^ code, 0x01000193) & 0x3fff_ffff;
}

function hashOf(text: string): number {
  let hash = HASH_START;
  for (let i = 0; i < text.length; i += 1) hash = hashStep(hash, text.charCodeAt(i));
  return hash;
}

function offerInOrder(search: Search, candidates: readonly Candidate[]): void {
  for (const candidate of candidates) {
    if (search.best !== null && compareCandidates(search.best, candidate) <= 0) return;
    if (search.offer(candidate)) return;
  }
}

function compareCandidates(a: Candidate, b: Candidate): number {
  if (a.rule === b.rule) return a.ordinal - b.ordinal;
  return isBefore(a.rule, b.rule) ? -1 : 1;
}

function matchesAnySni(tests: readonly HostTest[], sni: string | null): boolean {
  if (sni === null) return false;
  for (const test of tests) if (matchesName(test, sni)) return true;
  return false;
}

function matchesName(test: HostTest, name: string): boolean {
  if (test.type === 'exact') return name === test.text;
  return test.type === 'suffix' ? name.endsWith(test.text) : name.startsWith(test.text);
}

function matchesHeader(headers: HeaderList, test: HeaderTest): boolean {
  for (let i = 0; i < headers.size; i += 1) {
    if (!isSameName(headers.lowerNameAt(i), test.name)) continue;
    const value = headers.valueAt(i).toLowerCase();
    if (test.values.has(value)) return true;
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
