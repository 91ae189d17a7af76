/**
 * The tree as a native RegExp with flag `u`, which means what the tree means: no flag, class or
 * shorthand of ECMAScript's own is used.
 */
import { nativeChar, nativeClass } from './char-set.ts';
import { childrenOf, isNullable } from './tree.ts';
import type { Look, RegexNode } from './tree.ts';
import { perlClass } from './unicode.ts';

/**
 * Whether ECMAScript gives the same match and groups. It forgets groups at the start of each round of a
 * repetition and goes back on rounds that take nothing; Rust and RE2 do neither.
 */
export function isExactNative(node: RegexNode): boolean {
  if (node.type === 'repeat') {
    if (isNullable(node.node)) return false;
    if (node.max > 1 && !setsAllGroups(node.node)) return false;
  }
  return childrenOf(node).every(isExactNative);
}

function hasGroups(node: RegexNode): boolean {
  return node.type === 'group' || childrenOf(node).some(hasGroups);
}

/** Whether every match of the node sets every group in it. */
function setsAllGroups(node: RegexNode): boolean {
  if (node.type === 'alternate' || (node.type === 'repeat' && node.min === 0)) {
    return !hasGroups(node);
  }
  return childrenOf(node).every(setsAllGroups);
}

/** The source of a RegExp with flag `u`. */
export function toNative(node: RegexNode): string {
  switch (node.type) {
    case 'empty':
      return '(?:)';
    case 'set': {
      const { single } = node.set;
      return single === null ? nativeClass(node.set) : nativeChar(single);
    }
    case 'look':
      return lookSource(node.look);
    case 'group':
      return `(${toNative(node.node)})`;
    case 'repeat': {
      const body = toNative(node.node);
      const atom = node.node.type === 'set' || node.node.type === 'group' ? body : `(?:${body})`;
      return atom + quantifier(node.min, node.max) + (node.isGreedy ? '' : '?');
    }
    case 'concat':
      return node.nodes.map(toNative).join('');
    default:
      return `(?:${node.nodes.map(toNative).join('|')})`;
  }
}

export function quantifier(min: number, max: number): string {
  if (max === Infinity) return min === 0 ? '*' : min === 1 ? '+' : `{${min},}`;
  if (min === 0 && max === 1) return '?';
  return min === max ? `{${min}}` : `{${min},${max}}`;
}

function lookSource(look: Look): string {
  switch (look) {
    case 'text-start':
      return '^';
    case 'text-end':
      return '$';
    case 'line-start':
      return String.raw`(?<![^\n])`;
    case 'line-end':
      return String.raw`(?![^\n])`;
    case 'crlf-line-start':
      return String.raw`(?:(?<![^\n])|(?<=\r)(?!\n))`;
    case 'crlf-line-end':
      return String.raw`(?:(?![^\r])|(?<!\r)(?=\n))`;
    default:
      return wordLook(look, nativeClass(perlClass('w', look.startsWith('unicode'))));
  }
}

function wordLook(look: string, word: string): string {
  switch (look.slice(look.indexOf('-') + 1)) {
    case 'boundary':
      return `(?:(?<=${word})(?!${word})|(?<!${word})(?=${word}))`;
    case 'not-boundary':
      return `(?:(?<=${word})(?=${word})|(?<!${word})(?!${word}))`;
    case 'word-start':
      return `(?:(?<!${word})(?=${word}))`;
    case 'word-end':
      return `(?:(?<=${word})(?!${word}))`;
    case 'word-start-half':
      return `(?<!${word})`;
    default:
      return `(?!${word})`;
  }
}
