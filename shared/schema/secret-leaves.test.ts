import { describe, expect, it } from 'vitest';
import type { Field, JsonValue } from './field.ts';
import { holdsSecrets, putSecrets, replaceSecrets, takeSecrets } from './secret-leaves.ts';

const SECRET: Field = { type: 'string', encrypted: true };
const SHAPE: Field = {
  type: 'record',
  fields: {
    host: { type: 'string' },
    password: SECRET,
    key: { type: 'string', secret: 'lookup' },
    deep: { type: 'record', fields: { token: SECRET, port: { type: 'integer' } } },
    list: { type: 'array', elements: SECRET },
    map: { type: 'map', keys: { type: 'string' }, values: SECRET },
    rows: { type: 'set', elements: { type: 'record', fields: { pin: SECRET } } },
  },
};
const VALUE: JsonValue = {
  host: 'h',
  password: 'p1',
  key: 'k1',
  deep: { token: 't1', port: 1 },
  list: ['l0', null, 'l2'],
  map: { 'a/b': 'm1', 'c~d': 'm2', ['__proto__']: 'm3' },
  rows: [{ pin: 'r0' }, { pin: null }],
};

describe('secrets inside a value', () => {
  it('are taken out at any depth, and put back where they were', () => {
    const { rest, secrets } = takeSecrets(SHAPE, VALUE);

    expect(rest).toEqual({
      host: 'h',
      password: null,
      key: null,
      deep: { token: null, port: 1 },
      list: [null, null, null],
      map: { 'a/b': null, 'c~d': null, ['__proto__']: null },
      rows: [{ pin: null }, { pin: null }],
    });
    expect(secrets).toEqual({
      '/password': 'p1',
      '/key': 'k1',
      '/deep/token': 't1',
      '/list/0': 'l0',
      '/list/2': 'l2',
      '/map/a~1b': 'm1',
      '/map/c~0d': 'm2',
      '/map/__proto__': 'm3',
      '/rows/0/pin': 'r0',
    });
    const back = putSecrets(rest, secrets);
    expect(JSON.stringify(back)).toBe(JSON.stringify(VALUE));
  });

  it('include whatever the shape says nothing of', () => {
    const { rest, secrets } = takeSecrets(SHAPE, { host: 'h', else: { a: 1 } });
    expect(rest).toEqual({ host: 'h', else: null });
    expect(secrets).toEqual({ '/else': { a: 1 } });

    const abstract: Field = { type: 'record', abstract: true, fields: {} };
    for (const shape of [undefined, abstract]) {
      expect(takeSecrets(shape, { a: 1 })).toEqual({ rest: null, secrets: { '': { a: 1 } } });
      expect(putSecrets(null, { '': { a: 1 } })).toEqual({ a: 1 });
    }
    expect(takeSecrets(SHAPE, 'not a record').rest).toBeNull();
  });

  it('are told apart by how they are kept', () => {
    const shown = replaceSecrets(SHAPE, VALUE, (_value, kind) => kind);
    expect(shown).toMatchObject({ password: 'sealed', key: 'lookup', deep: { token: 'sealed' } });
  });

  it('are found in a shape before there is a value', () => {
    const plain: Field = { type: 'map', keys: { type: 'string' }, values: { type: 'string' } };
    expect(holdsSecrets(SHAPE)).toBe(true);
    expect(holdsSecrets({ type: 'array', elements: SHAPE })).toBe(true);
    expect(holdsSecrets(plain)).toBe(false);
    const value = { a: 'b' };
    expect(takeSecrets(plain, value)).toEqual({ rest: value, secrets: {} });
  });
});
