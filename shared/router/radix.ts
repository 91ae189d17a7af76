/**
 * A persistent radix tree: from texts to values, where a change makes new nodes along one path and
 * shares the rest. Looking up costs the length of what is stored, however much is stored, and all
 * keys that begin a text are found in one walk.
 *
 * Canonical: a node has a value or at least two children, so that the tree depends on what it holds
 * and not on the order in which that came.
 */

const NONE: readonly never[] = [];
/** Up to here a scan is faster than halving. */
const SCAN_MAX = 8;

export class RadixNode<T> {
  /** What leads here from the parent's end. Empty at the root only. */
  label: string;
  value: T | null;
  /** First UTF-16 unit of each child's label, ascending. One text: a search reads one cache line. */
  codes: string;
  children: RadixNode<T>[];
  /** The edit that made it and may still change it. */
  owner: object | null;

  constructor(label: string, value: T | null, owner: object | null) {
    this.label = label;
    this.value = value;
    this.codes = '';
    // Shared until the first child comes; see `#grow`.
    this.children = NONE as unknown as RadixNode<T>[];
    this.owner = owner;
  }
}

/** Null is the empty tree. */
export type Radix<T> = RadixNode<T> | null;

/** The value of exactly this text; null for none. */
export function radixGet<T>(root: Radix<T>, text: string): T | null {
  let node = root;
  let at = 0;
  while (node !== null) {
    const { label } = node;
    if (!text.startsWith(label, at)) return null;
    at += label.length;
    if (at === text.length) return node.value;
    node = childAt(node, text.charCodeAt(at));
  }
  return null;
}

/** Pushes the values of all keys that the text begins with, shortest first. */
export function collectPrefixes<T>(root: Radix<T>, text: string, found: T[]): void {
  let node = root;
  let at = 0;
  while (node !== null) {
    const { label } = node;
    const end = at + label.length;
    if (end > text.length) return;
    for (let i = 0; at < end; i += 1, at += 1) {
      if (label.charCodeAt(i) !== text.charCodeAt(at)) return;
    }
    if (node.value !== null) found.push(node.value);
    if (at === text.length) return;
    node = childAt(node, text.charCodeAt(at));
  }
}

/** The same from the end of the text; keys are stored reversed (`reversed`). */
export function collectSuffixes<T>(root: Radix<T>, text: string, found: T[]): void {
  let node = root;
  let at = text.length - 1;
  while (node !== null) {
    const { label } = node;
    if (label.length > at + 1) return;
    for (let i = 0; i < label.length; i += 1, at -= 1) {
      if (label.charCodeAt(i) !== text.charCodeAt(at)) return;
    }
    if (node.value !== null) found.push(node.value);
    if (at < 0) return;
    node = childAt(node, text.charCodeAt(at));
  }
}

/** By UTF-16 units: half characters are fine, nobody sees them. */
export function reversed(text: string): string {
  let result = '';
  for (let i = text.length - 1; i >= 0; i -= 1) result += text.charAt(i);
  return result;
}

/** Changes to one tree. What it does not touch stays shared with the tree it began with. */
export class RadixEdit<T> {
  root: Radix<T>;
  readonly #owner: object;

  /** @param owner  of nodes that may be changed in place: an object of this change alone */
  constructor(root: Radix<T>, owner: object) {
    this.root = root;
    this.#owner = owner;
  }

  /** The node of a key, made if there was none; its value may be set. */
  open(key: string): RadixNode<T> {
    let parent: RadixNode<T> | null = null;
    let index = 0;
    let node = this.root;
    let at = 0;
    while (node !== null) {
      const common = commonLength(node.label, key, at);
      at += common;
      if (common < node.label.length) {
        const upper = this.#split(node, common);
        this.#attach(parent, index, upper);
        return at === key.length ? upper : this.#grow(upper, key.slice(at));
      }
      node = this.#own(node);
      this.#attach(parent, index, node);
      if (at === key.length) return node;
      const next = indexOf(node.codes, key.charCodeAt(at));
      if (next < 0) return this.#grow(node, key.slice(at));
      parent = node;
      index = next;
      node = parent.children[index] ?? null;
    }
    this.root = new RadixNode<T>(key, null, this.#owner);
    return this.root;
  }

  /** Takes a key away. */
  remove(key: string): void {
    if (this.root === null) return;
    this.open(key).value = null;
    this.#tidy(key);
  }

  /** From the node of the key upwards, until the form is canonical again. */
  #tidy(key: string): void {
    const path: RadixNode<T>[] = [];
    let at = 0;
    for (let node = this.root; node !== null;) {
      path.push(node);
      at += node.label.length;
      node = at < key.length ? childAt(node, key.charCodeAt(at)) : null;
    }
    for (let depth = path.length - 1; depth >= 0; depth -= 1) {
      const node = path[depth];
      if (node === undefined || node.value !== null || node.children.length > 1) return;
      const parent = path[depth - 1] ?? null;
      const [child] = node.children;
      if (child !== undefined) {
        const merged = this.#own(child);
        merged.label = node.label + merged.label;
        this.#attach(parent, parent === null ? 0 : parent.children.indexOf(node), merged);
        return;
      }
      if (parent === null) {
        this.root = null;
        return;
      }
      const index = parent.children.indexOf(node);
      parent.codes = parent.codes.slice(0, index) + parent.codes.slice(index + 1);
      parent.children.splice(index, 1);
    }
  }

  #attach(parent: RadixNode<T> | null, index: number, node: RadixNode<T>): void {
    if (parent === null) this.root = node;
    else parent.children[index] = node;
  }

  #own(node: RadixNode<T>): RadixNode<T> {
    if (node.owner === this.#owner) return node;
    const copy = new RadixNode<T>(node.label, node.value, this.#owner);
    if (node.codes !== '') {
      copy.codes = node.codes;
      copy.children = node.children.slice();
    }
    return copy;
  }

  #split(node: RadixNode<T>, at: number): RadixNode<T> {
    const upper = new RadixNode<T>(node.label.slice(0, at), null, this.#owner);
    const lower = this.#own(node);
    lower.label = node.label.slice(at);
    upper.codes = lower.label.charAt(0);
    upper.children = [lower];
    return upper;
  }

  #grow(parent: RadixNode<T>, label: string): RadixNode<T> {
    const leaf = new RadixNode<T>(label, null, this.#owner);
    const { codes } = parent;
    if (codes === '') {
      parent.codes = label.charAt(0);
      parent.children = [leaf];
      return leaf;
    }
    const index = insertionPoint(codes, label.charCodeAt(0));
    parent.codes = codes.slice(0, index) + label.charAt(0) + codes.slice(index);
    // Made to measure: an array that grows keeps room for more.
    parent.children = parent.children.toSpliced(index, 0, leaf);
    return leaf;
  }
}

function childAt<T>(node: RadixNode<T>, code: number): RadixNode<T> | null {
  const index = indexOf(node.codes, code);
  return index < 0 ? null : (node.children[index] ?? null);
}

function indexOf(codes: string, code: number): number {
  if (codes.length <= SCAN_MAX) {
    for (let i = 0; i < codes.length; i += 1) if (codes.charCodeAt(i) === code) return i;
    return -1;
  }
  const index = insertionPoint(codes, code);
  return codes.charCodeAt(index) === code ? index : -1;
}

/** Index of the first that is not less. */
function insertionPoint(codes: string, code: number): number {
  let low = 0;
  let high = codes.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (codes.charCodeAt(middle) < code) low = middle + 1;
    else high = middle;
  }
  return low;
}

function commonLength(label: string, key: string, from: number): number {
  const most = Math.min(label.length, key.length - from);
  let length = 0;
  while (length < most && label.charCodeAt(length) === key.charCodeAt(from + length)) length += 1;
  return length;
}
