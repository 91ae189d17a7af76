/**
 * A group's configuration as a persistent prefix tree of hashes.
 *
 * Records lie by the hash of their placement. A leaf splits if and only if it holds more than
 * `LEAF_RECORDS_MAX` records that a longer prefix can tell apart, and comes together again when it no
 * longer does; so the tree's shape, and with it the root's id, depends on the content alone and not
 * on its history. A change shares every node that it does not touch, and costs what it touches.
 */
import { atOnce, type Sliced } from '../base/slices.ts';
import type { Crypto, NodeTexts } from '../platform/platform.ts';
import { NodeMap } from './node-map.ts';
import type { ConfigRecord, RecordKey } from './record.ts';
import {
  compareEntries,
  FANOUT,
  fitsLeaf,
  LEAF_RECORDS_MAX,
  makeInner,
  makeLeaf,
  nodeId,
  nodesOf,
  nodeText,
  placementPath,
  type Entry,
  type Inner,
  type TreeNode,
} from './tree-node.ts';

export { LEAF_RECORDS_MAX, parseNode, type ParsedNode } from './tree-node.ts';

/** Edits that are made at a time. */
const EDITS_COUNT = 512;

/** A node as it is kept and sent. */
export interface NodeBlob {
  readonly id: string;
  readonly text: string;
}

/** What leads from one tree to another. */
export interface TreeDiff {
  /** Records added or changed, in tree order. */
  readonly upserts: readonly ConfigRecord[];
  readonly removals: readonly RecordKey[];
  /** Nodes that only the newer tree has. */
  readonly addedNodes: readonly NodeBlob[];
  /** Ids of nodes that only the older tree has. */
  readonly droppedNodeIds: readonly string[];
}

/** What leads from one set of records to another. A changed record stands on both lists. */
export interface RecordChanges {
  /** As they were in the older tree. */
  readonly removed: readonly ConfigRecord[];
  /** As they are in the newer. */
  readonly added: readonly ConfigRecord[];
}

/** An immutable set of records with the hash of its content. */
export class ConfigTree {
  /** For `Assembly`, which shares nodes; nobody else looks inside. */
  readonly root: TreeNode;
  readonly #crypto: Crypto;

  constructor(root: TreeNode, crypto: Crypto) {
    this.root = root;
    this.#crypto = crypto;
  }

  static empty(crypto: Crypto): ConfigTree {
    return new ConfigTree(makeLeaf([]), crypto);
  }

  /** Number of records. */
  get size(): number {
    return this.root.count;
  }

  /** Id of the root: hex SHA-256 over all content. Hashes what changed since it was last asked. */
  get hash(): string {
    return nodeId(this.root, this.#crypto);
  }

  /**
   * A new tree with `removals` taken out and `upserts` put in (in that order; of several records with
   * one key the last wins). Answers a tree with the same root when nothing changed.
   */
  apply(upserts: readonly ConfigRecord[], removals: readonly RecordKey[]): ConfigTree {
    const edits = this.#sortedEdits(upserts, removals);
    const root = edit(this.root, edits, 0) ?? makeLeaf([]);
    return root === this.root ? this : new ConfigTree(root, this.#crypto);
  }

  /** The same piece by piece: a tree depends on its content alone, so it is the same tree. */
  *applySliced(
    upserts: readonly ConfigRecord[],
    removals: readonly RecordKey[],
  ): Sliced<ConfigTree> {
    let next = this.apply([], removals.slice(0, EDITS_COUNT));
    for (let from = EDITS_COUNT; from < removals.length; from += EDITS_COUNT) {
      yield;
      next = next.apply([], removals.slice(from, from + EDITS_COUNT));
    }
    for (let from = 0; from < upserts.length; from += EDITS_COUNT) {
      yield;
      next = next.apply(upserts.slice(from, from + EDITS_COUNT), []);
    }
    return next;
  }

  /** The record with this key. O(log n). */
  get(key: RecordKey): ConfigRecord | null {
    const path = placementPath(key.ws, key.placement, this.#crypto);
    let node: TreeNode | null = this.root;
    for (let depth = 0; node?.type === 'inner'; depth++) {
      node = node.children[digitAt(path, depth)] ?? null;
    }
    if (node === null) return null;
    const entry = node.entries[lowerBound(node.entries, { path, record: key })];
    if (entry === undefined || compareEntries(entry, { path, record: key }) !== 0) return null;
    return entry.record;
  }

  /** All records, in tree order: by placement path, kind and id. */
  *records(): Iterable<ConfigRecord> {
    for (const entry of entriesOf(this.root)) yield entry.record;
  }

  /** All nodes, parents first. */
  *nodes(): Iterable<NodeBlob> {
    for (const node of nodesOf(this.root)) yield this.#blob(node);
  }

  /** All nodes by id; texts are made when they are read. */
  nodeMap(): NodeTexts {
    return new NodeMap(this.root, this.#crypto);
  }

  /** The records that this tree and `older` do not share; null for no tree. O(what changed). */
  changes(older: ConfigTree | null): RecordChanges {
    return atOnce(this.changesSliced(older));
  }

  *changesSliced(older: ConfigTree | null): Sliced<RecordChanges> {
    const found = nothingFound();
    yield* compareNodes(this.root, older === null ? null : older.root, found, this.#crypto);
    const removed = found.replaced;
    for (const record of found.removals) removed.push(record);
    return { removed, added: found.upserts };
  }

  /** What leads from `older` to this tree. O(what changed): subtrees of equal ids are not entered. */
  diff(older: ConfigTree): TreeDiff {
    return atOnce(this.diffSliced(older));
  }

  *diffSliced(older: ConfigTree): Sliced<TreeDiff> {
    yield* hashBelow(this.root, this.#crypto);
    const found = nothingFound();
    yield* compareNodes(this.root, older.root, found, this.#crypto);
    const addedNodes: NodeBlob[] = [];
    for (const [id, node] of found.added) {
      yield;
      // A leaf may have moved one level up or down without change: then it is on both lists.
      if (!found.dropped.has(id)) addedNodes.push(this.#blob(node));
    }
    return {
      upserts: found.upserts,
      removals: found.removals.map(keyOf),
      addedNodes,
      droppedNodeIds: [...found.dropped].filter((id) => !found.added.has(id)),
    };
  }

  #blob(node: TreeNode): NodeBlob {
    return { id: nodeId(node, this.#crypto), text: nodeText(node, this.#crypto) };
  }

  #sortedEdits(upserts: readonly ConfigRecord[], removals: readonly RecordKey[]): Edit[] {
    const edits = new Map<string, Edit>();
    const put = (record: RecordKey, upsert: ConfigRecord | null): void => {
      const path = placementPath(record.ws, record.placement, this.#crypto);
      edits.set(JSON.stringify([path, record.kind, record.id]), { path, record, upsert });
    };
    for (const key of removals) put(key, null);
    for (const record of upserts) put(record, record);
    return [...edits.values()].toSorted(compareEntries);
  }
}

/** One change to one record: `upsert` null takes it out. */
interface Edit {
  readonly path: string;
  readonly record: RecordKey;
  readonly upsert: ConfigRecord | null;
}

/** The node after sorted edits; the same object when they change nothing; null when it is empty. */
function edit(node: TreeNode | null, edits: readonly Edit[], depth: number): TreeNode | null {
  if (edits.length === 0) return node;
  if (node?.type === 'inner') return editInner(node, edits, depth);
  const before = node?.entries ?? [];
  const entries = mergeEntries(before, edits);
  return entries === before ? node : build(entries, depth);
}

function editInner(node: Inner, edits: readonly Edit[], depth: number): TreeNode | null {
  let children: (TreeNode | null)[] | null = null;
  for (let from = 0, to = 0; from < edits.length; from = to) {
    const digit = digitAt(edits[from]?.path ?? '', depth);
    while (to < edits.length && digitAt(edits[to]?.path ?? '', depth) === digit) to++;
    const child = node.children[digit] ?? null;
    const edited = edit(child, edits.slice(from, to), depth + 1);
    if (edited === child) continue;
    children ??= [...node.children];
    children[digit] = edited;
  }
  return children === null ? node : normalize(children);
}

/** Sorted entries after sorted edits; the same array when they change nothing. */
function mergeEntries(entries: readonly Entry[], edits: readonly Edit[]): readonly Entry[] {
  const merged: Entry[] = [];
  let changed = false;
  let at = 0;
  for (const { path, record, upsert } of edits) {
    const target = { path, record };
    for (; at < entries.length; at++) {
      const entry = entries[at];
      if (entry === undefined || compareEntries(entry, target) >= 0) break;
      merged.push(entry);
    }
    const current = entries[at];
    const isThere = current !== undefined && compareEntries(current, target) === 0;
    if (isThere) at++;
    if (upsert === null) {
      changed ||= isThere;
    } else if (isThere && current.record.hash === upsert.hash) {
      merged.push(current);
    } else {
      merged.push({ path, record: upsert });
      changed = true;
    }
  }
  if (!changed) return entries;
  for (; at < entries.length; at++) merged.push(entries[at] as Entry); // `at` is within bounds
  return merged;
}

/** The one shape that these entries have at this depth. */
function build(entries: readonly Entry[], depth: number): TreeNode | null {
  if (entries.length === 0) return null;
  if (fitsLeaf(entries)) return makeLeaf(entries);
  const groups = Array.from({ length: FANOUT }, (): Entry[] => []);
  for (const entry of entries) groups[digitAt(entry.path, depth)]?.push(entry);
  const children = groups.map((group) => build(group, depth + 1));
  return makeInner(children, entries.length);
}

/** The one shape of these children's entries: together when they fit a leaf. */
function normalize(children: readonly (TreeNode | null)[]): TreeNode | null {
  const present = children.filter((child) => child !== null);
  const count = present.reduce((sum, child) => sum + child.count, 0);
  if (count === 0) return null;
  if (count <= LEAF_RECORDS_MAX) {
    return makeLeaf(present.flatMap((child) => [...entriesOf(child)]));
  }
  const [only] = present;
  // A single leaf of that size has but one path: no prefix tells its records apart.
  if (present.length === 1 && only?.type === 'leaf') return only;
  return makeInner(children, count);
}

function digitAt(path: string, depth: number): number {
  const code = path.charCodeAt(depth);
  return code <= 57 ? code - 48 : code - 87;
}

/** Index of the first entry that does not come before `target`. */
function lowerBound(
  entries: readonly Entry[],
  target: { readonly path: string; readonly record: RecordKey },
): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const entry = entries[middle];
    if (entry !== undefined && compareEntries(entry, target) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** All entries below a node, in order. */
function* entriesOf(node: TreeNode): Iterable<Entry> {
  if (node.type === 'leaf') {
    yield* node.entries;
    return;
  }
  for (const child of node.children) if (child !== null) yield* entriesOf(child);
}

interface Found {
  readonly upserts: ConfigRecord[];
  readonly removals: ConfigRecord[];
  /** What stood where a changed record stands now. */
  readonly replaced: ConfigRecord[];
  readonly added: Map<string, TreeNode>;
  readonly dropped: Set<string>;
}

function nothingFound(): Found {
  return { upserts: [], removals: [], replaced: [], added: new Map(), dropped: new Set() };
}

function* compareNodes(
  newer: TreeNode | null,
  older: TreeNode | null,
  found: Found,
  crypto: Crypto,
): Sliced<void> {
  yield;
  if (newer === older) return;
  if (newer && older && nodeId(newer, crypto) === nodeId(older, crypto)) return;
  const isFromNothing = older === null || older.count === 0;
  if (newer?.type === 'inner' && (isFromNothing || older.type === 'inner')) {
    found.added.set(nodeId(newer, crypto), newer);
    if (older !== null) found.dropped.add(nodeId(older, crypto));
    const others = older?.type === 'inner' ? older.children : [];
    for (let digit = 0; digit < FANOUT; digit++) {
      const child = newer.children[digit] ?? null;
      yield* compareNodes(child, others[digit] ?? null, found, crypto);
    }
    return;
  }
  for (const node of newer ? nodesOf(newer) : []) {
    yield;
    found.added.set(nodeId(node, crypto), node);
  }
  for (const node of older ? nodesOf(older) : []) {
    yield;
    found.dropped.add(nodeId(node, crypto));
  }
  yield* compareEntryLists(
    newer ? [...entriesOf(newer)] : [],
    older ? [...entriesOf(older)] : [],
    found,
  );
}

/** Makes the ids of what has none yet, children first: each costs its own node only. */
function* hashBelow(node: TreeNode, crypto: Crypto): Sliced<void> {
  if (node.id !== null) return;
  for (const child of node.type === 'inner' ? node.children : []) {
    if (child !== null) yield* hashBelow(child, crypto);
  }
  nodeId(node, crypto);
  yield;
}

function* compareEntryLists(
  newer: readonly Entry[],
  older: readonly Entry[],
  found: Found,
): Sliced<void> {
  let at = 0;
  for (const entry of newer) {
    yield;
    let other = older[at];
    while (other !== undefined && compareEntries(other, entry) < 0) {
      found.removals.push(other.record);
      other = older[++at];
    }
    const isThere = other !== undefined && compareEntries(other, entry) === 0;
    if (isThere) at++;
    if (isThere && other?.record.hash === entry.record.hash) continue;
    found.upserts.push(entry.record);
    if (isThere && other !== undefined) found.replaced.push(other.record);
  }
  for (const entry of older.slice(at)) found.removals.push(entry.record);
}

function keyOf({ kind, ws, id, placement }: RecordKey): RecordKey {
  return { kind, ws, id, placement };
}
