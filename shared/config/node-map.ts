/** A tree's nodes as a map of texts that are made when they are read. */
import type { Crypto } from '../platform/platform.ts';
import { nodeId, nodeText, type TreeNode } from './tree-node.ts';

/**
 * So that who saves a configuration pays for the texts it writes, not for all of them: a store that
 * keeps nodes one by one asks for those it lacks.
 */
export class NodeMap implements ReadonlyMap<string, string> {
  readonly #nodes = new Map<string, TreeNode>();
  readonly #crypto: Crypto;

  constructor(nodes: Iterable<TreeNode>, crypto: Crypto) {
    this.#crypto = crypto;
    for (const node of nodes) this.#nodes.set(nodeId(node, crypto), node);
  }

  get size(): number {
    return this.#nodes.size;
  }

  has(id: string): boolean {
    return this.#nodes.has(id);
  }

  get(id: string): string | undefined {
    const node = this.#nodes.get(id);
    return node && nodeText(node, this.#crypto);
  }

  keys(): MapIterator<string> {
    return this.#nodes.keys();
  }

  *values(): MapIterator<string> {
    for (const node of this.#nodes.values()) yield nodeText(node, this.#crypto);
  }

  *entries(): MapIterator<[string, string]> {
    for (const [id, node] of this.#nodes) yield [id, nodeText(node, this.#crypto)];
  }

  [Symbol.iterator](): MapIterator<[string, string]> {
    return this.entries();
  }

  // The interface asks for it.
  forEach(visit: (text: string, id: string, map: ReadonlyMap<string, string>) => void): void {
    for (const [id, text] of this.entries()) visit(text, id, this);
  }
}
