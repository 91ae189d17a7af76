import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { REGISTRY } from '#shared/registry.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import { makeCertificate } from '../../test/support/certificates.ts';
import { hasOpenssl } from '../../test/support/openssl.ts';
import { declarableKinds } from '../declarative/kinds.ts';
import { compositeKey } from '../declarative/present.ts';
import { type Answer, openTestAdmin, type TestAdmin } from './admin.suite.ts';

const v3 = (members: JsonObject): JsonObject => ({ _format_version: '3.0', ...members });
const changes = ({ headers }: Answer) => headers.get('headgate-changes');

describe.runIf(hasOpenssl())('certificates in a configuration', () => {
  let admin: TestAdmin;
  beforeAll(async () => {
    admin = await openTestAdmin();
  });
  afterAll(() => admin.close());

  it('come with their names, as entities or as they are shown', async () => {
    const { cert, key } = makeCertificate();
    const id = '3d2ae8f3-3a51-4a5d-9a5e-7b3b8f2f6a01';
    const file = (snis: JsonObject['snis']) =>
      v3({ certificates: [{ id, cert, key, snis: snis ?? [] }] });
    const first = await admin.call('POST', '/config', file(['a.test', 'b.test']));
    expect([first.status, changes(first)]).toEqual([201, 'created=3, updated=0, removed=0']);
    expect(first.body['certificates']).toMatchObject({ [id]: { snis: ['a.test', 'b.test'] } });
    const same = await admin.call(
      'POST',
      '/config',
      file([{ name: 'a.test' }, { name: 'b.test' }]),
    );
    expect(changes(same)).toBe('created=0, updated=0, removed=0');
    const retagged = v3({ certificates: [{ id, cert, key, tags: ['t'], snis: ['a.test'] }] });
    const third = await admin.call('POST', '/config', retagged);
    expect(changes(third)).toBe('created=0, updated=1, removed=1');
    expect((await admin.call('GET', `/certificates/${id}`)).body['snis']).toEqual(['a.test']);
    const text = (await admin.call('GET', '/config')).body['config'];
    expect(changes(await admin.call('POST', '/config', { config: text }))).toBe(
      'created=0, updated=0, removed=0',
    );
  });

  it('hand their names over to another one', async () => {
    const [old, next] = [makeCertificate(), makeCertificate()];
    const of = (id: string, { cert, key }: { cert: string; key: string }) =>
      v3({ certificates: [{ id, cert, key, snis: [{ id: sni, name: 'moved.test' }] }] });
    const sni = '00000000-0000-4000-8000-000000000009';
    const [a, b] = ['00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000002'];
    await admin.call('POST', '/config?force=true', of(a, old));
    const moved = await admin.call('POST', '/config', of(b, next));
    expect([moved.status, changes(moved)]).toEqual([201, 'created=1, updated=1, removed=1']);
    expect((await admin.call('GET', '/snis/moved.test')).body['certificate']).toEqual({ id: b });
  });

  it('of authorities are for all workspaces: they come and never go', async () => {
    const { cert } = makeCertificate({ isAuthority: true });
    await admin.call('POST', '/workspaces', { name: 'ca' });
    const made = await admin.call('POST', '/config?force=1', v3({ ca_certificates: [{ cert }] }));
    expect([made.status, changes(made)]).toEqual([201, expect.stringContaining('created=1')]);
    const posted = makeCertificate({ isAuthority: true });
    await admin.call('POST', '/ca_certificates', { cert: posted.cert });
    const known = v3({ ca_certificates: [{ cert: posted.cert }, { cert }] });
    expect(changes(await admin.call('POST', '/ca/config', known))).toBe(
      'created=0, updated=0, removed=0',
    );
    const gone = await admin.call('POST', '/ca/config', v3({}));
    expect(changes(gone)).toBe('created=0, updated=0, removed=0');
    expect((await admin.call('GET', '/ca_certificates')).body['data']).toHaveLength(2);

    const scopes = { workspaces: [{ workspace: 'ca', access: 'write' }] };
    const { body } = await admin.call('POST', '/headgate/tokens', { name: 'ca', scopes });
    const headers = { 'kong-admin-token': String(body['token']) };
    const another = makeCertificate({ isAuthority: true });
    const file = v3({ ca_certificates: [{ cert: another.cert }] });
    expect((await admin.call('POST', '/ca/config', file, headers)).status).toBe(403);
    expect((await admin.call('POST', '/ca/config', v3({}), headers)).status).toBe(201);
  });
});

describe('secrets that are shown once', () => {
  let admin: TestAdmin;
  beforeAll(async () => {
    admin = await openTestAdmin({ secretsWriteOnly: true });
  });
  afterAll(() => admin.close());

  it('stay what they are when what stands for them comes back', async () => {
    const file = (key: string, tags: string[]) =>
      v3({ consumers: [{ username: 'u', jwt_secrets: [{ key: 'k', secret: key, tags }] }] });
    const made = await admin.call('POST', '/config', file('hush-hush', []));
    expect(made.text).toContain('hush-hush');
    const text = String((await admin.call('GET', '/config')).body['config']);
    expect(text).not.toContain('hush-hush');
    const again = await admin.call('POST', '/config', { config: text });
    expect([again.status, changes(again)]).toEqual([201, 'created=0, updated=0, removed=0']);
    expect(again.text).not.toContain('hush-hush');
    const nothing = v3({
      consumers: [{ username: 'n', jwt_secrets: [{ key: 'n', secret: '******' }] }],
    });
    const refused = await admin.call('POST', '/config', nothing);
    expect([refused.status, refused.body['fields']]).toEqual([
      400,
      {
        consumers: [{ jwt_secrets: [{ secret: expect.stringContaining('stands for a secret') }] }],
      },
    ]);
  });
});

describe('the kinds of entities in a configuration', () => {
  it('have nothing below them where they are unique by several fields', () => {
    // `plan.ts` makes such entities anew, which would take along what refers to them.
    const kinds = declarableKinds(REGISTRY.entities);
    const composite = kinds.filter((kind) => compositeKey(kind) !== null).map(({ name }) => name);
    const below = [...REGISTRY.entities.values()].filter(
      ({ stored, fields }) =>
        stored !== false &&
        Object.values(fields).some(
          (field) => field.type === 'foreign' && composite.includes(field.reference),
        ),
    );
    expect(composite).toContain('plugins');
    expect(below.map(({ name }) => name)).toEqual([]);
  });
});
