/**
 * The engine for patterns that neither of the others takes: all threads of a non-deterministic automaton
 * in step (Thompson 1968; Pike's submatches, as Cox tells it in "Regular Expression Matching: the Virtual
 * Machine Approach"). Work is text × program, whatever the pattern; slow, and complete.
 */
import type { CharSet } from './char-set.ts';
import type { LinearRegex, RegexMatch } from './engine.ts';
import { holdsAt } from './look.ts';
import { RegexRefusal } from './refusal.ts';
import { isNullable, literalPrefix } from './tree.ts';
import type { Look, RegexNode, RegexTree } from './tree.ts';

/** Instructions: each may cost a step for every character. */
export const PIKE_SIZE_MAX = 1000;

type Instruction =
  | { readonly type: 'set'; readonly set: CharSet }
  | { readonly type: 'look'; readonly look: Look }
  /** Notes the place. */
  | { readonly type: 'save'; readonly slot: number }
  /** Goes both ways; the first is preferred. */
  | { type: 'split'; first: number; second: number }
  | { type: 'jump'; to: number }
  | { readonly type: 'match' };

/** Begin and end of each group; -1 for none. */
type Slots = readonly number[];

export class PikeRegex implements LinearRegex {
  readonly prefix: string;
  readonly #names: RegexTree['names'];
  readonly #groupCount: number;
  readonly #program: readonly Instruction[];

  /** Throws `RegexRefusal`. */
  constructor(tree: RegexTree) {
    this.prefix = literalPrefix(tree.root);
    this.#names = tree.names;
    this.#groupCount = tree.groupCount;
    this.#program = new Assembler().assemble(tree.root);
  }

  get size(): number {
    return this.#program.length;
  }

  matchStart(text: string): RegexMatch | null {
    return this.#matchOf(text, this.#run(text, true));
  }

  search(text: string): RegexMatch | null {
    return this.#matchOf(text, this.#run(text, false));
  }

  test(text: string): boolean {
    return this.#run(text, false) !== null;
  }

  #run(text: string, isAtStart: boolean): Slots | null {
    const program = this.#program;
    let threads = new Threads(program, text);
    let next = new Threads(program, text);
    const none: Slots = Array.from({ length: 2 * this.#groupCount + 2 }, () => -1);
    let best: Slots | null = null;
    for (let at = 0; ;) {
      // A later beginning is worth less than all that began before it.
      if (best === null && (at === 0 || !isAtStart)) threads.add(0, at, none);
      if (threads.count === 0 && (isAtStart || best !== null)) break;
      const code = text.codePointAt(at) ?? -1;
      const after = at + (code > 0xffff ? 2 : 1);
      next.clear();
      for (let i = 0; i < threads.count; i += 1) {
        const pc = threads.pcAt(i);
        const instruction = program[pc];
        if (instruction === undefined) break;
        if (instruction.type === 'match') {
          best = threads.slotsAt(i);
          // The rest is less preferred.
          break;
        }
        if (instruction.type === 'set' && code >= 0 && instruction.set.has(code)) {
          next.add(pc + 1, after, threads.slotsAt(i));
        }
      }
      if (code < 0) break;
      [threads, next] = [next, threads];
      at = after;
    }
    return best;
  }

  #matchOf(text: string, slots: Slots | null): RegexMatch | null {
    if (slots === null) return null;
    const group = (index: number): string | null => {
      const from = slots[2 * index] ?? -1;
      const to = slots[2 * index + 1] ?? -1;
      return from < 0 || to < 0 ? null : text.slice(from, to);
    };
    const named: Record<string, string> = Object.create(null);
    for (const [name, index] of this.#names) {
      const value = group(index);
      if (value !== null) named[name] = value;
    }
    const indexed: string[] = [];
    for (let i = 1; i <= this.#groupCount; i += 1) indexed.push(group(i) ?? '');
    return { matched: group(0) ?? '', named, indexed };
  }
}

/** Threads that stand before one character, the preferred first; no two at one instruction. */
class Threads {
  readonly #program: readonly Instruction[];
  readonly #text: string;
  readonly #pcs: number[] = [];
  readonly #slots: Slots[] = [];
  readonly #seen: Uint8Array;

  constructor(program: readonly Instruction[], text: string) {
    this.#program = program;
    this.#text = text;
    this.#seen = new Uint8Array(program.length);
  }

  get count(): number {
    return this.#pcs.length;
  }

  pcAt(index: number): number {
    return this.#pcs[index] ?? 0;
  }

  slotsAt(index: number): Slots {
    return this.#slots[index] ?? [];
  }

  clear(): void {
    this.#pcs.length = 0;
    this.#slots.length = 0;
    this.#seen.fill(0);
  }

  /** A thread, and where it goes without taking a character. */
  add(start: number, at: number, slots: Slots): void {
    const pending: (readonly [number, Slots])[] = [[start, slots]];
    for (let top = pending.pop(); top !== undefined; top = pending.pop()) {
      const [pc, held] = top;
      const instruction = this.#program[pc];
      if (instruction === undefined || this.#seen[pc] === 1) continue;
      this.#seen[pc] = 1;
      switch (instruction.type) {
        case 'jump':
          pending.push([instruction.to, held]);
          break;
        case 'split':
          pending.push([instruction.second, held], [instruction.first, held]);
          break;
        case 'look':
          if (holdsAt(instruction.look, this.#text, at)) pending.push([pc + 1, held]);
          break;
        case 'save':
          pending.push([pc + 1, held.with(instruction.slot, at)]);
          break;
        default:
          this.#pcs.push(pc);
          this.#slots.push(held);
      }
    }
  }
}

/** Source: regex-automata 0.4 `nfa/thompson/compiler.rs` (c_zero_or_more, c_at_least, c_bounded). */
class Assembler {
  readonly #program: Instruction[] = [];

  assemble(root: RegexNode): readonly Instruction[] {
    this.#node({ type: 'group', index: 0, node: root });
    this.#emit({ type: 'match' });
    return this.#program;
  }

  #emit<I extends Instruction>(instruction: I): I {
    if (this.#program.length >= PIKE_SIZE_MAX) throw new RegexRefusal('too large');
    this.#program.push(instruction);
    return instruction;
  }

  get #here(): number {
    return this.#program.length;
  }

  #node(node: RegexNode): void {
    switch (node.type) {
      case 'empty':
        return;
      case 'set':
      case 'look':
        this.#emit(node);
        return;
      case 'group':
        this.#emit({ type: 'save', slot: 2 * node.index });
        this.#node(node.node);
        this.#emit({ type: 'save', slot: 2 * node.index + 1 });
        return;
      case 'concat':
        for (const child of node.nodes) this.#node(child);
        return;
      case 'alternate':
        this.#alternatives(node.nodes);
        return;
      default:
        this.#repetition(node);
    }
  }

  #alternatives(nodes: readonly RegexNode[]): void {
    const ends: { type: 'jump'; to: number }[] = [];
    for (const [i, child] of nodes.entries()) {
      if (i === nodes.length - 1) {
        this.#node(child);
        break;
      }
      const split = this.#emit({ type: 'split', first: this.#here + 1, second: 0 });
      this.#node(child);
      ends.push(this.#emit({ type: 'jump', to: 0 }));
      split.second = this.#here;
    }
    for (const end of ends) end.to = this.#here;
  }

  #repetition({ node, min, max, isGreedy }: Extract<RegexNode, { type: 'repeat' }>): void {
    if (max === Infinity) {
      // A round that takes nothing ends the loop: of such, `x*` is `(?:x+)?`.
      if (min === 0 && isNullable(node)) {
        this.#optional(isGreedy, () => this.#loop(node, isGreedy));
      } else if (min === 0) {
        this.#star(node, isGreedy);
      } else {
        for (let round = 1; round < min; round += 1) this.#node(node);
        this.#loop(node, isGreedy);
      }
      return;
    }
    for (let round = 0; round < min; round += 1) this.#node(node);
    this.#rest(node, max - min, isGreedy);
  }

  /** Up to that many more: `(?:x(?:x)?)?`. */
  #rest(node: RegexNode, count: number, isGreedy: boolean): void {
    const splits: { type: 'split'; first: number; second: number }[] = [];
    for (let round = 0; round < count; round += 1) {
      splits.push(this.#emit({ type: 'split', first: 0, second: 0 }));
      point(splits.at(-1), isGreedy, this.#here, 0);
      this.#node(node);
    }
    for (const split of splits) point(split, isGreedy, null, this.#here);
  }

  #optional(isGreedy: boolean, body: () => void): void {
    const split = this.#emit({ type: 'split' as const, first: 0, second: 0 });
    point(split, isGreedy, this.#here, 0);
    body();
    point(split, isGreedy, null, this.#here);
  }

  #star(node: RegexNode, isGreedy: boolean): void {
    const start = this.#here;
    this.#optional(isGreedy, () => {
      this.#node(node);
      this.#emit({ type: 'jump', to: start });
    });
  }

  #loop(node: RegexNode, isGreedy: boolean): void {
    const start = this.#here;
    this.#node(node);
    const split = this.#emit({ type: 'split' as const, first: 0, second: 0 });
    point(split, isGreedy, start, this.#here);
  }
}

/** Where a split goes in and where it goes on; the greedy prefer to go in. Null: as it is. */
function point(
  split: { first: number; second: number } | undefined,
  isGreedy: boolean,
  into: number | null,
  onward: number,
): void {
  if (split === undefined) return;
  const inside = into ?? (isGreedy ? split.first : split.second);
  split.first = isGreedy ? inside : onward;
  split.second = isGreedy ? onward : inside;
}
