import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openTestAdmin, type TestAdmin } from './admin.suite.ts';

let admin: TestAdmin;
beforeAll(async () => {
  admin = await openTestAdmin();
});
afterAll(() => admin.close());

async function names(path: string): Promise<unknown[]> {
  const { body } = await admin.call('GET', path);
  return (body['data'] as { name: unknown }[]).map(({ name }) => name);
}

describe('workspaces', () => {
  it('are made, found by name, and listed', async () => {
    const made = await admin.call('POST', '/workspaces', { name: 'team-a' });
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({ name: 'team-a', comment: null });

    expect((await admin.call('GET', '/workspaces/team-a')).body['id']).toBe(made.body['id']);
    expect((await admin.call('GET', '/team-a/workspaces/team-a')).status).toBe(200);
    expect(await names('/workspaces')).toEqual(expect.arrayContaining(['default', 'team-a']));
  });

  it('show the node’s information at `kong`, as clients that name a workspace ask for it', async () => {
    const { status, body } = await admin.call('GET', '/team-a/kong');
    expect([status, body['edition']]).toEqual([200, 'community']);
    expect((await admin.call('GET', '/kong')).status).toBe(404);
  });

  it('hold data of their own, under names of their own', async () => {
    const here = await admin.call('POST', '/services', { name: 'twin', host: 'a.test' });
    const there = await admin.call('POST', '/team-a/services', { name: 'twin', host: 'b.test' });
    expect([here.status, there.status]).toEqual([201, 201]);

    expect((await admin.call('GET', '/services/twin')).body['host']).toBe('a.test');
    expect((await admin.call('GET', '/team-a/services/twin')).body['host']).toBe('b.test');
    expect((await admin.call('GET', `/services/${there.body['id']}`)).status).toBe(404);
    expect(await names('/team-a/services')).toEqual(['twin']);
    const again = await admin.call('POST', '/team-a/services', { name: 'twin', host: 'c.test' });
    expect(again.status).toBe(409);
  });

  it('cannot point into one another', async () => {
    const { body } = await admin.call('GET', '/team-a/services/twin');
    const byId = await admin.call('POST', '/routes', {
      paths: ['/x'],
      service: { id: body['id'] },
    });
    expect([byId.status, byId.body['code']]).toEqual([400, 4]);
  });

  it('stand in the path of the next page', async () => {
    await admin.call('POST', '/team-a/services', { name: 'second', host: 'b.test' });
    const { body } = await admin.call('GET', '/team-a/services?size=1');
    expect(body['next']).toMatch(/^\/team-a\/services\?offset=/);
    expect(await names(String(body['next']))).toHaveLength(1);
  });

  it('are served by the default group as soon as they exist', async () => {
    const { rows } = await admin.store.db.query<{ count: number }>(
      `SELECT cardinality(workspaces) AS count FROM groups WHERE name = 'default'`,
    );
    expect(rows[0]?.count).toBe(2);
  });

  it('answer default under its own name', async () => {
    expect((await admin.call('GET', '/default/services/twin')).body['host']).toBe('a.test');
    expect((await admin.call('GET', '/default')).body['edition']).toBe('community');
  });

  it.each(['.', '..'])('cannot be called %s, which no path can name', async (name) => {
    const refused = await admin.call('POST', '/workspaces', { name });
    expect([refused.status, refused.body['fields']]).toEqual([
      400,
      { name: `'${name}' cannot stand in a path; choose another name` },
    ]);
  });

  it('must exist to be asked', async () => {
    const answer = await admin.call('GET', '/nobody/services');
    expect([answer.status, answer.body]).toEqual([404, { message: 'Not found' }]);
  });

  it.each(['services', 'schemas', 'clustering', 'status', 'key-auths'])(
    'cannot be called %s, which is a path of the API',
    async (name) => {
      const answer = await admin.call('POST', '/workspaces', { name });
      expect(answer.status).toBe(400);
      expect(Object.keys(answer.body['fields'] as object)).toEqual(['name']);
    },
  );

  it('go only when they are empty, and then for good', async () => {
    const full = await admin.call('DELETE', '/workspaces/team-a');
    expect([full.status, full.body['code']]).toEqual([400, 4]);
    await admin.call('DELETE', '/team-a/services/twin');
    await admin.call('DELETE', '/team-a/services/second');
    expect((await admin.call('DELETE', '/workspaces/team-a')).status).toBe(204);
    expect((await admin.call('GET', '/team-a/services')).status).toBe(404);
  });

  it('keep default, whatever is asked', async () => {
    expect((await admin.call('DELETE', '/workspaces/default')).status).toBe(400);
    const renamed = await admin.call('PATCH', '/workspaces/default', { name: 'other' });
    expect(renamed.status).toBe(400);
    expect((await admin.call('GET', '/workspaces/default')).status).toBe(200);
  });

  it('cannot be asked for by tags, which they do not have', async () => {
    const { status, body } = await admin.call('GET', '/workspaces?tags=a');
    expect([status, body['code'], body['options']]).toEqual([
      400,
      11,
      { tags: expect.any(String) },
    ]);
  });
});
