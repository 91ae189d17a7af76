/** The tree in the syntax of RE2, ranges and all. */
import { quantifier } from './native.ts';
import type { CharSet } from './char-set.ts';
import { childrenOf } from './tree.ts';
import type { Look, RegexNode } from './tree.ts';

const LOOKS: ReadonlyMap<Look, string> = new Map<Look, string>([
  ['text-start', '\\A'],
  ['text-end', '\\z'],
  ['line-start', '(?m:^)'],
  ['line-end', '(?m:$)'],
  ['ascii-boundary', '\\b'],
  ['ascii-not-boundary', '\\B'],
]);

/** Null when RE2 lacks one of its looks. */
export function toRe2(root: RegexNode): string | null {
  return isKnown(root) ? sourceOf(root) : null;
}

function isKnown(node: RegexNode): boolean {
  if (node.type === 'look') return LOOKS.has(node.look);
  return childrenOf(node).every(isKnown);
}

function sourceOf(node: RegexNode): string {
  switch (node.type) {
    case 'empty':
      return '(?:)';
    case 'set':
      return setSource(node.set);
    case 'look':
      return LOOKS.get(node.look) ?? '';
    case 'group':
      return `(${sourceOf(node.node)})`;
    case 'repeat':
      return `(?:${sourceOf(node.node)})${quantifier(node.min, node.max)}${node.isGreedy ? '' : '?'}`;
    case 'concat':
      return node.nodes.map(sourceOf).join('');
    default:
      return `(?:${node.nodes.map(sourceOf).join('|')})`;
  }
}

function setSource(set: CharSet): string {
  const { single, ranges } = set;
  if (single !== null) return hex(single);
  if (ranges.length === 0) return String.raw`[^\x00-\x{10FFFF}]`;
  let body = '';
  for (let i = 0; i < ranges.length; i += 2) {
    body += `${hex(ranges[i] ?? 0)}-${hex(ranges[i + 1] ?? 0)}`;
  }
  return `[${body}]`;
}

function hex(code: number): string {
  return `\\x{${code.toString(16)}}`;
}
