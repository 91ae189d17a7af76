import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../../test/support/eventually.ts';
import { openTestAdmin, type TestAdmin } from './admin.suite.ts';

let test: TestAdmin;
beforeAll(async () => {
  test = await openTestAdmin();
});
afterAll(() => test.close());

describe('/headgate/keys', () => {
  it('shows the generations, rotates them, and renews what is stored', async () => {
    const { call } = test;
    await call('POST', '/consumers', { username: 'ann' });
    await call('POST', '/consumers/ann/key-auth', { key: 'k-1' });
    const before = await call('GET', '/headgate/keys');
    const kind = { generation: 1, older: [], remaining: 0 };
    expect(before.body).toMatchObject({ data: kind, pepper: kind });
    expect(JSON.stringify(before.body['kek'])).toMatch(/^\{"id":"[0-9a-f]{8}"\}$/);

    const asked = await call('POST', '/headgate/keys/rotate', { data: true, pepper: true });
    expect(asked.status).toBe(202);
    expect(asked.body).toMatchObject({ data: { generation: 2 }, pepper: { generation: 2 } });
    await eventually('all of the new keys', async () => {
      const { body } = await call('GET', '/headgate/keys');
      const done = { generation: 2, older: [], remaining: 0 };
      expect(body).toMatchObject({ data: done, pepper: done, kek: before.body['kek'] });
      return true;
    });
    expect((await call('GET', '/consumers/ann/key-auth/k-1')).status).toBe(200);
    expect((await call('POST', '/consumers/ann/key-auth', { key: 'k-1' })).status).toBe(409);
    expect(test.errors).toEqual([]);
  });

  it('refuses what is no rotation', async () => {
    const { call } = test;
    const nothing = await call('POST', '/headgate/keys/rotate', {});
    expect([nothing.status, nothing.body['name']]).toEqual([400, 'schema violation']);
    const wrong = await call('POST', '/headgate/keys/rotate', { data: 'x', else: 1 });
    expect(wrong.body['fields']).toEqual({ data: 'expected a boolean', else: 'unknown field' });
    const same = await call('POST', '/headgate/keys/rotate', { kek: true });
    expect(same.status).toBe(409);
    expect(same.body['message']).toContain('no other one is in the settings');
  });
});
