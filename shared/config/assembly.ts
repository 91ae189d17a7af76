/**
 * Puts a tree together from nodes that come one by one, from anywhere, in any order that follows
 * parents before children. Every node is proven by the id that led to it before it is kept.
 */
import type { Crypto } from '../platform/platform.ts';
import {
  makeInner,
  nodeId,
  nodesOf,
  parseNode,
  type ParsedNode,
  type TreeNode,
} from './tree-node.ts';
import { ConfigTree } from './tree.ts';

/** Nodes that were proven for a tree which nobody wants any more; most of them are in the next one too. */
export type Spare = ReadonlyMap<string, ProvenNode>;

interface ProvenNode {
  readonly node: ParsedNode;
  readonly prefix: string;
}

/** What a wanted node must be, as its parent says. */
interface Wanted {
  readonly prefix: string;
  readonly count: number;
}

export type Assembled =
  | { readonly ok: true; readonly tree: ConfigTree }
  | { readonly ok: false; readonly detail: string };

const HEX_DIGITS = '0123456789abcdef';

export class Assembly {
  readonly #rootId: string;
  readonly #records: number;
  readonly #crypto: Crypto;
  /** Nodes of the tree at hand, which need not be fetched. */
  readonly #base = new Map<string, TreeNode>();
  readonly #wanted = new Map<string, Wanted>();
  readonly #parsed = new Map<string, ProvenNode>();
  readonly #spare: Spare;
  /** Ids that the new tree uses: each stands in one place. */
  readonly #used = new Set<string>();
  #failure: string | null = null;

  /**
   * @param goal.root  id of the root, from a verified manifest
   * @param goal.records  number of records, likewise: bounds what can be asked for
   * @param base  tree at hand; what both have is shared
   * @param spare  what an assembly before this one had come by
   */
  constructor(
    goal: { readonly root: string; readonly records: number },
    base: ConfigTree,
    crypto: Crypto,
    spare: Spare = new Map(),
  ) {
    this.#spare = spare;
    this.#rootId = goal.root;
    this.#records = goal.records;
    this.#crypto = crypto;
    for (const node of nodesOf(base.root)) this.#base.set(nodeId(node, crypto), node);
    this.#want(goal.root, { prefix: '', count: goal.records });
  }

  /** Ids of nodes to be fetched next, at most `countMax`; none when nothing is missing. */
  missing(countMax: number): string[] {
    if (this.#failure !== null) return [];
    return [...this.#wanted.keys()].slice(0, countMax);
  }

  /** What was proven so far, here and before, for another assembly: at most twice this tree's records. */
  leftOver(): Spare {
    const left = new Map(this.#parsed);
    let records = 0;
    for (const [id, spare] of this.#spare) {
      if (left.has(id)) continue;
      records += spare.node.type === 'leaf' ? spare.node.leaf.count : 1;
      if (records > this.#records) break;
      left.set(id, spare);
    }
    return left;
  }

  /** True when `finish` can be called: everything is there, or nothing will ever be. */
  get isSettled(): boolean {
    return this.#failure !== null || this.#wanted.size === 0;
  }

  /** Takes a node. False when it is not what its id says, or was not asked for: it is not kept. */
  add(id: string, text: string): boolean {
    const wanted = this.#wanted.get(id);
    if (wanted === undefined) return false;
    const parsed = parseNode(text, id, this.#crypto, wanted.prefix);
    if (!parsed.ok) return false;
    this.#wanted.delete(id);
    this.#take(id, parsed.node, wanted);
    return true;
  }

  /** The tree, once `isSettled`. */
  finish(): Assembled {
    if (this.#failure !== null) return { ok: false, detail: this.#failure };
    const root = this.#build(this.#rootId);
    if (root === null) return { ok: false, detail: this.#failure ?? 'nodes are missing' };
    return { ok: true, tree: new ConfigTree(root, this.#crypto) };
  }

  #want(id: string, wanted: Wanted): void {
    // Else a few texts that name each other many times would stand for a tree without bound.
    if (this.#used.has(id)) {
      this.#failure = 'a node stands in two places';
      return;
    }
    this.#used.add(id);
    const known = this.#base.get(id);
    const spare = this.#spare.get(id);
    if (known !== undefined) {
      if (!isAt(known, wanted)) this.#failure = 'a node is out of place';
    } else if (spare?.prefix === wanted.prefix) this.#take(id, spare.node, wanted);
    else this.#wanted.set(id, wanted);
  }

  #take(id: string, node: ParsedNode, { prefix, count }: Wanted): void {
    this.#parsed.set(id, { node, prefix });
    if (countOf(node) !== count) this.#failure = 'a node has another count';
    if (node.type === 'leaf') return;
    for (const [digit, child] of node.children.entries()) {
      if (child === null) continue;
      this.#want(child.id, { prefix: prefix + HEX_DIGITS[digit], count: child.count });
    }
  }

  #build(id: string): TreeNode | null {
    const known = this.#base.get(id);
    if (known !== undefined) return known;
    const parsed = this.#parsed.get(id)?.node;
    if (parsed === undefined) return null;
    if (parsed.type === 'leaf') return parsed.leaf;
    const children: (TreeNode | null)[] = [];
    for (const name of parsed.children) {
      const child = name && this.#build(name.id);
      if (name !== null && child === null) return null;
      children.push(child);
    }
    const present = children.filter((child) => child !== null);
    if (present.length === 1 && present[0]?.type === 'leaf') {
      this.#failure = 'an inner node holds but one leaf';
      return null;
    }
    const node = makeInner(children, countOf(parsed));
    node.id = id;
    return node;
  }
}

function countOf(node: ParsedNode): number {
  if (node.type === 'leaf') return node.leaf.count;
  return node.children.reduce((sum, child) => sum + (child?.count ?? 0), 0);
}

/** Records are in order, so the first and the last tell where all of them lie. */
function isAt(node: TreeNode, { prefix, count }: Wanted): boolean {
  return (
    node.count === count &&
    (count === 0 ||
      (edgePath(node, 'first').startsWith(prefix) && edgePath(node, 'last').startsWith(prefix)))
  );
}

function isPresent(child: TreeNode | null): boolean {
  return child !== null;
}

function edgePath(node: TreeNode, edge: 'first' | 'last'): string {
  if (node.type === 'leaf') return node.entries.at(edge === 'first' ? 0 : -1)?.path ?? '';
  const child =
    edge === 'first' ? node.children.find(isPresent) : node.children.findLast(isPresent);
  return child ? edgePath(child, edge) : '';
}
