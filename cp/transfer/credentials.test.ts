import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { JsonObject } from '#shared/schema/field.ts';
import { assessed, loadedOf, verdictOf } from './transfer.suite.ts';

const ID = '11111111-1111-4111-8111-111111111111';
const HASH = createHash('sha1').update(`open sesame${ID}`).digest('hex');

function withPassword(password: string, more: JsonObject = {}, consumer: JsonObject = { id: ID }) {
  const basicauth_credentials = [{ username: 'c', password }];
  return assessed({ consumers: [{ username: 'c', ...consumer, basicauth_credentials }], ...more });
}

describe('passwords', () => {
  it('that are hashes are kept as they are, and so is the id of their consumer', async () => {
    const assessment = await withPassword(HASH);
    expect(verdictOf(assessment, 'basicauth_credentials')).toMatchObject({
      outcome: 'taken over',
      notes: [expect.stringMatching(/SHA-1 hash and is kept.*_transform: true has it read/)],
    });
    expect(assessment.document['_transform']).toBe(false);
    expect(loadedOf(assessment, 'basicauth_credentials')['password']).toBe(HASH);
    expect(loadedOf(assessment, 'consumers')['id']).toBe(ID);
  });

  it('that are hashes are useless without the id of their consumer', async () => {
    const assessment = await withPassword(HASH, {}, {});
    const { outcome, reasons } = verdictOf(assessment, 'basicauth_credentials');
    expect(outcome).toBe('not possible');
    expect(reasons[0]).toMatch(/the source does not give that id: dump with ids/);
  });

  it('that are none are hashed when they are loaded', async () => {
    const assessment = await withPassword('open sesame');
    expect(assessment.document['_transform']).toBe(true);
    expect(loadedOf(assessment, 'basicauth_credentials')['password']).toBe('open sesame');
  });

  it.each([
    [{ _transform: false }, false],
    [{ _info: { skip_hash_for_basic_auth: true } }, false],
    [{ _transform: true }, true],
  ])('are what the document says: %j', async (more, transform) => {
    const assessment = await withPassword(HASH, more);
    expect(assessment.document['_transform']).toBe(transform);
    expect(verdictOf(assessment, 'basicauth_credentials').outcome).toBe('taken over');
  });

  it('that are said to be hashes must be', async () => {
    const assessment = await withPassword('open sesame', { _transform: false });
    expect(verdictOf(assessment, 'basicauth_credentials').reasons[0]).toMatch(/is none of Kong's/);
  });

  it('beside hashes are hashed here, with an id for the consumer that has none', async () => {
    const assessment = await assessed({
      consumers: [
        { id: ID, username: 'a', basicauth_credentials: [{ username: 'a', password: HASH }] },
        { username: 'b', basicauth_credentials: [{ username: 'b', password: 'open sesame' }] },
      ],
    });
    const [, consumer] = assessment.document['consumers'] as { id: string }[];
    const [kept, made] = assessment.document['basicauth_credentials'] as JsonObject[];
    const hash = createHash('sha1').update(`open sesame${consumer?.id}`).digest('hex');
    expect(kept?.['password']).toBe(HASH);
    expect(made).toMatchObject({ password: hash, consumer: consumer?.id });
    expect(assessment.document['_transform']).toBe(false);
  });
});

describe('client secrets of OAuth 2.0', () => {
  const PHC = '$pbkdf2-sha512$i=10000,l=32$c2FsdA$aGFzaA';
  const withSecret = (client_secret: string, more: JsonObject = {}) => {
    const oauth2_credentials = [
      { name: 'app', client_id: 'x', client_secret, hash_secret: true, ...more },
    ];
    return assessed({ consumers: [{ id: ID, username: 'c', oauth2_credentials }] });
  };

  it('that are hashes are kept as they are', async () => {
    const assessment = await withSecret(PHC);
    expect(verdictOf(assessment, 'oauth2_credentials')).toMatchObject({
      outcome: 'taken over',
      notes: ['client_secret is a PBKDF2 hash and is kept as it is'],
    });
    expect(assessment.document['_transform']).toBe(false);
  });

  it('of other kinds of hashes are not possible', async () => {
    const { reasons } = verdictOf(await withSecret('$argon2id$v=19$x'), 'oauth2_credentials');
    expect(reasons).toEqual(['client_secret is a hash of another kind than $pbkdf2-sha512$']);
  });

  it('that are plain are hashed when they are loaded', async () => {
    expect((await withSecret('plain')).document['_transform']).toBe(true);
    expect((await withSecret(PHC, { hash_secret: false })).document['_transform']).toBe(true);
  });
});

describe('vaults', () => {
  const vault = (name: string): JsonObject => ({ prefix: 'my-vault', name, config: {} });
  const certificate = (reference: string): JsonObject => ({
    id: ID,
    cert: reference,
    key: reference,
  });

  it('other than the environment are not possible', async () => {
    const { outcome, reasons } = verdictOf(await assessed({ vaults: [vault('aws')] }), 'vaults');
    expect(outcome).toBe('not possible');
    expect(reasons).toEqual([
      "vault 'aws': there is only 'env', the environment of the data plane",
    ]);
    expect(verdictOf(await assessed({ vaults: [vault('env')] }), 'vaults').outcome).toBe(
      'taken over',
    );
  });

  it.each([['{vault://env/cert}'], ['{vault://my-vault/cert}']])(
    'are referred to by certificates: %s is kept, with a note',
    async (reference) => {
      const content = { vaults: [vault('env')], certificates: [certificate(reference)] };
      const assessment = await assessed(content);
      expect(verdictOf(assessment, 'certificates')).toMatchObject({
        outcome: 'taken over',
        notes: [expect.stringMatching(/no data plane resolves any yet/)],
      });
      expect(loadedOf(assessment, 'certificates')['cert']).toBe(reference);
    },
  );

  it.each([
    ['{vault://my-vault/cert}', /refers to a vault 'aws'; there is only 'env'/],
    ['{vault://ghost/cert}', /refers to a vault that is not in the source/],
  ])('are not possible to refer to where they are others: %s', async (reference, reason) => {
    const content = { vaults: [vault('aws')], certificates: [certificate(reference)] };
    const { outcome, reasons } = verdictOf(await assessed(content), 'certificates');
    expect(outcome).toBe('not possible');
    expect(reasons[0]).toMatch(reason);
  });
});

describe('certificates', () => {
  const reference = '{vault://env/x}';

  it('hold SNIs, by name or as entities', async () => {
    const snis = ['a.test', { name: 'b.test' }];
    const { document } = await assessed({
      certificates: [{ cert: reference, key: reference, snis }],
    });
    const [certificate] = document['certificates'] as JsonObject[];
    expect(certificate).not.toHaveProperty('snis');
    expect(document['snis']).toEqual([
      { name: 'a.test', certificate: certificate?.['id'] },
      { name: 'b.test', certificate: certificate?.['id'] },
    ]);
  });

  it('of a running Kong name them once more, which adds none', async () => {
    const content = {
      certificates: [{ id: ID, cert: reference, key: reference, snis: ['a.test'] }],
      snis: [{ name: 'a.test', certificate: { id: ID } }],
    };
    const { document, verdicts } = await assessed(content, { isLive: true });
    expect(verdicts.map(({ outcome }) => outcome)).toEqual(['taken over', 'taken over']);
    expect(document['snis']).toEqual([{ name: 'a.test', certificate: ID }]);
  });

  it('that are none are not possible', async () => {
    const content = { certificates: [{ cert: 'x', key: 'y' }] };
    expect(verdictOf(await assessed(content), 'certificates').reasons[0]).toMatch(/^cert: invalid/);
  });
});
