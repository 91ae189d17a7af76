import { describe, expect, it } from 'vitest';
import { CharSet } from './char-set.ts';
import { folded, perlClass, propertySet } from './unicode.ts';

describe("Perl's classes", () => {
  // The tables are of Unicode 17; a runtime of another version knows a few more letters, or fewer.
  it.each([
    ['d', String.raw`\p{Nd}`],
    ['s', String.raw`\p{White_Space}`],
    ['w', String.raw`[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]`],
  ] as const)('\\%s is what the runtime says', (name, native) => {
    const set = perlClass(name, true);
    const pattern = new RegExp(`^${native}$`, 'u');
    const differing: number[] = [];
    for (let code = 0; code <= 0x10ffff; code += 1) {
      if (code >= 0xd800 && code <= 0xdfff) continue;
      if (set.has(code) !== pattern.test(String.fromCodePoint(code))) differing.push(code);
    }
    const isSameVersion = process.versions['unicode'] === '17.0';
    expect(differing.length).toBeLessThan(isSameVersion ? 1 : 20_000);
  });
});

describe('a property', () => {
  it.each(['Lu', 'L', 'Greek', 'Emoji', 'Any', 'Cn', 'Co', 'Uppercase'])(
    '%s is what the runtime says',
    (name) => {
      const set = propertySet(name);
      const native = name === 'Greek' ? 'sc=Greek' : name;
      const pattern = new RegExp(`^\\p{${native}}$`, 'u');
      for (let code = 0; code <= 0x10ffff; code += code < 0x3000 ? 1 : 7) {
        if (code >= 0xd800 && code <= 0xdfff) continue;
        if (set?.has(code) !== pattern.test(String.fromCodePoint(code))) {
          throw new Error(`U+${code.toString(16)}`);
        }
      }
      expect(set?.isEmpty).toBe(false);
    },
  );
});

describe('case', () => {
  it.each([
    ['a', 'aA'],
    ['k', 'kK\u212a'],
    ['ſ', 'sSſ'],
    ['-', '-'],
    ['é', 'éÉ'],
    ['σ', 'σΣς'],
    ['ß', 'ßẞ'],
    ['ǆ', 'ǆǅǄ'],
    ['İ', 'İ'],
  ])('of %s is %s', (letter, all) => {
    const set = folded(CharSet.char(letter.codePointAt(0) ?? 0), true);
    const expected = CharSet.of(
      Array.from(all, (char) => char.codePointAt(0) ?? 0).flatMap((code) => [code, code]),
    );
    expect(set.ranges).toEqual(expected.ranges);
  });

  it('is of ASCII letters among themselves without Unicode', () => {
    expect(folded(CharSet.char(0x6b), false).ranges).toEqual([0x4b, 0x4b, 0x6b, 0x6b]);
    expect(folded(CharSet.char(0xe9), false).ranges).toEqual([0xe9, 0xe9]);
  });
});

describe('a set of characters', () => {
  it('knows no surrogates', () => {
    expect(CharSet.of([0, 0x10ffff]).ranges).toEqual([0, 0xd7ff, 0xe000, 0x10ffff]);
    expect(CharSet.of([0xd800, 0xdfff]).isEmpty).toBe(true);
    expect(CharSet.of([0xd700, 0xd900]).ranges).toEqual([0xd700, 0xd7ff]);
    expect(CharSet.of([0xd900, 0xe000]).ranges).toEqual([0xe000, 0xe000]);
    expect(CharSet.char(0x61).not().not().ranges).toEqual([0x61, 0x61]);
  });
});
