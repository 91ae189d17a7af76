/**
 * Which patterns a backtracking engine matches in linear time, shown rather than guessed.
 *
 * A backtracking engine that fails has walked every path by which a beginning of the text can be
 * read. So: the pattern becomes an automaton of positions (Glushkov), where parallel ways from one
 * position to the next count separately, and the multisets of positions that any text can lead to are
 * enumerated, each position with the number of paths that stand on it. If no text whatever puts more
 * than `PATHS_MAX` paths on their feet, nor makes them try more than `STEPS_MAX` steps for one
 * character, the work is at most that many steps per character. If the enumeration finds more, or
 * does not end soon, nothing is shown and the pattern goes to the linear engine.
 *
 * A search that may begin anywhere begins again at each character while earlier beginnings still go on
 * (`x*y` reads `xxxx…` from every x). Those that come to nothing never pass an end of the pattern: for
 * them the same is shown of the automaton without its ends, with one more beginning per character.
 *
 * Looks (`^`, `$`, `\b`) are taken to hold: that only adds paths.
 */
import type { CharSet } from './char-set.ts';
import { isNullable } from './tree.ts';
import type { RegexNode } from './tree.ts';

/** Ways of reading one beginning of a text. */
export const PATHS_MAX = 16;
/** Positions tried for one character, ends of the pattern among them. */
export const STEPS_MAX = 128;
/** Characters of the pattern, repetitions written out. */
const POSITIONS_MAX = 256;
/** Ways from one position to the next, all together. */
const EDGES_MAX = 4096;
/** Multisets looked at, once for each kind of character. */
const MOVES_MAX = 8192;
/** Ways of taking nothing between two characters. */
const NULL_WAYS_MAX = 16;
/** Kinds of characters that a pattern tells apart. */
const KINDS_MAX = 64;

export interface Safety {
  /** Of a match that begins at the start of the text. */
  readonly atStart: boolean;
  /** Of a search. */
  readonly anywhere: boolean;
  /** Positions; a measure of size. Infinity: too many to say. */
  readonly size: number;
}

/** Thrown and caught within this file. */
class TooMany extends Error {}

/** @param needsSearch  false: only `atStart` is asked, and `anywhere` is false */
export function safetyOf(root: RegexNode, needsSearch: boolean): Safety {
  try {
    const automaton = new Automaton(root);
    const size = automaton.sets.length;
    const atStart = automaton.isDeterministic || automaton.isBounded(false);
    return { atStart, anywhere: needsSearch && atStart && automaton.isBounded(true), size };
  } catch (error) {
    if (!(error instanceof TooMany)) throw error;
    return { atStart: false, anywhere: false, size: Infinity };
  }
}

/** A part of the pattern, by where it can begin and end. Repeated entries are parallel ways. */
interface Part {
  readonly first: readonly number[];
  readonly last: readonly number[];
  /** Of `last`, those after which no look stands in the way of the end. */
  readonly freeLast: readonly number[];
  /** Ways of taking nothing. */
  readonly nullWays: number;
  readonly isFreelyNull: boolean;
}

const NOTHING: Part = { first: [], last: [], freeLast: [], nullWays: 1, isFreelyNull: true };

class Automaton {
  /** What each position takes. */
  readonly sets: CharSet[] = [];
  /** Where each position can lead. */
  readonly #follow: number[][] = [];
  /** In how many ways each position leads to the end. */
  readonly #ends = new Map<number, number>();
  readonly #whole: Part;
  #edges = 0;

  constructor(root: RegexNode) {
    this.#whole = this.#part(root);
    for (const position of this.#whole.last) {
      this.#ends.set(position, (this.#ends.get(position) ?? 0) + 1);
    }
  }

  /** Whether any character leads from anywhere to one position at most: one path, whatever the text. */
  get isDeterministic(): boolean {
    const isOneWay = this.#follow.every((next) => this.#hasOneWay(next));
    return isOneWay && this.#hasOneWay(this.#whole.first) && this.#mostTried() <= STEPS_MAX;
  }

  #mostTried(): number {
    let most = this.#whole.first.length;
    for (const position of this.#follow.keys()) most = Math.max(most, this.#triedAt(position));
    return most;
  }

  #triedAt(position: number): number {
    return (this.#follow[position] ?? []).length + (this.#ends.get(position) ?? 0);
  }

  #hasOneWay(next: readonly number[]): boolean {
    if (next.length > STEPS_MAX) return false;
    for (const [i, a] of next.entries()) {
      for (let j = i + 1; j < next.length; j += 1) {
        if (!isDisjoint(this.#setAt(a), this.#setAt(next[j] ?? 0))) return false;
      }
    }
    return true;
  }

  #setAt(position: number): CharSet {
    const set = this.sets[position];
    if (set === undefined) throw new RangeError(`no position ${position}`);
    return set;
  }

  /** @param isSearch  a beginning at each character, none of which comes to an end */
  isBounded(isSearch: boolean): boolean {
    if (isSearch && this.#whole.isFreelyNull) return true;
    const kinds = kindsOf(this.sets);
    const dead = new Set(isSearch ? this.#whole.freeLast : []);
    const seen = new Set<string>();
    const queue: (readonly (readonly [number, number])[])[] = [[]];
    let moves = 0;
    // The beginning stands before all positions; it is in the first multiset, and, in a search, in all.
    for (let isFirst = true; queue.length > 0; isFirst = false) {
      const standing = queue.pop() ?? [];
      const begins = isFirst || isSearch;
      let steps = begins ? this.#whole.first.length : 0;
      for (const [position, count] of standing) steps += count * this.#triedAt(position);
      moves += kinds.length;
      if (steps > STEPS_MAX || moves > MOVES_MAX) return false;
      for (const kind of kinds) {
        const next = this.#step(standing, begins, kind, dead);
        if (next === null) return false;
        const key = next.map(([position, count]) => `${position}:${count}`).join();
        if (seen.has(key)) continue;
        seen.add(key);
        queue.push(next);
      }
    }
    return true;
  }

  /** Where paths stand after one more character; null when there are too many. */
  #step(
    standing: readonly (readonly [number, number])[],
    begins: boolean,
    kind: ReadonlySet<CharSet>,
    dead: ReadonlySet<number>,
  ): (readonly [number, number])[] | null {
    const counts = new Map<number, number>();
    let total = 0;
    const lead = (next: readonly number[], count: number): void => {
      for (const position of next) {
        if (dead.has(position) || !kind.has(this.#setAt(position))) continue;
        counts.set(position, (counts.get(position) ?? 0) + count);
        total += count;
      }
    };
    if (begins) lead(this.#whole.first, 1);
    for (const [position, count] of standing) lead(this.#follow[position] ?? [], count);
    return total > PATHS_MAX ? null : [...counts].toSorted((a, b) => a[0] - b[0]);
  }

  #part(node: RegexNode): Part {
    switch (node.type) {
      case 'empty':
        return NOTHING;
      case 'look':
        return { ...NOTHING, isFreelyNull: false };
      case 'set': {
        const position = this.sets.push(node.set) - 1;
        if (position >= POSITIONS_MAX) throw new TooMany();
        this.#follow.push([]);
        const all = [position];
        return { first: all, last: all, freeLast: all, nullWays: 0, isFreelyNull: false };
      }
      case 'group':
        return this.#part(node.node);
      case 'concat':
        return this.#sequence(node.nodes.map((child) => this.#part(child)));
      case 'alternate': {
        const parts = node.nodes.map((child) => this.#part(child));
        return {
          first: parts.flatMap(({ first }) => first),
          last: parts.flatMap(({ last }) => last),
          freeLast: parts.flatMap(({ freeLast }) => freeLast),
          nullWays: parts.reduce((sum, { nullWays }) => sum + nullWays, 0),
          isFreelyNull: parts.some(({ isFreelyNull }) => isFreelyNull),
        };
      }
      default:
        return this.#repetition(node);
    }
  }

  #sequence(parts: readonly Part[]): Part {
    let all = NOTHING;
    for (const part of parts) {
      for (const position of all.last) this.#lead(position, part.first);
      all = {
        first: this.#plus(all.first, all.nullWays, part.first),
        last: this.#plus(part.last, part.nullWays, all.last),
        freeLast: part.isFreelyNull ? [...part.freeLast, ...all.freeLast] : part.freeLast,
        nullWays: all.nullWays * part.nullWays,
        isFreelyNull: all.isFreelyNull && part.isFreelyNull,
      };
      if (all.nullWays > NULL_WAYS_MAX) throw new TooMany();
    }
    return all;
  }

  /** `own`, and `others` as often as there are ways to them. */
  #plus(own: readonly number[], ways: number, others: readonly number[]): readonly number[] {
    if (ways === 0 || others.length === 0) return own;
    if (own.length + ways * others.length > EDGES_MAX) throw new TooMany();
    const all = [...own];
    for (let way = 0; way < ways; way += 1) for (const other of others) all.push(other);
    return all;
  }

  #lead(position: number, next: readonly number[]): void {
    this.#edges += next.length;
    if (this.#edges > EDGES_MAX) throw new TooMany();
    const follow = this.#follow[position] ?? [];
    for (const other of next) follow.push(other);
  }

  /** Written out: `x{2,4}` is `xx(x(x)?)?`, `x{2,}` is `xx+`. */
  #repetition({ node, min, max }: Extract<RegexNode, { type: 'repeat' }>): Part {
    if (max === 0) return NOTHING;
    // Rounds that take nothing can go on for ever, and engines differ on them.
    if (max > 1 && isNullable(node)) throw new TooMany();
    if (max === Infinity) {
      const copies = Array.from({ length: Math.max(min, 1) }, () => this.#part(node));
      const loop = copies.at(-1) ?? NOTHING;
      for (const position of loop.last) this.#lead(position, loop.first);
      const all = this.#sequence(copies);
      return min === 0 ? optional(all) : all;
    }
    let rest = NOTHING;
    for (let round = max; round > min; round -= 1) {
      rest = optional(this.#sequence([this.#part(node), rest]));
    }
    const copies = Array.from({ length: min }, () => this.#part(node));
    return this.#sequence([...copies, rest]);
  }
}

function optional(part: Part): Part {
  return { ...part, nullWays: part.nullWays + 1, isFreelyNull: true };
}

function isDisjoint(a: CharSet, b: CharSet): boolean {
  return a !== b && a.and(b).isEmpty;
}

/** Characters fall into kinds by the sets they are in; each kind is the sets that have it. */
function kindsOf(sets: readonly CharSet[]): readonly ReadonlySet<CharSet>[] {
  const byText = new Map<string, CharSet[]>();
  for (const set of new Set(sets)) {
    const text = set.ranges.join();
    const same = byText.get(text);
    if (same === undefined) byText.set(text, [set]);
    else same.push(set);
  }
  const distinct = [...byText.values()];
  // Each border flips one bit of those that say which sets have the characters from there on.
  const borders: (readonly [number, bigint])[] = [];
  for (const [i, [set]] of distinct.entries()) {
    for (const [j, end] of (set?.ranges ?? []).entries()) {
      borders.push([j % 2 === 0 ? end : end + 1, 1n << BigInt(i)]);
    }
  }
  borders.sort((a, b) => a[0] - b[0]);
  const masks = new Set<bigint>();
  let mask = 0n;
  for (const [i, [code, bit]] of borders.entries()) {
    mask ^= bit;
    if (borders[i + 1]?.[0] !== code) masks.add(mask);
    if (masks.size > KINDS_MAX) throw new TooMany();
  }
  masks.delete(0n);
  return [...masks].map(
    (having) =>
      new Set(distinct.flatMap((same, i) => (((having >> BigInt(i)) & 1n) === 1n ? same : []))),
  );
}
