import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { JsonValue } from '../schema/field.ts';
import { CANONICAL_DEPTH_MAX, CanonicalError, canonicalJson } from './canonical.ts';

describe('canonicalJson', () => {
  it('writes the example of RFC 8785 section 3.2.2, but for its number beyond 2^53', () => {
    const value = {
      numbers: [333333333.3333333, 4.5, 2e-3, 0.000000000000000000000000001],
      string: '\u20ac$\u000f\nA\'B"\\\\"/',
      literals: [null, true, false],
    };
    expect(canonicalJson(value)).toBe(
      '{"literals":[null,true,false],"numbers":[333333333.3333333,4.5,0.002,1e-27],' +
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
    );
  });

  it('sorts keys by UTF-16 code units (RFC 8785 section 3.2.3)', () => {
    const value = {
      '\u20ac': 'Euro Sign',
      '\r': 'Carriage Return',
      '\ufb33': 'Hebrew Letter Dalet With Dagesh',
      '1': 'One',
      '\ud83d\ude00': 'Emoji: Grinning Face',
      '\u0080': 'Control',
      '\u00f6': 'Latin Small Letter O With Diaeresis',
    };
    const names = [...canonicalJson(value).matchAll(/:"([^"]*)"/g)].map((match) => match[1]);
    expect(names).toEqual([
      'Carriage Return',
      'One',
      'Control',
      'Latin Small Letter O With Diaeresis',
      'Euro Sign',
      'Emoji: Grinning Face',
      'Hebrew Letter Dalet With Dagesh',
    ]);
  });

  it.each([
    [-0, '0'],
    [1e-7, '1e-7'],
    [100, '100'],
    [5e-324, '5e-324'],
    [9007199254740991, '9007199254740991'],
    [-9007199254740991, '-9007199254740991'],
  ])('writes the number %d as %s', (value, text) => {
    expect(canonicalJson(value)).toBe(text);
  });

  it.each([
    ['NaN', NaN],
    ['Infinity', Infinity],
    ['2^53', 9007199254740992],
    ['-2^53', -9007199254740992],
    ['1e30', 1e30],
    ['a lone surrogate', '\ud800'],
    ['a lone surrogate in a key', { '\udead': 1 }],
    ['undefined', { a: undefined } as unknown as JsonValue],
    // oxlint-disable-next-line no-sparse-arrays -- the hole is what is tested
    ['a hole', [, 1] as unknown as JsonValue],
  ])('refuses %s', (_name, value) => {
    expect(() => canonicalJson(value)).toThrow(CanonicalError);
  });

  it('nests as deep as its limit and no deeper', () => {
    const nest = (depth: number): JsonValue => (depth === 0 ? 1 : [nest(depth - 1)]);
    expect(canonicalJson(nest(CANONICAL_DEPTH_MAX))).toHaveLength(2 * CANONICAL_DEPTH_MAX + 1);
    expect(() => canonicalJson(nest(CANONICAL_DEPTH_MAX + 1))).toThrow(CanonicalError);
  });

  it('keeps a key called __proto__ as data', () => {
    expect(canonicalJson(JSON.parse('{"b":1,"__proto__":{"a":2}}'))).toBe(
      '{"__proto__":{"a":2},"b":1}',
    );
  });

  it('does not depend on the order of keys, and is its own canonical form', () => {
    const safe = fc.jsonValue({ noUnicodeString: false }).filter((value) => isSafe(value));
    fc.assert(
      fc.property(safe, (value) => {
        const text = canonicalJson(value as JsonValue);
        expect(canonicalJson(JSON.parse(text))).toBe(text);
        expect(canonicalJson(reversed(value as JsonValue))).toBe(text);
        expect(text).not.toContain('\n');
      }),
    );
  });
});

function isSafe(value: unknown): boolean {
  try {
    canonicalJson(value as JsonValue);
    return true;
  } catch {
    return false;
  }
}

function reversed(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map((element: JsonValue) => reversed(element));
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([name, child]) => [name, reversed(child)] as const);
  return Object.fromEntries(entries.toReversed());
}
