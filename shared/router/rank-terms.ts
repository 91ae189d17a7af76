/** What a rank's numbers are made of, for people: the layouts of `rank.ts`, read backwards. */
import type { RankKeys } from './rank.ts';

/** One term, the more significant ones first; the greater value wins. */
export interface RankTerm {
  readonly name: string;
  readonly value: number;
}

const TIME_RANGE = 2 ** 33;

export function bitTerms({ major, middle }: RankKeys): readonly RankTerm[] {
  return [
    { name: 'kinds of attributes', value: major >>> 29 },
    { name: 'plain hosts only', value: (major >>> 28) & 1 },
    { name: 'headers', value: (major >>> 20) & 0xff },
    { name: 'regex path', value: (major >>> 19) & 1 },
    { name: 'regex_priority', value: (major & 0x7ffff) * 0x2000 + (middle >>> 19) },
    { name: 'length of the path prefix', value: middle & 0x7ffff },
  ];
}

export function expressionTerms({ major, middle }: RankKeys): readonly RankTerm[] {
  return [
    { name: 'expression', value: 1 },
    { name: 'priority', value: (major & 0x00ff_ffff) * 0x1_0000_0000 + middle },
  ];
}

export function streamBitTerms({ major, middle }: RankKeys): readonly RankTerm[] {
  return [
    { name: 'SNI, or source and destination', value: major >>> 29 },
    { name: 'source address', value: (middle >>> 7) & 1 },
    { name: 'source port', value: (middle >>> 6) & 1 },
    { name: 'source network', value: (middle >>> 4) & 1 },
    { name: 'destination address', value: (middle >>> 3) & 1 },
    { name: 'destination port', value: (middle >>> 2) & 1 },
    { name: 'destination network', value: middle & 1 },
  ];
}

export function traditionalTerms({ major, middle, minor }: RankKeys): readonly RankTerm[] {
  return [
    { name: 'kinds of attributes', value: major >>> 19 },
    ...bits(major >>> 12, ['host', 'headers', 'path', 'method', 'SNI', 'source', 'destination']),
    ...bits(major >>> 9, ['plain host with port', 'plain hosts only', 'wildcard with port']),
    { name: 'regex path', value: (major >>> 8) & 1 },
    { name: 'headers', value: major & 0xff },
    { name: 'regex_priority', value: middle },
    { name: 'length of the path prefix', value: Math.floor(minor / TIME_RANGE) },
    { name: 'age', value: minor % TIME_RANGE },
  ];
}

export function traditionalStreamTerms({ major, middle, minor }: RankKeys): readonly RankTerm[] {
  return [
    { name: 'kinds of attributes', value: major >>> 3 },
    ...bits(major, ['SNI', 'source', 'destination']),
    ...bits(middle, ['source with address and port', 'destination with address and port']),
    { name: 'age', value: minor % TIME_RANGE },
  ];
}

/** Names of the lowest bits, the highest of them first. */
function bits(number: number, names: readonly string[]): readonly RankTerm[] {
  const top = names.length - 1;
  return names.map((name, index) => ({ name, value: (number >>> (top - index)) & 1 }));
}
