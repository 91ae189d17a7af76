import { describe, expect, it } from 'vitest';
import {
  DEPTH_MAX,
  readArguments,
  refuseLongTarget,
  TARGET_LENGTH_MAX,
  VALUES_MAX,
} from './arguments.ts';
import { AdminError } from './errors.ts';
import { ARGUMENT_COUNT_MAX, KEY_LENGTH_MAX } from './form.ts';

const LENGTH_MAX = 4 * 1024 * 1024;

async function read(body: string, headers: object = {}, valuesMax?: number): Promise<unknown> {
  const request = new Request('http://x/services', {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body,
  });
  return readArguments(request, LENGTH_MAX, () => null, valuesMax).catch((error: unknown) =>
    error instanceof AdminError ? { status: error.status, ...error.body } : error,
  );
}

const tooMany = (count: number) => ({
  status: 400,
  message: `The JSON body has more than ${count} members and elements`,
});

describe('a JSON body', () => {
  it('may nest so deep and no deeper', async () => {
    const nested = (depth: number) => `{"a":${'['.repeat(depth - 1)}${']'.repeat(depth - 1)}}`;
    expect(await read(nested(DEPTH_MAX))).toHaveProperty('a');
    expect(await read(nested(DEPTH_MAX + 1))).toMatchObject({ status: 400 });
    expect(await read(nested(10_000))).toMatchObject({ status: 400 });
  });

  it('may hold so many elements and no more', async () => {
    const list = (count: number) => `{"a":[${Array.from({ length: count }, () => 1).join(',')}]}`;
    // The list itself is one.
    expect(await read(list(VALUES_MAX - 1))).toHaveProperty('a');
    expect(await read(list(VALUES_MAX))).toEqual(tooMany(VALUES_MAX));
  });

  it.each([
    ['{}', 0],
    ['{ }', 0],
    ['{"a":1}', 1],
    ['{"a":{}}', 1],
    ['{"a":[]}', 1],
    ['{"a":[[],[ ],{}]}', 4],
    ['{"a":[{"b":1,"c":[2,3]}]}', 6],
    [String.raw`{"a,b":"[,\",{\\","c":","}`, 2],
    [' {\n"a" : [ 1 , "x" ] , "b" : null } ', 4],
  ])('counts every member and element of %s', async (text, count) => {
    expect(await read(text, {}, count)).toEqual(JSON.parse(text));
    if (count > 0) expect(await read(text, {}, count - 1)).toEqual(tooMany(count - 1));
  });

  it.each(['gzip', 'deflate', 'br', 'GZIP', 'identity, gzip', 'x'])(
    'is not taken in the encoding %s',
    async (encoding) => {
      const answer = await read('{}', { 'content-encoding': encoding });
      expect(answer).toEqual({
        status: 415,
        message: `Content-Encoding ${encoding} is not supported; send the body as it is`,
      });
      expect(await read('{}', { 'content-encoding': 'identity' })).toEqual({});
    },
  );
});

describe('a path with its query', () => {
  it('may be so long and no longer', () => {
    const url = (length: number) => new URL(`http://x/${'a'.repeat(length - 5)}?b=c`);
    expect(() => refuseLongTarget(url(TARGET_LENGTH_MAX))).not.toThrow();
    expect(() => refuseLongTarget(url(TARGET_LENGTH_MAX + 1))).toThrow(AdminError);
  });
});

describe('a form', () => {
  const form = (body: string) =>
    read(body, { 'content-type': 'application/x-www-form-urlencoded' });

  it('may have so many arguments and no more, and what lies between separators is none', async () => {
    const list = (count: number) => Array.from({ length: count }, (_, i) => `a${i}=1`).join('&&');
    expect(await form(list(ARGUMENT_COUNT_MAX))).toHaveProperty('a0', '1');
    expect(await form(list(ARGUMENT_COUNT_MAX + 1))).toMatchObject({
      message: 'Too many arguments',
    });
    expect(await form('&'.repeat(100_000))).toEqual({});
  });

  it('may have keys so long and no longer', async () => {
    const key = 'a'.repeat(KEY_LENGTH_MAX);
    expect(await form(`${key}=1`)).toEqual({ [key]: '1' });
    expect(await form(`${key}a=1`)).toMatchObject({ status: 400 });
  });

  it('takes no time for keys of brackets that are never closed', async () => {
    const keys = Array.from({ length: ARGUMENT_COUNT_MAX }, () => '['.repeat(KEY_LENGTH_MAX));
    const startedAt = performance.now();
    expect(await form(keys.join('&'))).toEqual({});
    // Searched to the end for each bracket it was six seconds.
    expect(performance.now() - startedAt).toBeLessThan(2_000);
  });

  it('takes a key apart at its brackets and dots', async () => {
    expect(await form('a[b].c[x-y]=1&d[]=2')).toEqual({
      a: { b: { c: { 'x-y': '1' } } },
      d: { '': '2' },
    });
  });
});
