import { describe, expect, it } from 'vitest';
import { NATIVE_TEXT_MAX } from './engine.ts';
import {
  compileHeaderRegex,
  compileRouteRegex,
  compileSearchRegex,
  PATTERN_LENGTH_MAX,
} from './regex.ts';
import type { LinearRegex } from './regex.ts';

function regex(source: string): LinearRegex {
  const compiled = compileRouteRegex(source);
  if (!compiled.ok) throw new Error(`${source}: ${compiled.reason}`);
  return compiled.regex;
}

function refusal(source: string): string {
  const compiled = compileRouteRegex(source);
  return compiled.ok ? 'accepted' : compiled.reason;
}

describe('the regex of a path', () => {
  it('is anchored at the start, not at the end', () => {
    expect(regex('/a').matchStart('/abc')?.matched).toBe('/a');
    expect(regex('/a').matchStart('/x/a')).toBeNull();
  });

  it('is anchored as a whole, alternatives included', () => {
    expect(regex('/a|/b').matchStart('/b/c')?.matched).toBe('/b');
    expect(regex('/a|/b').matchStart('/x/b')).toBeNull();
  });

  it('gives groups by name and by number, in both spellings of a name', () => {
    const match = regex('/(?<kind>[a-z]+)/(?P<id>\\d+)(/x)?').matchStart('/user/12?');

    expect(match?.named).toEqual({ kind: 'user', id: '12' });
    expect(Object.getPrototypeOf(match?.named)).toBeNull();
    expect(match?.indexed).toEqual(['user', '12', '']);
  });

  it('takes the first alternative, not the longest', () => {
    expect(regex('/(a|ab)').matchStart('/ab')?.matched).toBe('/a');
  });

  it('reads $ as the end of the text, also before a line break', () => {
    expect(regex('/x$').matchStart('/x\n')).toBeNull();
  });

  it.each([
    ['/\\d+', '/٣', true],
    ['/\\w+$', '/naïve', true],
    ['/\\W', '/é', false],
    ['/[\\w-]+$', '/é-b', true],
    ['/[\\s]$', '/\u00a0', true],
    ['/\\S$', '/\u3000', false],
    ['/[^\\d]$', '/٣', false],
    ['/[\\D]$', '/a', true],
    ['/\\u{e9}', '/é', true],
    ['/\\u00e9', '/é', true],
    ['/\\x2d', '/-', true],
    ['/a\\/b\\_c\\-d', '/a/b_c-d', true],
    ['/(?i)ABC', '/abc', true],
    ['/(?i:A)B', '/ab', false],
    ['/a(?-u:\\b)', '/a-b', true],
    ['/a(?-u:\\b)', '/ab', false],
    ['/[[:digit:]]', '/7', true],
    ['/[]a]+$', '/]a', true],
    ['/[^]a]$', '/]', false],
    ['/[a&~-]+$', '/&~-', true],
    ['/}$', '/}', true],
  ])('reads %s over %s as Rust does: %s', (source, text, expected) => {
    expect(regex(source).matchStart(text) !== null).toBe(expected);
  });

  it.each([
    ['/x(?=a)', 'look-around'],
    ['/x(?!a)', 'look-around'],
    ['/(?<=a)b', 'look-around'],
    ['/(?<!a)b', 'look-around'],
    ['/(a)\\1', 'back-references'],
    ['/(?P=n)', 'unsupported group'],
    ['/(?#comment)', 'unsupported group'],
    ['/(?>a)', 'unsupported group'],
    ['/(?)', 'repeats nothing'],
    ['/[\\w-z]', 'begin or end a range'],
    ['/[+-\\s]', 'begin or end a range'],
    ['/[a', 'a class has no ]'],
    ['/a{,3}', 'write \\{ for a brace'],
    ['/x{', 'write \\{ for a brace'],
    ['/\\Qa.b\\E', '\\Q'],
    ['/\\C', '\\C'],
    ['/a\\', 'escapes nothing'],
    ['/\\p{^Greek}', 'is not known'],
    ['/\\u{110000}', 'code point'],
    ['/\\x{', 'code point'],
    ['/a)(b', 'unexpected )'],
    ['/(a', 'missing closing )'],
    ['*', '* repeats nothing'],
  ])('refuses %s: %s', (source, reason) => {
    expect(refusal(source)).toContain(reason);
  });

  it('bounds the length of a pattern', () => {
    expect(refusal(`/${'a'.repeat(PATTERN_LENGTH_MAX - 1)}`)).toBe('accepted');
    expect(refusal(`/${'a'.repeat(PATTERN_LENGTH_MAX)}`)).toContain('longer than');
  });

  it('bounds the size of what a short pattern expands to', () => {
    expect(refusal(`/${'[a-z]{1000}'.repeat(19)}`)).toBe('accepted');
    expect(refusal(`/${'[a-z]{1000}'.repeat(21)}`)).toBe('too large');
  });

  it('matches texts of any length alike', () => {
    // Beyond 64 Ki another engine takes over; V8 keeps a stack of what it may go back to.
    const short = regex('/(?:[a-z]|-)*$');
    for (const length of [NATIVE_TEXT_MAX, NATIVE_TEXT_MAX + 1, 1_000_000]) {
      const text = `/${'a-'.repeat(length / 2)}`.slice(0, length);
      expect(short.matchStart(text)?.matched).toBe(text);
      expect(short.test(`${text}!`)).toBe(false);
    }
  });

  it('bounds what only its own automaton can match', () => {
    const bounded = (count: number) => refusal(String.raw`/(?:(a+)+\b|b){${count}}`);
    expect(bounded(60)).toBe('accepted');
    expect(bounded(200)).toBe('too large');
  });

  it('costs no more than linear time on a pattern that backtrackers choke on', () => {
    const evil = regex('/(a+)+$');
    const startedAt = performance.now();

    expect(evil.matchStart(`/${'a'.repeat(50_000)}!`)).toBeNull();

    expect(performance.now() - startedAt).toBeLessThan(2_000);
  });
});

describe('the regex of a header value', () => {
  it('is found anywhere, whatever the case', () => {
    const compiled = compileHeaderRegex('Chrome/\\d+');

    expect(compiled.ok && compiled.regex.test('mozilla chrome/99')).toBe(true);
    expect(compiled.ok && compiled.regex.test('CHROME/x')).toBe(false);
  });
});

describe('the regex of a plugin', () => {
  it('is found anywhere, minding the case, and knows the words of ASCII', () => {
    const compiled = compileSearchRegex('\\bbot\\d');

    expect(compiled.ok && compiled.regex.test('a bot7!')).toBe(true);
    expect(compiled.ok && compiled.regex.test('a Bot7')).toBe(false);
    expect(compiled.ok && compiled.regex.test('robot7')).toBe(false);
    expect(compiled.ok && compiled.regex.test('bot\u0663')).toBe(false);
  });

  it.each(['a(?=b)', 'a(?<!b)', '(a)\\1', 'a++', '(?>a)', '(', '*', 'a{1001}'])(
    'is not %s',
    (source) => {
      expect(compileSearchRegex(source)).toMatchObject({ ok: false });
    },
  );

  it('is bounded in length and in what it expands to', () => {
    const longest = 'a'.repeat(PATTERN_LENGTH_MAX);

    expect(compileSearchRegex(longest).ok).toBe(true);
    expect(compileSearchRegex(`${longest}a`)).toMatchObject({
      reason: 'longer than 8192 characters',
    });
    expect(compileSearchRegex('[a-z]{1000}'.repeat(21))).toMatchObject({ reason: 'too large' });
  });
});
