import { createHash, generateKeyPairSync, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, openTestAdmin, type TestAdmin } from './admin.suite.ts';

let test: TestAdmin;
let call: TestAdmin['call'];
let alice = '';
let bob = '';
beforeAll(async () => {
  test = await openTestAdmin();
  ({ call } = test);
  alice = String((await made('PUT', '/consumers/alice', {}))['id']);
  bob = String((await made('PUT', '/consumers/bob', {}))['id']);
});
afterAll(() => test?.close());

async function made(method: string, path: string, body: object): Promise<Answer['body']> {
  const answer = await call(method, path, body);
  expect(answer.status, answer.text).toBeLessThan(300);
  return answer.body;
}

const sha1 = (text: string) => createHash('sha1').update(text).digest('hex');

interface Kind {
  readonly nested: string;
  readonly api: string;
  /** What a body must have besides the consumer. */
  readonly least: () => Record<string, unknown>;
  readonly key: string;
  readonly missing: Record<string, string>;
}

const KINDS: readonly Kind[] = [
  {
    nested: 'basic-auth',
    api: 'basic-auths',
    least: () => ({ username: randomUUID().slice(1), password: 'secret' }),
    key: 'username',
    missing: { username: 'required field missing', password: 'required field missing' },
  },
  {
    nested: 'hmac-auth',
    api: 'hmac-auths',
    least: () => ({ username: randomUUID().slice(1) }),
    key: 'username',
    missing: { username: 'required field missing' },
  },
  { nested: 'jwt', api: 'jwts', least: () => ({}), key: 'key', missing: {} },
  {
    nested: 'oauth2',
    api: 'oauth2',
    least: () => ({ name: 'app' }),
    key: 'client_id',
    missing: { name: 'required field missing' },
  },
  { nested: 'key-auth', api: 'key-auths', least: () => ({}), key: 'key', missing: {} },
];

describe.each(KINDS)('a credential of $nested', ({ nested, api, least, key, missing }) => {
  it('is made, found by id and by its key, listed and removed, under its consumer', async () => {
    const path = `/consumers/alice/${nested}`;
    const body = await made('POST', path, { ...least(), tags: ['t'] });
    expect(body).toMatchObject({ consumer: { id: alice }, tags: ['t'] });
    for (const name of [body['id'], body[key]]) {
      expect((await call('GET', `${path}/${String(name)}`)).body).toEqual(body);
      expect((await call('GET', `/${api}/${String(name)}`)).body).toEqual(body);
      expect((await call('GET', `/${api}/${String(name)}/consumer`)).body).toMatchObject({
        id: alice,
      });
      expect((await call('GET', `/consumers/bob/${nested}/${String(name)}`)).status).toBe(404);
    }
    expect((await call('GET', path)).body['data']).toContainEqual(body);
    expect((await call('GET', `/consumers/bob/${nested}`)).body['data']).toEqual([]);
    const changed = await made('PATCH', `${path}/${String(body[key])}`, { tags: ['u'] });
    expect(changed).toEqual({ ...body, tags: ['u'] });
    expect((await call('DELETE', `${path}/${String(body['id'])}`)).status).toBe(204);
    expect((await call('DELETE', `${path}/${String(body['id'])}`)).status).toBe(404);
  });

  it('needs a consumer, and what else it must have', async () => {
    const bare = await call('POST', `/${api}`, least());
    expect(bare.body).toMatchObject({
      message: 'schema violation (consumer: required field missing)',
    });
    const nothing = await call('PUT', `/consumers/alice/${nested}/${randomUUID()}`, {});
    expect(nothing.body['fields'] ?? {}).toEqual(missing);
  });

  it('is unique by its key, also among those of other consumers', async () => {
    const first = await made('POST', `/consumers/alice/${nested}`, least());
    const body = { ...least(), [key]: first[key] };
    expect((await call('POST', `/consumers/bob/${nested}`, body)).body).toMatchObject({
      code: 5,
      fields: { [key]: first[key] },
    });
  });

  it('is made by PUT of its key, and goes with its consumer', async () => {
    await made('PUT', '/consumers/carol', {});
    const own = randomUUID().slice(1);
    const path = `/consumers/carol/${nested}/${own}`;
    const body = await made('PUT', path, least());
    expect(body[key]).toBe(own);
    expect(await made('PUT', path, least())).toMatchObject({ id: body['id'], [key]: own });
    await call('DELETE', '/consumers/carol');
    expect((await call('GET', `/${api}/${String(body['id'])}`)).status).toBe(404);
  });
});

describe('a password', () => {
  async function credential(password: string): Promise<Answer['body']> {
    const body = { username: randomUUID(), password };
    return made('POST', '/consumers/alice/basic-auth', body);
  }

  it('is shown as Kong hashes it, whitespace and all', async () => {
    expect((await credential(' a\tb ')).password).toBe(sha1(` a\tb ${alice}`));
  });

  it('is hashed again only when another one is sent', async () => {
    const body = await credential('one');
    const path = `/basic-auths/${String(body['id'])}`;
    expect(await made('PATCH', path, { username: randomUUID() })).toMatchObject({
      password: body['password'],
    });
    // go-kong and decK write back what they read.
    expect(await made('PATCH', path, body)).toMatchObject({ password: body['password'] });
    expect(await made('PUT', path, body)).toMatchObject({ password: body['password'] });
    expect(await made('PATCH', path, { password: 'two' })).toMatchObject({
      password: sha1(`two${alice}`),
    });
    expect(await made('PUT', path, { ...body, password: 'three' })).toMatchObject({
      password: sha1(`three${alice}`),
    });
  });

  it('must be sent when its credential moves to another consumer', async () => {
    const body = await credential('one');
    const path = `/basic-auths/${String(body['id'])}`;
    const text = "all or none of these fields must be set: 'password', 'consumer.id'";
    for (const change of [{}, { password: body['password'] }]) {
      const refused = await call('PATCH', path, { ...change, consumer: { id: bob } });
      expect(refused.body).toMatchObject({ fields: { '@entity': [text] } });
    }
    expect(await made('PATCH', path, { password: 'x', consumer: { id: bob } })).toMatchObject({
      password: sha1(`x${bob}`),
    });
  });

  it('is nowhere in the database', async () => {
    const { password } = await credential('canary-password');
    const { rows } = await test.store.db.query<{ text: string }>(
      `SELECT doc::text AS text FROM basicauth_credentials UNION ALL SELECT doc::text FROM changes`,
    );
    expect(rows.filter(({ text }) => text?.includes(String(password)))).toEqual([]);
  });
});

describe('the secret of an OAuth2 client', () => {
  const PHC = /^\$pbkdf2-sha512\$i=10000,l=32\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/;
  const path = '/consumers/alice/oauth2';

  it('is shown as it is, unless it is to be hashed', async () => {
    const plain = await made('POST', path, { name: 'a', client_secret: 'plain' });
    expect(plain['client_secret']).toBe('plain');
    expect((await made('POST', path, { name: 'a' }))['client_secret']).toMatch(/^[\w]{32}$/);
    const given = { name: 'a', hash_secret: true, client_secret: 'x' };
    expect((await made('POST', path, given))['client_secret']).toMatch(PHC);
    const own = await made('POST', path, { name: 'a', hash_secret: true });
    expect(own['client_secret']).toMatch(PHC);
    expect(await made('PUT', `/oauth2/${String(own['id'])}`, own)).toEqual(own);
  });

  it('is changed together with how it is kept', async () => {
    const { id } = await made('POST', path, { name: 'a', client_secret: 'plain' });
    const text = "all or none of these fields must be set: 'hash_secret', 'client_secret'";
    for (const change of [{ client_secret: 'other' }, { hash_secret: true }]) {
      const refused = await call('PATCH', `/oauth2/${String(id)}`, change);
      expect(refused.body).toMatchObject({ fields: { '@entity': [text] } });
    }
    const both = { client_secret: 'plain', hash_secret: true };
    const hashed = await made('PATCH', `/oauth2/${String(id)}`, both);
    expect(hashed['client_secret']).toMatch(PHC);
    const kept = await made('PATCH', `/oauth2/${String(id)}`, { name: 'b' });
    expect(kept['client_secret']).toBe(hashed['client_secret']);
  });

  it.each([
    [['not-valid'], ["cannot parse 'not-valid'"]],
    [['http://a.test/#x'], ["fragment not allowed in 'http://a.test/#x'"]],
    [
      ['http://a.test', 'x'],
      [null, "cannot parse 'x'"],
    ],
  ])('comes with absolute redirect_uris only: %s', async (uris, errors) => {
    const refused = await call('POST', path, { name: 'a', redirect_uris: uris });
    expect(refused.body).toMatchObject({ fields: { redirect_uris: errors } });
  });

  it('gives tokens, which are found by their value and go with the client or in time', async () => {
    const client = await made('POST', path, { name: 'a' });
    const body = { expires_in: 60, refresh_token: randomUUID().slice(1), ttl: 10 };
    const token = await made('POST', `/oauth2/${String(client['id'])}/oauth2_tokens`, body);
    expect(token).toMatchObject({ token_type: 'bearer', service: null, ttl: 9 });
    const value = String(token['access_token']);
    expect((await call('GET', `/oauth2_tokens/${value}`)).body).toEqual(token);
    const shown = await call('GET', `/oauth2_tokens/${value}/credential`);
    expect(shown.body).toMatchObject({ id: client['id'] });
    const again = { ...body, access_token: value, credential: { client_id: client['client_id'] } };
    expect((await call('POST', '/oauth2_tokens', again)).body).toMatchObject({ code: 5 });
    await call('DELETE', `/oauth2/${String(client['id'])}`);
    expect((await call('GET', `/oauth2_tokens/${value}`)).status).toBe(404);
  });
});

describe('a key of jwt', () => {
  const path = '/consumers/alice/jwt';
  const publicKey = (kind: 'rsa' | 'ed25519') => {
    const pair =
      kind === 'rsa'
        ? generateKeyPairSync('rsa', { modulusLength: 2048 })
        : generateKeyPairSync('ed25519');
    return pair.publicKey.export({ type: 'spki', format: 'pem' }).toString();
  };

  it('is made up when it is not sent', async () => {
    const body = await made('POST', path, {});
    expect(body).toMatchObject({ algorithm: 'HS256', rsa_public_key: null });
    expect([body['key'], body['secret']].map((text) => String(text).length)).toEqual([32, 32]);
    const same = { secret: 'shared' };
    expect(await made('POST', path, same)).toMatchObject(same);
    expect(await made('POST', path, same)).toMatchObject(same);
  });

  it.each(['RS256', 'PS512', 'EdDSA'])('needs a public key for %s', async (algorithm) => {
    const entity = ["failed conditional validation given value of field 'algorithm'"];
    expect((await call('POST', path, { algorithm })).body).toMatchObject({
      fields: { rsa_public_key: 'required field missing', '@entity': entity },
    });
    const wrong = await call('POST', path, { algorithm, rsa_public_key: 'test' });
    expect(wrong.body).toMatchObject({
      fields: { rsa_public_key: 'invalid key', '@entity': entity },
    });
    const text = publicKey(algorithm === 'EdDSA' ? 'ed25519' : 'rsa');
    expect(await made('POST', path, { algorithm, rsa_public_key: text })).toMatchObject({
      rsa_public_key: text,
    });
  });

  it('must not be a private one where a public one is due', async () => {
    const { privateKey } = generateKeyPairSync('ed25519');
    const text = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const refused = await call('POST', path, { algorithm: 'EdDSA', rsa_public_key: text });
    expect(refused.body).toMatchObject({ fields: { rsa_public_key: 'invalid key' } });
  });
});

describe('the groups of a consumer', () => {
  it('are refused by their name when they are too long for the database to find', async () => {
    // Random, because Postgres compresses what it puts into an index.
    const group = Array.from({ length: 300 }, () => randomUUID()).join('');
    const refused = await call('POST', '/consumers/alice/acls', { group });
    expect([refused.status, refused.body['fields']]).toEqual([
      400,
      { group: 'is too long to be searched for' },
    ]);
  });

  it('are found, changed and removed by name, each consumer’s own', async () => {
    const ours = await made('POST', '/consumers/alice/acls', { group: 'staff' });
    const theirs = await made('POST', '/consumers/bob/acls', { group: 'staff' });
    expect((await call('GET', '/consumers/alice/acls/staff')).body).toEqual(ours);
    expect((await call('GET', '/consumers/bob/acls/staff')).body).toEqual(theirs);
    expect((await call('GET', `/acls/${String(ours['id'])}`)).body).toEqual(ours);
    expect((await call('GET', '/acls/staff')).body).toMatchObject({ code: 1 });
    const renamed = await made('PATCH', '/consumers/alice/acls/staff', { group: 'crew' });
    expect(renamed).toMatchObject({ id: ours['id'], group: 'crew' });
    expect((await call('DELETE', '/consumers/alice/acls/crew')).status).toBe(204);
    expect((await call('GET', '/consumers/bob/acls/staff')).status).toBe(200);
  });

  it('are entered by PUT of the name, once', async () => {
    const body = await made('PUT', '/consumers/alice/acls/vip', {});
    expect(body).toMatchObject({ group: 'vip', consumer: { id: alice } });
    expect(await made('PUT', '/consumers/alice/acls/vip', { tags: ['t'] })).toMatchObject({
      id: body['id'],
      group: 'vip',
      tags: ['t'],
    });
    expect(await made('PUT', '/consumers/alice/acls/vip', { group: 'vip2' })).toMatchObject({
      id: body['id'],
      group: 'vip2',
    });
    expect((await call('PUT', '/consumers/alice/acls/x', { group: 1 })).body).toMatchObject({
      fields: { group: 'expected a string' },
    });
  });

  it('are unique for a consumer', async () => {
    await made('POST', '/consumers/alice/acls', { group: 'once' });
    expect((await call('POST', '/consumers/alice/acls', { group: 'once' })).body).toEqual({
      code: 5,
      name: 'unique constraint violation',
      message: `UNIQUE violation detected on '{consumer={id="${alice}"},group="once"}'`,
      fields: { consumer: { id: alice }, group: 'once' },
    });
    await made('POST', '/acls', { group: 'once', consumer: { username: 'bob' } });
  });

  it.each(['GET', 'PATCH', 'DELETE'])(
    'answer 404 to %s of one that is not there',
    async (method) => {
      const body = method === 'PATCH' ? {} : undefined;
      const unknown = await call(method, '/consumers/alice/acls/nobody', body);
      expect([unknown.status, unknown.body]).toEqual([
        404,
        { message: 'Not found', request_id: expect.stringMatching(/^[0-9a-f]{32}$/) },
      ]);
      expect((await call(method, `/consumers/nobody/acls/x`, body)).body).toEqual({
        message: 'Not found',
      });
    },
  );
});

describe('what data planes make', () => {
  it('is kept, found by its secret, and not told in the database', async () => {
    const session = { session_id: 'canary-session', data: 'canary-data', ttl: 100 };
    const body = await made('POST', '/sessions', session);
    expect(body).toMatchObject({ ...session, ttl: 99 });
    expect((await call('GET', '/sessions/canary-session')).body).toMatchObject({ id: body['id'] });
    const stored = await made('POST', '/acme_storage', { key: 'k', value: 'canary-value' });
    expect(stored).toMatchObject({ key: 'k', value: 'canary-value', ttl: null });
    expect((await call('GET', '/acme_storage/k')).body).toMatchObject({ code: 1 });
    const { rows } = await test.store.db.query<{ text: string }>(
      `SELECT doc::text AS text FROM sessions UNION ALL SELECT doc::text FROM acme_storage`,
    );
    expect(rows.map(({ text }) => text).join()).not.toContain('canary');
  });

  it('goes when its time has come', async () => {
    const { id } = await made('POST', '/sessions', { session_id: 'short', ttl: 100 });
    await test.store.db.query(`UPDATE sessions SET expires_at = now() - interval '1 second'`);
    expect((await call('GET', '/sessions/short')).status).toBe(404);
    expect(await test.store.sweepExpired()).toBeGreaterThan(0);
    const { rows } = await test.store.db.query('SELECT 1 FROM sessions WHERE id = $1', [
      String(id),
    ]);
    expect(rows).toEqual([]);
  });
});
