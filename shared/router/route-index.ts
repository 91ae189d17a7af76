/**
 * Where candidates lie: by name (host or SNI), and under a name by text (path prefix or port).
 * Persistent: a change replaces the lists it touches and the nodes above them.
 */
import { RadixEdit, type Radix, reversed } from './radix.ts';
import { compareRanks, type Rank } from './rank.ts';
import type { RouteEntry } from './router.ts';

/** One way in which a route can match. */
export interface Candidate {
  readonly rule: { readonly entry: RouteEntry; readonly rank: Rank };
  /** Position within its rule: the first that matches wins. */
  readonly ordinal: number;
}

/** Candidates of one name and one text, best first. */
export type CandidateList<C> = readonly C[];

/** Lists by the text that the request's must begin with. */
export type Bucket<C> = Radix<CandidateList<C>>;

/** `suffix` is stored without `*` and with its dot, `prefix` likewise. */
export type NameKind = 'exact' | 'suffix' | 'prefix' | 'any' | 'unnamed';

export interface NameKey {
  readonly kind: NameKind;
  /** Empty for `any` and `unnamed`. */
  readonly text: string;
}

/** Buckets by name. */
export interface RouteIndex<C> {
  readonly exact: Radix<Bucket<C>>;
  /** Keys reversed. */
  readonly suffix: Radix<Bucket<C>>;
  readonly prefix: Radix<Bucket<C>>;
  /** For whatever name, and for none. */
  readonly any: Bucket<C>;
  /** Only where there is no name to go by. */
  readonly unnamed: Bucket<C>;
}

export const EMPTY_INDEX: RouteIndex<never> = {
  exact: null,
  suffix: null,
  prefix: null,
  any: null,
  unnamed: null,
};

/** Negative when `a` is asked before `b`. */
export function compareCandidates(a: Candidate, b: Candidate): number {
  if (a.rule === b.rule) return a.ordinal - b.ordinal;
  return compareRanks(a.rule.rank, b.rule.rank);
}

/** Up to so many additions to a list are put in their places one by one; more are sorted in. */
const INSERTIONS_MAX = 16;

/** A change to an index. Entries are taken away first, then candidates added, then it is finished. */
export class IndexEdit<C extends Candidate> {
  readonly #removed: ReadonlySet<RouteEntry>;
  /** Of all nodes and lists that this change made. */
  readonly #owner = {};
  readonly #names: Record<'exact' | 'suffix' | 'prefix', RadixEdit<Bucket<C>>>;
  readonly #nameless: Record<'any' | 'unnamed', RadixEdit<CandidateList<C>>>;
  /** Lists made by this change: to be changed in place. */
  readonly #lists = new Set<CandidateList<C>>();
  /** What was added to a list that had something already. */
  readonly #pending = new Map<C[], C[]>();

  /** @param removed  entries of which nothing shall be left; `remove` says where they are */
  constructor(index: RouteIndex<C>, removed: ReadonlySet<RouteEntry>) {
    const owner = this.#owner;
    this.#removed = removed;
    this.#names = {
      exact: new RadixEdit(index.exact, owner),
      suffix: new RadixEdit(index.suffix, owner),
      prefix: new RadixEdit(index.prefix, owner),
    };
    this.#nameless = {
      any: new RadixEdit(index.any, owner),
      unnamed: new RadixEdit(index.unnamed, owner),
    };
  }

  /** Takes what is removed out of one list. */
  remove(name: NameKey, text: string): void {
    const { kind } = name;
    if (kind === 'any' || kind === 'unnamed') {
      this.#removeFrom(this.#nameless[kind], text);
      return;
    }
    const key = kind === 'suffix' ? reversed(name.text) : name.text;
    const node = this.#names[kind].open(key);
    const bucket = new RadixEdit(node.value, this.#owner);
    this.#removeFrom(bucket, text);
    node.value = bucket.root;
    if (bucket.root === null) this.#names[kind].remove(key);
  }

  add(name: NameKey, text: string, candidate: C): void {
    const { kind } = name;
    if (kind === 'any' || kind === 'unnamed') {
      this.#addTo(this.#nameless[kind], text, candidate);
      return;
    }
    const node = this.#names[kind].open(kind === 'suffix' ? reversed(name.text) : name.text);
    const bucket = new RadixEdit(node.value, this.#owner);
    this.#addTo(bucket, text, candidate);
    node.value = bucket.root;
  }

  finish(): RouteIndex<C> {
    for (const [list, added] of this.#pending) mergeInto(list, added);
    this.#pending.clear();
    const { exact, suffix, prefix } = this.#names;
    const { any, unnamed } = this.#nameless;
    return {
      exact: exact.root,
      suffix: suffix.root,
      prefix: prefix.root,
      any: any.root,
      unnamed: unnamed.root,
    };
  }

  #removeFrom(bucket: RadixEdit<CandidateList<C>>, text: string): void {
    const node = bucket.open(text);
    if (node.value !== null && !this.#lists.has(node.value)) {
      const left = node.value.filter(({ rule }) => !this.#removed.has(rule.entry));
      this.#lists.add(left);
      node.value = left;
    }
    if (node.value === null || node.value.length === 0) bucket.remove(text);
  }

  #addTo(bucket: RadixEdit<CandidateList<C>>, text: string, candidate: C): void {
    const node = bucket.open(text);
    if (node.value === null) {
      node.value = [candidate];
      this.#lists.add(node.value);
      return;
    }
    if (!this.#lists.has(node.value)) {
      node.value = node.value.slice();
      this.#lists.add(node.value);
    }
    // Made by this change, so that nobody else sees it.
    const list = node.value as C[];
    const pending = this.#pending.get(list);
    if (pending === undefined) this.#pending.set(list, [candidate]);
    else pending.push(candidate);
  }
}

function mergeInto<C extends Candidate>(list: C[], added: readonly C[]): void {
  if (added.length > INSERTIONS_MAX) {
    for (const candidate of added) list.push(candidate);
    list.sort(compareCandidates);
    return;
  }
  for (const candidate of added) {
    let low = 0;
    let high = list.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareCandidates(list[middle] as C, candidate) < 0) low = middle + 1;
      else high = middle;
    }
    list.splice(low, 0, candidate);
  }
}
