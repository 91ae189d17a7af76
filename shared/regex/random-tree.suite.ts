/** Random patterns and texts, and what a backtracking engine would do with them, counted. */
import type { Seeded } from '../router/seeded.suite.ts';
import { CharSet } from './char-set.ts';
import { alternate, concat } from './tree.ts';
import type { Look, RegexNode } from './tree.ts';

const LETTERS = ['a', 'b', '/', '-', '\n', '\r', '_', '7', 'é', 'K', '\u212a', '😀', '٣'];

const SETS: readonly CharSet[] = [
  ...LETTERS.map((letter) => CharSet.char(letter.codePointAt(0) ?? 0)),
  CharSet.of([0x61, 0x62]),
  CharSet.of([0x61, 0x7a]),
  CharSet.of([0x2f, 0x2f]).not(),
  CharSet.of([0x0a, 0x0a]).not(),
  CharSet.of([0, 0x10ffff]),
  CharSet.of([0x1f600, 0x1f64f, 0x30, 0x39]),
  CharSet.of([0x61, 0x62, 0x2d, 0x2d]),
];

const LOOKS: readonly Look[] = [
  'text-start',
  'text-end',
  'line-start',
  'line-end',
  'ascii-boundary',
  'ascii-not-boundary',
];

export interface TreeOptions {
  readonly looks: boolean;
  readonly groups: boolean;
}

/** A tree; groups are numbered from 1 in order. */
export function randomTree(random: Seeded, depth: number, options: TreeOptions): RegexNode {
  let groups = 0;
  const make = (left: number): RegexNode => {
    if (left === 0 || random.chance(0.35)) {
      if (options.looks && random.chance(0.12)) return { type: 'look', look: random.pick(LOOKS) };
      if (random.chance(0.04)) return { type: 'empty' };
      return { type: 'set', set: random.pick(SETS) };
    }
    switch (random.below(5)) {
      case 0:
      case 1:
        return concat(Array.from({ length: 1 + random.below(4) }, () => make(left - 1)));
      case 2:
        return alternate(Array.from({ length: 1 + random.below(3) }, () => make(left - 1)));
      case 3: {
        if (!options.groups) return make(left - 1);
        groups += 1;
        const index = groups;
        return { type: 'group', index, node: make(left - 1) };
      }
      default: {
        const [min, max] = random.pick([
          [0, 1],
          [0, Infinity],
          [1, Infinity],
          [2, 2],
          [1, 3],
          [2, Infinity],
        ] as const);
        return { type: 'repeat', node: make(left - 1), min, max, isGreedy: random.chance(0.75) };
      }
    }
  };
  return make(depth);
}

export function groupCountOf(node: RegexNode): number {
  switch (node.type) {
    case 'group':
      return Math.max(node.index, groupCountOf(node.node));
    case 'repeat':
      return groupCountOf(node.node);
    case 'concat':
    case 'alternate':
      return Math.max(0, ...node.nodes.map(groupCountOf));
    default:
      return 0;
  }
}

/** Letters of one text repeat, so that loops have something to chew on. */
export function randomText(random: Seeded, length: number): string {
  const few = random.some(LETTERS, 3);
  few.push(random.pick(LETTERS));
  let text = '';
  while (text.length < length) {
    const letter = random.pick(few);
    text += letter.repeat(random.chance(0.3) ? 1 + random.below(length) : 1);
  }
  return text;
}

/**
 * Characters that a backtracking engine tries on a text, when looks always hold; to the first match or
 * to the end of all hope.
 *
 * @param isSearch  begins again at every character
 * @param most  given up beyond: a RangeError
 */
export function countSteps(
  root: RegexNode,
  text: string,
  isSearch: boolean,
  most = 2_000_000,
): number {
  const chars = Array.from(text, (letter) => letter.codePointAt(0) ?? 0);
  let steps = 0;
  const run = (node: RegexNode, at: number, next: (at: number) => boolean): boolean => {
    switch (node.type) {
      case 'empty':
        return next(at);
      case 'look':
        // Only the end fails here, so that whatever can go on does.
        return (node.look !== 'text-end' || at === chars.length) && next(at);
      case 'set': {
        steps += 1;
        if (steps > most) throw new RangeError('too many steps');
        const code = chars[at];
        return code !== undefined && node.set.has(code) && next(at + 1);
      }
      case 'group':
        return run(node.node, at, next);
      case 'concat': {
        const from = (index: number, place: number): boolean => {
          const child = node.nodes[index];
          return child === undefined
            ? next(place)
            : run(child, place, (end) => from(index + 1, end));
        };
        return from(0, at);
      }
      case 'alternate':
        return node.nodes.some((child) => run(child, at, next));
      default: {
        const round = (count: number, place: number): boolean => {
          const again = () =>
            count < node.max &&
            run(node.node, place, (end) => end > place && round(count + 1, end));
          if (count < node.min) return run(node.node, place, (end) => round(count + 1, end));
          return node.isGreedy ? again() || next(place) : next(place) || again();
        };
        return round(0, at);
      }
    }
  };
  for (let start = 0; start <= chars.length; start += 1) {
    if (run(root, start, () => true) || !isSearch) break;
  }
  return steps;
}
