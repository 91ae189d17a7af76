/**
 * Why a request takes the route it takes: the router's own search and checks, put in words. Cold.
 */
import { assert, unreachable } from '../base/assert.ts';
import type { AddressTest } from './address.ts';
import {
  bitTerms,
  expressionTerms,
  streamBitTerms,
  traditionalStreamTerms,
  traditionalTerms,
} from './rank-terms.ts';
import type { RankTerm } from './rank-terms.ts';
import { chunksOf, compareCandidates } from './candidate-list.ts';
import type { Candidate, CandidateList } from './candidate-list.ts';
import type { RouterFlavor } from '../settings/common.ts';
import type { RouteEntry, RouteMatch } from './router.ts';
import { expressionOf } from './rule.ts';
import type { NameTest, Rule } from './rule.ts';
import { CONDITIONS, matchOf } from './search.ts';
import type {
  Condition,
  RequestCandidate,
  RequestSearch,
  StreamCandidate,
  StreamSearch,
} from './search.ts';
import type { StreamRule } from './stream-rule.ts';

/** One condition of a route beside what the request has for it. */
export interface Reason {
  readonly attribute: Condition;
  /** As the route has it; values of a list with commas. */
  readonly condition: string;
  /** As the request has it; null when it has none. */
  readonly value: string | null;
}

/** What the route's rank is made of, most significant first. */
export interface RankExplanation {
  /** Kong's 64-bit number in hex; null in the traditional flavour, which has none. */
  readonly priority: string | null;
  readonly terms: readonly RankTerm[];
  /** Breaks ties, the larger wins: the route's id, or that of the part of it which matches. */
  readonly id: string;
}

export interface ExplainedMatch {
  readonly match: RouteMatch;
  readonly reasons: readonly Reason[];
  readonly rank: RankExplanation;
}

export interface ExplainedMiss {
  readonly entry: RouteEntry;
  readonly failed: Reason;
  readonly rank: RankExplanation;
}

export interface Explanation {
  /** Best first: the first is the one that is taken, the next one would be without it. */
  readonly matches: readonly ExplainedMatch[];
  /** Routes whose host and path prefix fit and that do not match, best first. */
  readonly misses: readonly ExplainedMiss[];
}

/** @param search  set to a request, with what it found */
export function explainRequest(
  search: RequestSearch,
  flavor: RouterFlavor,
  limit: number,
): Explanation {
  const { matches, misses } = sift(search.lists, limit, (candidate) => search.check(candidate));
  return {
    matches: matches.map((candidate) => ({
      match: matchOf(candidate, search),
      reasons: CONDITIONS.flatMap((condition) => requestReasons(condition, candidate, search)),
      rank: explainRank(candidate, flavor, false),
    })),
    misses: misses.map(([candidate, condition]) => ({
      entry: candidate.rule.entry,
      failed: first(requestReasons(condition, candidate, search)),
      rank: explainRank(candidate, flavor, false),
    })),
  };
}

/** @param search  set to a connection, with what it found */
export function explainStream(
  search: StreamSearch,
  flavor: RouterFlavor,
  limit: number,
): Explanation {
  const { matches, misses } = sift(search.lists, limit, (candidate) => search.check(candidate));
  return {
    matches: matches.map((candidate) => ({
      match: { entry: candidate.rule.entry, matchedPath: null, captures: null },
      reasons: CONDITIONS.flatMap((condition) => streamReasons(condition, candidate, search)),
      rank: explainRank(candidate, flavor, true),
    })),
    misses: misses.map(([candidate, condition]) => ({
      entry: candidate.rule.entry,
      failed: first(streamReasons(condition, candidate, search)),
      rank: explainRank(candidate, flavor, true),
    })),
  };
}

/** The best `limit` entries that match, and as many that do not: lists are best first, so each yields no more. */
function sift<C extends Candidate>(
  lists: readonly CandidateList<C>[],
  limit: number,
  check: (candidate: C) => Condition | null,
): { matches: readonly C[]; misses: readonly (readonly [C, Condition])[] } {
  const matches = new Map<RouteEntry, C>();
  const misses = new Map<RouteEntry, readonly [C, Condition]>();
  for (const list of lists) {
    const matched = new Set<RouteEntry>();
    const missed = new Set<RouteEntry>();
    for (const candidate of chunksOf(list).flat()) {
      const { entry } = candidate.rule;
      const failed = check(candidate);
      if (failed === null) {
        matched.add(entry);
        const other = matches.get(entry);
        if (other === undefined || compareCandidates(candidate, other) < 0) {
          matches.set(entry, candidate);
        }
        if (matched.size >= limit) break;
      } else if (missed.size < limit) {
        missed.add(entry);
        if (!misses.has(entry)) misses.set(entry, [candidate, failed]);
      }
    }
  }
  for (const entry of matches.keys()) misses.delete(entry);
  return {
    matches: [...matches.values()].toSorted(compareCandidates).slice(0, limit),
    misses: [...misses.values()].toSorted(([a], [b]) => compareCandidates(a, b)).slice(0, limit),
  };
}

/** A condition that failed is one that the route has. */
function first(reasons: readonly Reason[]): Reason {
  const [reason] = reasons;
  assert(reason !== undefined, 'a condition that fails is there');
  return reason;
}

const NONE: readonly Reason[] = [];

/** The route's conditions of one kind, or the one of them that fails; empty when it has none. */
function requestReasons(
  attribute: Condition,
  candidate: RequestCandidate,
  search: RequestSearch,
): readonly Reason[] {
  const { rule, path } = candidate;
  switch (attribute) {
    case 'host': {
      if (rule.hosts.length === 0 || rule.expression !== null) return NONE;
      const host = candidate.host ?? search.hostOf(rule.hosts);
      const condition = host === null ? firstNames(rule.hosts) : nameText(host);
      const port = search.namedPort < 0 ? '' : `:${search.namedPort}`;
      const value = search.host === null ? null : search.host + port;
      return [{ attribute, condition, value }];
    }
    case 'protocol':
      if (rule.scheme === null) return NONE;
      return [{ attribute, condition: rule.scheme, value: search.scheme }];
    case 'method':
      if (rule.methods === null) return NONE;
      return [{ attribute, condition: rule.methods.join(', '), value: search.method }];
    case 'header':
      return headerReasons(candidate, search);
    case 'path':
      if (path === null || rule.expression !== null) return NONE;
      return [{ attribute, condition: path.text, value: search.path }];
    default:
      return commonReasons(attribute, rule, search);
  }
}

function streamReasons(
  attribute: Condition,
  { rule }: StreamCandidate,
  search: StreamSearch,
): readonly Reason[] {
  switch (attribute) {
    case 'host':
    case 'method':
    case 'header':
    case 'path':
      return NONE;
    case 'protocol':
      if (rule.protocols === null && search.inClear === null) return NONE;
      return [
        {
          attribute,
          condition: (rule.protocols ?? rule.entry.route.protocols).join(', '),
          value: search.inClear ?? search.protocol,
        },
      ];
    default:
      return commonReasons(attribute, rule, search);
  }
}

function commonReasons(
  attribute: 'sni' | 'source' | 'destination' | 'expression',
  rule: Rule | StreamRule,
  search: RequestSearch | StreamSearch,
): readonly Reason[] {
  switch (attribute) {
    case 'sni':
      if (rule.snis === null) return NONE;
      return [{ attribute, condition: rule.snis.map(nameText).join(', '), value: search.sni }];
    case 'source':
      if (rule.sources === null) return NONE;
      return [{ attribute, condition: addressesText(rule.sources), value: search.source.text }];
    case 'destination': {
      const { destinations } = rule;
      if (destinations === null) return NONE;
      const value = search.destination.text;
      return [{ attribute, condition: addressesText(destinations), value }];
    }
    case 'expression': {
      const condition = expressionOf(rule.entry.route);
      return condition === null ? NONE : [{ attribute, condition, value: null }];
    }
    default:
      return unreachable(attribute);
  }
}

function headerReasons({ rule }: RequestCandidate, search: RequestSearch): readonly Reason[] {
  const failed = search.failedHeader(rule.headers);
  const tests = failed === null ? rule.headers : [failed];
  return tests.map((test) => {
    const values = search.headers?.getAll(test.name) ?? [];
    return {
      attribute: 'header',
      condition: `${test.name}: ${test.text.join(', ')}`,
      value: values.length === 0 ? null : values.join(', '),
    };
  });
}

const NAMES_SHOWN_MAX = 8;

function firstNames(tests: readonly NameTest[]): string {
  const more = tests.length > NAMES_SHOWN_MAX ? ', …' : '';
  return tests.slice(0, NAMES_SHOWN_MAX).map(nameText).join(', ') + more;
}

function nameText({ kind, text, port }: NameTest): string {
  const name = { exact: text, suffix: `*${text}`, prefix: `${text}*` }[kind];
  return port === null ? name : `${name}:${port}`;
}

function addressesText(tests: readonly AddressTest[]): string {
  return tests.map(({ text }) => text).join(', ');
}

function explainRank(
  { rule }: Candidate,
  flavor: RouterFlavor,
  isStream: boolean,
): RankExplanation {
  const { rank, entry } = rule;
  const { id } = rank;
  const isExpression = expressionOf(entry.route) !== null;
  if (flavor === 'traditional' && !isExpression) {
    const terms = isStream ? traditionalStreamTerms(rank) : traditionalTerms(rank);
    return { priority: null, terms, id };
  }
  const hex = (half: number): string => half.toString(16).padStart(8, '0');
  const priority = `0x${hex(rank.major)}${hex(rank.middle)}`;
  if (isExpression) return { priority, terms: expressionTerms(rank), id };
  return { priority, terms: isStream ? streamBitTerms(rank) : bitTerms(rank), id };
}
