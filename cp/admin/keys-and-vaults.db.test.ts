import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, openTestAdmin, type TestAdmin } from './admin.suite.ts';

let test: TestAdmin;
let call: TestAdmin['call'];
beforeAll(async () => {
  test = await openTestAdmin();
  ({ call } = test);
});
afterAll(() => test?.close());

async function made(method: string, path: string, body: object): Promise<Answer['body']> {
  const answer = await call(method, path, body);
  expect(answer.status, answer.text).toBeLessThan(300);
  return answer.body;
}

const pair = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });
const { publicKey, privateKey } = pair();
const PEM = {
  public_key: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  private_key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
};

function jwk(kid: string, more: object = {}): string {
  return JSON.stringify({ ...privateKey.export({ format: 'jwk' }), kid, ...more });
}

const newKid = () => randomUUID();

describe('a key', () => {
  it('is a JWK with its own kid', async () => {
    const kid = newKid();
    const body = { kid, jwk: jwk(kid), name: `k-${kid}` };
    expect(await made('POST', '/keys', body)).toMatchObject({ ...body, pem: null, set: null });
    expect((await call('GET', `/keys/k-${kid}`)).body).toMatchObject(body);
    const only = JSON.stringify({ ...publicKey.export({ format: 'jwk' }), kid: `${kid}-public` });
    await made('POST', '/keys', { kid: `${kid}-public`, jwk: only });
  });

  it('is a pair in PEM form, or either half', async () => {
    const { public_key: open, private_key: closed } = PEM;
    expect((await made('POST', '/keys', { kid: newKid(), pem: PEM }))['pem']).toEqual(PEM);
    const half = await made('POST', '/keys', { kid: newKid(), pem: { public_key: open } });
    expect(half['pem']).toEqual({ public_key: open, private_key: null });
    await made('POST', '/keys', { kid: newKid(), pem: { private_key: closed } });
    const both = await made('PATCH', `/keys/${String(half['id'])}`, {
      pem: { private_key: closed },
    });
    expect(both['pem']).toEqual(PEM);
  });

  it('may be a reference to a vault', async () => {
    await made('POST', '/keys', { kid: newKid(), jwk: '{vault://env/jwk}' });
    const pem = { private_key: '{vault://env/key}' };
    await made('POST', '/keys', { kid: newKid(), pem });
  });

  const other = pair().publicKey.export({ type: 'spki', format: 'pem' }).toString();
  it.each([
    [
      'nothing',
      {},
      { '@entity': ["at least one of these fields must be non-empty: 'pem', 'jwk'"] },
    ],
    [
      'both',
      { jwk: jwk('x'), pem: PEM },
      { '@entity': ["only one or none of these fields must be set: 'pem', 'jwk'"] },
    ],
    ['no JSON', { jwk: '{' }, { '@entity': ['could not json decode jwk string'] }],
    ['no object', { jwk: '[]' }, { '@entity': ['could not json decode jwk string'] }],
    [
      'another kid',
      { jwk: jwk('other') },
      { '@entity': ['kid in jwk.kid must be equal to keys.kid'] },
    ],
    [
      'an unknown member',
      { jwk: jwk('x', { odd: 1 }) },
      { '@entity': ['schema violation (odd: unknown field)'] },
    ],
    [
      'a member of another type',
      { jwk: jwk('x', { alg: 1 }) },
      { '@entity': ['schema violation (alg: expected a string)'] },
    ],
    [
      'no key in it',
      { jwk: JSON.stringify({ kty: 'RSA', kid: 'x', n: 'AQ' }) },
      { '@entity': ['could not load JWK, likely not a valid key'] },
    ],
    [
      'a symmetric key',
      { jwk: JSON.stringify({ kty: 'oct', kid: 'x', k: 'AQ' }) },
      { '@entity': ['could not load JWK, likely not a valid key'] },
    ],
    [
      'an empty pair',
      { pem: {} },
      {
        pem: {
          '@entity': [
            "at least one of these fields must be non-empty: 'private_key', 'public_key'",
          ],
        },
      },
    ],
    ['no public key', { pem: { public_key: 'x' } }, { pem: 'could not load public key' }],
    [
      'a public key for a private one',
      { pem: { private_key: PEM.public_key } },
      { pem: 'could not load private key' },
    ],
    [
      'halves that do not fit',
      { pem: { ...PEM, public_key: other } },
      { pem: 'public key does not match private key' },
    ],
  ])('is refused with %s', async (_, body, fields) => {
    const answer = await call('POST', '/keys', { kid: 'x', ...body });
    expect([answer.status, answer.body['code']], answer.text).toEqual([400, 2]);
    expect(answer.body['fields']).toMatchObject(fields);
    expect(answer.text).not.toContain(String(privateKey.export({ format: 'jwk' }).d));
  });

  it('is unique by name, and by kid within its set', async () => {
    const set = await made('POST', '/key-sets', { name: 'unique' });
    const kid = newKid();
    const body = { kid, pem: PEM, set: { name: 'unique' } };
    await made('POST', '/keys', body);
    const twice = await call('POST', '/key-sets/unique/keys', { kid, pem: PEM });
    expect(twice.body).toMatchObject({
      code: 5,
      message: `UNIQUE violation detected on '{kid="${kid}",set={id="${String(set['id'])}"}}'`,
    });
    await made('POST', '/keys', { kid, pem: PEM });
    const alone = await call('POST', '/keys', { kid, pem: PEM });
    expect(alone.body).toMatchObject({ code: 5, fields: { kid, set: null } });
  });

  it('goes with its set, and only with that', async () => {
    await made('PUT', '/key-sets/leaving', {});
    const kid = newKid();
    const inside = await made('POST', '/key-sets/leaving/keys', {
      kid,
      pem: PEM,
      name: `n-${kid}`,
    });
    const outside = await made('POST', '/keys', { kid, pem: PEM });
    expect((await call('GET', `/keys/n-${kid}/set`)).body).toMatchObject({ name: 'leaving' });
    expect((await call('GET', '/key-sets/leaving/keys')).body['data']).toEqual([inside]);
    await made('PATCH', '/key-sets/leaving', { name: 'left' });
    expect((await call('DELETE', '/key-sets/left')).status).toBe(204);
    expect((await call('GET', `/keys/n-${kid}`)).status).toBe(404);
    expect((await call('GET', `/keys/${String(outside['id'])}`)).status).toBe(200);
  });

  it('is not told in the database', async () => {
    await made('POST', '/keys', { kid: newKid(), pem: PEM });
    const kid = newKid();
    await made('POST', '/keys', { kid, jwk: jwk(kid) });
    const { rows } = await test.store.db.query<{ text: string }>(
      'SELECT doc::text AS text FROM keys UNION ALL SELECT doc::text FROM changes',
    );
    const text = rows.map((row) => row.text).join();
    expect(text).toContain('BEGIN PUBLIC');
    expect(text).not.toContain('BEGIN PRIVATE');
    expect(text).not.toContain(String(privateKey.export({ format: 'jwk' }).d));
  });
});

describe('a vault', () => {
  const env = { name: 'env', config: { prefix: 'SSL_' } };

  it('is made, found and removed by id and by prefix', async () => {
    const id = randomUUID();
    expect(await made('PUT', `/vaults/${id}`, { ...env, prefix: 'env-1' })).toMatchObject({
      ...env,
      id,
      prefix: 'env-1',
      description: null,
    });
    expect((await call('GET', '/vaults/env-1')).body).toMatchObject({ id });
    await made('PUT', '/vaults/env-2', { name: 'env', config: { prefix: 'secure-key-' } });
    expect(await made('PATCH', '/vaults/env-2', { config: { prefix: 'CERT_' } })).toMatchObject({
      config: { prefix: 'CERT_' },
    });
    expect((await made('PUT', '/vaults/env-3', { name: 'env' }))['config']).toEqual({
      prefix: null,
    });
    for (const name of ['env-3', id, 'env-2', 'env-2']) {
      expect((await call('DELETE', `/vaults/${name}`)).status).toBe(204);
    }
    expect((await call('GET', '/vaults/env-1')).status).toBe(404);
    expect((await call('POST', '/vaults/env-1', {})).status).toBe(405);
  });

  it('cannot be called like a kind of vault', async () => {
    const message = 'schema violation (prefix: must not be one of: env)';
    const byId = await call('PUT', `/vaults/${randomUUID()}`, { ...env, prefix: 'env' });
    expect(byId.body).toMatchObject({ code: 2, message });
    const byPrefix = await call('PUT', '/vaults/env', env);
    expect(byPrefix.body).toEqual({
      code: 10,
      name: 'invalid unique prefix',
      message: 'must not be one of: env',
    });
    expect((await call('PATCH', '/vaults/nobody', { prefix: 'env' })).status).toBe(404);
  });

  it.each([
    [{ prefix: 'No' }, { prefix: 'invalid value: No' }],
    [{ prefix: 'a' }, { prefix: 'invalid value: a' }],
    [{ prefix: 'ab', name: 'hcv' }, { name: "vault 'hcv' is not installed" }],
    [{ prefix: 'ab', config: { prefix: '1a' } }, { config: { prefix: 'invalid value: 1a' } }],
    [{ prefix: 'ab', config: { odd: 1 } }, { config: { odd: 'unknown field' } }],
  ])('is refused as %s', async (body, fields) => {
    expect((await call('POST', '/vaults', { ...env, ...body })).body['fields']).toEqual(fields);
  });

  it('has a prefix that no other workspace has', async () => {
    await made('PUT', '/workspaces/second', {});
    await made('POST', '/vaults', { ...env, prefix: 'shared' });
    const taken = await call('POST', '/second/vaults', { ...env, prefix: 'shared' });
    expect(taken.body).toMatchObject({ code: 5, fields: { prefix: 'shared' } });
    expect((await call('GET', '/second/vaults/shared')).status).toBe(404);
    const again = await call('PUT', '/second/vaults/shared', env);
    expect(again.status).toBe(409);
  });

  it('shows what its configuration may be', async () => {
    const shown = await call('GET', '/schemas/vaults/env');
    expect(JSON.stringify(shown.body)).toContain('"prefix"');
    expect((await call('GET', '/schemas/vaults/hcv')).body).toEqual({
      message: "No vault named 'hcv'",
    });
    expect((await call('GET', '/schemas/vaults/constructor')).status).toBe(404);
    const valid = await call('POST', '/schemas/vaults/validate', { ...env, prefix: 'ab' });
    expect(valid.status).toBe(200);
    expect((await call('GET', '/schemas/filters/x')).body).toEqual({
      message: "Filter 'x' not found",
    });
  });
});
