import { describe, expect, it } from 'vitest';
import {
  addAt,
  addEntityError,
  finish,
  luaText,
  newViolations,
  violationMessage,
} from './violations.ts';

describe('the message of a schema violation', () => {
  it('names the one field that is wrong', () => {
    expect(violationMessage({ host: 'required field missing' })).toBe(
      'schema violation (host: required field missing)',
    );
  });

  it('counts several, entity errors first, then fields by name', () => {
    const violations = { b: 'two', a: 'one', '@entity': ['whole'] };

    expect(violationMessage(violations)).toBe('3 schema violations (whole; a: one; b: two)');
  });

  it('flattens one level, and counts lists from 1', () => {
    expect(violationMessage({ paths: [null, 'bad'], config: { garbage: 'unknown field' } })).toBe(
      '2 schema violations (config.garbage: unknown field; paths.2: bad)',
    );
  });

  it('prints deeper levels as Lua tables', () => {
    const violations = { healthchecks: { active: { healthy: { 'a-b': 'x', interval: 'y' } } } };

    expect(violationMessage(violations)).toBe(
      'schema violation (healthchecks.active: {\n' +
        '  healthy = {\n' +
        '    ["a-b"] = "x",\n' +
        '    interval = "y"\n' +
        '  }\n' +
        '})',
    );
  });

  it('prints lists inside with their index after a hole', () => {
    expect(violationMessage({ headers: { x: [null, 'bad'] } })).toBe(
      'schema violation (headers.x: {\n  [2] = "bad"\n})',
    );
  });
});

describe('a value in the text of an error', () => {
  it('stands on one line with sorted keys', () => {
    expect(luaText({ route: null, name: 'a"b', service: { id: 'x' } }, '')).toBe(
      String.raw`{name="a\"b",route=null,service={id="x"}}`,
    );
  });
});

describe('violations being collected', () => {
  it('keeps what a field already says about the whole record', () => {
    const draft = newViolations();
    draft['config'] = 'expected a record';
    addAt(draft, 'config.redis.host', 'required field missing');

    expect(finish(draft)).toEqual({ config: 'expected a record' });
  });

  it('adds beside other errors of the same record', () => {
    const draft = newViolations();
    addAt(draft, 'config.redis.host', 'a');
    addAt(draft, 'config.redis.port', 'b');
    addEntityError(draft, 'c');

    expect(finish(draft)).toEqual({
      config: { redis: { host: 'a', port: 'b' } },
      '@entity': ['c'],
    });
  });

  it('takes names such as __proto__ without touching any prototype', () => {
    const draft = newViolations();
    addAt(draft, '__proto__.polluted', 'x');

    expect(JSON.stringify(finish(draft))).toBe('{"__proto__":{"polluted":"x"}}');
    expect('polluted' in {}).toBe(false);
  });

  it('is null when nothing was found', () => {
    expect(finish(newViolations())).toBeNull();
  });
});
