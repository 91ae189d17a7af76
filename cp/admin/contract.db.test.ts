import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '#shared/schema/field.ts';
import { openTestAdmin, type TestAdmin } from './admin.suite.ts';

const FORM = { 'content-type': 'application/x-www-form-urlencoded' };

let test: TestAdmin;
let call: TestAdmin['call'];
beforeAll(async () => {
  test = await openTestAdmin();
  ({ call } = test);
});
afterAll(() => test?.close());

async function version(): Promise<number> {
  const { rows } = await test.store.db.query<{ version: number }>(
    'SELECT version FROM workspace_versions WHERE ws_id = $1',
    [test.store.defaultWorkspace()],
  );
  return rows[0]?.version ?? -1;
}

async function made(method: string, path: string, body: object): Promise<JsonObject> {
  const answer = await call(method, path, body);
  expect(answer.status, answer.text).toBeLessThan(300);
  return answer.body;
}

describe('the protocols of a plugin', () => {
  const message = "must match the associated route's protocols";

  it('must meet those of its route, also when it is changed', async () => {
    const route = await made('PUT', '/routes/for-http', { paths: ['/p'] });
    const plugin = { name: 'key-auth', protocols: ['grpc'] };
    const refused = await call('POST', '/routes/for-http/plugins', plugin);
    expect(refused.body).toMatchObject({ code: 2, fields: { protocols: message } });
    const body = { ...plugin, route: { id: route['id'] ?? null } };
    expect((await call('PUT', '/plugins/by-put', body)).status).toBe(400);
    const fine = await made('POST', '/routes/for-http/plugins', { ...plugin, protocols: ['http'] });
    const changed = await call('PATCH', `/plugins/${String(fine['id'])}`, { protocols: ['grpc'] });
    expect(changed.body).toMatchObject({ code: 2, fields: { protocols: message } });
  });

  it('must meet those of one route of its service, if it has any', async () => {
    await made('PUT', '/services/of-routes', { host: 'h.test' });
    const plugin = { name: 'key-auth', protocols: ['grpc'] };
    const first = await made('POST', '/services/of-routes/plugins', plugin);
    await call('DELETE', `/plugins/${String(first['id'])}`);
    await made('POST', '/services/of-routes/routes', { paths: ['/q'] });
    const refused = await call('POST', '/services/of-routes/plugins', plugin);
    expect(refused.body).toMatchObject({
      code: 2,
      fields: {
        protocols:
          "must match the protocols of at least one route pointing to this Plugin's service",
      },
    });
    await made('POST', '/services/of-routes/plugins', { name: 'key-auth' });
  });
});

describe('PUT of a foreign entity', () => {
  it('makes the one that is missing and points the child at it, in one transaction', async () => {
    await made('PUT', '/routes/alone', { paths: ['/alone'] });
    const before = await version();
    const service = await made('PUT', '/routes/alone/service', { name: 'found', host: 'h.test' });
    expect(await version()).toBe(before + 1);
    expect((await call('GET', '/routes/alone')).body['service']).toEqual({ id: service['id'] });
    const again = await made('PUT', '/routes/alone/service', { host: 'other.test' });
    expect(again).toMatchObject({ id: service['id'], host: 'other.test', name: null });
  });

  it('leaves nothing behind when it is refused', async () => {
    await made('PUT', '/routes/lonely', { paths: ['/lonely'] });
    const before = await version();
    expect((await call('PUT', '/routes/lonely/service', { name: 'half' })).status).toBe(400);
    expect((await call('PUT', '/routes/no-such/service', { host: 'h.test' })).status).toBe(404);
    expect(await version()).toBe(before);
  });

  it('run by many at once makes one', async () => {
    await made('PUT', '/routes/crowded', { paths: ['/crowded'] });
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        call('PUT', '/routes/crowded/service', { host: `h${index}.test` }),
      ),
    );
    expect(new Set(answers.map(({ body }) => body['id'])).size).toBe(1);
  });
});

describe('a nested path', () => {
  it('takes over by PUT what lay under another parent, as in Kong', async () => {
    await made('PUT', '/services/from', { host: 'h.test' });
    const to = await made('PUT', '/services/to', { host: 'h.test' });
    const route = await made('POST', '/services/from/routes', { name: 'moves', paths: ['/m'] });
    const moved = await made('PUT', '/services/to/routes/moves', { paths: ['/m'] });
    expect(moved).toMatchObject({ id: route['id'], service: { id: to['id'] } });
    expect((await call('GET', '/services/from/routes/moves')).status).toBe(404);
  });

  it('moves a child by PATCH with another parent, and keeps it without one', async () => {
    const to = await made('PUT', '/services/to', { host: 'h.test' });
    await made('POST', '/services/from/routes', { name: 'patched', paths: ['/m'] });
    const kept = await made('PATCH', '/services/from/routes/patched', { tags: ['x'] });
    expect(kept['service']).not.toEqual({ id: to['id'] });
    const moved = await made('PATCH', '/services/from/routes/patched', { service: { name: 'to' } });
    expect(moved['service']).toEqual({ id: to['id'] });
    expect((await call('PATCH', '/services/from/routes/patched', {})).status).toBe(404);
  });

  it('gives a next that can be followed, whatever the parent is called', async () => {
    const name = encodeURIComponent('a /?b€');
    await made('PUT', `/consumers/${name}`, {});
    for (const key of ['k-a', 'k-b']) await made('POST', `/consumers/${name}/key-auth`, { key });
    const first = await call('GET', `/consumers/${name}/key-auth?size=1`);
    expect(first.body['next']).toMatch(new RegExp(`^/consumers/${name}/key-auth\\?offset=`));
    const second = await call('GET', `${String(first.body['next'])}&size=1`);
    expect(second.body['data']).toHaveLength(1);
    expect(second.body['data']).not.toEqual(first.body['data']);
    expect(second.body['next']).toBeNull();
  });
});

describe('a consumer', () => {
  it('is found by its custom_id', async () => {
    const ann = await made('PUT', '/consumers/ann', { custom_id: 'c-1' });
    const found = await call('GET', '/consumers?custom_id=c-1');
    expect(found.body).toEqual({ data: [ann], next: null });
    const none = await call('GET', '/consumers?custom_id=c-2');
    expect(none.body).toEqual({ data: [], next: null });
    const empty = await call('GET', '/consumers?custom_id=');
    expect(empty.status).toBe(400);
    expect(empty.body).toEqual({ message: 'custom_id must be an unempty string' });
  });
});

describe('targets', () => {
  it('come newest first with a number as offset, and by id under all', async () => {
    await made('PUT', '/upstreams/pool', {});
    const ids: unknown[] = [];
    for (const [index, target] of ['a.test', 'b.test', 'c.test', 'd.test'].entries()) {
      const body = { target, created_at: 1000 + index };
      ids.push((await made('POST', '/upstreams/pool/targets', body))['id']);
    }
    const first = await call('GET', '/upstreams/pool/targets?size=2');
    expect(first.body).toMatchObject({
      offset: '2',
      next: '/upstreams/pool/targets?offset=2',
      data: [{ target: 'd.test:8000' }, { target: 'c.test:8000' }],
    });
    const last = await call('GET', '/upstreams/pool/targets?size=2&offset=2');
    expect(last.body).not.toHaveProperty('offset');
    expect(last.body).toMatchObject({
      next: null,
      data: [{ target: 'b.test:8000' }, { target: 'a.test:8000' }],
    });
    expect((await call('GET', '/upstreams/pool/targets?offset=x')).body).toMatchObject({ code: 7 });
    const all = await call('GET', '/upstreams/pool/targets/all?size=3');
    expect(all.body['next']).toMatch(/^\/upstreams\/pool\/targets\/all\?offset=[A-Za-z0-9]+$/);
    const rows = all.body['data'] as JsonObject[];
    expect(rows.map(({ id }) => id)).toEqual(ids.toSorted().slice(0, 3));
  });

  it('are found by every spelling of their address', async () => {
    await made('PUT', '/upstreams/spelled', {});
    await made('POST', '/upstreams/spelled/targets', { target: '[::1]:99' });
    await made('POST', '/upstreams/spelled/targets', { target: '10.0.0.1' });
    for (const address of ['[::1]:99', '[0::1]:99', '10.0.0.1', '010.0.0.01:8000']) {
      const path = `/upstreams/spelled/targets/${encodeURIComponent(address)}`;
      expect((await call('GET', path)).status, address).toBe(200);
    }
    expect((await call('DELETE', '/upstreams/spelled/targets/10.0.0.1')).status).toBe(204);
    expect((await call('GET', '/upstreams/spelled/targets/10.0.0.1')).status).toBe(404);
  });
});

describe('a form', () => {
  it('gives a time to live', async () => {
    await made('PUT', '/consumers/bob', {});
    const key = await call('POST', '/consumers/bob/key-auth', 'key=by-form&ttl=10', FORM);
    expect(key.body, key.text).toMatchObject({ key: 'by-form', ttl: 9 });
    const bad = await call('POST', '/consumers/bob/key-auth', 'ttl=soon', FORM);
    expect(bad.body).toMatchObject({ code: 11 });
  });

  it('orders lists by index, and fills records in lists', async () => {
    const hosts = await call('POST', '/routes', 'hosts[2]=b&hosts[10]=c&hosts[1]=a', FORM);
    expect(hosts.body['hosts'], hosts.text).toEqual(['a', 'b', 'c']);
    const form = 'protocols=tcp&sources[1].ip=10.0.0.1&sources[1].port=80&sources[2].ip=10.0.0.2';
    const sources = await call('POST', '/routes', form, FORM);
    expect(sources.body['sources'], sources.text).toEqual([
      { ip: '10.0.0.1', port: 80 },
      { ip: '10.0.0.2', port: null },
    ]);
  });

  it('is refused when it is not UTF-8, or says one thing twice', async () => {
    for (const body of ['username=%ff', 'username=%zz', new Uint8Array([0x61, 0x3d, 0xff])]) {
      const answer = await call('POST', '/consumers', body, FORM);
      expect(answer.status).toBe(400);
      expect(answer.body).toEqual({ message: 'Cannot parse form body' });
    }
    const twice = await call('POST', '/consumers', 'username=a&username=b', FORM);
    expect(twice.body).toMatchObject({ code: 2, fields: { username: 'expected a string' } });
  });

  it('has a bound on its arguments and on the depth of a key', async () => {
    const most = Array.from({ length: 1000 }, () => 'tags[]=a').join('&');
    expect((await call('POST', '/consumers', `${most}`, FORM)).body).toMatchObject({ code: 2 });
    const more = await call('POST', '/consumers', `${most}&tags[]=a`, FORM);
    expect(more.body).toEqual({ message: 'Too many arguments' });
    expect((await call('GET', `/consumers?${'a&'.repeat(1001)}`)).status).toBe(400);
    const deep = await call('POST', '/consumers', `a${'[b]'.repeat(17)}=1`, FORM);
    expect(deep.status).toBe(400);
  });
});

describe('a path', () => {
  it.each(['%zz', '%', '%e2%82', '%ff', '%ed%a0%80', 'a%0'])(
    'with the escape %s names nothing',
    async (segment) => {
      const before = await version();
      for (const method of ['GET', 'PUT', 'PATCH', 'DELETE']) {
        const body = method === 'GET' || method === 'DELETE' ? undefined : {};
        const answer = await call(method, `/consumers/${segment}`, body);
        expect(answer.status).toBe(400);
      }
      expect(await version()).toBe(before);
    },
  );

  it.each(['100%', 'a/b', 'a?b#c', '%2f', 'a b', '日本', '__proto__'])(
    'may name a consumer %s',
    async (username) => {
      const path = `/consumers/${encodeURIComponent(username)}`;
      expect(await made('PUT', path, {})).toMatchObject({ username });
      expect((await call('GET', path)).body).toMatchObject({ username });
    },
  );
});

describe('an answer to a body full of errors', () => {
  it('names the first hundred of a list, and of the unknown fields', async () => {
    const hosts = Array.from({ length: 5000 }, () => 1);
    const list = await call('POST', '/routes', { paths: ['/a'], hosts });
    expect(list.body['message']).toMatch(/^100 schema violations/);
    const garbage = Object.fromEntries(hosts.map((_, index) => [`g${index}`, 1]));
    const unknown = await call('POST', '/services', { host: 'h.test', ...garbage });
    expect(unknown.body['message']).toMatch(/^100 schema violations/);
  });

  it('comes soon when each of them is a regex', async () => {
    const paths = Array.from({ length: 251 }, (_, index) => `~/(x{500}){2}${index}`);
    const startedAt = performance.now();
    const many = await call('POST', '/routes', { paths });
    expect(many.body['fields']).toEqual({ paths: 'at most 250 may start with ~' });
    const headers = { 'x-a': paths.map((path) => `~*${path}`) };
    const header = await call('POST', '/routes', { headers });
    expect(header.body['fields']).toEqual({ '@entity': ["at most 250 regexes in 'headers'"] });
    // Compiling them takes several seconds.
    expect(performance.now() - startedAt).toBeLessThan(500);
    const most = paths.slice(1).map((_, index) => `~/${index}`);
    expect((await call('POST', '/routes', { paths: most })).status).toBe(201);
  });
});

describe('many at once', () => {
  it('create one entity of a name, by POST', async () => {
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => call('POST', '/consumers', { username: 'contested' })),
    );
    const statuses = answers.map(({ status }) => status).toSorted();
    expect(statuses).toEqual([201, ...Array.from({ length: 19 }, () => 409)]);
  });

  it('lose none of their changes by PATCH', async () => {
    await made('PUT', '/upstreams/patched', {});
    const before = await version();
    await Promise.all([
      made('PATCH', '/upstreams/patched', { slots: 100 }),
      made('PATCH', '/upstreams/patched', { healthchecks: { active: { timeout: 7 } } }),
      made('PATCH', '/upstreams/patched', { healthchecks: { active: { concurrency: 8 } } }),
      made('PATCH', '/upstreams/patched', { host_header: 'h.test' }),
    ]);
    expect((await call('GET', '/upstreams/patched')).body).toMatchObject({
      slots: 100,
      host_header: 'h.test',
      healthchecks: { active: { timeout: 7, concurrency: 8 } },
    });
    expect(await version()).toBe(before + 4);
  });

  it('leave no orphan when the parent goes', async () => {
    await made('PUT', '/consumers/leaving', {});
    const add = (key: string) => call('POST', '/consumers/leaving/key-auth', { key });
    const answers = await Promise.all([
      add('o-1'),
      add('o-2'),
      call('DELETE', '/consumers/leaving'),
      add('o-3'),
      add('o-4'),
    ]);
    for (const { status } of answers) expect([201, 204, 400, 404]).toContain(status);
    for (const key of ['o-1', 'o-2', 'o-3', 'o-4']) {
      expect((await call('GET', `/key-auths/${key}`)).status).toBe(404);
    }
  });
});

describe('an id', () => {
  it('is the same in upper case, and taken once', async () => {
    const id = randomUUID();
    const upper = id.toUpperCase();
    expect(await made('POST', '/services', { id: upper, host: 'h.test' })).toMatchObject({ id });
    expect((await call('GET', `/services/${upper}`)).status).toBe(200);
    const again = await call('POST', '/services', { id, host: 'h.test' });
    expect(again.status).toBe(400);
    expect(again.body).toMatchObject({ code: 3, fields: { id } });
    expect((await call('POST', '/services', { id: 'x', host: 'h.test' })).body).toMatchObject({
      code: 2,
      fields: { id: 'expected a valid UUID' },
    });
  });
});

describe('a database that is gone', () => {
  it('is a 503 to the client and a line in the log', async () => {
    const broken = await openTestAdmin();
    await broken.close();
    for (const [method, path] of [
      ['GET', '/services'],
      ['PUT', '/services/x'],
    ] as const) {
      const answer = await broken.call(method, path, method === 'GET' ? undefined : { host: 'h' });
      expect(answer.status).toBe(503);
      expect(answer.body).toEqual({ message: 'The database cannot be reached' });
    }
    expect(broken.errors).toHaveLength(2);
    expect(broken.errors[1]).toMatch(/^database failed .*"method":"PUT","path":"\/services\/x"/);
  });
});

describe('a plugin configuration that no data plane can run yet', () => {
  it('is refused when it is written, and changes nothing', async () => {
    const before = await version();
    const limited = (config: object) =>
      call('POST', '/plugins', { name: 'rate-limiting', config: { minute: 5, ...config } });

    for (const policy of ['cluster', 'redis']) {
      const answer = await limited({ policy, redis: { host: 'redis.test' } });
      expect(answer.status).toBe(400);
      expect(answer.body).toMatchObject({
        code: 2,
        message: `schema violation (config.policy: '${policy}' is not supported yet; allowed: local)`,
      });
    }
    expect(await version()).toBe(before);
  });
});
