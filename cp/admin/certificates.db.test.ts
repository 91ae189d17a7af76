import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { REGISTRY } from '#shared/registry.ts';
import { testPlugin } from '../../test/support/builders.ts';
import { EXPIRED_AUTHORITY, makeCertificate } from '../../test/support/certificates.ts';
import { hasOpenssl } from '../../test/support/openssl.ts';
import { SNIS_MAX } from '../rules/certificates.ts';
import { type Answer, openTestAdmin, type TestAdmin } from './admin.suite.ts';

let test: TestAdmin;
let call: TestAdmin['call'];

describe.skipIf(!hasOpenssl())('certificates', () => {
  let rsa: { cert: string; key: string };
  let ec: { cert: string; key: string };
  let authority: { cert: string };
  beforeAll(async () => {
    const withKey = ({ cert, key }: ReturnType<typeof makeCertificate>) => ({ cert, key });
    rsa = withKey(makeCertificate({ type: 'rsa' }));
    ec = withKey(makeCertificate());
    authority = { cert: makeCertificate({ isAuthority: true }).cert };
    test = await openTestAdmin();
    ({ call } = test);
  });
  afterAll(() => test?.close());

  const newName = () => `${randomUUID().slice(0, 8)}.test`;

  async function made(method: string, path: string, body: object): Promise<Answer['body']> {
    const answer = await call(method, path, body);
    expect(answer.status, answer.text).toBeLessThan(300);
    return answer.body;
  }

  async function certificate(snis: readonly string[]): Promise<string> {
    return String((await made('POST', '/certificates', { ...ec, snis }))['id']);
  }

  async function snisOf(id: string): Promise<unknown> {
    return (await call('GET', `/certificates/${id}`)).body['snis'];
  }

  describe('that are created', () => {
    it('are shown with their keys and names, in order', async () => {
      const [a, b] = [`a.${newName()}`, `b.${newName()}`];
      const body = await made('POST', '/certificates', { ...ec, snis: [b, a] });

      expect(body).toMatchObject({ ...ec, cert_alt: null, key_alt: null, snis: [a, b] });
      const read = await call('GET', `/certificates/${String(body['id'])}`);
      expect(read.body).toEqual(body);
      expect((await call('GET', `/snis/${a}`)).body).toMatchObject({
        name: a,
        certificate: { id: body['id'] },
      });
    });

    it('have the entity tag that they are read with', async () => {
      const created = await call('POST', '/certificates', { ...ec, snis: [newName()] });
      const path = `/certificates/${String(created.body['id'])}`;
      expect((await call('GET', path)).headers.get('etag')).toBe(created.headers.get('etag'));
      const changed = await call('PATCH', path, { snis: [newName()] });
      expect((await call('GET', path)).headers.get('etag')).toBe(changed.headers.get('etag'));
    });

    it('have an empty list of names when none are sent', async () => {
      expect((await made('POST', '/certificates', ec))['snis']).toEqual([]);
    });

    it('take the names of a form', async () => {
      const name = newName();
      const form = new URLSearchParams([
        ['cert', ec.cert],
        ['key', ec.key],
        ['snis[1]', `a.${name}`],
        ['snis[2]', `b.${name}`],
      ]);
      const type = { 'content-type': 'application/x-www-form-urlencoded' };
      const answer = await call('POST', '/certificates', String(form), type);
      expect(answer.body['snis']).toEqual([`a.${name}`, `b.${name}`]);
    });

    it('are listed with more names than one read brings', async () => {
      const own = newName();
      const names = Array.from({ length: 150 }, (_, i) => `n${String(i).padStart(3, '0')}.${own}`);
      const id = await certificate(names);
      const { body } = await call('GET', '/certificates?size=1000');
      const rows = body['data'] as readonly { id: string; snis: string[] }[];
      expect(rows.find((row) => row.id === id)?.snis).toEqual(names);
    });

    it('are refused with a name twice, or one that another has, and nothing is kept', async () => {
      const [mine, other] = [newName(), newName()];
      const owner = await certificate([mine]);
      const twice = await call('POST', '/certificates', { ...ec, snis: [other, mine, other] });
      expect(twice.body).toMatchObject({
        code: 2,
        message: `schema violation (snis: ${other} is duplicated)`,
      });
      const taken = await call('POST', '/certificates', { ...ec, snis: [other, mine] });
      expect(taken.body).toMatchObject({
        fields: { snis: `${mine} already associated with existing certificate '${owner}'` },
      });
      expect((await call('GET', `/snis/${other}`)).status).toBe(404);
    });

    it(`have at most ${SNIS_MAX} names at once`, async () => {
      const own = newName();
      const names = (count: number) => Array.from({ length: count }, (_, i) => `${i}.${own}`);
      const over = await call('POST', '/certificates', { ...ec, snis: names(SNIS_MAX + 1) });
      expect(over.body).toMatchObject({ fields: { snis: expect.stringContaining('at most') } });
      expect((await call('POST', '/certificates', { ...ec, snis: names(SNIS_MAX) })).status).toBe(
        201,
      );
    });

    it.each([
      ['no PEM', 'x', { cert: expect.stringContaining('invalid certificate') }],
      [
        'broken PEM',
        '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----',
        { cert: expect.stringContaining('invalid certificate') },
      ],
    ])('are refused with %s', async (_, cert, fields) => {
      expect((await call('POST', '/certificates', { ...ec, cert })).body).toMatchObject({ fields });
    });

    it('are refused without a certificate, a key, or with another one’s', async () => {
      expect((await call('PUT', `/certificates/${randomUUID()}`, {})).body).toMatchObject({
        message: '2 schema violations (cert: required field missing; key: required field missing)',
      });
      const notAKey = await call('POST', '/certificates', { ...ec, key: ec.cert });
      expect(notAKey.body).toMatchObject({
        fields: { key: expect.stringContaining('invalid key') },
      });
      expect(notAKey.text).not.toContain('BEGIN');
      const other = await call('POST', '/certificates', { ...ec, key: rsa.key });
      expect(other.body).toMatchObject({
        fields: { '@entity': ['certificate does not match key'] },
      });
    });

    it('have an alternative of another type, with its key', async () => {
      const alternative = { cert_alt: rsa.cert, key_alt: rsa.key };
      expect(await made('POST', '/certificates', { ...ec, ...alternative })).toMatchObject(
        alternative,
      );
      const alone = await call('POST', '/certificates', { ...ec, cert_alt: rsa.cert });
      expect(alone.body).toMatchObject({
        fields: {
          '@entity': ["all or none of these fields must be set: 'cert_alt', 'key_alt'"],
        },
      });
      const wrong = await call('POST', '/certificates', {
        ...ec,
        ...alternative,
        key_alt: ec.key,
      });
      expect(wrong.body).toMatchObject({
        fields: { '@entity': ['alternative certificate does not match key'] },
      });
      const same = await call('POST', '/certificates', {
        ...ec,
        cert_alt: ec.cert,
        key_alt: ec.key,
      });
      expect(same.body).toMatchObject({
        fields: { '@entity': [expect.stringContaining('need to have different type')] },
      });
    });

    it('may be references to a vault, of which nothing is known here', async () => {
      const references = { cert: '{vault://env/cert}', key: '{vault://env/key}' };
      expect(await made('POST', '/certificates', references)).toMatchObject(references);
      expect(await made('POST', '/certificates', { ...references, cert: ec.cert })).toMatchObject({
        key: references.key,
      });
    });
  });

  describe('found by an SNI', () => {
    it('are read, changed and removed', async () => {
      const [name, other] = [newName(), newName()];
      const id = await certificate([name, other]);
      const read = await call('GET', `/certificates/${name}`);
      expect(read.body).toMatchObject({ id });
      expect((await call('GET', `/certificates/${other}`)).body).toEqual(read.body);
      const changed = await made('PATCH', `/certificates/${name}`, { ...rsa, tags: ['t'] });
      expect(changed).toMatchObject({ id, ...rsa, tags: ['t'] });
      expect((await call('DELETE', `/certificates/${name}`)).status).toBe(204);
      expect((await call('GET', `/certificates/${id}`)).status).toBe(404);
      expect((await call('GET', `/snis/${other}`)).status).toBe(404);
    });

    it.each(['GET', 'PATCH', 'DELETE'])('answer 404 to %s of an unknown name', async (method) => {
      const body = method === 'PATCH' ? {} : undefined;
      const answer = await call(method, '/certificates/nobody.test', body);
      expect([answer.status, answer.body]).toEqual([404, { message: 'SNI not found' }]);
    });

    it('answer 404 with the key to an unknown id, and 400 to what can be neither', async () => {
      const id = randomUUID();
      expect((await call('GET', `/certificates/${id}`)).body).toMatchObject({
        code: 6,
        fields: { id },
      });
      expect((await call('GET', '/certificates/a*b*c')).body).toMatchObject({ code: 10 });
    });

    it('are made by PUT, which adds the name of the path to the list', async () => {
      const [name, other] = [newName(), newName()].toSorted();
      const body = await made('PUT', `/certificates/${name}`, { ...ec, snis: [other] });
      expect(body['snis']).toEqual([name, other]);
      const again = await made('PUT', `/certificates/${name}`, { ...ec, snis: [name, other] });
      expect(again).toMatchObject({ id: body['id'], snis: [name, other] });
      const alone = await made('PUT', `/certificates/${name}`, ec);
      expect(alone).toMatchObject({ id: body['id'], snis: [name] });
    });
  });

  describe('that are written again', () => {
    it('lose the names by a PUT without them, and keep them by such a PATCH', async () => {
      const name = newName();
      const id = await certificate([name]);
      expect((await made('PATCH', `/certificates/${id}`, { tags: ['t'] }))['snis']).toEqual([name]);
      expect((await made('PUT', `/certificates/${id}`, ec))['snis']).toEqual([]);
      expect((await call('GET', `/snis/${name}`)).status).toBe(404);
    });

    it('replace the names that are sent, and keep the SNIs that stay', async () => {
      const [a, b, c] = [newName(), newName(), newName()];
      const id = await certificate([a, b]);
      const before = (await call('GET', `/snis/${b}`)).body;
      const body = await made('PATCH', `/certificates/${id}`, { snis: [c, b] });
      expect(body['snis']).toEqual([b, c].toSorted());
      expect((await call('GET', `/snis/${b}`)).body).toEqual(before);
      expect((await call('GET', `/snis/${a}`)).status).toBe(404);
      expect((await made('PATCH', `/certificates/${id}`, { snis: null }))['snis']).toEqual([]);
    });

    it('take one name in place of a list', async () => {
      const name = newName();
      const id = await certificate([]);
      expect((await made('PATCH', `/certificates/${id}`, { snis: name }))['snis']).toEqual([name]);
    });

    it('cannot take the name of another', async () => {
      const [mine, theirs] = [newName(), newName()];
      const id = await certificate([mine]);
      await certificate([theirs]);
      const refused = await call('PATCH', `/certificates/${id}`, { snis: [theirs] });
      expect(refused.status).toBe(400);
      expect(await snisOf(id)).toEqual([mine]);
    });

    it('change nothing by what was read', async () => {
      const id = await certificate([newName()]);
      const { body, headers } = await call('GET', `/certificates/${id}`);
      const match = { 'if-match': headers.get('etag') ?? '' };
      const answer = await call('PUT', `/certificates/${id}`, body, match);
      expect(answer.status, answer.text).toBe(200);
      expect({ ...answer.body, updated_at: 0 }).toEqual({ ...body, updated_at: 0 });
    });
  });

  it('stay while a service presents them', async () => {
    const id = await certificate([newName()]);
    const service = { host: 'h.test', protocol: 'https', client_certificate: { id } };
    await made('PUT', '/services/presents', service);
    const refused = await call('DELETE', `/certificates/${id}`);
    expect(refused.body).toMatchObject({ code: 4, fields: { '@referenced_by': 'services' } });
    expect(await snisOf(id)).toHaveLength(1);
    const shown = await call('GET', '/services/presents/client_certificate');
    expect(shown.body).toMatchObject({ id });
    const listed = await call('GET', `/certificates/${id}/services`);
    expect(listed.body['data']).toHaveLength(1);
  });

  describe('have SNIs', () => {
    it('that are added under the id or a name', async () => {
      const [name, second, third] = [newName(), newName(), newName()];
      const id = await certificate([name]);
      const path = `/certificates/${id}/snis`;
      expect(await made('POST', path, { name: second })).toMatchObject({ certificate: { id } });
      await made('PUT', `/certificates/${name}/snis/${third}`, {});
      const { body } = await call('GET', `/certificates/${name}/snis?size=2`);
      expect(body['data']).toHaveLength(2);
      expect(body['next']).toBe(`/certificates/${name}/snis?offset=${String(body['offset'])}`);
      expect(await snisOf(id)).toEqual([name, second, third].toSorted());
      expect((await call('POST', path, { name })).body).toMatchObject({
        code: 5,
        message: `UNIQUE violation detected on '{name="${name}"}'`,
      });
      expect((await call('DELETE', `${path}/${third}`)).status).toBe(204);
      expect((await call('GET', `${path}/${third}`)).status).toBe(404);
      expect((await call('POST', `/certificates/${randomUUID()}/snis`, { name })).status).toBe(404);
      expect((await call('GET', '/certificates/nobody.test/snis')).body).toEqual({
        message: 'SNI not found',
      });
    });

    it('with one wildcard at either end', async () => {
      const id = await certificate([]);
      const under = (name: string) => call('POST', '/snis', { name, certificate: { id } });
      const own = newName();
      expect((await under(`*.${own}`)).status).toBe(201);
      expect((await under(`${own}.*`)).status).toBe(201);
      expect((await under(`*.${own}.*`)).body).toMatchObject({
        fields: { name: 'only one wildcard must be specified' },
      });
      expect((await call('GET', `/snis/%2A.${own}`)).body).toMatchObject({ name: `*.${own}` });
    });

    it('that can be given to another certificate', async () => {
      const name = newName();
      const [from, to] = [await certificate([name]), await certificate([])];
      await made('PATCH', `/snis/${name}`, { certificate: { id: to } });
      expect([await snisOf(from), await snisOf(to)]).toEqual([[], [name]]);
    });

    it('that need a name, and a certificate that exists', async () => {
      expect((await call('PUT', `/snis/${randomUUID()}`, {})).body).toMatchObject({
        message:
          '2 schema violations (certificate: required field missing; name: required field missing)',
      });
      const nobody = { certificate: { id: randomUUID() } };
      expect((await call('POST', '/snis', { name: newName(), ...nobody })).body).toMatchObject({
        code: 4,
        fields: nobody,
      });
    });

    it('whose certificate has no path below them', async () => {
      const name = newName();
      await certificate([name]);
      for (const method of ['GET', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
        expect((await call(method, `/snis/${name}/certificate`)).status).toBe(404);
      }
    });

    it('whose names are taken in every workspace', async () => {
      const name = newName();
      await certificate([name]);
      await made('PUT', '/workspaces/other', {});
      const taken = await call('POST', '/other/certificates', { ...ec, snis: [name] });
      expect([taken.status, taken.body['code']]).toEqual([409, 5]);
      expect((await call('GET', '/other/certificates')).body['data']).toEqual([]);
      expect((await call('GET', `/other/snis/${name}`)).status).toBe(404);
    });
  });

  describe('of authorities', () => {
    it('have the digest of what they are, whatever is sent', async () => {
      const body = await made('POST', '/ca_certificates', { ...authority, cert_digest: 'x' });
      expect(body['cert_digest']).toMatch(/^[0-9a-f]{64}$/);
      const again = await call('POST', '/ca_certificates', authority);
      expect(again.body).toMatchObject({ code: 5, fields: { cert_digest: body['cert_digest'] } });
      const kept = await made('PATCH', `/ca_certificates/${String(body['id'])}`, { tags: ['t'] });
      expect(kept['cert_digest']).toBe(body['cert_digest']);
      expect((await call('GET', '/ca_certificates/not-an-id')).body).toMatchObject({ code: 1 });
      expect((await call('DELETE', `/ca_certificates/${String(body['id'])}`)).status).toBe(204);
    });

    it.each([
      ['nothing of the kind', () => 'x', { cert: expect.stringContaining('invalid certificate') }],
      [
        'two at once',
        () => authority.cert + authority.cert,
        { '@entity': ['please submit only one certificate at a time'] },
      ],
      [
        'one that is over',
        () => EXPIRED_AUTHORITY,
        { '@entity': ['certificate expired, "Not After" time is in the past'] },
      ],
      [
        'one of nobody’s authority',
        () => ec.cert,
        { '@entity': [expect.stringContaining('does not appear to be a CA')] },
      ],
    ])('are not %s', async (_, cert, fields) => {
      const answer = await call('POST', '/ca_certificates', { cert: cert() });
      expect([answer.status, answer.body['code']]).toEqual([400, 2]);
      expect(answer.body).toMatchObject({ fields });
    });

    it('stay while a service trusts them, in any workspace', async () => {
      const { id } = await made('POST', '/ca_certificates', {
        cert: makeCertificate({ isAuthority: true }).cert,
      });
      await made('PUT', '/workspaces/trusting', {});
      const body = { host: 'h.test', protocol: 'https', ca_certificates: [randomUUID(), id] };
      const service = await made('PUT', '/trusting/services/s', body);
      const refused = await call('DELETE', `/ca_certificates/${String(id)}`);
      expect(refused.status).toBe(400);
      expect(refused.body).toEqual({
        code: 19,
        name: 'referenced by others',
        message: `ca certificate ${String(id)} is still referenced by services (id = ${String(service['id'])})`,
      });
      await made('PATCH', '/trusting/services/s', { ca_certificates: null });
      expect((await call('DELETE', `/ca_certificates/${String(id)}`)).status).toBe(204);
    });

    it('stay while the configuration of a plugin names them', async () => {
      const { definition } = testPlugin('trusting', null);
      const field = { type: 'array', elements: { type: 'string', uuid: true } } as const;
      const config = {
        type: 'record',
        required: true,
        fields: { ca_certificates: field },
      } as const;
      const plugins = new Map([
        ...REGISTRY.plugins,
        ['trusting', { ...definition, fields: { config } }] as const,
      ]);
      const other = await openTestAdmin({ registry: { ...REGISTRY, plugins } });
      const { id } = (await other.call('POST', '/ca_certificates', authority)).body;
      const body = { name: 'trusting', config: { ca_certificates: [id] } };
      const plugin = await other.call('POST', '/plugins', body);
      expect(plugin.status, plugin.text).toBe(201);
      expect((await other.call('DELETE', `/ca_certificates/${String(id)}`)).body).toMatchObject({
        code: 19,
        message: `ca certificate ${String(id)} is still referenced by plugins (id = ${String(plugin.body['id'])})`,
      });
      await other.call('DELETE', `/plugins/${String(plugin.body['id'])}`);
      expect((await other.call('DELETE', `/ca_certificates/${String(id)}`)).status).toBe(204);
      await other.close();
    });
  });
});
