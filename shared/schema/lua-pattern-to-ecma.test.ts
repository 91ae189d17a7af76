import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compileLuaPattern } from './lua-pattern.ts';
import { luaPatternToEcma } from './lua-pattern-to-ecma.ts';

const PATTERNS = [
  '^%u+$',
  '//',
  '^[^*]*%*?[^*]*$',
  '^%*%.',
  '%.%*$',
  '^~/',
  '^[Hh][Oo][Ss][Tt]$',
  '^[%w_%-]+$',
  '^[%W]*$',
  '^%a%d?%s-%p%x$',
  '^(%d+):(%d+)$',
  '[]]',
  '^[a%-z]+$',
  'a%-[Z-]',
];
/** Letters that the patterns speak of, and some of which they do not. */
const text = fc.string({ unit: fc.constantFrom(...'aZx09*.-_/~:HOSTost]é😀 \n\t!') });

describe('a Lua pattern as a regex', () => {
  it.each(PATTERNS)('matches what %s matches', (pattern) => {
    const lua = compileLuaPattern(pattern);
    const ecma = new RegExp(luaPatternToEcma(pattern) ?? 'none', 'u');
    fc.assert(
      fc.property(text, (value) => {
        expect(ecma.test(value)).toBe(lua(value));
      }),
      { numRuns: 500 },
    );
  });

  it('reads as a person would write it', () => {
    expect(luaPatternToEcma('^[^*]*%*?[^*]*$')).toBe(String.raw`^[^\*]*\*?[^\*]*$`);
    expect(luaPatternToEcma('^%u+$')).toBe('^[A-Z]+$');
  });

  it('is none where letters are counted differently', () => {
    expect(luaPatternToEcma('^.$')).toBeNull();
    expect(luaPatternToEcma('^[^a]$')).toBeNull();
    expect(luaPatternToEcma('^.+$')).not.toBeNull();
  });
});
