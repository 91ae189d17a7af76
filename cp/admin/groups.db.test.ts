/** `/clustering/groups`: groups of data planes as entities. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '#shared/schema/field.ts';
import { type Answer, openTestAdmin, type TestAdmin } from './admin.suite.ts';

const BOOTSTRAP = 'a-bootstrap-token-of-some-length';
const GROUPS = '/clustering/groups';

let admin: TestAdmin;
beforeAll(async () => {
  admin = await openTestAdmin({ policy: { token: BOOTSTRAP } });
  for (const name of ['team-a', 'team-b']) await call('PUT', `/workspaces/${name}`, {});
});
afterAll(() => admin?.close());

function call(method: string, path: string, body?: unknown, token = BOOTSTRAP): Promise<Answer> {
  return admin.call(method, path, body, { 'kong-admin-token': token });
}

async function holder(name: string, scopes: JsonObject): Promise<string> {
  const { body } = await call('POST', '/headgate/tokens', { name, scopes });
  return String(body['token']);
}

interface Row {
  readonly workspaces: readonly string[];
  readonly serves_all: boolean;
  readonly tags: readonly string[] | null;
  readonly labels: JsonObject;
  readonly policy: JsonObject;
}

async function rowOf(name: string): Promise<Row | undefined> {
  const { rows } = await admin.store.db.query<Row>('SELECT * FROM groups WHERE name = $1', [name]);
  return rows[0];
}

async function idOf(workspace: string): Promise<string> {
  return String((await call('GET', `/workspaces/${workspace}`)).body['id']);
}

describe('groups', () => {
  it('begin with default, which serves every workspace and stays', async () => {
    const { body } = await call('GET', `${GROUPS}/default`);
    expect(body).toMatchObject({
      name: 'default',
      workspaces: null,
      tags: null,
      labels: null,
      settings: {
        staleness: 'serve',
        staleness_seconds: 3600,
        clones: 'alert',
        forget_seconds: 1_209_600,
      },
    });
    const refused = await call('DELETE', `${GROUPS}/default`);
    expect([refused.status, refused.body['message']]).toEqual([
      400,
      "The group 'default' cannot be removed",
    ]);
    const row = await rowOf('default');
    expect([row?.serves_all, row?.workspaces.length]).toEqual([true, 3]);
  });

  it('are made, changed, replaced, listed in pages and removed', async () => {
    const made = await call('POST', GROUPS, {
      name: 'eu',
      workspaces: ['team-a', await idOf('team-b')],
      tags: ['eu'],
      labels: { region: 'eu-west' },
      settings: { staleness: 'close', staleness_seconds: 60 },
    });
    expect([made.status, made.body['workspaces']]).toEqual([201, ['team-a', 'team-b']]);
    const ids = [await idOf('team-a'), await idOf('team-b')];
    expect(await rowOf('eu')).toMatchObject({
      serves_all: false,
      workspaces: ids,
      tags: ['eu'],
      labels: { region: 'eu-west' },
      policy: { staleness: 'close', staleness_seconds: 60, clones: 'alert' },
    });
    const changed = await call('PATCH', `${GROUPS}/eu`, { settings: { clones: 'lock' } });
    expect(changed.body).toMatchObject({
      workspaces: ['team-a', 'team-b'],
      settings: { staleness: 'close', clones: 'lock' },
    });
    expect((await rowOf('eu'))?.policy).toMatchObject({ staleness: 'close', clones: 'lock' });
    const replaced = await call('PUT', `${GROUPS}/${made.body['id']}`, { name: 'eu', tags: ['x'] });
    expect(replaced.body).toMatchObject({ workspaces: null, tags: ['x'], labels: null });
    expect(await rowOf('eu')).toMatchObject({ serves_all: true, tags: ['x'], labels: {} });

    const page = await call('GET', `${GROUPS}?size=1`);
    expect(page.body['next']).toMatch(/^\/clustering\/groups\?offset=/);
    const rest = await call('GET', String(page.body['next']));
    expect((rest.body['data'] as unknown[]).length).toBe(1);
    expect((await call('DELETE', `${GROUPS}/eu`)).status).toBe(204);
    expect((await call('GET', `${GROUPS}/eu`)).status).toBe(404);
    expect(await rowOf('eu')).toBeUndefined();
  });

  it.each<[string, JsonObject, string, unknown]>([
    ['no name', {}, 'name', 'required field missing'],
    ['a name with a slash', { name: 'a/b' }, 'name', expect.stringContaining('invalid value')],
    ['a name that leads elsewhere', { name: '..' }, 'name', expect.stringContaining('dots')],
    [
      'the id of another as its name',
      { name: randomUUID() },
      'name',
      expect.stringContaining('id'),
    ],
    [
      'a workspace that there is not',
      { name: 'x', workspaces: ['team-a', 'nobody'] },
      'workspaces',
      "there is no workspace 'nobody'",
    ],
    ['workspaces that are no list', { name: 'x', workspaces: 'a' }, 'workspaces', 'expected a set'],
    ['no workspace', { name: 'x', workspaces: [] }, 'workspaces', 'length must be at least 1'],
    ['a tag with a slash', { name: 'x', tags: ['a/b'] }, 'tags', expect.anything()],
    ['a label without value', { name: 'x', labels: { a: '' } }, 'labels', expect.anything()],
    [
      'a policy that there is not',
      { name: 'x', settings: { staleness: 'panic' } },
      'settings',
      {
        staleness: 'expected one of: serve, warn, close',
      },
    ],
    ['a field that there is not', { name: 'x', plan: 1 }, 'plan', 'unknown field'],
  ])('are refused with %s', async (_what, body, field, message) => {
    const answer = await call('POST', GROUPS, body);
    expect([answer.status, answer.body['name']]).toEqual([400, 'schema violation']);
    expect((answer.body['fields'] as JsonObject)[field]).toEqual(message);
  });

  it('keep their name, and have it for themselves', async () => {
    await call('PUT', `${GROUPS}/named`, {});
    const renamed = await call('PATCH', `${GROUPS}/named`, { name: 'other' });
    expect([renamed.status, renamed.body['fields']]).toEqual([
      400,
      { name: 'immutable field cannot be updated' },
    ]);
    expect((await call('POST', GROUPS, { name: 'named' })).status).toBe(409);
    await call('DELETE', `${GROUPS}/named`);
  });

  it('hold on to the workspaces that they name, under whatever name', async () => {
    await call('PUT', '/workspaces/held', {});
    await call('PUT', `${GROUPS}/holder`, { workspaces: ['held'] });
    const refused = await call('DELETE', '/workspaces/held');
    expect([refused.status, refused.body['message']]).toEqual([
      400,
      "The workspace is named by the group 'holder'; change that first",
    ]);
    await call('PATCH', '/workspaces/held', { name: 'kept' });
    expect((await call('GET', `${GROUPS}/holder`)).body['workspaces']).toEqual(['kept']);
    await call('PUT', `${GROUPS}/holder`, {});
    expect((await call('DELETE', '/workspaces/kept')).status).toBe(204);
    expect((await rowOf('holder'))?.workspaces).toHaveLength(3);
    await call('DELETE', `${GROUPS}/holder`);
  });

  it('stay as long as they have data planes, and take along what was published', async () => {
    const { body } = await call('PUT', `${GROUPS}/busy`, {});
    const { db } = admin.store;
    const add = (key: string, revoked: string) =>
      db.query(
        `INSERT INTO nodes (id, group_id, public_key, sealing_key, hostname, version, runtime, revoked_at)
         VALUES (gen_random_uuid(), $1, $2, '', '', '', 'node', ${revoked})`,
        [String(body['id']), key],
      );
    await add('revoked', 'now()');
    await add('alive', 'NULL');
    await db.query(`INSERT INTO group_nodes (group_id, id, text) VALUES ($1, 'x', 'y')`, [
      String(body['id']),
    ]);
    const refused = await call('DELETE', `${GROUPS}/busy`);
    expect([refused.status, refused.body['message']]).toEqual([
      409,
      "The group 'busy' has 1 data plane; remove them first",
    ]);
    await db.query("UPDATE nodes SET revoked_at = now() WHERE public_key = 'alive'");
    expect((await call('DELETE', `${GROUPS}/busy`)).status).toBe(204);
    const left = await db.query('SELECT 1 FROM group_nodes WHERE group_id = $1', [
      String(body['id']),
    ]);
    expect([left.count, await rowOf('busy')]).toEqual([0, undefined]);
  });

  it('can be tried, and are in the change log and the audit', async () => {
    const tried = await call('POST', `${GROUPS}?dry_run=true`, { name: 'tried' });
    expect([tried.status, tried.headers.get('headgate-dry-run')]).toEqual([201, 'true']);
    expect((await call('GET', `${GROUPS}/tried`)).status).toBe(404);
    await call('PUT', `${GROUPS}/logged`, {});
    const changes = await admin.store.db.query(
      `SELECT 1 FROM changes WHERE kind = 'clustering_groups' AND doc ->> 'name' = 'logged'
         AND ws_id = '00000000-0000-0000-0000-000000000000' AND actor = 'bootstrap'`,
    );
    expect(changes.count).toBe(1);
    const { body } = await call('GET', '/headgate/audit?size=100');
    const paths = (body['data'] as JsonObject[]).map(({ path }) => path);
    expect(paths).toContain(`${GROUPS}/logged`);
    await call('DELETE', `${GROUPS}/logged`);
  });

  it('are part of the cluster, not of a workspace’s configuration', async () => {
    await call('PUT', `${GROUPS}/apart`, { tags: ['apart'] });
    expect((await call('GET', '/config')).text).not.toContain('apart');
    expect((await call('GET', '/tags')).text).not.toContain('apart');
    const refused = await call('POST', '/config', {
      _format_version: '3.0',
      clustering_groups: [{ name: 'smuggled' }],
    });
    expect([refused.status, await rowOf('smuggled')]).toEqual([400, undefined]);

    const everywhere = await holder('everywhere', {
      workspaces: [{ workspace: '*', access: 'write' }],
    });
    const reader = await holder('reader', { cluster: 'read' });
    const operator = await holder('operator', { cluster: 'write' });
    const operation = {
      operations: [{ method: 'PUT', path: `${GROUPS}/smuggled`, body: { tags: ['a'] } }],
    };
    const statuses = [
      (await call('GET', GROUPS, undefined, everywhere)).status,
      (await call('PUT', `${GROUPS}/apart`, {}, everywhere)).status,
      (await call('GET', GROUPS, undefined, reader)).status,
      (await call('PUT', `${GROUPS}/apart`, {}, reader)).status,
      (await call('PUT', `${GROUPS}/apart`, {}, operator)).status,
    ];
    expect(statuses).toEqual([403, 403, 200, 403, 200]);
    const bulk = await call('POST', '/headgate/bulk', operation, everywhere);
    expect([bulk.status >= 400, await rowOf('smuggled')]).toEqual([true, undefined]);
    await call('DELETE', `${GROUPS}/apart`);
  });

  it('are described by /schemas and the OpenAPI document', async () => {
    const schema = await call('GET', '/schemas/clustering_groups');
    expect(schema.text).toContain('staleness_seconds');
    const checked = await call('POST', '/schemas/clustering_groups/validate', { name: 'x' });
    expect(checked.status).toBe(200);
    const document = await call('GET', '/openapi.json');
    const paths = document.body['paths'] as JsonObject;
    expect(Object.keys(paths[`${GROUPS}/{clustering_groups}`] as JsonObject)).toEqual(
      expect.arrayContaining(['get', 'put', 'patch', 'delete']),
    );
  });
});
