import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '#shared/schema/field.ts';
import { type Answer, openTestAdmin, type TestAdmin } from './admin.suite.ts';

let admin: TestAdmin;
let count = 0;
beforeAll(async () => {
  admin = await openTestAdmin();
});
afterAll(() => admin.close());

/** A workspace of its own, as a path prefix. */
async function workspace(): Promise<string> {
  count += 1;
  await admin.call('POST', '/workspaces', { name: `h${count}` });
  return `/h${count}`;
}

const dataOf = ({ body }: Answer) => body['data'] as readonly JsonObject[];
const config = async (ws: string) => (await admin.call('GET', `${ws}/config`)).body['config'];
const diff = (ws: string, query: string) => admin.call('GET', `${ws}/headgate/diff${query}`);
const rollback = (ws: string, version: unknown, query = '') =>
  admin.call('POST', `${ws}/headgate/rollback${query}`, { version });

/** Versions 1 to 5. */
async function written(): Promise<string> {
  const ws = await workspace();
  await admin.call('PUT', `${ws}/services/s`, { host: 'a.test' });
  await admin.call('PUT', `${ws}/consumers/c`, { tags: ['t'] });
  await admin.call('POST', `${ws}/consumers/c/key-auth`, { key: 'canary-one' });
  const [key] = dataOf(await admin.call('GET', `${ws}/key-auths`));
  await admin.call('PATCH', `${ws}/key-auths/${String(key?.['id'])}`, { key: 'canary-two' });
  await admin.call('DELETE', `${ws}/services/s`);
  return ws;
}

describe('the versions of a workspace', () => {
  it('are listed newest first, page by page', async () => {
    const ws = await written();
    const all = await admin.call('GET', `${ws}/headgate/versions`);
    expect(dataOf(all).map(({ version }) => version)).toEqual([5, 4, 3, 2, 1]);
    expect(dataOf(all)[0]).toEqual({
      version: 5,
      at: expect.closeTo(Date.now() / 1000, -2),
      actor: 'local',
      source: '127.0.0.1',
      changes: 1,
    });
    const seen: unknown[] = [];
    let next: string | null = `${ws}/headgate/versions?size=2`;
    while (next !== null) {
      const page: Answer = await admin.call('GET', next);
      expect(dataOf(page).length).toBeLessThanOrEqual(2);
      seen.push(...dataOf(page).map(({ version }) => version));
      next = page.body['next'] as string | null;
    }
    expect(seen).toEqual([5, 4, 3, 2, 1]);
    expect(dataOf(await admin.call('GET', `${await workspace()}/headgate/versions`))).toEqual([]);
  });

  it('tell what each of them changed, and no secret', async () => {
    const ws = await written();
    const of = async (version: number) => {
      const answer = await admin.call('GET', `${ws}/headgate/versions/${version}`);
      expect(answer.text).not.toContain('canary');
      expect(answer.body).toMatchObject({ version, actor: 'local' });
      return dataOf(answer);
    };
    const id = expect.any(String);
    expect(await of(1)).toEqual([
      { kind: 'services', id, key: 's', operation: 'create', fields: [] },
    ]);
    expect(await of(4)).toEqual([
      { kind: 'keyauth_credentials', id, key: null, operation: 'update', fields: ['key'] },
    ]);
    expect(await of(5)).toEqual([
      { kind: 'services', id, key: 's', operation: 'delete', fields: [] },
    ]);
    for (const version of ['0', '6', 'x', '-1', '99999999999999999999']) {
      const answer = await admin.call('GET', `${ws}/headgate/versions/${version}`);
      expect([version, answer.status]).toEqual([version, 404]);
    }
  });
});

describe('the difference of two versions', () => {
  it('has both states of what differs, and of secrets whether they do', async () => {
    const ws = await written();
    const whole = await diff(ws, '?from=0&to=5');
    expect(dataOf(whole).map(({ kind, operation }) => [kind, operation])).toEqual([
      ['consumers', 'create'],
      ['keyauth_credentials', 'create'],
    ]);
    const rotated = await diff(ws, '?from=3&to=4');
    expect(rotated.text).not.toContain('canary');
    expect(dataOf(rotated)).toEqual([
      {
        kind: 'keyauth_credentials',
        id: expect.any(String),
        key: null,
        operation: 'update',
        fields: ['key'],
        before: expect.objectContaining({ key: '******' }),
        after: expect.objectContaining({ key: '******' }),
        secrets: { key: 'changed' },
      },
    ]);
    const back = await diff(ws, '?from=5&to=4');
    expect(dataOf(back)).toMatchObject([
      { kind: 'services', operation: 'create', before: null, after: { host: 'a.test' } },
    ]);
    expect((await diff(ws, '')).body).toMatchObject({ from: 4, to: 5 });
    expect(dataOf(await diff(ws, '?from=2&to=2'))).toEqual([]);
  });

  it('says of a secret that stayed that it did', async () => {
    const ws = await workspace();
    await admin.call('PUT', `${ws}/consumers/c`, {});
    const made = await admin.call('POST', `${ws}/consumers/c/key-auth`, { key: 'canary' });
    await admin.call('PATCH', `${ws}/key-auths/${String(made.body['id'])}`, { tags: ['x'] });
    expect(dataOf(await diff(ws, '?from=2&to=3'))).toMatchObject([
      { fields: ['tags'], secrets: { key: 'unchanged' } },
    ]);
  });

  it('comes in pages', async () => {
    const ws = await workspace();
    const consumers = Array.from({ length: 5 }, (_, i) => ({ username: `p${i}` }));
    await admin.call('POST', `${ws}/config`, { _format_version: '3.0', consumers });
    const keys: unknown[] = [];
    let next: string | null = `${ws}/headgate/diff?from=0&to=1&size=2`;
    while (next !== null) {
      const page: Answer = await admin.call('GET', next);
      expect(page.body).toMatchObject({ from: 0, to: 1 });
      keys.push(...dataOf(page).map(({ key }) => key));
      next = page.body['next'] as string | null;
    }
    expect(keys.toSorted()).toEqual(['p0', 'p1', 'p2', 'p3', 'p4']);
  });

  it.each([
    ['?from=x', 400],
    ['?to=-1', 400],
    ['?to=1.5', 400],
    ['?from=0&to=99', 404],
    ['?size=0', 400],
    ['?offset=x', 400],
  ])('is refused for %s', async (query, status) => {
    const ws = await workspace();
    expect((await diff(ws, query)).status).toBe(status);
  });
});

describe('rolling back', () => {
  it('makes the workspace what it was, as a new version', async () => {
    const ws = await written();
    const states = [await config(ws)];
    const body = { _format_version: '3.0', upstreams: [{ name: 'u', targets: [{ target: 'a' }] }] };
    await admin.call('POST', `${ws}/config`, body);
    states.push(await config(ws));
    const back = await rollback(ws, 5);
    expect([back.status, back.headers.get('headgate-version')]).toEqual([200, '7']);
    expect(back.body).toEqual({
      rolled_back_to: 5,
      counts: { present: 2, created: 2, updated: 0, removed: 2 },
    });
    expect(await config(ws)).toBe(states[0]);
    expect(dataOf(await diff(ws, '?from=5&to=7'))).toEqual([]);
    const [key] = dataOf(await admin.call('GET', `${ws}/key-auths`));
    expect(key?.['key']).toBe('canary-two');
    await rollback(ws, 6);
    expect(await config(ws)).toBe(states[1]);
    expect((await rollback(ws, 0)).status).toBe(200);
    expect(await config(ws)).toBe('_format_version: "3.0"\n_transform: false\n');
  });

  it('makes no version when it changes nothing', async () => {
    const ws = await written();
    const back = await rollback(ws, 5);
    expect([back.status, back.headers.get('headgate-version')]).toEqual([200, '5']);
  });

  it("undoes what got in each other's way", async () => {
    const ws = await workspace();
    const ids = ['1', '2'].map((digit) => `00000000-0000-4000-8000-00000000000${digit}`);
    const names = (a: string, b: string) => ({
      _format_version: '3.0',
      services: [a, b].map((name, i) => ({
        id: ids[i],
        name,
        host: 'a.test',
        routes: [{ paths: [`/${i}`] }],
      })),
    });
    await admin.call('POST', `${ws}/config`, names('a', 'b'));
    const before = await config(ws);
    await admin.call('POST', `${ws}/config`, names('b', 'a'));
    expect((await rollback(ws, 1)).status).toBe(200);
    expect(await config(ws)).toBe(before);
  });

  it('is only tried with a dry run', async () => {
    const ws = await written();
    const tried = await rollback(ws, 1, '?dry_run=true');
    expect(tried.body).toMatchObject({
      counts: { created: 1, updated: 0, removed: 2 },
      created: [{ kind: 'services', key: 's' }],
    });
    expect(tried.headers.get('headgate-dry-run')).toBe('true');
    expect((await admin.call('GET', `${ws}/services/s`)).status).toBe(404);
  });

  it.each([
    [99, 404],
    [-1, 400],
    [1.5, 400],
    ['1', 400],
    [null, 400],
    [2 ** 60, 400],
  ])('is refused for version %j', async (version, status) => {
    expect((await rollback(await workspace(), version)).status).toBe(status);
  });

  it('says how far the log reaches back', async () => {
    const ws = await written();
    const { rows } = await admin.store.db.query<{ id: string }>(
      'SELECT id FROM workspaces WHERE name = $1',
      [ws.slice(1)],
    );
    await admin.store.db.query('UPDATE workspace_versions SET log_start = 3 WHERE ws_id = $1', [
      String(rows[0]?.id),
    ]);
    const answer = await rollback(ws, 2);
    expect([answer.status, answer.body]).toEqual([
      410,
      { message: expect.stringContaining('3 to 5'), oldest: 3, newest: 5 },
    ]);
    expect((await diff(ws, '?from=1&to=5')).status).toBe(410);
    expect((await rollback(ws, 3)).status).toBe(200);
  });

  it('names what is not allowed any more', async () => {
    const ws = await workspace();
    const { body } = await admin.call('PUT', `${ws}/services/s`, { host: 'a.test' });
    await admin.call('DELETE', `${ws}/services/s`);
    // As if the definition had become stricter since.
    await admin.store.db.query(
      `UPDATE changes SET doc = jsonb_set(doc, '{retries}', '-5') WHERE entity_id = $1 AND doc IS NOT NULL`,
      [String(body['id'])],
    );
    const answer = await rollback(ws, 1);
    expect([answer.status, answer.body['problems']]).toEqual([
      409,
      [
        {
          kind: 'services',
          id: body['id'],
          key: 's',
          fields: { retries: expect.stringContaining('between') },
        },
      ],
    ]);
    expect((await admin.call('GET', `${ws}/services/s`)).status).toBe(404);
  });

  it('says whose a name is by now that all workspaces share', async () => {
    const [ws, other] = [await workspace(), await workspace()];
    const vault = { prefix: 'shared-one', name: 'env', config: {} };
    const { body } = await admin.call('POST', `${ws}/vaults`, vault);
    await admin.call('DELETE', `${ws}/vaults/shared-one`);
    await admin.call('POST', `${other}/vaults`, vault);
    const answer = await rollback(ws, 1);
    expect([answer.status, answer.body['code'], answer.body['entity']]).toEqual([
      409,
      5,
      { kind: 'vaults', id: body['id'] },
    ]);
  });
});
