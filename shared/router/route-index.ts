/**
 * Where candidates lie: by name (host or SNI), and under a name by text (path prefix or port).
 * Persistent: a change replaces the lists it touches and the nodes above them.
 */
import { withCandidates, withoutEntry } from './candidate-list.ts';
import type { Candidate, CandidateList } from './candidate-list.ts';
import { RadixEdit, reversed } from './radix.ts';
import type { Radix, RadixNode } from './radix.ts';
import type { Rank } from './rank.ts';
import type { RouteEntry } from './router.ts';

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

/** A change to an index: entries are taken away first, then candidates added, then it is finished. */
export class IndexEdit<C extends Candidate> {
  /** Of all nodes that this change made. */
  readonly #owner = {};
  readonly #names: Record<'exact' | 'suffix' | 'prefix', RadixEdit<Bucket<C>>>;
  readonly #nameless: Record<'any' | 'unnamed', RadixEdit<CandidateList<C>>>;
  /** What comes to a list that has something already. Nodes of this change stay as long as it lasts. */
  readonly #pending = new Map<RadixNode<CandidateList<C>>, C[]>();

  constructor(index: RouteIndex<C>) {
    const owner = this.#owner;
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

  /** @param ranks  of the entry's rules */
  remove(name: NameKey, text: string, entry: RouteEntry, ranks: readonly Rank[]): void {
    const { kind } = name;
    if (kind === 'any' || kind === 'unnamed') {
      removeFrom(this.#nameless[kind], text, entry, ranks);
      return;
    }
    const key = kind === 'suffix' ? reversed(name.text) : name.text;
    const node = this.#names[kind].open(key);
    const bucket = new RadixEdit(node.value, this.#owner);
    removeFrom(bucket, text, entry, ranks);
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
    for (const [node, added] of this.#pending) {
      node.value = withCandidates(node.value ?? [], added);
    }
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

  #addTo(bucket: RadixEdit<CandidateList<C>>, text: string, candidate: C): void {
    const node = bucket.open(text);
    if (node.value === null) {
      node.value = candidate;
      return;
    }
    const pending = this.#pending.get(node);
    if (pending === undefined) this.#pending.set(node, [candidate]);
    else pending.push(candidate);
  }
}

function removeFrom<C extends Candidate>(
  bucket: RadixEdit<CandidateList<C>>,
  text: string,
  entry: RouteEntry,
  ranks: readonly Rank[],
): void {
  const node = bucket.open(text);
  if (node.value !== null) node.value = withoutEntry(node.value, entry, ranks);
  if (node.value === null) bucket.remove(text);
}
