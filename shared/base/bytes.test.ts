import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { base64url, concat, fromBase64url, fromHex, fromUtf8, hex, utf8 } from './bytes.ts';

const bytes = fc.uint8Array({ maxLength: 200 });

describe('bytes', () => {
  it('encodes as Node does, whatever the bytes', () => {
    fc.assert(
      fc.property(bytes, (data) => {
        expect(hex(data)).toBe(Buffer.from(data).toString('hex'));
        expect(base64url(data)).toBe(Buffer.from(data).toString('base64url'));
      }),
    );
  });

  it('gives back what it encoded', () => {
    fc.assert(
      fc.property(bytes, (data) => {
        expect(fromHex(hex(data))).toEqual(data);
        expect(fromBase64url(base64url(data))).toEqual(data);
      }),
    );
  });

  it('keeps every well-formed text, byte order marks included', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        expect(fromUtf8(utf8(`\uFEFF${text}`))).toBe(`\uFEFF${text}`);
      }),
    );
  });

  it.each(['a', 'abc', 'zz', '0g', '0 '])('refuses %j as hex', (text) => {
    expect(fromHex(text)).toBeNull();
  });

  it('reads hex in either case', () => {
    expect(fromHex('00fFAb')).toEqual(Uint8Array.of(0, 255, 0xab));
  });

  it.each(['A', 'AAAAA', 'AA==', 'A+', 'A/', 'AB', 'AAB', 'A A', 'é'])(
    'refuses %j as base64url',
    (text) => {
      expect(fromBase64url(text)).toBeNull();
    },
  );

  it('joins parts in order', () => {
    expect(concat(Uint8Array.of(1), new Uint8Array(), Uint8Array.of(2, 3))).toEqual(
      Uint8Array.of(1, 2, 3),
    );
  });
});
