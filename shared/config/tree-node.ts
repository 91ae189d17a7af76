/**
 * The nodes of a configuration tree: their shape, their ids and their texts.
 *
 * A node's id is a SHA-256 that commits to everything below it: a leaf's over the hashes of its
 * records (which commit to their keys and bodies), an inner node's over its children's ids and
 * counts. Texts are lines: `leaf` and one record per line, or `inner` and one line per child, which
 * works because a canonical record never holds a raw line break.
 */
import { hex } from '../base/bytes.ts';
import type { Crypto } from '../platform/platform.ts';
import { parseRecordText, type ConfigRecord, type RecordKey } from './record.ts';

/** Records that a leaf holds before it splits (decision 6). */
export const LEAF_RECORDS_MAX = 128;

/** Children of an inner node: one per hex digit of the path. */
export const FANOUT = 16;

/** A record and the path that its placement gives it. */
export interface Entry {
  /** Hex SHA-256 of `${ws}/${placement}`: 64 digits. */
  readonly path: string;
  readonly record: ConfigRecord;
}

/** Entries in order of (path, kind, id). More than the limit only if all have one and the same path. */
export interface Leaf {
  readonly type: 'leaf';
  readonly entries: readonly Entry[];
  readonly count: number;
  /** Cached; null until somebody asks. */
  id: string | null;
}

/** More than `LEAF_RECORDS_MAX` records of more than one path, by the next digit of their path. */
export interface Inner {
  readonly type: 'inner';
  readonly children: readonly (TreeNode | null)[];
  readonly count: number;
  id: string | null;
}

export type TreeNode = Leaf | Inner;

/** A child as its parent's text names it. */
export interface ChildName {
  readonly id: string;
  readonly count: number;
}

/** A node read from its text: complete in itself, but for the children of an inner one. */
export type ParsedNode =
  | { readonly type: 'leaf'; readonly records: readonly ConfigRecord[]; readonly leaf: Leaf }
  | { readonly type: 'inner'; readonly children: readonly (ChildName | null)[] };

/** Where in the tree a record with this placement lies. */
export function placementPath(ws: string, placement: string, crypto: Crypto): string {
  return hex(crypto.sha256(`${ws}/${placement}`));
}

/** Order inside a leaf. Negative when `a` comes first. */
export function compareEntries(
  a: { readonly path: string; readonly record: Pick<RecordKey, 'kind' | 'id'> },
  b: { readonly path: string; readonly record: Pick<RecordKey, 'kind' | 'id'> },
): number {
  return (
    compareText(a.path, b.path) ||
    compareText(a.record.kind, b.record.kind) ||
    compareText(a.record.id, b.record.id)
  );
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

export function makeLeaf(entries: readonly Entry[]): Leaf {
  return { type: 'leaf', entries, count: entries.length, id: null };
}

export function makeInner(children: readonly (TreeNode | null)[], count: number): Inner {
  return { type: 'inner', children, count, id: null };
}

/** Whether entries stay together: few enough, or nothing to tell them apart by. */
export function fitsLeaf(entries: readonly Entry[]): boolean {
  return entries.length <= LEAF_RECORDS_MAX || entries[0]?.path === entries.at(-1)?.path;
}

/** A node's id: hex SHA-256. Costs what is not cached below it. */
export function nodeId(node: TreeNode, crypto: Crypto): string {
  node.id ??= node.type === 'leaf' ? leafId(node.entries, crypto) : innerId(node, crypto);
  return node.id;
}

function leafId(entries: readonly Entry[], crypto: Crypto): string {
  let preimage = 'leaf';
  for (const entry of entries) preimage += `\n${entry.record.hash}`;
  return hex(crypto.sha256(preimage));
}

function innerId(node: Inner, crypto: Crypto): string {
  return hex(crypto.sha256(innerText(node, crypto)));
}

/** A node and all below it, parents first. */
export function* nodesOf(node: TreeNode): Iterable<TreeNode> {
  yield node;
  if (node.type === 'leaf') return;
  for (const child of node.children) if (child !== null) yield* nodesOf(child);
}

/** What a node looks like on the wire, on disk and in KV. */
export function nodeText(node: TreeNode, crypto: Crypto): string {
  if (node.type === 'inner') return innerText(node, crypto);
  let text = 'leaf';
  for (const entry of node.entries) text += `\n${entry.record.text}`;
  return text;
}

function innerText(node: Inner, crypto: Crypto): string {
  let text = 'inner';
  for (const child of node.children) {
    text += child === null ? '\n-' : `\n${child.count}:${nodeId(child, crypto)}`;
  }
  return text;
}

/**
 * Reads a node and proves that it is the one named `id`, whoever it came from.
 *
 * @param prefix  hex digits that lead to the node; every record's path must begin with them
 * @returns not ok for any other text: other content, wrong order, wrong size, misplaced records
 */
export function parseNode(
  text: string,
  id: string,
  crypto: Crypto,
  prefix = '',
): { readonly ok: true; readonly node: ParsedNode } | { readonly ok: false } {
  const [type, ...lines] = text.split('\n');
  let node: ParsedNode | null = null;
  if (type === 'leaf') node = parseLeaf(lines, id, crypto, prefix);
  if (type === 'inner' && hex(crypto.sha256(text)) === id) node = parseInner(lines);
  return node === null ? { ok: false } : { ok: true, node };
}

function parseLeaf(
  lines: readonly string[],
  id: string,
  crypto: Crypto,
  prefix: string,
): ParsedNode | null {
  const entries: Entry[] = [];
  for (const line of lines) {
    const record = parseRecordText(line, crypto);
    if (record === null) return null;
    const entry = { path: placementPath(record.ws, record.placement, crypto), record };
    const before = entries.at(-1);
    if (before !== undefined && compareEntries(before, entry) >= 0) return null;
    if (!entry.path.startsWith(prefix)) return null;
    entries.push(entry);
  }
  // Only the root of an empty tree is empty.
  if (!fitsLeaf(entries) || (entries.length === 0 && prefix !== '')) return null;
  const leaf = makeLeaf(entries);
  if (nodeId(leaf, crypto) !== id) return null;
  return { type: 'leaf', records: entries.map((entry) => entry.record), leaf };
}

const CHILD_PATTERN = /^([1-9][0-9]{0,14}):([0-9a-f]{64})$/;

function parseInner(lines: readonly string[]): ParsedNode | null {
  if (lines.length !== FANOUT) return null;
  const children: (ChildName | null)[] = [];
  let count = 0;
  for (const line of lines) {
    const match = CHILD_PATTERN.exec(line);
    if (match === null && line !== '-') return null;
    const child = match && { id: match[2] ?? '', count: Number(match[1]) };
    count += child?.count ?? 0;
    children.push(child);
  }
  return count > LEAF_RECORDS_MAX ? { type: 'inner', children } : null;
}
