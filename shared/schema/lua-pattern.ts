/**
 * Lua patterns, as Kong's schemas use them, as predicates over a text.
 *
 * Matching is by a set of states moved over the text once, so it takes time linear in the text: a
 * backtracking engine (Lua's own, or RegExp) is quadratic on patterns such as `^[^*]*%*?[^*]*$`, and
 * the texts come from clients. Captures do not matter for a yes or no and are skipped; `%b`, `%f` and
 * back-references are refused. Letters beyond ASCII are members of no class, as in Lua's C locale.
 *
 * Source: Lua 5.1 Reference Manual, section 5.4.1.
 */
import { assert } from '../base/assert.ts';

type CharTest = (code: number) => boolean;

/** One position of a pattern. */
export interface LuaPatternItem {
  readonly test: CharTest;
  /** May be passed over. */
  readonly optional: boolean;
  /** May stay in place after a match. */
  readonly repeats: boolean;
}

export interface ParsedLuaPattern {
  readonly anchoredStart: boolean;
  readonly anchoredEnd: boolean;
  readonly items: readonly LuaPatternItem[];
}

/** Stands for all codes beyond ASCII: no pattern tells them apart. */
export const BEYOND_ASCII = 128;

/** States are bits of one number. */
const ITEMS_MAX = 30;

/**
 * Compiles a pattern of a definition.
 *
 * @throws AssertionError for a pattern that is malformed or uses what is not supported: a bug in a
 * definition, never bad input
 */
export function compileLuaPattern(pattern: string): (text: string) => boolean {
  const { anchoredStart, anchoredEnd, items } = parseLuaPattern(pattern);
  assert(items.length <= ITEMS_MAX, `Lua pattern is too long: ${pattern}`);
  const program = assemble(items);
  return (text) => matches(program, anchoredStart, anchoredEnd, text);
}

/** @throws AssertionError as `compileLuaPattern` */
export function parseLuaPattern(pattern: string): ParsedLuaPattern {
  // Codes from 128 up share one entry of the tables.
  assert(!/[^\x20-\x7e]/.test(pattern), `Lua pattern is not printable ASCII: ${pattern}`);
  const anchoredStart = pattern.startsWith('^');
  const reader = { pattern, at: anchoredStart ? 1 : 0 };
  const items: LuaPatternItem[] = [];
  let anchoredEnd = false;
  while (reader.at < pattern.length) {
    const letter = pattern[reader.at];
    if (letter === '$' && reader.at === pattern.length - 1) {
      anchoredEnd = true;
      reader.at++;
    } else if (letter === '(' || letter === ')') {
      reader.at++;
    } else {
      items.push(readItem(reader));
    }
  }
  return { anchoredStart, anchoredEnd, items };
}

interface Reader {
  readonly pattern: string;
  at: number;
}

function readItem(reader: Reader): LuaPatternItem {
  const test = readChar(reader);
  const suffix = reader.pattern[reader.at];
  if (suffix === '*' || suffix === '-') {
    reader.at++;
    return { test, optional: true, repeats: true };
  }
  if (suffix === '+') {
    reader.at++;
    return { test, optional: false, repeats: true };
  }
  if (suffix === '?') {
    reader.at++;
    return { test, optional: true, repeats: false };
  }
  return { test, optional: false, repeats: false };
}

function readChar(reader: Reader): CharTest {
  const letter = reader.pattern[reader.at++];
  if (letter === '.') return () => true;
  if (letter === '%') return readEscape(reader);
  if (letter === '[') return readSet(reader);
  assert(letter !== undefined, `Lua pattern ends early: ${reader.pattern}`);
  const code = letter.charCodeAt(0);
  return (other) => other === code;
}

function readEscape(reader: Reader): CharTest {
  const letter = reader.pattern[reader.at++];
  assert(letter !== undefined, `Lua pattern ends with %: ${reader.pattern}`);
  const lower = letter.toLowerCase();
  const member = CLASSES.get(lower);
  if (member !== undefined) return letter === lower ? member : (code) => !member(code);
  assert(!/[a-zA-Z0-9]/.test(letter), `Lua pattern item %${letter} is not supported`);
  const code = letter.charCodeAt(0);
  return (other) => other === code;
}

function readSet(reader: Reader): CharTest {
  const { pattern } = reader;
  const isComplement = pattern[reader.at] === '^';
  if (isComplement) reader.at++;
  const members: CharTest[] = [];
  const start = reader.at;
  while (pattern[reader.at] !== ']' || reader.at === start) {
    assert(reader.at < pattern.length, `Lua pattern has an open set: ${pattern}`);
    members.push(readSetMember(reader));
  }
  reader.at++;
  return (code) => members.some((member) => member(code)) !== isComplement;
}

function readSetMember(reader: Reader): CharTest {
  const { pattern } = reader;
  if (pattern[reader.at] === '%') {
    reader.at++;
    return readEscape(reader);
  }
  const low = pattern.charCodeAt(reader.at++);
  if (pattern[reader.at] === '-' && pattern[reader.at + 1] !== ']') {
    const high = pattern.charCodeAt(reader.at + 1);
    reader.at += 2;
    return (code) => code >= low && code <= high;
  }
  return (code) => code === low;
}

function isBetween(low: string, high: string): CharTest {
  const from = low.charCodeAt(0);
  const to = high.charCodeAt(0);
  return (code) => code >= from && code <= to;
}

const isUpper = isBetween('A', 'Z');
const isLower = isBetween('a', 'z');
const isDigit = isBetween('0', '9');
const isLetter: CharTest = (code) => isUpper(code) || isLower(code);
const isWord: CharTest = (code) => isLetter(code) || isDigit(code);

const CLASSES: ReadonlyMap<string, CharTest> = new Map<string, CharTest>([
  ['a', isLetter],
  ['c', (code) => code < 32 || code === 127],
  ['d', isDigit],
  ['l', isLower],
  ['p', (code) => code > 32 && code < 127 && !isWord(code)],
  ['s', (code) => code === 32 || (code >= 9 && code <= 13)],
  ['u', isUpper],
  ['w', isWord],
  ['x', (code) => isDigit(code) || /[a-fA-F]/.test(String.fromCharCode(code))],
]);

/** The items as masks: bit `i` stands for item `i`, and for "the items before `i` have matched". */
interface Program {
  /** Items that take a character, by its code; the last entry is for all codes beyond ASCII. */
  readonly takers: Uint32Array;
  readonly optional: number;
  readonly repeats: number;
  readonly accepted: number;
}

function assemble(items: readonly LuaPatternItem[]): Program {
  const takers = new Uint32Array(BEYOND_ASCII + 1);
  let optional = 0;
  let repeats = 0;
  for (const [index, item] of items.entries()) {
    const bit = 1 << index;
    if (item.optional) optional |= bit;
    if (item.repeats) repeats |= bit;
    for (let code = 0; code <= BEYOND_ASCII; code++) {
      if (item.test(code)) takers[code] = (takers[code] ?? 0) | bit;
    }
  }
  return { takers, optional, repeats, accepted: 1 << items.length };
}

/** Adds the states reachable by passing over optional items. */
function skipOptional(program: Program, states: number): number {
  let reached = states;
  for (;;) {
    const next = reached | ((reached & program.optional) << 1);
    if (next === reached) return reached;
    reached = next;
  }
}

function matches(
  program: Program,
  anchoredStart: boolean,
  anchoredEnd: boolean,
  text: string,
): boolean {
  const { takers, repeats, accepted } = program;
  const initial = skipOptional(program, 1);
  let states = initial;
  for (let at = 0; at < text.length; at++) {
    if (!anchoredEnd && (states & accepted) !== 0) return true;
    if (states === 0) return false;
    const code = Math.min(text.charCodeAt(at), BEYOND_ASCII);
    const taken = states & (takers[code] ?? 0);
    states = skipOptional(program, (taken << 1) | (taken & repeats));
    if (!anchoredStart) states |= initial;
  }
  return (states & accepted) !== 0;
}
