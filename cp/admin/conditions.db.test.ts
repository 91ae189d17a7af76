import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openTestAdmin, type TestAdmin } from './admin.suite.ts';

let admin: TestAdmin;
beforeAll(async () => {
  admin = await openTestAdmin();
});
afterAll(() => admin.close());

async function make(name: string): Promise<string> {
  const { headers } = await admin.call('POST', '/services', { name, host: 'a.test' });
  return headers.get('etag') ?? '';
}

describe('conditional requests', () => {
  it('show the same tag when written and when read', async () => {
    const tag = await make('tagged');
    expect(tag).toMatch(/^"[\w-]{22}"$/);
    const read = await admin.call('GET', '/services/tagged');
    expect(read.headers.get('etag')).toBe(tag);
    const known = await admin.call('GET', '/services/tagged', undefined, { 'if-none-match': tag });
    expect([known.status, known.text]).toEqual([304, '']);
  });

  it.each(['PATCH', 'PUT', 'DELETE'])(
    'refuse a %s over what somebody else has changed meanwhile',
    async (method) => {
      const name = `raced-${method.toLowerCase()}`;
      const tag = await make(name);
      const first = await admin.call('PATCH', `/services/${name}`, { port: 81 });
      const path = `/services/${name}`;
      const late = await admin.call(method, path, { host: 'b.test' }, { 'if-match': tag });
      expect(late.status).toBe(412);
      expect(late.body['message']).toContain('changed since');

      const fresh = { 'if-match': first.headers.get('etag') ?? '' };
      const again = await admin.call(method, path, { host: 'b.test' }, fresh);
      expect(again.status).toBe(method === 'DELETE' ? 204 : 200);
    },
  );

  it('let a PUT only create, or only replace', async () => {
    await make('there');
    const create = { 'if-none-match': '*' };
    const body = { host: 'b.test' };
    expect((await admin.call('PUT', '/services/there', body, create)).status).toBe(412);
    expect((await admin.call('PUT', '/services/fresh', body, create)).status).toBe(200);
    const replace = { 'if-match': '*' };
    expect((await admin.call('PUT', '/services/absent', body, replace)).status).toBe(412);
    expect((await admin.call('GET', '/services/absent')).status).toBe(404);
  });

  it.each([
    ['/config', { _format_version: '3.0', services: [{ name: 'loaded', host: 'a' }] }],
    ['/headgate/rollback', { version: 0 }],
    [
      '/headgate/bulk',
      { operations: [{ op: 'upsert', path: '/services/loaded', body: { host: 'a' } }] },
    ],
  ])(
    'are refused, not passed over, by POST %s, which nothing has a tag for',
    async (path, body) => {
      const tag = await make(`whole${path.replaceAll('/', '-')}`);
      for (const [header, value] of [
        ['if-match', tag],
        ['if-none-match', '*'],
        ['if-unmodified-since', 'Tue, 24 Nov 2026 18:00:00 GMT'],
      ] as const) {
        const refused = await admin.call('POST', `${path}?force=true`, body, { [header]: value });
        expect(refused.status).toBe(400);
        expect(String(refused.body['message']).toLowerCase()).toContain(header);
      }
      expect((await admin.call('GET', '/services/loaded')).status).toBe(404);
      expect((await admin.call('GET', `/services/whole${path.replaceAll('/', '-')}`)).status).toBe(
        200,
      );
    },
  );
});

describe('a dry run', () => {
  it('answers as the write would, and writes nothing', async () => {
    const before = await admin.call('GET', '/services/dry');
    const tried = await admin.call('POST', '/services?dry_run=true', { name: 'dry', host: 'a' });
    expect([before.status, tried.status]).toEqual([404, 201]);
    expect(tried.headers.get('headgate-dry-run')).toBe('true');
    expect(tried.headers.get('headgate-version')).toBeNull();
    expect((await admin.call('GET', '/services/dry')).status).toBe(404);
  });

  it.each(['maybe', 'TRUE', '', 'yes'])('takes no %j for an answer', async (value) => {
    const body = { name: 'unsure', host: 'a' };
    const tried = await admin.call('POST', `/services?dry_run=${value}`, body);
    expect([tried.status, tried.body['options']]).toEqual([
      400,
      { dry_run: "expected 'true', '1', 'false' or '0'" },
    ]);
    expect((await admin.call('GET', '/services/unsure')).status).toBe(404);
  });

  it('is asked for with 1, and not with 0', async () => {
    const body = { name: 'numbers', host: 'a' };
    await admin.call('POST', '/services?dry_run=1', body);
    expect((await admin.call('GET', '/services/numbers')).status).toBe(404);
    await admin.call('POST', '/services?dry_run=0', body);
    expect((await admin.call('GET', '/services/numbers')).status).toBe(200);
  });

  it.each([
    ['POST', '/clustering/join-tokens', {}],
    ['POST', '/headgate/tokens', { name: 'dry', scopes: { admin: 'read' } }],
    ['POST', '/headgate/keys/rotate', { data: true }],
  ])('is refused where it would be the real thing: %s %s', async (method, path, body) => {
    const tried = await admin.call(method, `${path}?dry_run=true`, body);
    expect([tried.status, tried.body['options']]).toEqual([
      400,
      { dry_run: 'only writes of entities can be tried' },
    ]);
  });

  it('finds what only the database can know', async () => {
    await make('taken');
    const tried = await admin.call('POST', '/services?dry_run=true', { name: 'taken', host: 'a' });
    expect([tried.status, tried.body['code']]).toEqual([409, 5]);
  });
});

describe('a write', () => {
  it('tells the version it made', async () => {
    const one = await admin.call('POST', '/services', { host: 'a.test' });
    const two = await admin.call('POST', '/services', { host: 'a.test' });
    const version = (answer: typeof one) => Number(answer.headers.get('headgate-version'));
    expect(version(two)).toBe(version(one) + 1);
  });
});
