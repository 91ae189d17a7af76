/**
 * What Kong Manager (OSS, for Gateway 3.4 and later) and the two Terraform providers send, page by page
 * and resource by resource. Their own suites need a browser build and a Terraform that the registries
 * here do not have; the requests were read off their sources.
 */
import { generateKeyPairSync } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeCertificate } from '../../test/support/certificates.ts';
import { hasOpenssl } from '../../test/support/openssl.ts';
import { type Answer, openTestAdmin, type TestAdmin } from './admin.suite.ts';

const MANAGER = 'http://localhost:8002';

let admin: TestAdmin;
beforeAll(async () => {
  admin = await openTestAdmin({ policy: { origins: [MANAGER] } });
});
afterAll(() => admin.close());

type Body = Record<string, unknown>;

/** One kind as both clients drive it: what makes one, what changes it. */
interface Resource {
  readonly path: string;
  readonly body: () => Body;
  readonly change: Body;
}

const CERTIFICATES: readonly Resource[] = hasOpenssl()
  ? [
      {
        path: '/certificates',
        body: () => {
          const { cert, key } = makeCertificate();
          return { cert, key };
        },
        change: { tags: ['t'] },
      },
      {
        path: '/ca_certificates',
        body: () => ({ cert: makeCertificate({ isAuthority: true }).cert }),
        change: { tags: ['t'] },
      },
    ]
  : [];

const RESOURCES: readonly Resource[] = [
  { path: '/services', body: () => ({ name: 's', host: 'h.test' }), change: { retries: 7 } },
  { path: '/routes', body: () => ({ name: 'r', paths: ['/r'] }), change: { tags: ['t'] } },
  { path: '/consumers', body: () => ({ username: 'ann' }), change: { custom_id: 'c-1' } },
  { path: '/plugins', body: () => ({ name: 'key-auth' }), change: { enabled: false } },
  { path: '/upstreams', body: () => ({ name: 'u.test' }), change: { slots: 100 } },
  {
    path: '/vaults',
    body: () => ({ name: 'env', prefix: 'my-env', config: { prefix: 'MY_' } }),
    change: { description: 'd' },
  },
  { path: '/key-sets', body: () => ({ name: 'ks' }), change: { tags: ['t'] } },
  ...CERTIFICATES,
];

const CREDENTIALS: readonly Resource[] = [
  { path: '/acls', body: () => ({ group: 'g' }), change: { tags: ['t'] } },
  { path: '/basic-auth', body: () => ({ username: 'u', password: 'p' }), change: { tags: ['t'] } },
  { path: '/hmac-auth', body: () => ({ username: 'u' }), change: { tags: ['t'] } },
  { path: '/jwt', body: () => ({}), change: { tags: ['t'] } },
  { path: '/key-auth', body: () => ({}), change: { tags: ['t'] } },
  { path: '/oauth2', body: () => ({ name: 'app' }), change: { tags: ['t'] } },
];

describe('Kong Manager', () => {
  /** As its axios does from another origin; every answer must let the page read it. */
  async function send(method: string, path: string, body?: Body): Promise<Answer> {
    const answer = await admin.call(method, path, body, { origin: MANAGER });
    expect(answer.headers.get('access-control-allow-origin'), path).toBe(MANAGER);
    expect(answer.headers.get('access-control-allow-credentials')).toBe('true');
    return answer;
  }

  it('is let in by its origin, preflights included, and another page is not', async () => {
    const asked = {
      origin: MANAGER,
      'access-control-request-method': 'PATCH',
      'access-control-request-headers': 'content-type',
    };
    const preflight = await admin.call('OPTIONS', '/services/x', undefined, asked);
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get('access-control-allow-methods')).toContain('PATCH');
    expect(preflight.headers.get('access-control-allow-headers')).toBe('content-type');
    const other = { origin: 'http://evil.test' };
    expect((await admin.call('GET', '/services', undefined, other)).status).toBe(403);
  });

  it('finds in / what its overview shows', async () => {
    const { body } = await send('GET', '/');
    expect(body).toMatchObject({ edition: 'community', version: expect.stringMatching(/^3\.9\./) });
    expect(Object.keys(body)).toEqual(expect.arrayContaining(['hostname', 'plugins', 'node_id']));
  });

  it.each(RESOURCES)('lists, makes, finds, edits and deletes $path', async (resource) => {
    const { path, body, change } = resource;
    const made = await send('POST', path, body());
    expect(made.status, made.text).toBe(201);
    const one = `${path}/${made.body['id']}`;
    const list = await send('GET', `${path}?size=30`);
    expect(list.body['data']).toEqual([made.body]);
    expect((await send('GET', one)).body).toEqual(made.body);
    // The search box asks for one by its text: there, or an empty list.
    expect((await send('GET', `${path}/00000000-0000-4000-8000-000000000000`)).status).toBe(404);
    // Its forms send back the whole entity, timestamps and all.
    const edited = await send('PATCH', one, { ...made.body, ...change });
    expect([edited.status, edited.body]).toMatchObject([200, change]);
    expect((await send('DELETE', one)).status).toBe(204);
    expect((await send('GET', `${path}?size=30`)).body['data']).toEqual([]);
  });

  it.each(CREDENTIALS)(
    'does the same under a consumer with $path',
    async ({ path, body, change }) => {
      const { body: ann } = await send('PUT', '/consumers/with-credentials', {});
      const base = `/consumers/${ann['id']}${path}`;
      const made = await send('POST', base, body());
      expect(made.status, made.text).toBe(201);
      expect((await send('GET', `${base}?size=30`)).body['data']).toHaveLength(1);
      const edited = await send('PATCH', `${base}/${made.body['id']}`, change);
      expect([edited.status, edited.body]).toMatchObject([200, change]);
      expect((await send('DELETE', `${base}/${made.body['id']}`)).status).toBe(204);
    },
  );

  it('has the schemas of its forms', async () => {
    const forms = [
      'acls',
      'basicauth_credentials',
      'hmacauth_credentials',
      'jwt_secrets',
      'keyauth_credentials',
      'oauth2_credentials',
      'plugins/cors',
      'plugins/rate-limiting',
      'plugins/opentelemetry',
    ];
    for (const form of forms) {
      expect((await send('GET', `/schemas/${form}`)).body['fields'], form).toBeInstanceOf(Array);
    }
  });

  it('works on what lies below services, routes, consumers, upstreams and key sets', async () => {
    const { body: service } = await send('POST', '/services', { name: 'tabs', host: 'h.test' });
    const { body: route } = await send('POST', `/services/${service['id']}/routes`, {
      paths: ['/tabs'],
    });
    const { body: consumer } = await send('PUT', '/consumers/tabs', {});
    const owners = [
      ['services', service],
      ['routes', route],
      ['consumers', consumer],
    ] as const;
    for (const [name, owner] of owners) {
      const base = `/${name}/${owner['id']}/plugins`;
      const made = await send('POST', base, { name: 'correlation-id' });
      expect(made.status, made.text).toBe(201);
      expect((await send('GET', `${base}?size=30`)).body['data']).toEqual([made.body]);
    }
    const { body: upstream } = await send('POST', '/upstreams', { name: 'tabs.test' });
    const targets = `/upstreams/${upstream['id']}/targets`;
    const { body: target } = await send('POST', targets, { target: 'h.test:80' });
    expect((await send('PATCH', `${targets}/${target['id']}`, { weight: 5 })).body['weight']).toBe(
      5,
    );
    expect((await send('GET', `/upstreams/${upstream['id']}/health`)).status).toBe(200);
    expect((await send('DELETE', `${targets}/${target['id']}`)).status).toBe(204);
    const { body: set } = await send('POST', '/key-sets', { name: 'tabs' });
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const jwk = JSON.stringify({ ...publicKey.export({ format: 'jwk' }), kid: 'k1' });
    const key = await send('POST', `/key-sets/${set['id']}/keys`, { kid: 'k1', jwk });
    expect(key.status, key.text).toBe(201);
  });
});

describe('Terraform', () => {
  it.each(RESOURCES)('official provider: $path under /default', async ({ path, body, change }) => {
    const made = await admin.call('POST', `/default${path}`, body());
    expect(made.status, made.text).toBe(201);
    const one = `/default${path}/${made.body['id']}`;
    const put = await admin.call('PUT', one, { ...made.body, ...change });
    expect([put.status, put.body]).toMatchObject([200, change]);
    expect((await admin.call('GET', one)).body).toMatchObject(change);
    expect((await admin.call('DELETE', one)).status).toBe(204);
    expect((await admin.call('GET', one)).status).toBe(404);
  });

  it('official provider: workspaces', async () => {
    const made = await admin.call('POST', '/workspaces', { name: 'team' });
    expect(made.status).toBe(201);
    const one = `/workspaces/${made.body['id']}`;
    expect((await admin.call('PUT', one, { name: 'team', comment: 'c' })).status).toBe(200);
    expect((await admin.call('DELETE', one)).status).toBe(204);
  });

  it('community provider: plain paths, PATCH, and a 404 for what is gone', async () => {
    const made = await admin.call('POST', '/services', { name: 'tf', url: 'http://h.test:8080/x' });
    expect(made.body).toMatchObject({ protocol: 'http', host: 'h.test', port: 8080, path: '/x' });
    const one = `/services/${made.body['id']}`;
    expect((await admin.call('PATCH', one, { retries: 1 })).body['retries']).toBe(1);
    expect((await admin.call('DELETE', one)).status).toBe(204);
    expect((await admin.call('GET', one)).status).toBe(404);
  });
});
