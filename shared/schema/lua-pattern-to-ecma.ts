/** Lua patterns of the definitions as ECMAScript regexes, for whoever checks values outside (JSON Schema). */
import { BEYOND_ASCII, type LuaPatternItem, parseLuaPattern } from './lua-pattern.ts';

/**
 * A regex, for the flag `u`, that matches the same texts; null where there is none: Lua counts bytes
 * and JSON Schema code points, so an item that takes exactly one letter beyond ASCII has no equal.
 */
export function luaPatternToEcma(pattern: string): string | null {
  const { anchoredStart, anchoredEnd, items } = parseLuaPattern(pattern);
  if (items.some(({ test, repeats }) => test(BEYOND_ASCII) && !repeats)) return null;
  const body = items.map((item) => classOf(item) + suffixOf(item)).join('');
  return `${anchoredStart ? '^' : ''}${body}${anchoredEnd ? '$' : ''}`;
}

function suffixOf({ optional, repeats }: LuaPatternItem): string {
  if (repeats) return optional ? '*' : '+';
  return optional ? '?' : '';
}

/** What the item takes, by asking it for every ASCII code. */
function classOf({ test }: LuaPatternItem): string {
  const takesBeyond = test(BEYOND_ASCII);
  const listed: number[] = [];
  for (let code = 0; code < BEYOND_ASCII; code++) if (test(code) !== takesBeyond) listed.push(code);
  const [only] = listed;
  if (only !== undefined && listed.length === 1 && !takesBeyond) {
    // Which the flag `u` does not want escaped outside of brackets.
    return only === HYPHEN ? '-' : literal(only);
  }
  if (listed.length === 0) return takesBeyond ? String.raw`[\s\S]` : '[]';
  return `[${takesBeyond ? '^' : ''}${rangesOf(listed)}]`;
}

/** Ascending codes as ranges. */
function rangesOf(codes: readonly number[]): string {
  let text = '';
  for (let start = 0; start < codes.length;) {
    let end = start;
    while (codes[end + 1] === (codes[end] ?? 0) + 1) end++;
    const low = codes[start] ?? 0;
    const high = codes[end] ?? 0;
    if (high === low) text += literal(low);
    else text += `${literal(low)}${high - low > 1 ? '-' : ''}${literal(high)}`;
    start = end + 1;
  }
  return text;
}

const HYPHEN = 0x2d;

/** One letter, inside of brackets. */
function literal(code: number): string {
  if (code < 0x20 || code === 0x7f) return String.raw`\x${code.toString(16).padStart(2, '0')}`;
  const letter = String.fromCharCode(code);
  return /[\\^$.*+?()[\]{}|-]/.test(letter) ? `\\${letter}` : letter;
}
