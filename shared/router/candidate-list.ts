/**
 * Candidates that only their conditions tell apart, best first. Mostly a handful, sometimes all there
 * are: beyond a few hundred they lie in chunks, so that a change copies one chunk and not the list.
 */
import { compareRanks } from './rank.ts';
import type { Rank } from './rank.ts';
import type { RouteEntry } from './router.ts';

/** One way in which a route can match. */
export interface Candidate {
  readonly rule: { readonly entry: RouteEntry; readonly rank: Rank };
  /** Position within its rule: the first that matches wins. */
  readonly ordinal: number;
}

/** Never empty. A single one, as most are, stands for itself: a request has less to follow. */
export type CandidateList<C> = C | readonly C[] | ChunkedList<C>;

export class ChunkedList<C> {
  /** None is empty; the first has the best. */
  readonly chunks: readonly (readonly C[])[];

  constructor(chunks: readonly (readonly C[])[]) {
    this.chunks = chunks;
  }
}

/** The most that lie in one array. */
export const CHUNK_MAX = 512;
/** What a chunk holds after it was made or halved. */
const CHUNK_FILL = CHUNK_MAX / 2;
/** Up to so many additions are put in their places one by one; more are sorted in. */
const INSERTIONS_MAX = 16;

/** Negative when `a` is asked before `b`. */
export function compareCandidates(a: Candidate, b: Candidate): number {
  if (a.rule === b.rule) return a.ordinal - b.ordinal;
  return compareRanks(a.rule.rank, b.rule.rank);
}

/** The arrays of a list, best first. */
export function chunksOf<C>(list: CandidateList<C>): readonly (readonly C[])[] {
  if (list instanceof ChunkedList) return list.chunks;
  return [isArray(list) ? list : [list]];
}

/** TypeScript's own takes no array for one that is read only. */
export function isArray<C>(list: C | readonly C[]): list is readonly C[] {
  return Array.isArray(list);
}

/** Another list, with more. */
export function withCandidates<C extends Candidate>(
  list: CandidateList<C>,
  added: readonly C[],
): CandidateList<C> {
  if (added.length > INSERTIONS_MAX) {
    return chunked(chunksOf(list).flat().concat(added).toSorted(compareCandidates));
  }
  const chunks = chunksOf(list).slice();
  for (const candidate of added) insert(chunks, candidate);
  return listOf(chunks);
}

/** Another list, without the candidates of an entry; null for nothing left. */
export function withoutEntry<C extends Candidate>(
  list: CandidateList<C>,
  entry: RouteEntry,
  ranks: readonly Rank[],
): CandidateList<C> | null {
  if (!(list instanceof ChunkedList)) {
    if (!isArray(list)) return list.rule.entry === entry ? null : list;
    const left = list.filter(({ rule }) => rule.entry !== entry);
    return left.length > 1 ? left : (left[0] ?? null);
  }
  const chunks = list.chunks.slice();
  for (const rank of ranks) removeRank(chunks, rank);
  return chunks.length === 0 ? null : listOf(chunks);
}

function chunked<C>(sorted: readonly C[]): CandidateList<C> {
  if (sorted.length <= CHUNK_MAX) return sorted;
  const chunks: (readonly C[])[] = [];
  for (let at = 0; at < sorted.length; at += CHUNK_FILL) {
    chunks.push(sorted.slice(at, at + CHUNK_FILL));
  }
  return new ChunkedList(chunks);
}

function listOf<C>(chunks: readonly (readonly C[])[]): CandidateList<C> {
  const [only] = chunks;
  return only !== undefined && chunks.length === 1 ? only : new ChunkedList(chunks);
}

function insert<C extends Candidate>(chunks: (readonly C[])[], candidate: C): void {
  const isBefore = (other: C): boolean => compareCandidates(other, candidate) < 0;
  const index = Math.min(
    firstIndex(chunks, (chunk) => !isBefore(lastOf(chunk))),
    chunks.length - 1,
  );
  const chunk = chunks[index] ?? [];
  const grown = chunk.toSpliced(
    firstIndex(chunk, (other) => !isBefore(other)),
    0,
    candidate,
  );
  if (grown.length <= CHUNK_MAX) chunks[index] = grown;
  else chunks.splice(index, 1, grown.slice(0, CHUNK_FILL), grown.slice(CHUNK_FILL));
}

/** Candidates of one rank lie together, perhaps across the border of chunks. */
function removeRank<C extends Candidate>(chunks: (readonly C[])[], rank: Rank): void {
  const index = firstIndex(chunks, (chunk) => compareRanks(lastOf(chunk).rule.rank, rank) >= 0);
  for (let at = index; at < chunks.length;) {
    const chunk = chunks[at] ?? [];
    const from = firstIndex(chunk, (other) => compareRanks(other.rule.rank, rank) >= 0);
    const to = firstIndex(chunk, (other) => compareRanks(other.rule.rank, rank) > 0);
    if (from === to) return;
    chunks[at] = chunk.toSpliced(from, to - from);
    at = settle(chunks, at);
  }
}

/** Drops an empty chunk, joins small neighbours; answers which one comes next. */
function settle<C>(chunks: (readonly C[])[], at: number): number {
  const here = chunks[at] ?? [];
  const before = chunks[at - 1];
  if (before !== undefined && before.length + here.length <= CHUNK_FILL) {
    chunks.splice(at - 1, 2, before.concat(here));
    return at;
  }
  if (here.length > 0) return at + 1;
  chunks.splice(at, 1);
  return at;
}

function lastOf<C>(chunk: readonly C[]): C {
  // No chunk is empty.
  return chunk[chunk.length - 1] as C;
}

/** Of an ordered array: where the condition begins to hold. */
function firstIndex<T>(items: readonly T[], holds: (item: T) => boolean): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (holds(items[middle] as T)) high = middle;
    else low = middle + 1;
  }
  return low;
}
