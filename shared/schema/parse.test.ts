import { describe, expect, it } from 'vitest';
import { UP_FRAMES } from '../wire/frames.ts';
import { defineFields } from './infer.ts';
import { parseRecord } from './parse.ts';

const fields = defineFields({
  name: { type: 'string', required: true },
  size: { type: 'integer', default: 3, between: [0, 10] },
  note: { type: 'string' },
  labels: { type: 'map', keys: { type: 'string' }, values: { type: 'string' }, len_max: 2 },
  inner: { type: 'record', fields: { on: { type: 'boolean', required: true, default: false } } },
  maybe: { type: 'record', required: false, fields: { id: { type: 'string', required: true } } },
  any: { type: 'json' },
});

function violationsOf(value: unknown): unknown {
  const parsed = parseRecord(fields, value);
  return parsed.ok ? null : parsed.violations;
}

function nested(depth: number): unknown {
  return JSON.parse(`{"name":"a","any":${'['.repeat(depth)}${']'.repeat(depth)}}`);
}

describe('a plain record', () => {
  it('gets its defaults; what is absent is null, records are there', () => {
    const parsed = parseRecord(fields, { name: 'a' });

    expect(parsed).toEqual({
      ok: true,
      value: {
        name: 'a',
        size: 3,
        note: null,
        labels: null,
        inner: { on: false },
        maybe: null,
        any: null,
      },
    });
  });

  it('is refused with every error at once', () => {
    expect(violationsOf({ size: 11, note: 5, extra: 1, inner: { x: 1 }, maybe: {} })).toEqual({
      name: 'required field missing',
      size: 'value should be between 0 and 10',
      note: 'expected a string',
      extra: 'unknown field',
      inner: { x: 'unknown field' },
      maybe: { id: 'required field missing' },
    });
  });

  it.each([null, undefined, 5, 'text', true, []])('is not %j', (value) => {
    expect(violationsOf(value)).toEqual({ '@entity': ['expected a record'] });
  });

  it('does not take an empty list for a record, nor an empty object for a list', () => {
    expect(violationsOf({ name: 'a', inner: [] })).toEqual({ inner: 'expected a record' });
    expect(violationsOf({ name: 'a', labels: [] })).toEqual({ labels: 'expected a map' });
  });

  it('counts the members of a map', () => {
    expect(violationsOf({ name: 'a', labels: { a: 'x', b: 'y', c: 'z' } })).toEqual({
      labels: 'length must be at most 2',
    });
  });

  it.each(['__proto__', 'constructor', 'toString'])('calls the field %s unknown', (name) => {
    const value = JSON.parse(`{"name":"a","${name}":{"polluted":1}}`) as unknown;

    expect(Object.entries(violationsOf(value) ?? {})).toEqual([[name, 'unknown field']]);
    expect('polluted' in {}).toBe(false);
  });

  it('refuses __proto__ as a key of a map and in opaque JSON', () => {
    const map = JSON.parse('{"name":"a","labels":{"__proto__":"x"}}') as unknown;
    const json = JSON.parse('{"name":"a","any":[{"__proto__":"x"}]}') as unknown;

    expect(violationsOf(map)).toEqual({ labels: 'invalid value: __proto__' });
    expect(violationsOf(json)).toEqual({ any: 'invalid value: __proto__' });
  });

  it('takes opaque JSON nested 32 deep and no deeper', () => {
    expect(violationsOf(nested(32))).toBeNull();
    expect(violationsOf(nested(33))).toEqual({ any: 'nested deeper than 32 levels' });
    expect(violationsOf(nested(100_000))).toEqual({ any: 'nested deeper than 32 levels' });
  });

  it('survives a hundred thousand levels where none are allowed', () => {
    const deep = JSON.parse(`{"name":${'['.repeat(100_000)}${']'.repeat(100_000)}}`) as unknown;

    expect(violationsOf(deep)).toEqual({ name: 'expected a string' });
  });

  it.each([
    ['NUL', 'a\0b', 'must not contain NUL bytes'],
    ['a lone surrogate', 'aé\uD800b', 'invalid utf-8 character sequence detected at position 4'],
    ['nothing', '', 'length must be at least 1'],
  ])('refuses a text with %s', (_, text, error) => {
    expect(violationsOf({ name: text })).toEqual({ name: error });
    expect(violationsOf({ name: 'a', any: { x: [text] } })).toEqual(
      text === '' ? null : { any: error },
    );
  });

  it.each([2 ** 53, -(2 ** 53), 1e300])('refuses %d, which is beyond exact integers', (size) => {
    expect(violationsOf({ name: 'a', size })).toEqual({
      size: 'value should be between -9007199254740991 and 9007199254740991',
    });
  });

  it.each([1.5, Number.NaN, Infinity, '5', null])('%s is no integer, null apart', (size) => {
    expect(violationsOf({ name: 'a', size })).toEqual(
      size === null ? null : { size: 'expected an integer' },
    );
  });
});

describe('a frame of the sync protocol', () => {
  it('is parsed into its type', () => {
    const id = 'a'.repeat(64);
    const parsed = parseRecord(UP_FRAMES.want, { type: 'want', ids: [id] });

    expect(parsed).toEqual({ ok: true, value: { type: 'want', ids: [id] } });
  });

  it('keeps to the bounds of its definition', () => {
    const ids = Array.from({ length: 257 }, () => 'a'.repeat(64));
    const parsed = parseRecord(UP_FRAMES.want, { type: 'want', ids });

    expect(parsed).toEqual({ ok: false, violations: { ids: 'length must be at most 256' } });
  });

  it('is read in time linear in its size', () => {
    const text = 'x'.repeat(50);
    const texts = defineFields({
      texts: { type: 'array', required: true, elements: { type: 'string' } },
    });

    expect(parseRecord(texts, { texts: Array.from({ length: 200_000 }, () => text) }).ok).toBe(
      true,
    );
    const holes = Array.from({ length: 200_000 }, (_, index) => (index === 199_999 ? 1 : text));
    expect(parseRecord(texts, { texts: holes }).ok).toBe(false);
  });
});
