import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openTestAdmin, type TestAdmin } from './admin.suite.ts';

let admin: TestAdmin;
beforeAll(async () => {
  admin = await openTestAdmin({ secretsWriteOnly: true, allowUnsupported: true });
  await admin.call('POST', '/consumers', { username: 'ann' });
});
afterAll(() => admin.close());

const LIMITS = { name: 'rate-limiting', instance_name: 'limits' };
const REDIS = { host: 'r.test', password: 'a-redis-password' };

describe('secrets that are shown once', () => {
  it('are shown to whoever makes them, given or generated, and to nobody after', async () => {
    const made = await admin.call('POST', '/consumers/ann/key-auth', { tags: ['one'] });
    const key = String(made.body['key']);
    expect(key).toMatch(/^[A-Za-z0-9]{32}$/);
    const list = await admin.call('GET', '/key-auths');
    expect(list.text).not.toContain(key);
    expect(list.body['data']).toMatchObject([{ key: '******', tags: ['one'] }]);
    const updated = await admin.call('PATCH', `/key-auths/${made.body['id']}`, { tags: ['two'] });
    expect(updated.body).toMatchObject({ key: '******', tags: ['two'] });
    // Whoever knows it finds it.
    expect((await admin.call('GET', `/key-auths/${key}`)).body['id']).toBe(made.body['id']);
  });

  it('are kept when what stands for them is sent back', async () => {
    const config = { minute: 5, policy: 'redis', redis: REDIS };
    const made = await admin.call('POST', '/plugins', { ...LIMITS, config });
    expect(made.body).toMatchObject({ config: { redis: REDIS } });

    const read = await admin.call('GET', '/plugins/limits');
    expect(read.text).not.toContain('a-redis-password');
    const echo = { ...(read.body['config'] as object), minute: 6 };
    const patched = await admin.call('PATCH', '/plugins/limits', { config: echo });
    expect([patched.status, patched.text.includes('a-redis-password')]).toEqual([200, false]);

    const stored = await admin.store.getBy(
      admin.definition('plugins'),
      admin.ws,
      'instance_name',
      'limits',
    );
    expect(stored?.['config']).toMatchObject({
      minute: 6,
      redis: { password: 'a-redis-password' },
    });
  });

  it('must be given where there is none to keep', async () => {
    const key = await admin.call('POST', '/consumers/ann/key-auth', { key: '******' });
    expect([key.status, key.body['fields']]).toEqual([
      400,
      { key: expect.stringContaining('stands for a secret') },
    ]);
  });
});
