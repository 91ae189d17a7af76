/**
 * Classes: what stands in brackets.
 *
 * Source: regex-syntax 0.8 `ast/parse.rs` (parse_set_class and what it calls), `hir/translate.rs`
 * (unicode_fold_and_negate, visit_class_set_binary_op_post); pcre2pattern(3), "Square brackets".
 */
import { CharSet, NONE } from './char-set.ts';
import { isAsciiOnly } from './dialect.ts';
import type { Flags } from './dialect.ts';
import { parseEscape } from './escape.ts';
import type { Atom } from './escape.ts';
import type { Scanner } from './scanner.ts';
import { folded, posixClass } from './unicode.ts';

/** Classes within each other. */
const NEST_MAX = 100;
const POSIX = /\[:(\^?)([a-z]+):\]/y;

/** At `[`; past the closing `]` afterwards. */
export function parseClass(scanner: Scanner, flags: Flags, depth = 0): CharSet {
  if (depth > NEST_MAX) scanner.refuse(`classes go deeper than ${NEST_MAX}`);
  scanner.nextPastSpace();
  const isNegated = scanner.char === '^';
  if (isNegated) scanner.nextPastSpace();
  const parts = new Parts(scanner, flags);
  parseOpening(scanner, flags, parts);
  while (scanner.char !== ']') {
    if (scanner.isAtEnd) scanner.refuse('a class has no ]');
    if (flags.dialect === 'pcre') parsePcreItem(scanner, flags, parts);
    else parseItem(scanner, flags, parts, depth);
    scanner.skipSpace();
  }
  scanner.next();
  const set = foldedBy(parts.set, flags);
  const all = isNegated ? set.not() : set;
  if (isAsciiOnly(flags) && !all.isAscii) scanner.refuse('this class without flag u takes bytes');
  return all;
}

/** What has been read of a class: a union, and the operations to its left. */
class Parts {
  readonly #scanner: Scanner;
  readonly #flags: Flags;
  #left: CharSet | null = null;
  #operation: '&&' | '--' | '~~' | null = null;
  #ranges: number[] = [];
  /** Each but once: what is named a thousand times is added up once. */
  #sets = new Set<CharSet>();

  constructor(scanner: Scanner, flags: Flags) {
    this.#scanner = scanner;
    this.#flags = flags;
  }

  get isEmpty(): boolean {
    return this.#ranges.length === 0 && this.#sets.size === 0;
  }

  addRange(low: number, high: number): void {
    this.#ranges.push(low, high);
  }

  addSet(set: CharSet): void {
    if (this.#sets.has(set)) return;
    this.#sets.add(set);
    this.#scanner.spend(set);
  }

  /** Operations have one rank, from left to right; what stands side by side binds tighter. */
  operate(operation: '&&' | '--' | '~~'): void {
    this.#left = this.set;
    this.#operation = operation;
    this.#ranges = [];
    this.#sets = new Set();
  }

  get set(): CharSet {
    let own = this.#ranges.length === 0 ? NONE : CharSet.of(this.#ranges);
    for (const set of this.#sets) own = own.isEmpty ? set : own.or(set);
    if (this.#left === null || this.#operation === null) return own;
    const left = foldedBy(this.#left, this.#flags);
    const right = foldedBy(own, this.#flags);
    if (this.#operation === '&&') return left.and(right);
    return this.#operation === '--' ? left.minus(right) : left.xor(right);
  }
}

function foldedBy(set: CharSet, flags: Flags): CharSet {
  return flags.ignoresCase ? folded(set, flags.isUnicode) : set;
}

/** A `]` that comes first is itself; so are Rust's `-`, however many come first. */
function parseOpening(scanner: Scanner, flags: Flags, parts: Parts): void {
  if (flags.dialect === 'rust') {
    while (scanner.char === '-') {
      parts.addRange(0x2d, 0x2d);
      scanner.nextPastSpace();
    }
  }
  if (parts.isEmpty && scanner.char === ']') {
    if (flags.dialect === 'pcre') parsePcreItem(scanner, flags, parts);
    else {
      parts.addRange(0x5d, 0x5d);
      scanner.nextPastSpace();
    }
  }
}

function parseItem(scanner: Scanner, flags: Flags, parts: Parts, depth: number): void {
  if (scanner.char === '[') {
    const posix = parsePosix(scanner, flags);
    parts.addSet(posix ?? parseClass(scanner, flags, depth + 1));
    return;
  }
  for (const operation of ['&&', '--', '~~'] as const) {
    if (!scanner.take(operation)) continue;
    parts.operate(operation);
    return;
  }
  const first = parseAtom(scanner, flags);
  scanner.skipSpace();
  const after = scanner.after;
  if (scanner.char !== '-' || after === ']' || after === '-') {
    addAtom(parts, first);
    return;
  }
  scanner.nextPastSpace();
  if (scanner.isAtEnd) scanner.refuse('a class has no ]');
  addRange(scanner, parts, first, parseAtom(scanner, flags));
}

function parsePosix(scanner: Scanner, flags: Flags): CharSet | null {
  const { at } = scanner;
  const found = scanner.match(POSIX);
  const set = found === null ? null : posixClass(found[2] ?? '');
  if (set === null) {
    scanner.at = at;
    return null;
  }
  const all = foldedBy(set, flags);
  return found?.[1] === '^' ? all.not() : all;
}

/** Nothing nests, and a hyphen that makes no range is itself. */
function parsePcreItem(scanner: Scanner, flags: Flags, parts: Parts): void {
  if (scanner.char === '[') {
    const posix = parsePosix(scanner, flags);
    if (posix !== null) {
      parts.addSet(posix);
      return;
    }
    if (/^\[[:.=]/.test(scanner.rest)) scanner.refuse('this POSIX class is not known');
  }
  const first = parseAtom(scanner, flags);
  const isRange = scanner.char === '-' && first.type === 'char';
  const after = scanner.source.charAt(scanner.at + 1);
  if (!isRange || after === ']' || after === '' || scanner.source.startsWith('-[:', scanner.at)) {
    addAtom(parts, first);
    return;
  }
  scanner.next();
  const last = parseAtom(scanner, flags);
  if (last.type === 'char') addRange(scanner, parts, first, last);
  else {
    addAtom(parts, first);
    parts.addRange(0x2d, 0x2d);
    addAtom(parts, last);
  }
}

function parseAtom(scanner: Scanner, flags: Flags): Atom {
  if (scanner.char === '\\') return parseEscape(scanner, flags, true);
  const code = scanner.next().codePointAt(0) ?? 0;
  if (isAsciiOnly(flags) && code > 0x7f) scanner.refuse('a class without flag u takes bytes');
  return { type: 'char', code };
}

function addAtom(parts: Parts, atom: Atom): void {
  if (atom.type === 'char') parts.addRange(atom.code, atom.code);
  else if (atom.type === 'set') parts.addSet(atom.set);
}

function addRange(scanner: Scanner, parts: Parts, first: Atom, last: Atom): void {
  if (first.type !== 'char' || last.type !== 'char') {
    scanner.refuse('a class such as \\w cannot begin or end a range; write \\-');
  } else if (first.code > last.code) {
    scanner.refuse('a range ends before it begins');
  } else parts.addRange(first.code, last.code);
}
