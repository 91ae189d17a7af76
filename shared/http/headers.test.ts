import { describe, expect, it } from 'vitest';
import { HeaderList } from './headers.ts';

function sample(): HeaderList {
  return new HeaderList(['Host', 'a', 'X-One', '1', 'x-one', '2', 'X-Two', '3', 'X-ONE', '4']);
}

describe('HeaderList', () => {
  it('finds fields whatever their spelling and keeps the spelling', () => {
    const headers = sample();

    expect(headers.get('x-one')).toBe('1');
    expect(headers.getAll('x-one')).toEqual(['1', '2', '4']);
    expect(headers.get('x-three')).toBeNull();
    expect(headers.getAll('x-three')).toEqual([]);
    expect(headers.nameAt(4)).toBe('X-ONE');
    expect(headers.lowerNameAt(4)).toBe('x-one');
    expect(headers.size).toBe(5);
  });

  it('replaces all fields of a name by one, in the place of the first', () => {
    const headers = sample();

    headers.set('X-one', '9');

    expect(headers.raw).toEqual(['Host', 'a', 'X-one', '9', 'X-Two', '3']);
  });

  it('adds what is not there', () => {
    const headers = new HeaderList();

    headers.set('A', '1');
    headers.append('a', '2');

    expect(headers.raw).toEqual(['A', '1', 'a', '2']);
    expect(headers.getAll('a')).toEqual(['1', '2']);
  });

  it('removes all fields of a name', () => {
    const headers = sample();

    expect(headers.remove('x-one')).toBe(true);
    expect(headers.remove('x-one')).toBe(false);

    expect(headers.raw).toEqual(['Host', 'a', 'X-Two', '3']);
    expect(headers.get('x-two')).toBe('3');
  });

  it('keeps names that objects inherit apart', () => {
    const headers = new HeaderList(['__proto__', 'a', 'constructor', 'b']);

    expect(headers.get('__proto__')).toBe('a');
    expect(headers.get('constructor')).toBe('b');
    expect(headers.get('tostring')).toBeNull();
  });

  it('copies so that neither side sees the other change', () => {
    const headers = sample();
    const copy = headers.clone();

    copy.remove('x-one');

    expect(headers.size).toBe(5);
  });

  it('copies without some fields', () => {
    const headers = sample();
    const copy = headers.cloneWithout((name) => name === 'x-one');

    copy.append('x-one', '5');

    expect(copy.raw).toEqual(['Host', 'a', 'X-Two', '3', 'x-one', '5']);
    expect(copy.get('x-one')).toBe('5');
    expect(headers.size).toBe(5);
  });
});
