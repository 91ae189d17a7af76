import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { JsonObject } from '#shared/schema/field.ts';
import { type Answer, openTestAdmin, type TestAdmin } from './admin.suite.ts';

const BODY_MAX = 64 * 1024;

let test: TestAdmin;
let call: TestAdmin['call'];
beforeAll(async () => {
  test = await openTestAdmin({ bodyMax: BODY_MAX });
  ({ call } = test);
});
afterAll(() => test?.close());

/** Everything that is there, so that a refused request can be shown to have changed nothing. */
async function snapshot(): Promise<string> {
  const versions = await test.store.db.query('SELECT * FROM workspace_versions ORDER BY ws_id');
  const services = await test.store.db.query('SELECT id, doc FROM services ORDER BY id');
  return JSON.stringify([versions.rows, services.rows]);
}

describe('an entity', () => {
  it('is created with its defaults and read back by id and name', async () => {
    const made = await call('POST', '/services', { name: 'first', url: 'http://h.test/a' });
    expect(made.status).toBe(201);
    expect(made.headers.get('content-type')).toBe('application/json; charset=utf-8');
    expect(made.headers.get('server')).toMatch(/^kong\/3\.9/);
    expect(made.headers.get('x-kong-admin-latency')).toMatch(/^\d+$/);
    expect(made.body).toMatchObject({
      name: 'first',
      protocol: 'http',
      host: 'h.test',
      port: 80,
      path: '/a',
      retries: 5,
      connect_timeout: 60000,
      enabled: true,
      tags: null,
    });
    expect(made.body).not.toHaveProperty('url');
    expect((await call('GET', `/services/${String(made.body['id'])}`)).body).toEqual(made.body);
    expect((await call('GET', '/services/first')).body).toEqual(made.body);
    const head = await call('HEAD', '/services/first');
    expect([head.status, head.body]).toEqual([200, {}]);
  });

  it('is replaced by PUT, changed by PATCH, and gone after DELETE', async () => {
    const put = await call('PUT', '/services/second', { host: 'a.test', tags: ['x'] });
    expect(put.status).toBe(200);
    const again = await call('PUT', '/services/second', { host: 'b.test' });
    expect(again.body).toMatchObject({ id: put.body['id'], host: 'b.test', tags: null });
    const patched = await call('PATCH', '/services/second', { port: 8080 });
    expect(patched.body).toMatchObject({ host: 'b.test', port: 8080 });
    expect((await call('PATCH', '/services/second', { host: null })).status).toBe(400);
    expect((await call('DELETE', '/services/second')).status).toBe(204);
    expect((await call('GET', '/services/second')).body).toEqual({ message: 'Not found' });
    expect((await call('DELETE', '/services/second')).status).toBe(204);
  });

  it('is not found by PATCH with Kong’s error object', async () => {
    const answer = await call('PATCH', '/services/nobody', { port: 1 });
    expect(answer.status).toBe(404);
    expect(answer.body).toMatchObject({ code: 6, name: 'not found', fields: { name: 'nobody' } });
  });

  it('may be written as a form, with types from the schema', async () => {
    const form = 'name=formed&url=http%3A%2F%2Fh.test&retries=2&tags[]=a&tags[]=b&enabled=false';
    const type = { 'content-type': 'application/x-www-form-urlencoded' };
    const made = await call('POST', '/services', form, type);
    expect(made.status, JSON.stringify(made.body)).toBe(201);
    expect(made.body).toMatchObject({ retries: 2, tags: ['a', 'b'], enabled: false });
    const plugin = await call(
      'POST',
      '/services/formed/plugins',
      'name=rate-limiting&config.minute=5&config.policy=local',
      type,
    );
    expect(plugin.status, JSON.stringify(plugin.body)).toBe(201);
    expect(plugin.body['config']).toMatchObject({
      minute: 5,
      policy: 'local',
      limit_by: 'consumer',
    });
    const patched = await call(
      'PATCH',
      `/plugins/${String(plugin.body['id'])}`,
      'config.minute=6',
      type,
    );
    expect(patched.body['config']).toMatchObject({ minute: 6 });
  });
});

describe('a foreign key', () => {
  let id: string;
  beforeEach(async () => {
    const parent = await call('PUT', '/services/parent', { host: 'h.test' });
    id = String(parent.body['id']);
  });

  it('nests children under their parents, by id and by name', async () => {
    const made = await call('POST', '/services/parent/routes', { name: 'child', paths: ['/c'] });
    expect(made.status).toBe(201);
    expect(made.body['service']).toEqual({ id });
    expect((await call('GET', `/services/${id}/routes/child`)).body).toEqual(made.body);
    expect((await call('GET', '/routes/child/service')).body['name']).toBe('parent');
    const list = await call('GET', '/services/parent/routes');
    expect(list.body['data']).toHaveLength(1);
    expect((await call('GET', '/services/nobody/routes')).status).toBe(404);
    await call('PUT', '/services/other', { host: 'h.test' });
    expect((await call('GET', '/services/other/routes/child')).status).toBe(404);
    expect((await call('DELETE', '/services/other/routes/child')).status).toBe(404);
    expect((await call('DELETE', '/services/parent')).body).toMatchObject({
      code: 4,
      fields: { '@referenced_by': 'routes' },
    });
    expect((await call('DELETE', '/services/parent/routes/child')).status).toBe(204);
  });

  it('may be given by a unique field, and must lead somewhere', async () => {
    const by = (service: object) => call('POST', '/routes', { paths: ['/x'], service });
    expect((await by({ name: 'parent' })).body['service']).toEqual({ id });
    expect((await by({ name: 'nobody' })).body).toMatchObject({ code: 13 });
    expect((await by({ id: randomUUID() })).body).toMatchObject({ code: 4 });
  });

  it('keeps a consumer’s keys under the consumer', async () => {
    await call('PUT', '/consumers/ann', {});
    const made = await call('POST', '/consumers/ann/key-auth', { key: 'k-1', ttl: 10 });
    expect(made.status, JSON.stringify(made.body)).toBe(201);
    expect(made.body).toMatchObject({ key: 'k-1' });
    expect(made.body['ttl']).toBeLessThan(10);
    expect(made.body).not.toHaveProperty('expires_at');
    expect((await call('GET', '/key-auths/k-1/consumer')).body['username']).toBe('ann');
    expect((await call('POST', '/consumers/ann/key-auth', { key: 'k-1' })).status).toBe(409);
    const endless = await call('POST', '/consumers/ann/key-auth', { ttl: -1 });
    expect(endless.body).toMatchObject({ code: 11, name: 'invalid options' });
    const generated = await call('POST', '/consumers/ann/key-auth', {});
    expect(generated.body['key']).toMatch(/^[A-Za-z0-9]{32}$/);
    expect((await call('DELETE', '/consumers/ann')).status).toBe(204);
    expect((await call('GET', '/key-auths/k-1')).status).toBe(404);
  });
});

describe('targets', () => {
  it('live under their upstream only, and PUT does not create', async () => {
    await call('PUT', '/upstreams/pool', {});
    const made = await call('POST', '/upstreams/pool/targets', { target: 'a.test', weight: 5 });
    expect(made.body).toMatchObject({ target: 'a.test:8000', weight: 5 });
    expect((await call('GET', '/upstreams/pool/targets/a.test:8000')).status).toBe(200);
    const path = `/upstreams/pool/targets/${String(made.body['id'])}`;
    expect((await call('PUT', path, { weight: 7 })).body).toMatchObject({ weight: 7 });
    const missing = `/upstreams/pool/targets/${randomUUID()}`;
    expect((await call('PUT', missing, { target: 'b.test' })).status).toBe(404);
    expect((await call('GET', '/targets')).status).toBe(404);
    expect((await call('POST', '/upstreams/pool/targets', { target: 'a.test:8000' })).status).toBe(
      409,
    );
    expect((await call('GET', '/upstreams/pool/targets/all')).body['data']).toHaveLength(1);
  });
});

describe('a list', () => {
  it('is paged by size and offset, and filtered by tags', async () => {
    for (let i = 0; i < 5; i++) {
      const tags = i % 2 === 0 ? ['even', 'all'] : ['odd', 'all'];
      await call('PUT', `/consumers/page-${i}`, { tags });
    }
    const names: unknown[] = [];
    let path: unknown = '/consumers?size=2&tags=all';
    let pages = 0;
    while (typeof path === 'string') {
      const page: Answer = await call('GET', path);
      names.push(...(page.body['data'] as JsonObject[]).map((row) => row['username']));
      path = page.body['next'];
      expect('offset' in page.body).toBe(path !== null);
      pages++;
    }
    expect(pages).toBe(3);
    expect(names.toSorted()).toEqual(['page-0', 'page-1', 'page-2', 'page-3', 'page-4']);
    const even = await call('GET', '/consumers?tags=even,all');
    expect(even.body['data']).toHaveLength(3);
    expect((await call('GET', '/consumers?tags=even/odd')).body['data']).toHaveLength(5);
  });

  it.each([
    ['size=0', 9],
    ['size=1001', 9],
    ['size=x', 9],
    ['offset=%%%', 7],
    ['offset=e30', 7],
    ['tags=', 11],
    ['tags=a,b/c', 11],
  ])('refuses ?%s with code %i', async (query, code) => {
    const answer = await call('GET', `/consumers?${query}`);
    expect(answer.status).toBe(400);
    expect(answer.body['code']).toBe(code);
  });
});

describe('bad input changes nothing', () => {
  const deep = `{"name":${'['.repeat(200)}${']'.repeat(200)}}`;
  const cases: [string, string | Uint8Array | object, number, object?][] = [
    ['malformed JSON', '{"name":', 400],
    ['an array', '[]', 400],
    ['a bare string', '"x"', 400],
    ['bytes that are not UTF-8', new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), 400],
    ['deep nesting', deep, 400],
    [
      'an unknown field',
      { host: 'h.test', garbage: 1 },
      400,
      { code: 2, fields: { garbage: 'unknown field' } },
    ],
    [
      'a wrong type',
      { host: 'h.test', port: '80' },
      400,
      { code: 2, fields: { port: 'expected an integer' } },
    ],
    ['a number out of range', { host: 'h.test', port: 70000 }, 400, { code: 2 }],
    [
      'a missing required field',
      { name: 'x' },
      400,
      { code: 2, fields: { host: 'required field missing' } },
    ],
    ['a __proto__ key', '{"host":"h.test","__proto__":{"polluted":true}}', 400, { code: 2 }],
    [
      'a constructor key',
      { host: 'h.test', constructor: { prototype: { polluted: 1 } } },
      400,
      { code: 2 },
    ],
    ['a NUL byte', { host: 'h.test', name: 'a\u0000b' }, 400],
    ['a NUL byte in a tag', { host: 'h.test', tags: ['a\u0000'] }, 400],
    ['an integer beyond 2^53', '{"host":"h.test","retries":9007199254740993}', 400],
    ['a lone surrogate', '{"host":"h.test","tags":["\\ud800"]}', 400],
    ['a body over the limit', { host: 'h.test', path: `/${'x'.repeat(BODY_MAX)}` }, 413],
  ];

  it.each(cases)('%s', async (_name, body, status, expected = {}) => {
    const before = await snapshot();
    const answer = await call('POST', '/services', body);
    expect(answer.status, JSON.stringify(answer.body)).toBe(status);
    expect(answer.body).toMatchObject(expected);
    expect(typeof answer.body['message']).toBe('string');
    expect(await snapshot()).toBe(before);
    expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false);
  });

  it('in a path or a content type', async () => {
    expect((await call('GET', '/services/a%00b')).status).toBe(404);
    expect((await call('GET', '/services/a%20b')).body).toMatchObject({ code: 10 });
    expect((await call('GET', '/services/__proto__')).status).toBe(404);
    expect((await call('POST', '/services', 'x', { 'content-type': 'text/plain' })).status).toBe(
      415,
    );
    expect((await call('GET', '/nowhere')).body).toEqual({ message: 'Not found' });
    expect((await call('POST', '/')).status).toBe(405);
    expect((await call('PUT', '/services')).body).toEqual({ message: 'Method not allowed' });
  });
});

describe('information', () => {
  it('tells tools the Kong version they decide by, and ours beside it', async () => {
    const { body } = await call('GET', '/');
    expect(body['version']).toMatch(/^3\.9\.\d+$/);
    expect(body['headgate_version']).toMatch(/^\d+\.\d+\.\d+$/);
    expect((await call('GET', '/status')).body['database']).toEqual({ reachable: true });
  });

  it('shows schemas, and 404 for what has none', async () => {
    const { body } = await call('GET', '/schemas/services');
    expect(body['fields']).toBeInstanceOf(Array);
    expect((await call('GET', '/schemas/plugins/key-auth')).status).toBe(200);
    expect((await call('GET', '/schemas/nothing')).body).toEqual({
      message: "No entity named 'nothing'",
    });
  });

  it('lists the methods of a path', async () => {
    const answer = await call('OPTIONS', '/services');
    expect(answer.status).toBe(204);
    expect(answer.headers.get('allow')).toBe('GET, HEAD, OPTIONS, POST');
  });
});
