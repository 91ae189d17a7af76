import { describe, expect, it } from 'vitest';
import {
  DEPTH_MAX,
  readArguments,
  refuseLongTarget,
  TARGET_LENGTH_MAX,
  VALUES_MAX,
} from './arguments.ts';
import { AdminError } from './errors.ts';

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
