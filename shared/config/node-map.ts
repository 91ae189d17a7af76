/** A tree's nodes as a map of texts that are made when they are read. */
import type { Crypto, NodeTexts } from '../platform/platform.ts';
import { nodeId, nodesOf, nodeText, type TreeNode } from './tree-node.ts';

/**
 * So that who saves a configuration pays for the texts it writes, not for all of them: a store that
 * keeps nodes one by one asks for those it lacks.
 */
export class NodeMap implements NodeTexts {
  readonly #root: TreeNode;
  readonly #crypto: Crypto;
  #index: Map<string, TreeNode> | null = null;

  constructor(root: TreeNode, crypto: Crypto) {
    this.#root = root;
    this.#crypto = crypto;
  }

  get size(): number {
    return this.#nodes().size;
  }

  has(id: string): boolean {
    return this.#nodes().has(id);
  }

  get(id: string): string | undefined {
    const node = this.#nodes().get(id);
    return node && nodeText(node, this.#crypto);
  }

  /** Costs what is lacking: nodes that are known are not entered. */
  *lacking(isKnown: (id: string) => boolean): Generator<readonly [string, string], undefined> {
    yield* this.#lackingBelow(this.#root, isKnown);
  }

  keys(): MapIterator<string> {
    return this.#nodes().keys();
  }

  *values(): MapIterator<string> {
    for (const node of this.#nodes().values()) yield nodeText(node, this.#crypto);
  }

  *entries(): MapIterator<[string, string]> {
    for (const [id, node] of this.#nodes()) yield [id, nodeText(node, this.#crypto)];
  }

  [Symbol.iterator](): MapIterator<[string, string]> {
    return this.entries();
  }

  // The interface asks for it.
  forEach(visit: (text: string, id: string, map: ReadonlyMap<string, string>) => void): void {
    for (const [id, text] of this.entries()) visit(text, id, this);
  }

  *#lackingBelow(
    node: TreeNode,
    isKnown: (id: string) => boolean,
  ): Generator<readonly [string, string], undefined> {
    const id = nodeId(node, this.#crypto);
    if (isKnown(id)) return;
    // Children first: a node is never there without what it stands for.
    for (const child of node.type === 'inner' ? node.children : []) {
      if (child !== null) yield* this.#lackingBelow(child, isKnown);
    }
    yield [id, nodeText(node, this.#crypto)];
  }

  /** By id; made for who asks for single nodes. */
  #nodes(): Map<string, TreeNode> {
    if (this.#index !== null) return this.#index;
    const index = new Map<string, TreeNode>();
    for (const node of nodesOf(this.#root)) index.set(nodeId(node, this.#crypto), node);
    this.#index = index;
    return index;
  }
}
