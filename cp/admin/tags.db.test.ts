import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import type { JsonObject } from '#shared/schema/field.ts';
import { type Answer, openTestAdmin, type TestAdmin } from './admin.suite.ts';

let test: TestAdmin | null = null;
let number = 0;
/** Of a workspace of the test's own. */
let at = '';
beforeEach(async () => {
  test ??= await openTestAdmin();
  at = `/tags-${(number += 1)}`;
  await made('PUT', `/workspaces${at}`, {});
});
afterAll(() => test?.close());

async function call(method: string, path: string, body?: object): Promise<Answer> {
  if (test === null) throw new Error('it was opened before');
  return test.call(method, path, body);
}

async function made(method: string, path: string, body: object): Promise<JsonObject> {
  const answer = await call(method, path, body);
  expect(answer.status, answer.text).toBeLessThan(300);
  return answer.body;
}

interface Row {
  readonly tag: string;
  readonly entity_name: string;
  readonly entity_id: string;
}

/** All pages. */
async function read(path: string, size: number): Promise<{ rows: Row[]; sizes: number[] }> {
  const [rows, sizes]: [Row[], number[]] = [[], []];
  let next: string | null = `${path}?size=${size}`;
  while (next !== null) {
    const { body, text, status }: Answer = await call('GET', next);
    expect(status, text).toBe(200);
    // What a page holds is what the tests are about.
    const data = body['data'] as unknown as readonly Row[];
    rows.push(...data);
    sizes.push(data.length);
    next = body['next'] as string | null;
  }
  return { rows, sizes };
}

async function fill(): Promise<Row[]> {
  const rows: Row[] = [];
  const add = (kind: string, entity: JsonObject): void => {
    for (const tag of entity['tags'] as readonly string[]) {
      rows.push({ tag, entity_name: kind, entity_id: String(entity['id']) });
    }
  };
  for (let i = 0; i < 5; i += 1) {
    const body = { username: `u${i}`, tags: ['all', `c ${i}`, '🦍'] };
    add('consumers', await made('POST', `${at}/consumers`, body));
    add('services', await made('POST', `${at}/services`, { host: 'h', tags: [`s${i}`, 'all'] }));
  }
  await made('POST', `${at}/consumers`, { username: 'untagged' });
  await made('POST', `${at}/consumers`, { username: 'empty', tags: [] });
  const group = { group: 'g', tags: ['all'] };
  add('acls', await made('POST', `${at}/consumers/u0/acls`, group));
  const vault = { name: 'env', prefix: `of-${number}`, tags: ['all'] };
  add('vaults', await made('POST', `${at}/vaults`, vault));
  return rows;
}

const byId = (a: Row, b: Row) =>
  a.entity_id < b.entity_id ? -1 : Number(a.entity_id > b.entity_id);

describe('/tags', () => {
  it.each([1, 2, 3, 7, 100])('lists every tag once, by entity, in pages of %i', async (size) => {
    const expected = (await fill()).toSorted(byId);
    const { rows, sizes } = await read(`${at}/tags`, size);
    expect(rows).toEqual(expected);
    expect(sizes.slice(0, -1).every((count) => count === size)).toBe(true);
    expect(sizes.at(-1)).toBeGreaterThan(0);
  });

  it('is empty without tags, and knows those of its workspace only', async () => {
    expect((await call('GET', `${at}/tags`)).body).toEqual({ data: [], next: null });
    await fill();
    await made('PUT', '/workspaces/without-tags', {});
    expect((await call('GET', '/without-tags/tags')).body).toEqual({ data: [], next: null });
  });

  it('takes no filter', async () => {
    await fill();
    const all = (await call('GET', `${at}/tags`)).body;
    expect((await call('GET', `${at}/tags?tags=s1`)).body).toEqual(all);
  });

  it('tells apart two kinds with one id', async () => {
    const id = '11111111-1111-4111-8111-111111111111';
    await made('PUT', `${at}/services/${id}`, { host: 'h', tags: ['y', 'x'] });
    await made('PUT', `${at}/consumers/a`, {});
    await made('PUT', `${at}/consumers/a/acls/${id}`, { group: 'g', tags: ['x', 'y'] });
    const { rows } = await read(`${at}/tags`, 1);
    expect(rows.map((row) => `${row.entity_name} ${row.tag}`)).toEqual([
      'acls x',
      'acls y',
      'services y',
      'services x',
    ]);
  });

  it.each([
    ['%%%', 'bad base64 encoding'],
    ['eHg', 'bad json encoding'],
    ['WzFd', 'bad json encoding'],
  ])('refuses the offset %s', async (offset, reason) => {
    const { status, body } = await call('GET', `/tags?offset=${encodeURIComponent(offset)}`);
    expect([status, body['code']]).toEqual([400, 7]);
    expect(body['message']).toContain(reason);
  });

  it('refuses writes', async () => {
    for (const [method, path] of [
      ['POST', '/tags'],
      ['PUT', '/tags/a'],
      ['PATCH', '/tags/a'],
      ['DELETE', '/tags/a'],
    ] as const) {
      const { status, body } = await call(method, path, method === 'DELETE' ? undefined : {});
      expect([status, body['code']]).toEqual([400, 2]);
    }
    expect((await call('PATCH', '/tags', {})).status).toBe(405);
  });
});

describe('/tags/{tag}', () => {
  it.each([1, 2, 100])('lists what carries a tag, in pages of %i', async (size) => {
    const expected = (await fill()).filter(({ tag }) => tag === 'all').toSorted(byId);
    expect(expected).toHaveLength(12);
    const path = `${at}/tags/all`;
    // Kong drops the size from `next`.
    const { body } = await call('GET', `${path}?size=${size}`);
    if (size < 12) {
      expect(body['next']).toBe(`${path}?offset=${encodeURIComponent(String(body['offset']))}`);
    }
    const { rows } = await read(path, size);
    expect(rows).toEqual(expected);
  });

  it('finds tags of any script, and nothing for one that nobody has', async () => {
    await fill();
    const gorillas = await call('GET', `${at}/tags/${encodeURIComponent('🦍')}`);
    expect(gorillas.body['data']).toHaveLength(5);
    const spaced = await call('GET', `${at}/tags/${encodeURIComponent('c 1')}`);
    expect(spaced.body['data']).toMatchObject([{ tag: 'c 1', entity_name: 'consumers' }]);
    expect((await call('GET', `${at}/tags/nobody`)).body).toEqual({ data: [], next: null });
  });

  it('refuses what can be no tag', async () => {
    expect((await call('GET', '/tags/a%2Cb')).body).toMatchObject({ code: 10 });
  });
});

describe('WebAssembly filters', () => {
  it.each([
    '/filter-chains',
    '/filter-chains/x',
    '/routes/x/filter-chains',
    '/services/x/filter-chains/y',
    '/routes/x/filters/all',
  ])('are off: %s', async (path) => {
    const { status, body } = await call('GET', path);
    expect([status, body]).toEqual([
      400,
      { message: 'this endpoint is only available when wasm is enabled' },
    ]);
  });
});
