import { describe, expect, it } from 'vitest';
import { TestConfig, testPlugin } from '../../../test/support/builders.ts';
import { request } from '../../../test/support/fake-platform.ts';
import { type Answer, TestGateway } from '../../../test/support/gateway.ts';
import { fromUtf8, utf8 } from '../../base/bytes.ts';
import type { JsonObject } from '../../schema/field.ts';

const FORM = 'application/x-www-form-urlencoded';

function setUp(config: JsonObject = {}): { test: TestGateway; entities: TestConfig } {
  const entities = new TestConfig();
  entities.plugin('key-auth', config);
  entities.consumer('ann', 'ann-key');
  entities.route({ paths: ['/'], strip_path: false });
  return { test: new TestGateway(entities.tables()), entities };
}

function message(answer: Answer): unknown {
  return (answer.json() as { message: unknown }).message;
}

describe('key-auth', () => {
  it('lets a known key pass, and says upstream whose it is', async () => {
    const { test, entities } = setUp();
    const bob = entities.add('consumers', { username: 'bob', custom_id: 'b-1' });
    const credential = entities.add('keyauth_credentials', {
      key: 'bob-key',
      consumer: { id: bob.id },
    });
    test.gateway.swap(entities.tables());

    expect((await test.get('/', { apikey: 'bob-key' })).status).toBe(200);

    const { headers } = test.upstream;
    expect(headers.get('x-consumer-id')).toBe(bob.id);
    expect(headers.get('x-consumer-username')).toBe('bob');
    expect(headers.get('x-consumer-custom-id')).toBe('b-1');
    expect(headers.get('x-credential-identifier')).toBe(credential.id);
    expect(headers.has('x-anonymous-consumer')).toBe(false);
    expect(headers.get('apikey')).toBe('bob-key');
  });

  it('refuses a request without a key', async () => {
    const got = await setUp().test.get('/');
    expect([got.status, message(got)]).toEqual([401, 'No API key found in request']);
    expect(got.headers.get('www-authenticate')).toBe('Key');
  });

  it.each([
    ['in a header', '/', { apikey: '' }],
    ['in the query', '/?apikey=', {}],
    ['without a value', '/?apikey', {}],
  ])('takes an empty key %s for none', async (_, target, headers) => {
    const got = await setUp().test.get(target, headers);
    expect([got.status, message(got)]).toEqual([401, 'No API key found in request']);
  });

  it('refuses a key that nobody has', async () => {
    const got = await setUp({ realm: 'my "realm"' }).test.get('/', { apikey: 'wrong' });
    expect([got.status, message(got)]).toEqual([401, 'Unauthorized']);
    expect(got.headers.get('www-authenticate')).toBe('Key realm="my \\"realm\\""');
  });

  it('refuses a key beyond any length without hashing it', async () => {
    const got = await setUp().test.get('/', { apikey: 'x'.repeat(4097) });
    expect(message(got)).toBe('Unauthorized');
  });

  it.each([
    ['headers', '/', { apikey: ['ann-key', 'ann-key'] }],
    ['arguments', '/?apikey=ann-key&apikey=ann-key', {}],
  ])('refuses two %s', async (_, target, headers) => {
    const got = await setUp().test.get(target, headers);
    expect([got.status, message(got)]).toEqual([401, 'Duplicate API key found']);
  });

  it('finds the key in the query, however it is escaped', async () => {
    const { test } = setUp();
    expect((await test.get('/?x=1&apikey=ann-key')).status).toBe(200);
    expect((await test.get('/?%61pikey=ann%2Dkey')).status).toBe(200);
    expect((await test.get('/?APIKEY=ann-key')).status).toBe(401);
  });

  it('looks only where it is told to', async () => {
    const header = setUp({ key_in_query: false }).test;
    expect((await header.get('/?apikey=ann-key')).status).toBe(401);
    const query = setUp({ key_in_header: false }).test;
    expect((await query.get('/', { apikey: 'ann-key' })).status).toBe(401);
    const body = request('/', {
      method: 'POST',
      body: utf8('apikey=ann-key'),
      headers: { 'content-type': FORM },
    });
    expect((await setUp().test.send(body)).status).toBe(401);
  });

  it('takes the first of its names that is there', async () => {
    const { test } = setUp({ key_names: ['X-Key', 'apikey'] });
    expect((await test.get('/', { apikey: 'ann-key' })).status).toBe(200);
    expect((await test.get('/', { apikey: 'ann-key', 'x-key': 'wrong' })).status).toBe(401);
  });

  it.each([
    ['a form', FORM, 'a=1&apikey=ann-key', 'a=1'],
    ['JSON', 'application/json; charset=utf-8', '{"a":1,"apikey":"ann-key"}', '{"a":1}'],
  ])('finds the key in %s, and hides it', async (_, type, body, left) => {
    const { test } = setUp({ key_in_body: true, hide_credentials: true });
    const headers = { 'content-type': type, 'content-length': String(body.length) };
    const message_ = request('/', { method: 'POST', body: utf8(body), headers });
    expect((await test.send(message_)).status).toBe(200);
    const { body: sent, headers: sentHeaders } = test.upstream;
    expect(fromUtf8(sent as Uint8Array)).toBe(left);
    expect(sentHeaders.get('content-length')).toBe(String(left.length));
  });

  it.each(['["ann-key"]', '["ann-key","b"]', '{"a":"ann-key"}', '[]'])(
    'takes a JSON member %s for no single key',
    async (member) => {
      const { test } = setUp({ key_in_body: true });
      const headers = { 'content-type': 'application/json' };
      const body = utf8(`{"apikey":${member}}`);
      const got = await test.send(request('/', { method: 'POST', body, headers }));
      expect([got.status, message(got)]).toEqual([401, 'Duplicate API key found']);
    },
  );

  it('takes a dash in the header for an underscore in the name, and hides both', async () => {
    const { test } = setUp({ key_names: ['api_key'], hide_credentials: true });
    expect((await test.get('/', { 'api-key': 'ann-key' })).status).toBe(200);
    expect(test.upstream.headers.has('api-key')).toBe(false);
    expect((await test.get('/', { api_key: 'ann-key' })).status).toBe(200);
    expect((await test.get('/', { api_key: 'no', 'api-key': 'ann-key' })).status).toBe(401);
  });

  it.each([
    ['of another type', 'text/plain', 'apikey=ann-key'],
    ['that is no object', 'application/json', '["apikey"]'],
    ['that is malformed', 'application/json', '{"apikey":'],
    ['beyond 64 KiB', FORM, `apikey=ann-key&pad=${'x'.repeat(64 * 1024)}`],
  ])('does not look into a body %s', async (_, type, body) => {
    const { test } = setUp({ key_in_body: true });
    const headers = { 'content-type': type };
    const got = await test.send(request('/', { method: 'POST', body: utf8(body), headers }));
    expect([got.status, message(got)]).toEqual([401, 'No API key found in request']);
  });

  it('hides the key, and leaves the rest of the query as it was', async () => {
    const { test } = setUp({ hide_credentials: true });
    await test.get('/?a=%2f&apikey=ann-key&b', { 'x-other': '1' });
    expect(test.upstream.target).toBe('/?a=%2f&b');
    await test.get('/?apikey=ann-key');
    expect(test.upstream.target).toBe('/');
    await test.get('/?apikey=also-hidden', { ApiKey: 'ann-key' });
    expect(test.upstream.target).toBe('/');
    expect(test.upstream.headers.has('apikey')).toBe(false);
  });

  it('asks preflights for a key unless told not to', async () => {
    const preflight = { method: 'OPTIONS' };
    expect((await setUp().test.send(request('/', preflight))).status).toBe(401);
    const lenient = setUp({ run_on_preflight: false }).test;
    expect((await lenient.send(request('/', preflight))).status).toBe(200);
  });

  it('refuses a key from the moment it expires', async () => {
    const { test, entities } = setUp();
    const cy = entities.consumer('cy');
    entities.add('keyauth_credentials', { key: 'brief', consumer: { id: cy.id }, ttl: 10 });
    test.gateway.swap(entities.tables());
    test.platform.clock.advance(9_999);
    expect((await test.get('/', { apikey: 'brief' })).status).toBe(200);
    test.platform.clock.advance(1);
    expect((await test.get('/', { apikey: 'brief' })).status).toBe(401);
  });

  it('refuses a key whose consumer is gone', async () => {
    const { test, entities } = setUp();
    const cy = entities.consumer('cy', 'orphan');
    entities.remove('consumers', cy.id);
    test.gateway.swap(entities.tables());
    expect((await test.get('/', { apikey: 'orphan' })).status).toBe(401);
  });

  it('never believes a client’s own word about who it is', async () => {
    const { test } = setUp();
    await test.get('/', {
      apikey: 'ann-key',
      'X-Consumer-Custom-ID': 'root',
      X_Consumer_ID: 'root',
    });
    expect(test.upstream.headers.has('x-consumer-custom-id')).toBe(false);
    expect(test.upstream.headers.has('x_consumer_id')).toBe(false);
  });

  it('cannot be built with a realm that no header carries', () => {
    const entities = new TestConfig();
    const route = entities.route({ paths: ['/'] });
    entities.plugin('key-auth', { realm: 'a\r\nb' }, { route: { id: route.id } });
    expect(entities.build()).toMatchObject({ ok: true, quarantined: [{ kind: 'plugins' }] });
  });
});

describe('key-auth with an anonymous consumer', () => {
  it.each(['id', 'username'])(
    'gives it, named by %s, to whoever has no valid key',
    async (field) => {
      const entities = new TestConfig();
      const guest = entities.consumer('guest');
      entities.consumer('ann', 'ann-key');
      entities.plugin('key-auth', { anonymous: String(guest[field]) });
      entities.route({ paths: ['/'] });
      const test = new TestGateway(entities.tables());

      expect((await test.get('/', { apikey: 'wrong' })).status).toBe(200);
      expect(test.upstream.headers.get('x-anonymous-consumer')).toBe('true');
      expect(test.upstream.headers.get('x-consumer-username')).toBe('guest');
      expect(test.upstream.headers.has('x-credential-identifier')).toBe(false);

      await test.get('/', { apikey: 'ann-key' });
      expect(test.upstream.headers.has('x-anonymous-consumer')).toBe(false);
      expect(test.upstream.headers.get('x-consumer-username')).toBe('ann');
    },
  );

  it('leaves whoever has authenticated otherwise as he is', async () => {
    const entities = new TestConfig();
    const earlier = testPlugin(
      'other-auth',
      { access: (ctx) => void (ctx.credential = { id: 'x', kind: 'tests' }) },
      2000,
    );
    entities.provide(earlier);
    entities.plugin('other-auth');
    entities.consumer('guest');
    entities.plugin('key-auth', { anonymous: 'guest' });
    entities.route({ paths: ['/'] });
    const test = new TestGateway(entities.tables());
    await test.get('/');
    expect(test.upstream.headers.has('x-anonymous-consumer')).toBe(false);
  });

  it('answers 500 when that does not exist', async () => {
    const got = await setUp({ anonymous: 'nobody' }).test.get('/');
    expect(got.status).toBe(500);
    expect(message(got)).toBe("anonymous consumer nobody is configured but doesn't exist");
  });
});
