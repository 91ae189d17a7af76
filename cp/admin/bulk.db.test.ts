import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject, JsonValue } from '#shared/schema/field.ts';
import { openTestAdmin, type Answer, type TestAdmin } from './admin.suite.ts';
import { OPERATIONS_MAX } from './endpoints/bulk.ts';

let admin: TestAdmin;
beforeAll(async () => {
  admin = await openTestAdmin();
});
afterAll(() => admin.close());

const bulk = (operations: JsonValue, path = '/headgate/bulk'): Promise<Answer> =>
  admin.call('POST', path, { operations });
const resultsOf = ({ body }: Answer) => body['operations'] as readonly JsonObject[];
const statuses = (answer: Answer) => resultsOf(answer).map(({ status }) => status);
const version = async () => {
  const { headers } = await admin.call('DELETE', '/services/nothing-of-that-name');
  return Number(headers.get('headgate-version'));
};

describe('a bulk write', () => {
  it('does all of it in one version, by path or by kind', async () => {
    const before = await version();
    const answer = await bulk([
      { op: 'create', path: '/services', body: { name: 'b-one', host: 'a.test' } },
      { op: 'create', path: '/services/b-one/routes', body: { name: 'b-r', paths: ['/b'] } },
      { op: 'upsert', kind: 'consumers', key: 'b-ann', body: { tags: ['x'] } },
      { op: 'create', kind: 'keyauth_credentials', parent: { kind: 'consumers', key: 'b-ann' } },
      { op: 'update', path: '/routes/b-r', body: { tags: ['y'] } },
      { op: 'create', path: '/routes', body: { paths: ['/c'], service: { name: 'b-one' } } },
      { op: 'delete', path: '/services/b-never' },
    ]);
    expect([answer.status, answer.text]).toEqual([200, expect.any(String)]);
    expect(statuses(answer)).toEqual([201, 201, 200, 201, 200, 201, 204]);
    expect(answer.headers.get('headgate-version')).toBe(String(before + 1));
    expect(resultsOf(answer)[4]).toMatchObject({
      kind: 'routes',
      entity: { name: 'b-r', paths: ['/b'], tags: ['y'] },
      etag: (await admin.call('GET', '/routes/b-r')).headers.get('etag'),
    });
    expect(resultsOf(answer)[6]).toEqual({ status: 204, kind: 'services', entity: null });
    const keys = await admin.call('GET', '/consumers/b-ann/key-auth');
    expect(keys.body['data']).toHaveLength(1);
  });

  it('finds a target by its address under its upstream, in any spelling', async () => {
    const answer = await bulk([
      { op: 'create', path: '/upstreams', body: { name: 'b-up' } },
      { op: 'upsert', path: '/upstreams/b-up/targets/10.0.0.1', body: { weight: 5 } },
      { op: 'upsert', path: '/upstreams/b-up/targets/10.0.0.1%3A8000', body: { weight: 7 } },
      {
        op: 'update',
        kind: 'targets',
        key: '10.0.0.1:8000',
        parent: { kind: 'upstreams', key: 'b-up' },
        body: { tags: ['t'] },
      },
    ]);
    expect(statuses(answer)).toEqual([201, 200, 200, 200]);
    const { body } = await admin.call('GET', '/upstreams/b-up/targets');
    expect(body['data']).toMatchObject([{ target: '10.0.0.1:8000', weight: 7, tags: ['t'] }]);
  });

  it('writes nothing when one of it fails, and says which', async () => {
    const before = await version();
    const answer = await bulk([
      { op: 'create', path: '/services', body: { name: 'b-lost', host: 'a.test' } },
      { op: 'create', path: '/services', body: { name: 'b-lost2', host: 'a.test', port: 'x' } },
    ]);
    expect([answer.status, answer.body]).toEqual([
      400,
      {
        code: 2,
        name: 'schema violation',
        message: 'schema violation (port: expected an integer)',
        fields: { port: 'expected an integer' },
        operation: { index: 1, kind: 'services', key: null },
      },
    ]);
    expect((await admin.call('GET', '/services/b-lost')).status).toBe(404);
    expect(await version()).toBe(before);
  });

  it('says so of what only the database can know, with its code', async () => {
    await admin.call('PUT', '/services/b-used', { host: 'a.test' });
    await admin.call('POST', '/services/b-used/routes', { paths: ['/u'] });
    const fine = { op: 'upsert', path: '/consumers/b-fine' };
    const twice = { op: 'create', path: '/services', body: { name: 'b-used', host: 'b' } };
    const nowhere = { op: 'update', path: '/services/b-nowhere', body: { port: 1 } };
    const dangling = {
      op: 'upsert',
      path: '/routes/b-dangling',
      body: { paths: ['/'], service: { id: '11111111-1111-4111-8111-111111111111' } },
    };
    const unresolved = {
      op: 'upsert',
      path: '/routes/b-dangling',
      body: { paths: ['/'], service: { name: 'b-nowhere' } },
    };
    const answers = [];
    for (const bad of [
      twice,
      nowhere,
      dangling,
      unresolved,
      { op: 'delete', path: '/services/b-used' },
    ]) {
      const { status, body } = await bulk([fine, bad]);
      answers.push([status, body['code'], body['operation']]);
    }
    expect(answers).toEqual([
      [409, 5, { index: 1, kind: 'services', key: null }],
      [404, 6, { index: 1, kind: 'services', key: 'b-nowhere' }],
      [400, 4, { index: 1, kind: 'routes', key: 'b-dangling' }],
      [400, 13, { index: 1, kind: 'routes', key: 'b-dangling' }],
      [400, 4, { index: 1, kind: 'services', key: 'b-used' }],
    ]);
    expect((await admin.call('GET', '/consumers/b-fine')).status).toBe(404);
  });

  it('keeps to the tag that an operation names', async () => {
    const made = await admin.call('PUT', '/services/b-tagged', { host: 'a.test' });
    const etag = made.headers.get('etag');
    await admin.call('PATCH', '/services/b-tagged', { port: 81 });
    const path = '/services/b-tagged';
    const late = await bulk([{ op: 'update', path, body: { port: 82 }, if_match: etag }]);
    expect([late.status, late.body['operation']]).toEqual([
      412,
      { index: 0, kind: 'services', key: 'b-tagged' },
    ]);
    const taken = await bulk([{ op: 'upsert', path, body: { host: 'b' }, if_none_match: '*' }]);
    expect(taken.status).toBe(412);
    expect((await admin.call('GET', path)).body['port']).toBe(81);
  });

  it('is only tried with a dry run', async () => {
    const operations = [
      { op: 'create', path: '/services', body: { name: 'b-dry', host: 'a.test' } },
      { op: 'create', path: '/services/b-dry/routes', body: { paths: ['/d'] } },
    ];
    const tried = await bulk(operations, '/headgate/bulk?dry_run=true');
    expect(statuses(tried)).toEqual([201, 201]);
    expect(tried.headers.get('headgate-dry-run')).toBe('true');
    expect((await admin.call('GET', '/services/b-dry')).status).toBe(404);
    expect((await bulk(operations, '/headgate/bulk?dry_run=perhaps')).status).toBe(400);
  });

  it('stays within its workspace', async () => {
    await admin.call('POST', '/workspaces', { name: 'b-team' });
    const operations = [{ op: 'upsert', path: '/services/b-ours', body: { host: 'a.test' } }];
    expect((await bulk(operations, '/b-team/headgate/bulk')).status).toBe(200);
    expect((await admin.call('GET', '/services/b-ours')).status).toBe(404);
    expect((await admin.call('GET', '/b-team/services/b-ours')).status).toBe(200);
  });
});

describe('a bulk write that is none', () => {
  const uuid = '11111111-1111-4111-8111-111111111111';
  it.each<[string, JsonValue, JsonObject]>([
    ['nothing', null, { '@entity': ['expected a record'] }],
    ['a list', [], { '@entity': ['expected a record'] }],
    ['no op', { path: '/services' }, { op: 'required field missing' }],
    ['another op', { op: 'move', path: '/services' }, { op: expect.stringContaining('create') }],
    ['no place', { op: 'create' }, { '@entity': [expect.stringContaining("'path', 'kind'")] }],
    [
      'two',
      { op: 'create', path: '/services', kind: 'services' },
      { '@entity': expect.anything() },
    ],
    ['odd member', { op: 'create', path: '/services', x: 1 }, { x: 'unknown field' }],
    [
      'a body that is a list',
      { op: 'create', path: '/services', body: [] },
      { body: 'expected a record' },
    ],
    ['an entity to create', { op: 'create', path: '/services/x' }, { op: expect.any(String) }],
    ['a collection to change', { op: 'update', path: '/services' }, { path: expect.any(String) }],
    ['a kind to change', { op: 'delete', kind: 'services' }, { key: expect.any(String) }],
    ['an unknown path', { op: 'create', path: '/nothing' }, { path: expect.any(String) }],
    ['targets alone', { op: 'create', path: '/targets' }, { path: expect.any(String) }],
    [
      'a deep path',
      { op: 'create', path: '/services/a/routes/b/plugins' },
      { path: expect.any(String) },
    ],
    [
      'no child of it',
      { op: 'create', path: '/services/a/consumers' },
      { path: expect.any(String) },
    ],
    ['a bad escape', { op: 'delete', path: '/services/%zz' }, { path: expect.any(String) }],
    ['a NUL', { op: 'delete', path: '/services/%00' }, { path: expect.any(String) }],
    ['an unknown kind', { op: 'create', kind: 'nothing' }, { kind: expect.any(String) }],
    [
      'a kind that is nowhere kept',
      { op: 'create', kind: 'filter_chains' },
      { kind: expect.any(String) },
    ],
    [
      'a path of it',
      { op: 'create', path: '/services/x/filter-chains' },
      { path: expect.any(String) },
    ],
    ['a prototype', { op: 'create', kind: 'constructor' }, { kind: expect.any(String) }],
    [
      'a parent of another kind',
      { op: 'create', kind: 'routes', parent: { kind: 'consumers', key: uuid } },
      { parent: expect.anything() },
    ],
    [
      'half a parent',
      { op: 'create', kind: 'routes', parent: { kind: 'services' } },
      { parent: { key: 'required field missing' } },
    ],
    [
      'null everywhere',
      { op: null, path: null, kind: null, key: null, parent: null, body: null, if_match: null },
      { op: 'required field missing' },
    ],
  ])('is refused: %s', async (_, operation, fields) => {
    const { status, body } = await bulk([operation]);
    expect([status, body['fields']]).toEqual([400, fields]);
    expect(body['operation']).toMatchObject({ index: 0 });
  });

  it('is refused by its name when it is no list of them', async () => {
    const of = async (body: unknown, headers = {}) => {
      const answer = await admin.call('POST', '/headgate/bulk', body, headers);
      return [answer.status, answer.body['fields'] ?? answer.body['message'] ?? null];
    };
    expect(await of({})).toEqual([400, { operations: 'required field missing' }]);
    expect(await of({ operations: null })).toEqual([400, { operations: 'expected an array' }]);
    expect(await of({ operations: {} })).toEqual([400, { operations: 'expected an array' }]);
    expect(await of({ operations: [], x: 1 })).toEqual([400, { x: 'unknown field' }]);
    expect(await of('[]')).toEqual([400, 'Cannot parse JSON body']);
    expect(await of(`{"operations":${'['.repeat(10_000)}`)).toEqual([
      400,
      'Cannot parse JSON body',
    ]);
    expect(await of(new Uint8Array([0x7b, 0xff, 0x7d]))).toEqual([400, 'Cannot parse JSON body']);
    const form = { 'content-type': 'application/x-www-form-urlencoded' };
    expect(await of('operations=1', form)).toEqual([415, null]);
  });

  it('may have so many operations and no more', async () => {
    const many = (count: number) =>
      Array.from({ length: count }, () => ({ op: 'delete', kind: 'consumers', key: 'nobody' }));
    // As many as may be are looked at one by one, so that the first of them is what is wrong.
    const within = await bulk(Array.from({ length: OPERATIONS_MAX }, () => null));
    expect(within.body['operation']).toMatchObject({ index: 0 });
    const beyond = await bulk(many(OPERATIONS_MAX + 1));
    expect([beyond.status, beyond.body['fields']]).toEqual([
      400,
      { operations: `length must be at most ${OPERATIONS_MAX}` },
    ]);
    expect((await bulk([])).status).toBe(200);
  });

  it('may have so many values and no more', async () => {
    const answer = await admin.call(
      'POST',
      '/headgate/bulk',
      `{"operations":[${'1,'.repeat(1e6)}1]}`,
    );
    expect([answer.status, answer.body['message']]).toEqual([
      400,
      expect.stringContaining('1000000 members'),
    ]);
  });
});
