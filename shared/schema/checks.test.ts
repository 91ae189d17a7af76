import { describe, expect, it } from 'vitest';
import type { EntityCheck, Fields, JsonObject } from './field.ts';
import { readRecord } from './validate.ts';

const FIELDS: Fields = {
  a: { type: 'string' },
  b: { type: 'string', len_max: 3 },
  c: { type: 'string', referenceable: true },
  r: { type: 'record', required: false, fields: { x: { type: 'integer' } } },
};

function errorsOf(checks: readonly EntityCheck[], given: JsonObject, updating = false): unknown {
  const mode = { fill: true, lua: false, updating };
  return readRecord({ fields: FIELDS, checks }, given, mode).errors;
}

function check(outcome: string | Record<string, string>): EntityCheck[] {
  return [{ custom_entity_check: { field_sources: ['a', 'b'], fn: () => outcome } }];
}

describe('cross-field checks', () => {
  it('at_least_one_of takes empty for absent', () => {
    const checks: EntityCheck[] = [{ at_least_one_of: ['a', 'r.x'] }];

    expect(errorsOf(checks, { r: { x: 0 } })).toBeNull();
    expect(errorsOf(checks, {})).toEqual({
      '@entity': ["at least one of these fields must be non-empty: 'a', 'r.x'"],
    });
    expect(errorsOf(checks, { r: {} }, true)).toEqual({
      '@entity': ["when updating, at least one of these fields must be non-empty: 'a', 'r.x'"],
    });
  });

  it('only_one_of takes exactly one', () => {
    const checks: EntityCheck[] = [{ only_one_of: ['a', 'b'] }];
    const text = "exactly one of these fields must be non-empty: 'a', 'b'";

    expect(errorsOf(checks, { a: 'x' })).toBeNull();
    expect(errorsOf(checks, {})).toEqual({ '@entity': [text] });
    expect(errorsOf(checks, { a: 'x', b: 'y' })).toEqual({ '@entity': [text] });
  });

  it('mutually_required takes all or none', () => {
    const checks: EntityCheck[] = [{ mutually_required: ['a', 'b'] }];

    expect(errorsOf(checks, {})).toBeNull();
    expect(errorsOf(checks, { a: 'x', b: 'y' })).toBeNull();
    expect(errorsOf(checks, { a: 'x' })).toEqual({
      '@entity': ["all or none of these fields must be set: 'a', 'b'"],
    });
  });

  it('mutually_exclusive takes one or none, and waits for fields with errors', () => {
    const checks: EntityCheck[] = [{ mutually_exclusive: ['a', 'b'] }];

    expect(errorsOf(checks, { a: 'x' })).toBeNull();
    expect(errorsOf(checks, { a: 'x', b: 'y' })).toEqual({
      '@entity': ["only one or none of these fields must be set: 'a', 'b'"],
    });
    expect(errorsOf(checks, { a: 'x', b: 'long' })).toEqual({ b: 'length must be at most 3' });
  });

  it('distinct compares what is set', () => {
    const checks: EntityCheck[] = [{ distinct: ['a', 'b'] }];

    expect(errorsOf(checks, {})).toBeNull();
    expect(errorsOf(checks, { a: 'x', b: 'x' })).toEqual({
      '@entity': ["values of these fields must be distinct: 'a', 'b'"],
    });
  });

  it('conditional blames the field and the entity', () => {
    const conditional = {
      if_field: 'a',
      if_match: { eq: 'on' },
      then_field: 'b',
      then_match: { required: true },
    };

    expect(errorsOf([{ conditional }], { a: 'off' })).toBeNull();
    expect(errorsOf([{ conditional }], { a: 'on' })).toEqual({
      b: 'required field missing',
      '@entity': ["failed conditional validation given value of field 'a'"],
    });
    expect(errorsOf([{ conditional: { ...conditional, then_err: 'no %s' } }], { a: 'on' })).toEqual(
      {
        b: 'required field missing',
        '@entity': ['no a'],
      },
    );
  });

  it('conditional needs the field that it asks', () => {
    const conditional = {
      if_field: 'r.x',
      if_match: { eq: 1 },
      then_field: 'a',
      then_match: { required: true },
    };

    expect(errorsOf([{ conditional }], {})).toEqual({
      r: { x: 'field required for entity check' },
    });
    expect(errorsOf([{ conditional }], {}, true)).toEqual({
      r: { x: 'field required for entity check when updating' },
    });
  });

  it('conditional_at_least_one_of tries its other half', () => {
    const either: EntityCheck = {
      conditional_at_least_one_of: {
        if_field: 'a',
        if_match: { eq: 'one' },
        then_at_least_one_of: ['b'],
        else_match: { eq: 'two' },
        else_then_at_least_one_of: ['b', 'r'],
        else_then_err: 'set one of %s',
      },
    };

    expect(errorsOf([either], { a: 'none' })).toBeNull();
    expect(errorsOf([either], { a: 'two', r: { x: 1 } })).toBeNull();
    expect(errorsOf([either], { a: 'two' })).toEqual({ '@entity': ["set one of 'b', 'r'"] });
    expect(errorsOf([either], { a: 'one' })).toEqual({
      '@entity': ["at least one of these fields must be non-empty: 'b'"],
    });
  });

  it('custom_entity_check may blame the entity or fields, and waits for fields with errors', () => {
    expect(errorsOf(check('whole'), { a: 'x' })).toEqual({ '@entity': ['whole'] });
    expect(errorsOf(check({ 'r.x': 'part' }), { a: 'x' })).toEqual({ r: { x: 'part' } });
    expect(errorsOf(check('whole'), { b: 'long' })).toEqual({ b: 'length must be at most 3' });
  });

  it('custom_entity_check waits for errors inside records as well', () => {
    const inside: EntityCheck = {
      custom_entity_check: { field_sources: ['a', 'r.x'], fn: () => 'whole' },
    };

    expect(errorsOf([inside], { r: { x: 1 } })).toEqual({ '@entity': ['whole'] });
    expect(errorsOf([inside], { r: { x: 'no' } })).toEqual({ r: { x: 'expected an integer' } });
    expect(errorsOf([inside], { a: 'x', r: 'no' })).toEqual({ r: 'expected a record' });
  });

  it('custom_entity_check without a function finds nothing', () => {
    expect(errorsOf([{ custom_entity_check: { field_sources: ['a'] } }], { a: 'x' })).toBeNull();
  });

  it('say nothing of a value that is a vault reference', () => {
    const checks: EntityCheck[] = [{ distinct: ['a', 'c'] }, { mutually_exclusive: ['a', 'c'] }];
    const reference = '{vault://env/x}';

    expect(errorsOf(checks, { a: reference, c: reference })).toBeNull();
    expect(errorsOf(checks, { a: 'x', c: 'y' })).not.toBeNull();
  });
});
