/** Characters by property and by case, as Rust's `regex` crate knows them. */
import { ANY, CharSet, nativeClass } from './char-set.ts';
import { DIGIT_RANGES, WORD_RANGES } from './unicode-tables.ts';

/** `[[:name:]]`. Source: regex-syntax `hir/translate.rs`, ascii_class. */
const POSIX: ReadonlyMap<string, readonly number[]> = new Map([
  ['alnum', [0x30, 0x39, 0x41, 0x5a, 0x61, 0x7a]],
  ['alpha', [0x41, 0x5a, 0x61, 0x7a]],
  ['ascii', [0x00, 0x7f]],
  ['blank', [0x09, 0x09, 0x20, 0x20]],
  ['cntrl', [0x00, 0x1f, 0x7f, 0x7f]],
  ['digit', [0x30, 0x39]],
  ['graph', [0x21, 0x7e]],
  ['lower', [0x61, 0x7a]],
  ['print', [0x20, 0x7e]],
  ['punct', [0x21, 0x2f, 0x3a, 0x40, 0x5b, 0x60, 0x7b, 0x7e]],
  ['space', [0x09, 0x0d, 0x20, 0x20]],
  ['upper', [0x41, 0x5a]],
  ['word', [0x30, 0x39, 0x41, 0x5a, 0x5f, 0x5f, 0x61, 0x7a]],
  ['xdigit', [0x30, 0x39, 0x41, 0x46, 0x61, 0x66]],
]);

export function posixClass(name: string): CharSet | null {
  const ranges = POSIX.get(name);
  return ranges === undefined ? null : CharSet.of(ranges);
}

const SPACES: readonly number[] = [
  0x9, 0xd, 0x20, 0x20, 0x85, 0x85, 0xa0, 0xa0, 0x1680, 0x1680, 0x2000, 0x200a, 0x2028, 0x2029,
  0x202f, 0x202f, 0x205f, 0x205f, 0x3000, 0x3000,
];

export type PerlClass = 'd' | 's' | 'w';

const perl = new Map<string, CharSet>();

/** `\d`, `\s`, `\w`; negated `\D`, `\S`, `\W`. */
export function perlClass(name: PerlClass, isUnicode: boolean, isNegated = false): CharSet {
  const key = `${isNegated ? '^' : ''}${name}${isUnicode ? '' : '-'}`;
  let set = perl.get(key);
  if (set === undefined) {
    if (isNegated) set = perlClass(name, isUnicode).not();
    else set = isUnicode ? unicodePerl(name) : asciiPerl(name);
    perl.set(key, set);
  }
  return set;
}

function unicodePerl(name: PerlClass): CharSet {
  if (name === 's') return CharSet.of(SPACES);
  const ranges = decoded(name === 'd' ? DIGIT_RANGES : WORD_RANGES);
  return CharSet.of(ranges, literalRanges(ranges));
}

function asciiPerl(name: PerlClass): CharSet {
  const set = posixClass({ d: 'digit', s: 'space', w: 'word' }[name]);
  return set ?? ANY;
}

/** Within brackets of a RegExp. V8 reads letters themselves several times faster than escapes. */
function literalRanges(ranges: readonly number[]): string {
  let body = '';
  for (let i = 0; i < ranges.length; i += 2) {
    // Neither table has a character that means something there.
    body += `${String.fromCodePoint(ranges[i] ?? 0)}-${String.fromCodePoint(ranges[i + 1] ?? 0)}`;
  }
  return body;
}

function decoded(table: string): number[] {
  let at = 0;
  return table.split(' ').map((distance) => {
    at += Number.parseInt(distance, 36);
    return at;
  });
}

/** Sets of properties that were asked for; there are only so many names. */
const properties = new Map<string, CharSet>();
const PROPERTIES_MAX = 512;

/**
 * `\p{…}`; null when it is unknown, or known to Rust alone (Age and the break properties).
 *
 * @param name  what stands between the braces, without `^`
 */
export function propertySet(name: string): CharSet | null {
  const known = properties.get(name);
  if (known !== undefined) return known;
  const native = nativeProperty(name);
  if (native === null) return null;
  const set = CharSet.of(scan(native), native);
  if (properties.size < PROPERTIES_MAX) properties.set(name, set);
  return set;
}

/** Long and short names of what may stand before `=`. */
const VALUED: ReadonlyMap<string, string> = new Map([
  ['gc', 'gc'],
  ['generalcategory', 'gc'],
  ['category', 'gc'],
  ['sc', 'sc'],
  ['script', 'sc'],
  ['scx', 'scx'],
  ['scriptextensions', 'scx'],
]);

/**
 * The name in the spelling of ECMAScript, which is strict where Rust is loose: there, case, `_`, `-`
 * and spaces do not matter.
 */
function nativeProperty(name: string): string | null {
  const parts = /^([^:=!]*)(?:!=|:|=)(.*)$/s.exec(name);
  const values = spellings(parts === null ? name : (parts[2] ?? ''));
  if (parts !== null) {
    const kind = VALUED.get((parts[1] ?? '').toLowerCase().replaceAll(/[_\s-]/g, ''));
    if (kind === undefined) return null;
    return firstKnown(values.map((value) => `${kind}=${value}`));
  }
  return firstKnown(values.flatMap((value) => [value, `sc=${value}`]));
}

function spellings(text: string): string[] {
  if (!/^[A-Za-z0-9_\- ]+$/.test(text)) return [];
  const words = text
    .replace(/^is[_\- ]?(?=[A-Z])/i, '')
    .replaceAll(/([a-z])([A-Z])/g, '$1_$2')
    .split(/[_\- ]+/)
    .filter((word) => word !== '');
  const titled = words.map((word) => word.slice(0, 1).toUpperCase() + word.slice(1).toLowerCase());
  return [text, titled.join('_'), titled.join(''), words.join('_').toUpperCase()];
}

function firstKnown(names: readonly string[]): string | null {
  for (const name of names) {
    const native = `\\p{${name}}`;
    try {
      // oxlint-disable-next-line no-new -- whether it compiles is all that is asked
      new RegExp(native, 'u');
      return native;
    } catch {
      continue;
    }
  }
  return null;
}

/** Planes with characters of their own; between them nothing is assigned. */
const PLANES: readonly (readonly [number, number])[] = [
  [0, 0xd7ff],
  [0xe000, 0x3ffff],
  [0xe0000, 0xe0fff],
];
const CHUNK = 0x2000;

/** Ranges of what a native class matches, by asking. Some ten milliseconds; results are kept. */
function scan(native: string): number[] {
  const run = new RegExp(`[${native}]+`, 'gu');
  const ranges: number[] = [];
  for (const [first, last] of PLANES) {
    for (let from = first; from <= last; from += CHUNK) {
      const codes: number[] = [];
      for (let code = from; code < from + CHUNK && code <= last; code += 1) codes.push(code);
      // At most 8192 arguments.
      const text = String.fromCodePoint(...codes);
      for (const match of text.matchAll(run)) {
        const low = match[0].codePointAt(0) ?? 0;
        ranges.push(low, low + countOf(match[0]) - 1);
      }
    }
  }
  // What is left is unassigned, all alike, or for private use, all alike.
  const one = new RegExp(`[${native}]`, 'u');
  if (one.test('\u{40000}')) {
    ranges.push(0x40000, 0xdffff, 0xe1000, 0xeffff, 0xffffe, 0xfffff, 0x10fffe, 0x10ffff);
  }
  if (one.test('\u{F0000}')) ranges.push(0xf0000, 0xffffd, 0x100000, 0x10fffd);
  return ranges;
}

function countOf(text: string): number {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}

const LETTER_K = 0x6b;
const KELVIN = 0x212a;
const LETTER_S = 0x73;
const LONG_S = 0x17f;

/** Characters whose case matters; made when first needed. */
let cased: string | null = null;

/**
 * The set with every other case of its characters (simple folding of Unicode's CaseFolding.txt).
 *
 * @param isUnicode  false: of ASCII letters only, and among themselves
 */
export function folded(set: CharSet, isUnicode: boolean): CharSet {
  const more: number[] = [];
  for (let low = 0x41; low <= 0x5a; low += 1) {
    const lower = low + 0x20;
    if (set.has(low) !== set.has(lower)) more.push(low, low, lower, lower);
  }
  if (!isUnicode) return more.length === 0 ? set : set.or(CharSet.of(more));
  if (set.isAscii) {
    if (set.has(LETTER_K) || set.has(LETTER_K - 0x20)) more.push(KELVIN, KELVIN);
    if (set.has(LETTER_S) || set.has(LETTER_S - 0x20)) more.push(LONG_S, LONG_S);
    return more.length === 0 ? set : set.or(CharSet.of(more));
  }
  cased ??= casedCharacters();
  // With `v` a negated class of ours would be folded after negation; there is none.
  const matches = cased.matchAll(new RegExp(nativeClass(set), 'giu'));
  for (const [char] of matches) {
    const code = char.codePointAt(0) ?? 0;
    more.push(code, code);
  }
  return more.length === 0 ? set : set.or(CharSet.of(more));
}

function casedCharacters(): string {
  const ranges = scan(String.raw`\p{Changes_When_Casemapped}\p{Changes_When_Casefolded}`);
  let text = '';
  for (let i = 0; i < ranges.length; i += 2) {
    for (let code = ranges[i] ?? 0; code <= (ranges[i + 1] ?? 0); code += 1) {
      text += String.fromCodePoint(code);
    }
  }
  return text;
}
