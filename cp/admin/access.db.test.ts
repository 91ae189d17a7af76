/** Tokens and scopes through the whole Admin API. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { REGISTRY } from '#shared/registry.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import { type Answer, openTestAdmin, type TestAdmin } from './admin.suite.ts';
import { adminEndpoints } from './app.ts';

const BOOTSTRAP = 'a-bootstrap-token-of-some-length';

let test: TestAdmin;
beforeAll(async () => {
  test = await openTestAdmin({ policy: { token: BOOTSTRAP } });
  for (const name of ['team-a', 'team-b']) await root('PUT', `/workspaces/${name}`, {});
});
afterAll(() => test?.close());

function by(token: string) {
  return (method: string, path: string, body?: unknown): Promise<Answer> =>
    test.call(method, path, body, { 'kong-admin-token': token });
}

function root(method: string, path: string, body?: unknown): Promise<Answer> {
  return by(BOOTSTRAP)(method, path, body);
}

let count = 0;
/** The holder of a token with these scopes. */
async function holder(scopes: JsonObject): Promise<ReturnType<typeof by>> {
  const name = `holder-${count++}`;
  const { status, body } = await root('POST', '/headgate/tokens', { name, scopes });
  expect(status).toBe(201);
  return by(String(body['token']));
}

const many = (length: number) => Array.from({ length }, (_, i) => ({ workspace: `w${i}` }));
const inTeamA = (access: string) => ({ workspaces: [{ workspace: 'team-a', access }] });

describe('/headgate/tokens', () => {
  it('answers a secret once', async () => {
    const scopes = { workspaces: [{ workspace: '*', access: 'read' }], cluster: 'read' };
    const made = await root('POST', '/headgate/tokens', { name: 'once', scopes });
    expect(made.status).toBe(201);
    expect(made.headers.get('cache-control')).toBe('no-store');
    expect(made.body).toMatchObject({
      name: 'once',
      scopes: { ...scopes, admin: null },
      created_by: 'bootstrap',
      expires_at: null,
      last_used_at: null,
    });
    const secret = String(made.body['token']).slice(-43);
    const shown = await root('GET', '/headgate/tokens/once');
    const { token: _token, ...view } = made.body;
    expect(shown.body).toEqual(view);
    const listed = await root('GET', '/headgate/tokens');
    expect(listed.body['data']).toContainEqual(view);
    for (const { text } of [shown, listed]) expect(text).not.toContain(secret);
  });

  it('takes a form too', async () => {
    const form = 'name=by-form&scopes.cluster=read&scopes.workspaces[1].workspace=team-a';
    const headers = {
      'kong-admin-token': BOOTSTRAP,
      'content-type': 'application/x-www-form-urlencoded',
    };
    const made = await test.call('POST', '/headgate/tokens', form, headers);
    expect(made.body['scopes']).toEqual({
      workspaces: [{ workspace: 'team-a', access: 'read' }],
      cluster: 'read',
      admin: null,
    });
  });

  it.each([
    [{}, 'name'],
    [{ name: 'a b', scopes: { cluster: 'read' } }, 'name'],
    [{ name: 'local', scopes: { cluster: 'read' } }, 'name'],
    [{ name: '0123456789abcdef', scopes: { cluster: 'read' } }, 'name'],
    [{ name: 'x'.repeat(65), scopes: { cluster: 'read' } }, 'name'],
    [{ name: 'x' }, 'scopes'],
    [{ name: 'x', scopes: {} }, 'scopes'],
    [{ name: 'x', scopes: { cluster: 'all' } }, 'scopes'],
    [{ name: 'x', scopes: { workspaces: [{ access: 'read' }] } }, 'scopes'],
    [{ name: 'x', scopes: { cluster: 'read' }, expires_at: 1 }, 'expires_at'],
    [{ name: 'x', scopes: { cluster: 'read' }, secret: 'mine' }, 'secret'],
    [{ name: 'x', scopes: { workspaces: many(101) } }, 'scopes'],
  ])('refuses %j and names the field', async (body, field) => {
    const answer = await root('POST', '/headgate/tokens', body);
    expect(answer.status).toBe(400);
    expect(answer.body['fields']).toHaveProperty(field);
    expect((await root('GET', '/headgate/tokens/x')).status).toBe(404);
  });

  it('refuses a second one of the same name', async () => {
    const body = { name: 'twice', scopes: { cluster: 'read' } };
    expect((await root('POST', '/headgate/tokens', body)).status).toBe(201);
    expect(await root('POST', '/headgate/tokens', body)).toMatchObject({
      status: 409,
      body: { code: 5, fields: { name: 'twice' } },
    });
  });

  it('finds a token by the id that it shows of itself: what leaks must be found and revoked', async () => {
    const made = await root('POST', '/headgate/tokens', {
      name: 'leaked',
      scopes: { cluster: 'read' },
    });
    const leaked = String(made.body['token']);
    const path = `/headgate/tokens/${leaked.split('_')[1]}`;
    expect((await root('GET', path)).body['name']).toBe('leaked');
    expect((await root('POST', `${path}/rotate`, { overlap: 60 })).status).toBe(200);
    expect((await root('DELETE', path)).status).toBe(204);
    expect((await by(leaked)('GET', '/')).status).toBe(401);
  });

  it('rotates and revokes', async () => {
    const body = { name: 'rotated', scopes: { cluster: 'read' } };
    const old = by(String((await root('POST', '/headgate/tokens', body)).body['token']));
    const path = '/headgate/tokens/rotated';
    expect((await root('POST', `${path}/rotate`, { overlap: 86_401 })).status).toBe(400);
    const answer = await root('POST', `${path}/rotate`);
    expect(answer.status).toBe(200);
    const { previous_until: until } = answer.body;
    expect(Math.abs(Number(until) - Date.now() / 1000 - 300)).toBeLessThan(10);
    const now = by(String(answer.body['token']));
    expect((await old('GET', '/clustering/data-planes')).status).toBe(200);
    expect((await now('GET', '/clustering/data-planes')).status).toBe(200);
    expect((await root('DELETE', path)).status).toBe(204);
    for (const call of [old, now]) expect((await call('GET', '/')).status).toBe(401);
    for (const method of ['GET', 'DELETE']) expect((await root(method, path)).status).toBe(404);
    expect((await root('POST', `${path}/rotate`)).status).toBe(404);
  });
});

describe('the scopes of a token', () => {
  it('open its workspace and no other', async () => {
    const writer = await holder(inTeamA('write'));
    const service = { name: 'mine', url: 'http://x' };
    expect((await writer('POST', '/team-a/services', service)).status).toBe(201);
    expect((await writer('GET', '/team-a/services/mine')).status).toBe(200);
    for (const path of ['/services', '/team-b/services', '/default/services']) {
      expect((await writer('POST', path, service)).status, path).toBe(403);
      expect((await writer('GET', path)).status, path).toBe(403);
    }
    expect((await root('GET', '/team-b/services')).body['data']).toEqual([]);
  });

  it('let a reader read', async () => {
    const reader = await holder(inTeamA('read'));
    expect((await reader('GET', '/team-a/services')).status).toBe(200);
    expect((await reader('HEAD', '/team-a/services')).status).toBe(200);
    const answer = await reader('POST', '/team-a/services', { url: 'http://x' });
    expect(answer).toMatchObject({
      status: 403,
      body: { message: expect.stringContaining("lacks the scope: write on workspace 'team-a'") },
    });
    expect((await reader('POST', '/schemas/services/validate', { host: 'x' })).status).toBe(200);
    expect((await reader('GET', '/')).status).toBe(200);
  });

  it('do not tell of a workspace whether it is there', async () => {
    const reader = await holder(inTeamA('read'));
    const [there, nowhere] = await Promise.all([
      reader('GET', '/team-b/services'),
      reader('GET', '/team-x/services'),
    ]);
    expect(there.text.replaceAll('team-b', 'team-x')).toBe(nowhere.text);
    expect([there.status, nowhere.status]).toEqual([403, 403]);
    expect((await reader('GET', '/workspaces')).status).toBe(403);
    expect((await reader('GET', '/workspaces/team-b')).status).toBe(403);
    expect((await reader('GET', '/workspaces/team-a')).status).toBe(200);
    expect((await root('GET', '/team-x/services')).status).toBe(404);
  });

  it('cannot be widened by renaming a workspace, in whatever way', async () => {
    const writer = await holder(inTeamA('write'));
    const rename = { name: 'team-c' };
    expect((await writer('PATCH', '/workspaces/team-a', rename)).status).toBe(403);
    expect((await writer('PATCH', '/team-a/workspaces/team-a', rename)).status).toBe(403);
    const operations = [{ op: 'update', path: '/workspaces/team-a', body: rename }];
    const bulk = await writer('POST', '/team-a/headgate/bulk', { operations });
    expect(bulk.status).toBe(403);
    expect((await root('GET', '/workspaces/team-a')).status).toBe(200);
  });

  it('do not reach what all workspaces share', async () => {
    const writer = await holder(inTeamA('write'));
    const body = { cert: 'whatever it holds' };
    const answer = await writer('POST', '/team-a/ca_certificates', body);
    expect(answer).toMatchObject({
      status: 403,
      body: { message: expect.stringContaining("write on workspace '*'") },
    });
    const operations = [{ op: 'create', path: '/ca_certificates', body }];
    expect((await writer('POST', '/team-a/headgate/bulk', { operations })).status).toBe(403);
    expect((await writer('GET', '/team-a/ca_certificates')).status).toBe(200);
  });

  it('do not show the secrets that all workspaces share, in whatever way', async () => {
    const canary = 'canary-of-everybody';
    await root('POST', '/acme_storage', { key: 'certificate', value: canary });
    await root('POST', '/sessions', { session_id: canary });
    const writer = await holder(inTeamA('write'));
    for (const path of ['acme_storage', 'sessions', `sessions/${canary}`]) {
      expect(await writer('GET', `/team-a/${path}`)).toMatchObject({
        status: 403,
        body: { message: expect.stringContaining("read on workspace '*'") },
      });
    }
    const own = await writer('GET', '/team-a/config');
    expect(own.status).toBe(200);
    expect(own.text).not.toContain(canary);
    const everywhere = await holder({ workspaces: [{ workspace: '*', access: 'read' }] });
    expect((await everywhere('GET', '/team-a/sessions')).text).toContain(canary);
    const { text } = await everywhere('GET', '/team-a/config');
    expect(text.split(canary)).toHaveLength(3);
  });

  it('do not tell in bulk which workspaces there are', async () => {
    const writer = await holder(inTeamA('write'));
    const of = (key: string, more: object) =>
      writer('POST', '/team-a/headgate/bulk', {
        operations: [{ kind: 'workspaces', key, ...more }],
      });
    for (const key of ['team-b', 'no-such-team']) {
      for (const more of [{ op: 'delete' }, { op: 'update' }, { op: 'update', if_match: '"x"' }]) {
        expect((await of(key, more)).status).toBe(403);
      }
    }
  });

  it('keep entities, cluster and tokens apart', async () => {
    const operator = await holder({ cluster: 'write' });
    expect((await operator('GET', '/clustering/data-planes')).status).toBe(200);
    expect((await operator('PUT', '/debug/node/log-level/info')).status).toBe(200);
    expect((await operator('GET', '/services')).status).toBe(403);
    expect((await operator('GET', '/headgate/tokens')).status).toBe(403);
    const auditor = await holder({ admin: 'read' });
    expect((await auditor('GET', '/headgate/audit')).status).toBe(200);
    expect((await auditor('DELETE', '/headgate/tokens/once')).status).toBe(403);
    expect((await auditor('POST', '/clustering/join-tokens')).status).toBe(403);
    const everywhere = await holder({ workspaces: [{ workspace: '*', access: 'write' }] });
    expect((await everywhere('GET', '/team-b/services')).status).toBe(200);
    expect((await everywhere('POST', '/clustering/join-tokens', {})).status).toBe(403);
    expect((await everywhere('GET', '/headgate/audit')).status).toBe(403);
  });
});

describe('a path of the Admin API', () => {
  it('says which part of it it is, unless it is about entities', () => {
    const silent = adminEndpoints(REGISTRY.entities)
      .filter(({ area }) => area === undefined)
      .map(({ path }) => path)
      .filter((path) => /^\/(headgate|clustering|debug|schemas|status)\b/.test(path));
    expect(silent).toEqual(['/headgate/bulk']);
  });
});
