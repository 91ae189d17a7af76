import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { JsonObject } from '#shared/schema/field.ts';
import { readYaml } from './yaml.ts';
import { yamlMembers } from './yaml-text.ts';

const ODD_TEXTS = [
  '',
  ' ',
  'yes',
  'Off',
  'null',
  '~',
  '1',
  '1e3',
  '0x1',
  '.5',
  '- a',
  'a: b',
  'a #b',
];
const ODDER = [
  '---',
  '!x',
  '&a',
  '*a',
  '%a',
  '@a',
  '`a',
  '{a',
  '[a',
  '"',
  "'",
  '\n',
  '\t',
  '\u2028',
  '\u0085',
];

describe('YAML text', () => {
  it('reads well', () => {
    const value = {
      name: 'a',
      list: ['/x', 1, [], {}],
      map: { 'x y': null, deep: [{ a: true, b: [] }] },
    };
    expect(yamlMembers(value, 0)).toBe(
      'name: a\nlist:\n  - /x\n  - 1\n  - []\n  - {}\nmap:\n  "x y": null\n  deep:\n' +
        '    - a: true\n      b: []\n',
    );
  });

  it.each([...ODD_TEXTS, ...ODDER])('keeps the text %j a text', (text) => {
    const value = { [text]: text, list: [text, { [text]: [text] }] };
    const written = yamlMembers(value, 0);
    expect(readYaml(written)).toEqual({ ok: true, value });
    expect(parse(written, { version: '1.1' })).toEqual(value);
  });

  it('is read back as it was, whatever it is', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue({ stringUnit: 'binary' }), {
          minKeys: 1,
          noNullPrototype: true,
        }),
        (value) => {
          const plain = JSON.parse(JSON.stringify(value)) as JsonObject;
          expect(readYaml(yamlMembers(plain, 0))).toEqual({ ok: true, value: plain });
        },
      ),
      { numRuns: 300 },
    );
  });
});
