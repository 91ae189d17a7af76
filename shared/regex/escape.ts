/**
 * What follows a backslash.
 *
 * Source: regex-syntax 0.8 `ast/parse.rs` (parse_escape, parse_hex, parse_unicode_class); pcre2pattern(3).
 */
import { CharSet } from './char-set.ts';
import { isAsciiOnly } from './dialect.ts';
import type { Flags } from './dialect.ts';
import type { Scanner } from './scanner.ts';
import type { Look } from './tree.ts';
import { folded, perlClass, propertySet } from './unicode.ts';

export type Atom =
  | { readonly type: 'char'; readonly code: number }
  | { readonly type: 'set'; readonly set: CharSet }
  | { readonly type: 'look'; readonly look: Look };

const SPECIAL: ReadonlyMap<string, number> = new Map([
  ['a', 0x07],
  ['f', 0x0c],
  ['t', 0x09],
  ['n', 0x0a],
  ['r', 0x0d],
  ['v', 0x0b],
]);

const HORIZONTAL = CharSet.of([
  0x09, 0x09, 0x20, 0x20, 0xa0, 0xa0, 0x1680, 0x1680, 0x180e, 0x180e, 0x2000, 0x200a, 0x202f,
  0x202f, 0x205f, 0x205f, 0x3000, 0x3000,
]);
const VERTICAL = CharSet.of([0x0a, 0x0d, 0x85, 0x85, 0x2028, 0x2029]);
const NEWLINE = CharSet.char(0x0a);

const WORD_LOOK = /\{(start|end|start-half|end-half)\}/y;
const DIGITS: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 };
const HEX_BRACE = /\{([^}]*)\}/y;
const BRACED = /\{([^}]*)\}/y;
const OCTAL = /[0-7]{0,2}/y;

/** At a backslash; past the escape afterwards. */
export function parseEscape(scanner: Scanner, flags: Flags, isInClass: boolean): Atom {
  const start = scanner.at;
  scanner.next();
  if (scanner.isAtEnd) scanner.refuse('a backslash escapes nothing');
  const letter = scanner.next();
  const lower = letter.toLowerCase();
  if (lower === 'd' || lower === 's' || lower === 'w') {
    return perl(scanner, flags, lower, letter !== lower);
  }
  if (lower === 'p') return { type: 'set', set: property(scanner, flags, letter === 'P') };
  if (letter === 'x' || (flags.dialect === 'rust' && lower === 'u')) {
    return { type: 'char', code: codePoint(scanner, flags, letter) };
  }
  const own =
    flags.dialect === 'rust'
      ? rustEscape(scanner, flags, letter)
      : pcreEscape(scanner, letter, isInClass);
  const special = SPECIAL.get(letter);
  const atom = own ?? (special === undefined ? null : { type: 'char' as const, code: special });
  if (atom === null) {
    scanner.at = start;
    return scanner.refuse(`\\${letter} is not supported`);
  }
  if (atom.type === 'look' && isInClass) scanner.refuse(`\\${letter} is no character of a class`);
  return atom;
}

function perl(scanner: Scanner, flags: Flags, name: 'd' | 's' | 'w', isNegated: boolean): Atom {
  if (isNegated && isAsciiOnly(flags)) {
    scanner.refuse(`\\${name.toUpperCase()} without flag u takes bytes`);
  }
  return { type: 'set', set: perlClass(name, flags.isUnicode, isNegated) };
}

/** Letters of Rust's own, and anything that is no letter. */
function rustEscape(scanner: Scanner, flags: Flags, letter: string): Atom | null {
  if (/[0-9]/.test(letter)) return scanner.refuse('back-references are not supported');
  const kind = flags.isUnicode ? 'unicode' : 'ascii';
  switch (letter) {
    case 'A':
      return { type: 'look', look: 'text-start' };
    case 'z':
      return { type: 'look', look: 'text-end' };
    case 'b': {
      const special = scanner.match(WORD_LOOK)?.[1];
      if (special === undefined && /^\{[A-Za-z-]/.test(scanner.rest)) {
        scanner.refuse('after \\b comes {start}, {end}, {start-half} or {end-half}');
      }
      // The pattern admits nothing else.
      const name = special as 'start' | 'end' | 'start-half' | 'end-half' | undefined;
      return {
        type: 'look',
        look: name === undefined ? `${kind}-boundary` : `${kind}-word-${name}`,
      };
    }
    case 'B':
      return { type: 'look', look: `${kind}-not-boundary` };
    case '<':
      return { type: 'look', look: `${kind}-word-start` };
    case '>':
      return { type: 'look', look: `${kind}-word-end` };
    default:
      return /^[\0-/:-@[-`{-\x7f]$/.test(letter) ? char(letter) : null;
  }
}

function pcreEscape(scanner: Scanner, letter: string, isInClass: boolean): Atom | null {
  if (letter === '0') {
    const digits = scanner.match(OCTAL)?.[0] ?? '';
    return { type: 'char', code: Number.parseInt(`0${digits}`, 8) };
  }
  if (/[1-9gk]/.test(letter)) return scanner.refuse('back-references are not supported');
  switch (letter) {
    case 'A':
      return { type: 'look', look: 'text-start' };
    case 'z':
      return { type: 'look', look: 'text-end' };
    case 'b':
      return isInClass ? { type: 'char', code: 0x08 } : { type: 'look', look: 'ascii-boundary' };
    case 'B':
      return { type: 'look', look: 'ascii-not-boundary' };
    case 'e':
      return { type: 'char', code: 0x1b };
    case 'h':
      return { type: 'set', set: HORIZONTAL };
    case 'H':
      return { type: 'set', set: HORIZONTAL.not() };
    case 'v':
      return { type: 'set', set: VERTICAL };
    case 'V':
      return { type: 'set', set: VERTICAL.not() };
    case 'N':
      return { type: 'set', set: NEWLINE.not() };
    default:
      return /^[A-Za-z]$/.test(letter) ? null : char(letter);
  }
}

function char(letter: string): Atom {
  return { type: 'char', code: letter.codePointAt(0) ?? 0 };
}

function codePoint(scanner: Scanner, flags: Flags, kind: string): number {
  scanner.skipSpace();
  const braced = scanner.match(HEX_BRACE)?.[1] ?? null;
  let digits = braced ?? '';
  if (braced === null) {
    const length = DIGITS[kind] ?? 0;
    while (digits.length < length && !scanner.isAtEnd) digits += scanner.nextPastSpace();
    if (digits.length < length) digits = '';
  } else if (scanner.isExtended) digits = digits.replaceAll(/\p{White_Space}/gu, '');
  const code = /^[0-9A-Fa-f]{1,16}$/.test(digits) ? Number.parseInt(digits, 16) : -1;
  if (code < 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
    scanner.refuse(`\\${kind} is followed by no code point`);
  }
  if (isAsciiOnly(flags) && kind === 'x' && braced === null && code > 0x7f) {
    scanner.refuse('\\x without flag u is a byte');
  }
  return code;
}

function property(scanner: Scanner, flags: Flags, isNegated: boolean): CharSet {
  if (isAsciiOnly(flags)) scanner.refuse('\\p needs flag u');
  const braced = scanner.match(BRACED)?.[1];
  let name = braced ?? scanner.next();
  if (scanner.isExtended) name = name.replaceAll(/\p{White_Space}/gu, '');
  // `\p{^…}` is PCRE's.
  const isInverted = flags.dialect === 'pcre' && name.startsWith('^');
  const plain = isInverted ? name.slice(1) : name;
  const set = propertySet(plain);
  if (set === null) return scanner.refuse(`\\p{${name}} is not known`);
  const all = flags.ignoresCase ? folded(set, true) : set;
  const isDifferent = plain.includes('!=');
  return [isNegated, isInverted, isDifferent].filter(Boolean).length % 2 === 1 ? all.not() : all;
}
