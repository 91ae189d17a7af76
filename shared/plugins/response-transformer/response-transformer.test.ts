import { describe, expect, it } from 'vitest';
import { TestConfig } from '../../../test/support/builders.ts';
import { answer } from '../../../test/support/fake-platform.ts';
import { type Answer, TestGateway } from '../../../test/support/gateway.ts';
import type { JsonObject } from '../../schema/field.ts';
import { BODY_BYTES_MAX } from './handler.ts';

const JSON_HEADERS = ['Content-Type', 'application/json; charset=utf-8'];

function setUp(config: JsonObject, body: string, headers: string[] = JSON_HEADERS): TestGateway {
  const entities = new TestConfig();
  entities.plugin('response-transformer', config);
  entities.route({ paths: ['/'] });
  const test = new TestGateway(entities.tables());
  test.platform.respond = () => answer(200, body, headers);
  return test;
}

function transform(config: JsonObject, body: unknown): Promise<Answer> {
  return setUp(config, JSON.stringify(body)).get('/');
}

/** The same, but the upstream does not say how long its body is. */
function withoutLength(test: TestGateway): TestGateway {
  const { respond } = test.platform;
  test.platform.respond = async (sent) => {
    const response = await respond(sent);
    response.headers.remove('content-length');
    return response;
  };
  return test;
}

describe('response-transformer on headers', () => {
  const upstream = ['X-Old', '1', 'X-Old', '2', 'X-Gone', 'x', 'X-There', 'was'];
  const headersOf = async (config: JsonObject) =>
    (await setUp(config, '', upstream).get('/')).headers;

  it('removes them', async () => {
    expect((await headersOf({ remove: { headers: ['x-gone'] } })).has('x-gone')).toBe(false);
  });

  it('renames them, all their values', async () => {
    const headers = await headersOf({ rename: { headers: ['X-Old:X-New', 'X-None:X-There'] } });
    expect(headers.getAll('x-new')).toEqual(['1', '2']);
    expect(headers.has('x-old')).toBe(false);
    expect(headers.get('x-there')).toBe('was');
  });

  it('replaces those that are there', async () => {
    const headers = await headersOf({ replace: { headers: ['X-There:is', 'X-Absent:is'] } });
    expect(headers.get('x-there')).toBe('is');
    expect(headers.has('x-absent')).toBe(false);
  });

  it('adds those that are not', async () => {
    const headers = await headersOf({ add: { headers: ['X-There:new', 'X-Absent:a:b'] } });
    expect(headers.get('x-there')).toBe('was');
    expect(headers.get('x-absent')).toBe('a:b');
  });

  it('asks the response as it came whether a field is there', async () => {
    const removed = { remove: { headers: ['X-Gone'] } };
    const added = await headersOf({ ...removed, add: { headers: ['X-Gone:new'] } });
    expect(added.has('x-gone')).toBe(false);
    const replaced = await headersOf({ ...removed, replace: { headers: ['X-Gone:new'] } });
    expect(replaced.get('x-gone')).toBe('new');
    const renamed = await headersOf({ ...removed, rename: { headers: ['X-Gone:X-New'] } });
    expect(renamed.get('x-new')).toBe('x');
    const over = await headersOf({
      rename: { headers: ['X-There:X-New'] },
      add: { headers: ['X-New:added'] },
    });
    expect(over.getAll('x-new')).toEqual(['added']);
  });

  it('appends', async () => {
    const headers = await headersOf({ append: { headers: ['X-There:too'] } });
    expect(headers.getAll('x-there')).toEqual(['was', 'too']);
  });
});

describe('response-transformer on JSON', () => {
  it('takes false for missing, and appends to texts and lists only', async () => {
    const got = await transform(
      {
        replace: { json: ['off:1'] },
        add: { json: ['no:1', 'null:1'] },
        append: { json: ['count:b', 'flag:b', 'nothing:b', 'text:b'] },
      },
      { off: false, no: false, null: null, count: 5, flag: true, nothing: null, text: 'a' },
    );
    expect(got.json()).toEqual({
      off: false,
      no: '1',
      null: null,
      count: ['b'],
      flag: ['b'],
      nothing: ['b'],
      text: ['a', 'b'],
    });
  });

  it('removes, renames, replaces, adds and appends, in that order', async () => {
    const got = await transform(
      {
        remove: { json: ['secret'] },
        rename: { json: ['old:new', 'none:never'] },
        replace: { json: ['new:replaced', 'absent:no'] },
        add: { json: ['added:yes', 'kept:no'] },
        append: { json: ['list:b', 'text:b', 'fresh:b'] },
      },
      { secret: 1, old: 2, kept: null, list: ['a'], text: 'a' },
    );
    expect(got.json()).toEqual({
      new: 'replaced',
      kept: null,
      added: 'yes',
      list: ['a', 'b'],
      text: ['a', 'b'],
      fresh: ['b'],
    });
    expect(got.headers.has('content-length')).toBe(false);
  });

  it('gives values the type it is told', async () => {
    const got = await transform(
      {
        add: {
          json: ['n:1.5', 'b:true', 's:1', 'bad:x'],
          json_types: ['number', 'boolean', 'string', 'number'],
        },
      },
      {},
    );
    expect(got.json()).toEqual({ n: 1.5, b: true, s: '1' });
  });

  it('takes __proto__ for a name like any other', async () => {
    const config = { add: { json: ['x:1'] }, remove: { json: ['secret'] } };
    const test = setUp(config, '{"__proto__":{"a":1},"secret":2}');
    expect((await test.get('/')).text).toBe('{"__proto__":{"a":1},"x":"1"}');
  });

  it.each([['[1,2]'], ['"text"'], ['null']])('leaves %s alone', async (body) => {
    const test = setUp({ remove: { json: ['a'] } }, body);
    expect((await test.get('/')).text).toBe(body);
  });

  it('leaves other types alone', async () => {
    const test = setUp({ remove: { json: ['a'] } }, '{"a":1}', ['Content-Type', 'text/plain']);
    const got = await test.get('/');
    expect([got.text, got.headers.get('content-length')]).toEqual(['{"a":1}', '7']);
  });

  it('has nothing to do with an empty body', async () => {
    expect((await setUp({ remove: { json: ['a'] } }, '').get('/')).text).toBe('');
  });

  it('also edits responses of the gateway’s own', async () => {
    const entities = new TestConfig();
    entities.plugin('response-transformer', { remove: { json: ['request_id'] } });
    const got = await new TestGateway(entities.tables()).get('/nowhere');
    expect(got.json()).toEqual({ message: 'no Route matched with those values' });
  });
});

describe('a body that cannot be edited', () => {
  const hiding = { remove: { json: ['secret'] } };
  const adding = { add: { json: ['a:1'] } };
  const large = `{"secret":"${'x'.repeat(BODY_BYTES_MAX)}"}`;
  const gzip = [...JSON_HEADERS, 'Content-Encoding', 'gzip'];

  it('is not shown when something was to be taken out of it', async () => {
    for (const test of [setUp(hiding, large), setUp(hiding, 'zipped', gzip)]) {
      const got = await test.get('/');
      expect(got.status).toBe(500);
      expect(got.json()).toMatchObject({ message: 'An unexpected error occurred' });
    }
    await expect(setUp(hiding, '{"secret":').get('/')).rejects.toThrow('not valid JSON');
  });

  it('passes as it is when something was to be added', async () => {
    expect((await setUp(adding, large).get('/')).text).toBe(large);
    expect((await setUp(adding, 'zipped', gzip).get('/')).text).toBe('zipped');
    expect((await setUp(adding, '{"secret":').get('/')).text).toBe('{"secret":');
  });

  it('is noticed at the limit, also when its length was not told', async () => {
    await expect(withoutLength(setUp(hiding, large)).get('/')).rejects.toThrow('too large');
    expect((await withoutLength(setUp(adding, large)).get('/')).text).toBe(large);
    const most = `{"secret":"${'x'.repeat(BODY_BYTES_MAX - 13)}"}`;
    expect(most).toHaveLength(BODY_BYTES_MAX);
    expect((await withoutLength(setUp(hiding, most)).get('/')).text).toBe('{}');
  });
});
