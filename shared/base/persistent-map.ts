/**
 * A map of strings that shares what did not change: `set` and `delete` make another map in
 * O(log n) and leave the old one as it was.
 *
 * A hash trie of 32 ways in its compressed form (Steindorfer and Vinju, "Optimizing Hash-Array
 * Mapped Tries for Fast and Lean Immutable JVM Collections", OOPSLA 2015). Its shape, and with it the order
 * of iteration, depends on the content alone and not on its history.
 */
import { assert } from './assert.ts';

const BITS = 5;
const WAYS_MASK = 31;
/** Levels that one 32-bit hash serves; the next ones ask for another hash of the same key. */
const LEVELS_PER_HASH = 6;
/** Beyond it keys that no hash tells apart lie in a list. Five hashes: nobody finds many such keys. */
const LEVELS_MAX = 30;

/** Who may change a node in place: the edit that made it. Null: nobody. */
type Owner = object | null;

interface Node<V> {
  /** Ways that hold a key and its value; each has its place in `keys` and `values`. */
  keyBits: number;
  /** Ways that lead on; each has its place in `children`. */
  childBits: number;
  // Replaced, never grown: a list that grows in place keeps room for sixteen more, in every node.
  keys: readonly string[];
  values: readonly V[];
  children: readonly Node<V>[];
  owner: Owner;
}

export class PersistentMap<V> {
  readonly size: number;
  readonly #root: Node<V>;

  private constructor(root: Node<V>, size: number) {
    this.#root = root;
    this.size = size;
  }

  static empty<V>(): PersistentMap<V> {
    return new PersistentMap<V>(makeNode(null), 0);
  }

  static from<V>(entries: Iterable<readonly [string, V]>): PersistentMap<V> {
    const edit = PersistentMap.empty<V>().edit();
    for (const [key, value] of entries) edit.set(key, value);
    return edit.done();
  }

  get(key: string): V | undefined {
    return find(this.#root, key);
  }

  has(key: string): boolean {
    return find(this.#root, key, true) !== undefined;
  }

  /** This very map when the key has that value already. */
  set(key: string, value: V): PersistentMap<V> {
    return this.edit().set(key, value).done();
  }

  /** This very map when the key is not there. */
  delete(key: string): PersistentMap<V> {
    return this.edit().delete(key).done();
  }

  /** Many changes at the price of few copies. */
  edit(): MapEdit<V> {
    const done = (root: Node<V>, size: number): PersistentMap<V> =>
      root === this.#root ? this : new PersistentMap(root, size);
    return new MapEdit(this.#root, this.size, done);
  }

  *keys(): Generator<string, undefined> {
    for (const node of nodesOf(this.#root)) yield* node.keys;
  }

  *values(): Generator<V, undefined> {
    for (const node of nodesOf(this.#root)) yield* node.values;
  }

  *entries(): Generator<[string, V], undefined> {
    for (const { keys, values } of nodesOf(this.#root)) {
      // As long as `keys`, so there is a value at `i`.
      for (const [i, key] of keys.entries()) yield [key, values[i] as V];
    }
  }

  [Symbol.iterator](): Generator<[string, V], undefined> {
    return this.entries();
  }
}

/** Changes to a map on their way to the next one. Of no use after `done`. */
export class MapEdit<V> {
  #root: Node<V>;
  #size: number;
  #owner: Owner = {};
  readonly #make: (root: Node<V>, size: number) => PersistentMap<V>;

  /** For `PersistentMap.edit`. */
  constructor(
    root: Node<V>,
    size: number,
    make: (root: Node<V>, size: number) => PersistentMap<V>,
  ) {
    this.#root = root;
    this.#size = size;
    this.#make = make;
  }

  get size(): number {
    return this.#size;
  }

  get(key: string): V | undefined {
    return find(this.#root, key);
  }

  set(key: string, value: V): this {
    assert(this.#owner !== null, 'the edit is done');
    const change: Change = { owner: this.#owner, sizeDelta: 0 };
    this.#root = insert(this.#root, { key, value }, hashOf(key, 0), 0, change);
    this.#size += change.sizeDelta;
    return this;
  }

  delete(key: string): this {
    assert(this.#owner !== null, 'the edit is done');
    const change: Change = { owner: this.#owner, sizeDelta: 0 };
    this.#root = remove(this.#root, key, hashOf(key, 0), 0, change);
    this.#size += change.sizeDelta;
    return this;
  }

  done(): PersistentMap<V> {
    assert(this.#owner !== null, 'the edit is done');
    // Without its owner no node can be changed any more.
    this.#owner = null;
    return this.#make(this.#root, this.#size);
  }
}

interface Change {
  readonly owner: Owner;
  sizeDelta: number;
}

interface Pair<V> {
  readonly key: string;
  readonly value: V;
}

function makeNode<V>(owner: Owner): Node<V> {
  return { keyBits: 0, childBits: 0, keys: NONE, values: NONE, children: NONE, owner };
}

const NONE: readonly never[] = [];

/** With `asPresence`, something defined for a key that is there, whatever its value. */
function find<V>(root: Node<V>, key: string): V | undefined;
function find<V>(root: Node<V>, key: string, asPresence: true): unknown;
function find<V>(root: Node<V>, key: string, asPresence = false): unknown {
  let node = root;
  let hash = hashOf(key, 0);
  for (let level = 0; level < LEVELS_MAX;) {
    const bit = 1 << (hash & WAYS_MASK);
    if ((node.keyBits & bit) !== 0) {
      const at = countBits(node.keyBits & (bit - 1));
      if (node.keys[at] !== key) return undefined;
      return asPresence ? key : node.values[at];
    }
    if ((node.childBits & bit) === 0) return undefined;
    const child = node.children[countBits(node.childBits & (bit - 1))];
    if (child === undefined) return undefined;
    node = child;
    level += 1;
    hash = nextHash(hash, key, level);
  }
  const at = node.keys.indexOf(key);
  if (at < 0) return undefined;
  return asPresence ? key : node.values[at];
}

/** The node with the pair; the same node when it holds that pair already. */
function insert<V>(
  node: Node<V>,
  pair: Pair<V>,
  hash: number,
  level: number,
  change: Change,
): Node<V> {
  if (level === LEVELS_MAX) return insertInList(node, pair, change);
  const bit = 1 << (hash & WAYS_MASK);
  if ((node.childBits & bit) !== 0) return insertBelow(node, pair, hash, level, change);
  const at = countBits(node.keyBits & (bit - 1));
  if ((node.keyBits & bit) === 0) {
    const own = ownedNode(node, change.owner);
    own.keyBits |= bit;
    own.keys = own.keys.toSpliced(at, 0, pair.key);
    own.values = own.values.toSpliced(at, 0, pair.value);
    change.sizeDelta = 1;
    return own;
  }
  const otherKey = node.keys[at] ?? '';
  const otherValue = node.values[at] as V; // there is one for each key
  if (otherKey === pair.key) {
    if (Object.is(otherValue, pair.value)) return node;
    const own = ownedNode(node, change.owner);
    own.values = own.values.with(at, pair.value);
    return own;
  }
  const own = ownedNode(node, change.owner);
  own.keyBits &= ~bit;
  own.keys = own.keys.toSpliced(at, 1);
  own.values = own.values.toSpliced(at, 1);
  own.childBits |= bit;
  const other = { key: otherKey, value: otherValue };
  const child = pairNode(other, pair, nextHash(hash, pair.key, level + 1), level + 1, change.owner);
  own.children = own.children.toSpliced(countBits(own.childBits & (bit - 1)), 0, child);
  change.sizeDelta = 1;
  return own;
}

function insertBelow<V>(
  node: Node<V>,
  pair: Pair<V>,
  hash: number,
  level: number,
  change: Change,
): Node<V> {
  const at = countBits(node.childBits & ((1 << (hash & WAYS_MASK)) - 1));
  const child = node.children[at];
  assert(child !== undefined, 'a way without its child');
  const next = nextHash(hash, pair.key, level + 1);
  const edited = insert(child, pair, next, level + 1, change);
  return edited === child ? node : withChild(node, at, edited, change.owner);
}

function insertInList<V>(node: Node<V>, pair: Pair<V>, change: Change): Node<V> {
  const at = node.keys.indexOf(pair.key);
  if (at >= 0 && Object.is(node.values[at], pair.value)) return node;
  const own = ownedNode(node, change.owner);
  if (at >= 0) {
    own.values = own.values.with(at, pair.value);
    return own;
  }
  const sorted = own.keys.findIndex((key) => key > pair.key);
  const to = sorted < 0 ? own.keys.length : sorted;
  own.keys = own.keys.toSpliced(to, 0, pair.key);
  own.values = own.values.toSpliced(to, 0, pair.value);
  change.sizeDelta = 1;
  return own;
}

/** A node of two keys, as deep as it takes to tell them apart. */
function pairNode<V>(a: Pair<V>, b: Pair<V>, bHash: number, level: number, owner: Owner): Node<V> {
  const node = makeNode<V>(owner);
  const isInOrder = a.key < b.key;
  if (level === LEVELS_MAX) return isInOrder ? fill(node, a, b) : fill(node, b, a);
  const aWay = (hashOf(a.key, level) >>> shiftAt(level)) & WAYS_MASK;
  const bWay = bHash & WAYS_MASK;
  if (aWay === bWay) {
    node.childBits = 1 << aWay;
    node.children = [pairNode(a, b, nextHash(bHash, b.key, level + 1), level + 1, owner)];
    return node;
  }
  node.keyBits = (1 << aWay) | (1 << bWay);
  return aWay < bWay ? fill(node, a, b) : fill(node, b, a);
}

function fill<V>(node: Node<V>, first: Pair<V>, second: Pair<V>): Node<V> {
  node.keys = [first.key, second.key];
  node.values = [first.value, second.value];
  return node;
}

/** The node without the key; the same node when it is not there. */
function remove<V>(
  node: Node<V>,
  key: string,
  hash: number,
  level: number,
  change: Change,
): Node<V> {
  const bit = 1 << (hash & WAYS_MASK);
  const isList = level === LEVELS_MAX;
  if (isList || (node.keyBits & bit) !== 0) {
    const at = isList ? node.keys.indexOf(key) : countBits(node.keyBits & (bit - 1));
    if (node.keys[at] !== key) return node;
    const own = ownedNode(node, change.owner);
    if (!isList) own.keyBits &= ~bit;
    own.keys = own.keys.toSpliced(at, 1);
    own.values = own.values.toSpliced(at, 1);
    change.sizeDelta = -1;
    return own;
  }
  if ((node.childBits & bit) === 0) return node;
  const at = countBits(node.childBits & (bit - 1));
  const child = node.children[at];
  assert(child !== undefined, 'a way without its child');
  const edited = remove(child, key, nextHash(hash, key, level + 1), level + 1, change);
  if (edited === child && change.sizeDelta === 0) return node;
  if (edited.children.length > 0 || edited.keys.length > 1) {
    return edited === child ? node : withChild(node, at, edited, change.owner);
  }
  return pullUp(node, bit, at, edited, change.owner);
}

/** A child that is left with one key gives it to its parent: the shape must not tell what was. */
function pullUp<V>(node: Node<V>, bit: number, at: number, child: Node<V>, owner: Owner): Node<V> {
  const own = ownedNode(node, owner);
  own.childBits &= ~bit;
  own.children = own.children.toSpliced(at, 1);
  own.keyBits |= bit;
  const to = countBits(own.keyBits & (bit - 1));
  own.keys = own.keys.toSpliced(to, 0, ...child.keys);
  own.values = own.values.toSpliced(to, 0, ...child.values);
  return own;
}

function withChild<V>(node: Node<V>, at: number, child: Node<V>, owner: Owner): Node<V> {
  const own = ownedNode(node, owner);
  own.children = own.children.with(at, child);
  return own;
}

/** The node itself if this edit made it, else a copy; its lists are shared until they are replaced. */
function ownedNode<V>(node: Node<V>, owner: Owner): Node<V> {
  if (node.owner === owner) return node;
  return { ...node, owner };
}

function* nodesOf<V>(node: Node<V>): Generator<Node<V>, undefined> {
  yield node;
  for (const child of node.children) yield* nodesOf(child);
}

/** What is left of the hash one level down. */
function nextHash(hash: number, key: string, level: number): number {
  return level % LEVELS_PER_HASH === 0 ? hashOf(key, level) : hash >>> BITS;
}

function shiftAt(level: number): number {
  return (level % LEVELS_PER_HASH) * BITS;
}

/** The hash that serves a level: FNV-1a, seeded by the hash's turn, with the final mix of MurmurHash3. */
function hashOf(key: string, level: number): number {
  let hash = 0x811c9dc5 + Math.imul((level / LEVELS_PER_HASH) | 0, 0x9e3779b1);
  for (let i = 0; i < key.length; i++) {
    hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function countBits(bits: number): number {
  let n = bits - ((bits >>> 1) & 0x55555555);
  n = (n & 0x33333333) + ((n >>> 2) & 0x33333333);
  return Math.imul((n + (n >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
