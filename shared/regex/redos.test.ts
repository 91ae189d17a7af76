/**
 * Patterns that stall backtracking engines, each with a text that does it. Whichever engine gets them,
 * the work grows with the text and no faster.
 */
import { describe, expect, it } from 'vitest';
import { parseRegex } from './parse.ts';
import { countSteps } from './random-tree.suite.ts';
import {
  compileExpressionRegex,
  compileHeaderRegex,
  compileRouteRegex,
  compileSearchRegex,
} from './regex.ts';
import type { LinearRegex } from './regex.ts';
import { STEPS_MAX } from './safety.ts';

/** Pattern, what the text repeats, how it ends. Shapes as in the literature on ReDoS and in CVEs. */
type Attack = readonly [pattern: string, pump: string, end: string];

/** Inner loops, in loops of all kinds, with what they loop over. */
const INNER: readonly (readonly [string, string])[] = [
  ['a+', 'a'],
  ['a*', 'a'],
  ['a|a', 'a'],
  ['a|aa', 'a'],
  ['a?', 'a'],
  ['[a-z]+', 'a'],
  [String.raw`\w+`, 'a'],
  [String.raw`\d+`, '1'],
  [String.raw`\s+`, ' '],
  ['.+', 'a'],
  ['[^/]+', 'a'],
  ['ab|a|b', 'ab'],
  ['[ab]+|b', 'ab'],
  ['a{1,5}', 'a'],
  ['(a+)+', 'a'],
];
const OUTER = [
  '(INNER)+$',
  '(INNER)*!',
  '(?:INNER){2,}b$',
  '((INNER)+)+x',
  '(INNER)+(INNER)+=',
  '(?:INNER|c)*z',
];

const SINGLE: readonly Attack[] = [
  ['.*.*=.*', 'a', ''],
  ['.*a.*a.*a.*z', 'a', ''],
  ['x*x*x*y', 'x', ''],
  ['x*y', 'x', ''],
  ['[0-9]+,', '1', ''],
  [String.raw`\s+$`, ' ', 'x'],
  [String.raw`^\s+|\s+$`, ' ', 'x'],
  [String.raw`^(\w+\s?)*$`, 'a', '!'],
  [
    String.raw`^([a-zA-Z0-9])(([\-.]|[_]+)?([a-zA-Z0-9]+))*(@){1}[a-z0-9]+[.]{1}(([a-z]{2,3})|([a-z]{2,3}[.]{1}[a-z]{2,3}))$`,
    'a',
    '!',
  ],
  [String.raw`^(([a-z])+.)+[A-Z]([a-z])+$`, 'a', ''],
  [String.raw`^(?:[a-z0-9]+[-.]?)+$`, 'a', '!'],
  [String.raw`^[\s\u200c]+|[\s\u200c]+$`, ' ', 'x'],
  [String.raw`(?:\.|[^,])*,(?:\.|[^,])*;`, '.', ''],
  [String.raw`(.*)(.*)(.*)(.*)(.*)(.*)x`, 'a', ''],
  [String.raw`(?i)(?:s|ſ|S)+$`, 's', '!'],
  [String.raw`<!--(.|\s)*?-->`, '<!-- ', ''],
  [String.raw`"(?:[^"\\]|\\.)*"`, '"\\', ''],
  [String.raw`^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.|$))*x`, '1.', ''],
  [String.raw`/(?:[^/]+/)*[^/]*\.php$`, '/a', ''],
  [String.raw`/([^/]*/)*$`, '/', '!'],
  [String.raw`(?:[^/]*/?)*x`, '/a', '!'],
  [String.raw`(a|b|ab)*c`, 'ab', ''],
  [String.raw`(?:a?){24}a{24}$`, 'a', '!'],
  [String.raw`(\b\w+\b\s*)+$`, 'a ', '!'],
  [String.raw`(\w+\b)*\b{start}x`, 'a', ''],
  [String.raw`(?mR:^(a+)+$)+x`, 'a', ''],
  [String.raw`([\w.-]+)+@x`, 'a.', ''],
  [String.raw`^(([^=&]+)=([^=&]*)&?)*$`, 'a=b&', '!='],
  [String.raw`(?:\w|_)+!`, '_', ''],
  [String.raw`\p{L}*\p{Lu}*\d`, 'A', ''],
  [String.raw`(?:é|\x{e9})+$`, 'é', '!'],
];

function attacks(): Attack[] {
  const all: Attack[] = [...SINGLE];
  for (const outer of OUTER) {
    for (const [inner, pump] of INNER) {
      all.push(
        [outer.replaceAll('INNER', inner), pump, '!'],
        [`^${outer.replaceAll('INNER', inner)}`, pump, '!\n'],
      );
    }
  }
  return all;
}

const COMPILERS = [
  ['route', compileRouteRegex],
  ['header', compileHeaderRegex],
  ['expression', (source: string) => compileExpressionRegex(source, false)],
  ['plugin', compileSearchRegex],
] as const;

const LENGTH = 8192;
/** Quadratic would be some 100 ms, exponential for ever. */
const WORST_MAX_MS = 60;

function textOf([, pump, end]: Attack, length: number): string {
  return pump.repeat(Math.ceil(length / pump.length)) + end;
}

/** The least of several runs: what the work takes, whatever else the machine does. */
function milliseconds(regex: LinearRegex, text: string, runs: number): number {
  let least = Infinity;
  for (let run = 0; run < runs; run += 1) {
    const startedAt = performance.now();
    regex.test(text);
    regex.matchStart(text);
    regex.search(text);
    least = Math.min(least, performance.now() - startedAt);
  }
  return least;
}

describe('patterns that stall backtracking engines', () => {
  const all = attacks();

  it('are two hundred', () => {
    expect(new Set(all.map(([pattern]) => pattern)).size).toBeGreaterThanOrEqual(200);
  });

  it('would stall one', () => {
    const stalling = all.filter((attack) => {
      const { root } = parseRegex(attack[0], 'rust', false);
      try {
        const text = textOf(attack, 1000);
        countSteps(root, text, true, STEPS_MAX * text.length);
        return false;
      } catch (error) {
        if (error instanceof RangeError) return true;
        throw error;
      }
    });
    expect(stalling.length).toBeGreaterThan(150);
  });

  it.each(COMPILERS)('take linear time as the regex of a %s', (_, compile) => {
    const slow: string[] = [];
    let worst = 0;
    for (const attack of all) {
      const compiled = compile(attack[0]);
      if (!compiled.ok) continue;
      const { regex } = compiled;
      const [text, part] = [textOf(attack, LENGTH), textOf(attack, LENGTH / 4)];
      let long = milliseconds(regex, text, 4);
      // A text a quarter as long takes a quarter of the time, or a sixteenth where it is quadratic.
      // What takes no time at all is no measure.
      if (long >= 4) {
        let short = milliseconds(regex, part, 4);
        // A machine that others use has bad moments; what is slow by itself is slow every time.
        for (let again = 0; again < 5 && (long > 9 * short || long > WORST_MAX_MS); again += 1) {
          long = Math.min(long, milliseconds(regex, text, 8));
          short = milliseconds(regex, part, 8);
        }
        if (long > 9 * short) slow.push(`${attack[0]}: ${short} ms, then ${long} ms`);
      }
      worst = Math.max(worst, long);
    }
    console.info(`slowest on ${LENGTH} characters, three ways to match: ${worst.toFixed(2)} ms`);
    expect(slow).toEqual([]);
    expect(worst).toBeLessThan(WORST_MAX_MS);
  });
});
