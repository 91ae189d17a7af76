/**
 * A regex as a tree: flags, case and classes are worked in, so that every engine is told the same
 * thing in the fewest words.
 */
import type { CharSet } from './char-set.ts';

export type RegexNode =
  | { readonly type: 'empty' }
  /** One character. */
  | { readonly type: 'set'; readonly set: CharSet }
  /** No character: something of the place. */
  | { readonly type: 'look'; readonly look: Look }
  /** Groups are numbered from 1. */
  | { readonly type: 'group'; readonly index: number; readonly node: RegexNode }
  | {
      readonly type: 'repeat';
      readonly node: RegexNode;
      readonly min: number;
      /** May be `Infinity`. */
      readonly max: number;
      readonly isGreedy: boolean;
    }
  | { readonly type: 'concat'; readonly nodes: readonly RegexNode[] }
  /** The first that leads to a match is taken. */
  | { readonly type: 'alternate'; readonly nodes: readonly RegexNode[] };

type WordLook =
  | 'boundary'
  | 'not-boundary'
  | 'word-start'
  | 'word-end'
  | 'word-start-half'
  | 'word-end-half';

export type Look =
  | 'text-start'
  | 'text-end'
  /** Lines end with LF. */
  | 'line-start'
  | 'line-end'
  /** Lines end with LF, CR or CR LF. */
  | 'crlf-line-start'
  | 'crlf-line-end'
  | `unicode-${WordLook}`
  | `ascii-${WordLook}`;

export interface RegexTree {
  readonly root: RegexNode;
  readonly groupCount: number;
  /** Name and number of each named group. */
  readonly names: readonly (readonly [string, number])[];
}

export const EMPTY: RegexNode = { type: 'empty' };

export function concat(nodes: readonly RegexNode[]): RegexNode {
  const [first] = nodes;
  if (first === undefined) return EMPTY;
  return nodes.length === 1 ? first : { type: 'concat', nodes };
}

export function alternate(nodes: readonly RegexNode[]): RegexNode {
  const [first] = nodes;
  return nodes.length === 1 && first !== undefined ? first : { type: 'alternate', nodes };
}

/** The nodes right below. */
export function childrenOf(node: RegexNode): readonly RegexNode[] {
  switch (node.type) {
    case 'group':
    case 'repeat':
      return [node.node];
    case 'concat':
    case 'alternate':
      return node.nodes;
    default:
      return [];
  }
}

/** Whether it can match without taking a character. */
export function isNullable(node: RegexNode): boolean {
  switch (node.type) {
    case 'set':
      return false;
    case 'group':
      return isNullable(node.node);
    case 'repeat':
      return node.min === 0 || isNullable(node.node);
    case 'concat':
      return node.nodes.every(isNullable);
    case 'alternate':
      return node.nodes.some(isNullable);
    default:
      return true;
  }
}

/** Whether every match begins at the start of the text. */
export function isAnchored(node: RegexNode): boolean {
  switch (node.type) {
    case 'look':
      return node.look === 'text-start';
    case 'group':
      return isAnchored(node.node);
    case 'repeat':
      return node.min > 0 && isAnchored(node.node);
    case 'concat': {
      for (const child of node.nodes) {
        if (isAnchored(child)) return true;
        if (child.type !== 'look' && child.type !== 'empty') return false;
      }
      return false;
    }
    case 'alternate':
      return node.nodes.every(isAnchored);
    default:
      return false;
  }
}

/** Longest prefix that is of use. */
const PREFIX_MAX = 256;

/**
 * What every text that matches begins with. Only an index key: too short is slow, never wrong. Empty
 * for a regex that may match further on.
 */
export function literalPrefix(root: RegexNode): string {
  return isAnchored(root) ? prefixOf(root).text : '';
}

interface Prefix {
  readonly text: string;
  /** The text is all there is: what follows it continues the prefix. */
  readonly isWhole: boolean;
}

function prefixOf(node: RegexNode): Prefix {
  switch (node.type) {
    case 'empty':
    case 'look':
      return { text: '', isWhole: true };
    case 'set': {
      const { single } = node.set;
      if (single === null) return { text: '', isWhole: false };
      return { text: String.fromCodePoint(single), isWhole: true };
    }
    case 'group':
      return prefixOf(node.node);
    case 'repeat': {
      if (node.min === 0) return { text: '', isWhole: false };
      const { text, isWhole } = prefixOf(node.node);
      return { text, isWhole: isWhole && node.max === 1 };
    }
    case 'concat': {
      let all = '';
      for (const child of node.nodes) {
        const { text, isWhole } = prefixOf(child);
        all += text;
        if (!isWhole || all.length > PREFIX_MAX) return { text: all, isWhole: false };
      }
      return { text: all, isWhole: true };
    }
    default:
      return {
        text: commonPrefix(node.nodes.map((child) => prefixOf(child).text)),
        isWhole: false,
      };
  }
}

function commonPrefix(texts: readonly string[]): string {
  let [common = ''] = texts;
  for (const text of texts) {
    let length = 0;
    while (length < common.length && common.charCodeAt(length) === text.charCodeAt(length)) {
      length += 1;
    }
    common = common.slice(0, length);
  }
  // Half of a pair of surrogates is no text.
  return common.isWellFormed() ? common : common.slice(0, -1);
}
