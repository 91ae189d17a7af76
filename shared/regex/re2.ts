/** The tree in the syntax of RE2, ranges and all; what RE2 lacks is refused by name. */
import { quantifier } from './native.ts';
import { RegexRefusal } from './refusal.ts';
import type { CharSet } from './char-set.ts';
import type { Look, RegexNode } from './tree.ts';

/** Throws `RegexRefusal`. */
export function toRe2(node: RegexNode): string {
  switch (node.type) {
    case 'empty':
      return '(?:)';
    case 'set':
      return setSource(node.set);
    case 'look':
      return lookSource(node.look);
    case 'group':
      return `(${toRe2(node.node)})`;
    case 'repeat':
      return `(?:${toRe2(node.node)})${quantifier(node.min, node.max)}${node.isGreedy ? '' : '?'}`;
    case 'concat':
      return node.nodes.map(toRe2).join('');
    default:
      return `(?:${node.nodes.map(toRe2).join('|')})`;
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

const LOOKS: ReadonlyMap<Look, string> = new Map<Look, string>([
  ['text-start', '\\A'],
  ['text-end', '\\z'],
  ['line-start', '(?m:^)'],
  ['line-end', '(?m:$)'],
  ['ascii-boundary', '\\b'],
  ['ascii-not-boundary', '\\B'],
]);

function lookSource(look: Look): string {
  const source = LOOKS.get(look);
  if (source !== undefined) return source;
  throw new RegexRefusal(refusalOf(look));
}

function refusalOf(look: Look): string {
  const why = 'in a pattern that may need more than linear time';
  if (look === 'unicode-boundary' || look === 'unicode-not-boundary') {
    const letter = look === 'unicode-boundary' ? 'b' : 'B';
    return `\\${letter} is not supported ${why}; write (?-u:\\${letter}) for ASCII words`;
  }
  if (look.startsWith('crlf')) return `flag R with m is not supported ${why}`;
  return `\\b{…} is not supported ${why}`;
}
