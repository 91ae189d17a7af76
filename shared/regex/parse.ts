/**
 * From a pattern to its tree.
 *
 * Source: regex-syntax 0.8 `ast/parse.rs`, `hir/translate.rs`; pcre2pattern(3).
 */
import { ANY, CharSet } from './char-set.ts';
import { parseClass } from './class.ts';
import { initialFlags, isAsciiOnly } from './dialect.ts';
import type { Dialect, Flags } from './dialect.ts';
import { parseEscape } from './escape.ts';
import { RegexRefusal } from './refusal.ts';
import { Scanner } from './scanner.ts';
import { alternate, childrenOf, concat, EMPTY } from './tree.ts';
import type { Look, RegexNode, RegexTree } from './tree.ts';
import { folded } from './unicode.ts';

/** Nodes within each other; Rust's own limit. */
const DEPTH_MAX = 250;
/** Largest count of a repetition; no engine has the room for more. */
export const REPEAT_MAX = 1000;
const GROUPS_MAX = 200;

const LF = CharSet.char(0x0a);
const CRLF = CharSet.of([0x0a, 0x0a, 0x0d, 0x0d]);
const COUNT = /\{\d+(?:,\d*)?\}/y;
const NUMBER = /\d*/y;
const NAME = /([^>]*)>/y;
const PCRE_NAME = /'([^']*)'/y;
const NAME_TEXT = /^[_\p{Alphabetic}][_.[\]\p{Alphabetic}\p{N}]*$/u;

/** Throws `RegexRefusal`. */
export function parseRegex(source: string, dialect: Dialect, ignoresCase: boolean): RegexTree {
  if (!source.isWellFormed()) throw new RegexRefusal('not well-formed Unicode');
  return new Parser(source, initialFlags(dialect, ignoresCase)).run();
}

class Parser {
  readonly #scanner: Scanner;
  #flags: Flags;
  #depth = 0;
  #groupCount = 0;
  readonly #names = new Map<string, number>();

  constructor(source: string, flags: Flags) {
    this.#scanner = new Scanner(source);
    this.#flags = flags;
  }

  run(): RegexTree {
    const root = this.#alternatives();
    if (!this.#scanner.isAtEnd) this.#scanner.refuse('unexpected )');
    assertDepth(root);
    return { root, groupCount: this.#groupCount, names: [...this.#names] };
  }

  /** Up to the end or a closing bracket. */
  #alternatives(): RegexNode {
    const scanner = this.#scanner;
    const all: RegexNode[] = [];
    let sequence: RegexNode[] = [];
    for (;;) {
      scanner.skipSpace();
      if (scanner.isAtEnd || scanner.char === ')') break;
      if (scanner.take('|')) {
        all.push(joined(sequence));
        sequence = [];
        continue;
      }
      const node = this.#item(sequence);
      if (node !== null) sequence.push(node);
    }
    all.push(joined(sequence));
    return alternate(all);
  }

  /** The next of a sequence; null when it says nothing by itself, or replaces the last. */
  #item(sequence: RegexNode[]): RegexNode | null {
    const scanner = this.#scanner;
    switch (scanner.char) {
      case '(':
        return this.#group();
      case '[':
        return this.#set(parseClass(scanner, this.#flags));
      case '*':
      case '+':
      case '?':
        return this.#repetition(sequence);
      case '{':
        if (this.#flags.dialect === 'rust' || this.#isCount()) return this.#counted(sequence);
        return this.#literal();
      case '\\':
        return this.#escape(sequence);
      case '.':
        return this.#dot();
      case '^':
        scanner.next();
        return { type: 'look', look: this.#lineLook('start') };
      case '$':
        scanner.next();
        return { type: 'look', look: this.#lineLook('end') };
      default:
        return this.#literal();
    }
  }

  #isCount(): boolean {
    COUNT.lastIndex = this.#scanner.at;
    return COUNT.test(this.#scanner.source);
  }

  #literal(): RegexNode {
    return this.#char(this.#scanner.next().codePointAt(0) ?? 0);
  }

  #char(code: number): RegexNode {
    const { ignoresCase, isUnicode } = this.#flags;
    const set = CharSet.char(code);
    return this.#set(ignoresCase ? folded(set, isUnicode) : set);
  }

  #set(set: CharSet): RegexNode {
    this.#scanner.spend(set);
    return { type: 'set', set };
  }

  #escape(sequence: RegexNode[]): RegexNode | null {
    if (this.#flags.dialect === 'pcre' && this.#scanner.take('\\Q')) return this.#quoted(sequence);
    const atom = parseEscape(this.#scanner, this.#flags, false);
    if (atom.type === 'char') return this.#char(atom.code);
    return atom.type === 'set' ? this.#set(atom.set) : atom;
  }

  /** `\Q…\E`: letters, of which a repetition takes the last. */
  #quoted(sequence: RegexNode[]): null {
    const { source, at } = this.#scanner;
    const end = source.indexOf('\\E', at);
    const text = source.slice(at, end < 0 ? source.length : end);
    this.#scanner.at = end < 0 ? source.length : end + 2;
    for (const letter of text) sequence.push(this.#char(letter.codePointAt(0) ?? 0));
    return null;
  }

  #dot(): RegexNode {
    if (isAsciiOnly(this.#flags)) this.#scanner.refuse('. without flag u takes bytes');
    this.#scanner.next();
    const { dotTakesAll, isCrlf } = this.#flags;
    return this.#set(dotTakesAll ? ANY : (isCrlf ? CRLF : LF).not());
  }

  #lineLook(end: 'start' | 'end'): Look {
    const { isMultiLine, isCrlf } = this.#flags;
    if (!isMultiLine) return `text-${end}`;
    return isCrlf ? `crlf-line-${end}` : `line-${end}`;
  }

  #repetition(sequence: RegexNode[]): RegexNode | null {
    const sign = this.#scanner.char;
    const node = this.#repeated(sequence);
    this.#scanner.next();
    return this.#repeat(node, sign === '+' ? 1 : 0, sign === '?' ? 1 : Infinity);
  }

  #counted(sequence: RegexNode[]): RegexNode | null {
    const scanner = this.#scanner;
    const node = this.#repeated(sequence);
    scanner.nextPastSpace();
    const min = this.#count();
    let max = min;
    if (scanner.take(',')) {
      scanner.skipSpace();
      max = scanner.char === '}' ? Infinity : this.#count();
    }
    if (scanner.char !== '}') {
      scanner.refuse('a repetition is {2}, {2,} or {2,5}; write \\{ for a brace');
    }
    scanner.nextPastSpace();
    if (max < min) scanner.refuse('a repetition ends below its beginning');
    return this.#repeat(node, min, max);
  }

  #count(): number {
    this.#scanner.skipAnySpace();
    const digits = this.#scanner.match(NUMBER)?.[0] ?? '';
    this.#scanner.skipAnySpace();
    if (digits === '') {
      this.#scanner.refuse('a repetition is {2}, {2,} or {2,5}; write \\{ for a brace');
    }
    const count = Number(digits);
    if (count > REPEAT_MAX) this.#scanner.refuse(`a repetition counts beyond ${REPEAT_MAX}`);
    return count;
  }

  /** What is repeated: the last of the sequence, which it leaves. */
  #repeated(sequence: RegexNode[]): RegexNode {
    const node = sequence.pop();
    if (node === undefined || node === FLAGS_ONLY) {
      return this.#scanner.refuse(`${this.#scanner.char} repeats nothing`);
    }
    return node;
  }

  #repeat(node: RegexNode, min: number, max: number): RegexNode {
    const scanner = this.#scanner;
    const isSwapped = scanner.take('?');
    if (this.#flags.dialect === 'pcre' && scanner.char === '+') {
      scanner.refuse('possessive repetitions are not supported');
    }
    return { type: 'repeat', node, min, max, isGreedy: isSwapped === this.#flags.isLazy };
  }

  #group(): RegexNode | null {
    const scanner = this.#scanner;
    const start = scanner.at;
    scanner.nextPastSpace();
    if (/^\?<?[=!]/.test(scanner.rest)) scanner.refuse('look-around is not supported');
    if (this.#flags.dialect === 'pcre' && scanner.take('?#')) return this.#comment();
    const name = this.#name();
    if (name !== null || !scanner.take('?')) return this.#capture(name);
    const flags = this.#readFlags();
    if (scanner.take(')')) {
      if (scanner.source.slice(start, scanner.at) === '(?)') scanner.refuse('? repeats nothing');
      this.#setFlags(flags);
      // Stands in the sequence so that what follows cannot repeat what is before it.
      return FLAGS_ONLY;
    }
    scanner.next();
    return this.#within(() => {
      this.#setFlags(flags);
      return this.#alternatives();
    });
  }

  #comment(): null {
    const { source, at } = this.#scanner;
    const end = source.indexOf(')', at);
    if (end < 0) this.#scanner.refuse('a comment has no )');
    this.#scanner.at = end + 1;
    return null;
  }

  /** The name of a group; null when it has none. */
  #name(): string | null {
    const scanner = this.#scanner;
    const isPcre = this.#flags.dialect === 'pcre';
    const { at } = scanner;
    let name: string | undefined;
    if (scanner.take('?P<') || scanner.take('?<')) name = scanner.match(NAME)?.[1];
    else if (isPcre && scanner.take('?') && scanner.char === "'") {
      name = scanner.match(PCRE_NAME)?.[1];
    } else {
      scanner.at = at;
      return null;
    }
    if (name === undefined || !NAME_TEXT.test(name)) {
      return scanner.refuse('a group has a name of letters, digits and _');
    }
    if (this.#names.has(name)) scanner.refuse(`there are two groups called ${name}`);
    return name;
  }

  #capture(name: string | null): RegexNode {
    this.#groupCount += 1;
    if (this.#groupCount > GROUPS_MAX) this.#scanner.refuse(`more than ${GROUPS_MAX} groups`);
    const index = this.#groupCount;
    if (name !== null) this.#names.set(name, index);
    return { type: 'group', index, node: this.#within(() => this.#alternatives()) };
  }

  /** A bracket's contents and its end; flags set within end there. */
  #within(read: () => RegexNode): RegexNode {
    const scanner = this.#scanner;
    const flags = this.#flags;
    const { isExtended } = scanner;
    this.#depth += 1;
    if (this.#depth > DEPTH_MAX) scanner.refuse(`brackets go deeper than ${DEPTH_MAX}`);
    const node = read();
    this.#depth -= 1;
    this.#flags = flags;
    scanner.isExtended = isExtended;
    if (!scanner.take(')')) scanner.refuse('missing closing )');
    return node;
  }

  /** At what follows `(?`; at `:` or `)` afterwards. */
  #readFlags(): ReadonlyMap<string, boolean> {
    const scanner = this.#scanner;
    const known = this.#flags.dialect === 'rust' ? 'imsUuRx' : 'imsUx';
    const flags = new Map<string, boolean>();
    let isOn = true;
    let isDangling = false;
    while (scanner.char !== ':' && scanner.char !== ')') {
      const letter = scanner.next();
      if (letter === '-') {
        if (!isOn) scanner.refuse('flags are negated twice');
        isOn = false;
        isDangling = true;
        continue;
      }
      if (letter === '' || !known.includes(letter)) {
        scanner.refuse(`unsupported group (?${letter}`);
      }
      if (flags.has(letter)) scanner.refuse(`flag ${letter} is given twice`);
      flags.set(letter, isOn);
      isDangling = false;
    }
    if (isDangling) scanner.refuse('- negates no flag');
    return flags;
  }

  #setFlags(changes: ReadonlyMap<string, boolean>): void {
    const { dialect, ...now } = this.#flags;
    this.#flags = {
      dialect,
      ignoresCase: changes.get('i') ?? now.ignoresCase,
      isMultiLine: changes.get('m') ?? now.isMultiLine,
      dotTakesAll: changes.get('s') ?? now.dotTakesAll,
      isLazy: changes.get('U') ?? now.isLazy,
      isUnicode: changes.get('u') ?? now.isUnicode,
      isCrlf: changes.get('R') ?? now.isCrlf,
    };
    this.#scanner.isExtended = changes.get('x') ?? this.#scanner.isExtended;
  }
}

/** What `(?i)` leaves behind. Known by identity. */
const FLAGS_ONLY: RegexNode = { ...EMPTY };

function joined(sequence: readonly RegexNode[]): RegexNode {
  return concat(sequence.filter((node) => node !== FLAGS_ONLY));
}

/** What walks a tree later calls itself; this does not. */
function assertDepth(root: RegexNode): void {
  let level: readonly RegexNode[] = [root];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > DEPTH_MAX) throw new RegexRefusal(`nests deeper than ${DEPTH_MAX}`);
    level = level.flatMap(childrenOf);
  }
}
