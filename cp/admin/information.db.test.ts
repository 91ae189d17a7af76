import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openTestAdmin, type TestAdmin } from './admin.suite.ts';

let admin: TestAdmin;
beforeAll(async () => {
  admin = await openTestAdmin();
});
afterAll(() => admin.close());

async function get(path: string) {
  const { status, body } = await admin.call('GET', path);
  return { status, body };
}

describe('what a node tells of itself', () => {
  it('lists its paths, segment by segment in order', async () => {
    const data = (await get('/endpoints')).body['data'] as string[];
    expect(data.slice(0, 1)).toEqual(['/']);
    expect(data).toContain('/services/{services}/routes/{routes}');
    expect(data).toContain('/endpoints');
    expect(data.indexOf('/routes/{routes}/service')).toBeLessThan(data.indexOf('/services'));
    expect(new Set(data).size).toBe(data.length);
  });

  it('names the plugins it knows', async () => {
    const { body } = await get('/plugins/enabled');
    expect(body['enabled_plugins']).toContain('key-auth');
  });

  it('has timers and caches in Kong’s shape', async () => {
    expect((await get('/timers')).body).toMatchObject({ worker: { id: 0, count: 1 } });
    expect(await get('/cache/anything')).toEqual({ status: 404, body: { message: 'Not found' } });
    expect((await admin.call('DELETE', '/cache/anything')).status).toBe(204);
    expect((await admin.call('DELETE', '/cache')).status).toBe(204);
    expect((await get('/status/dns')).status).toBe(501);
  });

  it('counts memory in the unit that is asked for', async () => {
    const memory = async (query: string) => {
      const { status, body } = await get(`/status${query}`);
      const [vm] =
        (body['memory'] as { workers_lua_vms: object[] } | undefined)?.workers_lua_vms ?? [];
      return [status, (vm as { http_allocated_gc: unknown } | undefined)?.http_allocated_gc];
    };
    expect(await memory('')).toEqual([200, expect.stringMatching(/^\d+\.\d\d MiB$/)]);
    expect(await memory('?unit=K&scale=0')).toEqual([200, expect.stringMatching(/^\d+ KiB$/)]);
    expect(await memory('?unit=b')).toEqual([200, expect.any(Number)]);
    for (const query of ['?unit=zz', '?scale=x', '?scale=-1', '?unit=__proto__']) {
      expect((await memory(query))[0], query).toBe(400);
    }
  });

  it('tells robots to stay away', async () => {
    const response = await admin.text('/robots.txt');
    expect(response).toEqual({
      type: 'text/plain; charset=utf-8',
      text: 'User-agent: *\nDisallow: /\n',
    });
  });

  it('lists which plugins are configured, in any workspace', async () => {
    await admin.call('POST', '/workspaces', { name: 'elsewhere' });
    await admin.call('POST', '/elsewhere/plugins', { name: 'correlation-id' });
    const plugins = (await get('/')).body['plugins'] as { enabled_in_cluster: string[] };
    expect(plugins.enabled_in_cluster).toEqual(['correlation-id']);
  });
});

describe('the log level', () => {
  it('is told, and refuses what is none', async () => {
    expect((await get('/debug/node/log-level')).body).toEqual({ message: 'log level: info' });
    const put = (path: string) => admin.call('PUT', `/debug/node/log-level/${path}`);
    expect((await put('info')).body).toEqual({ message: 'log level is already info' });
    expect((await put('debug')).body).toEqual({ message: 'log level changed' });
    const unknown = await put('loud');
    expect([unknown.status, unknown.body]).toEqual([400, { message: 'unknown log level: loud' }]);
    for (const timeout of ['-1', 'x', '', '1e9']) {
      expect((await put(`debug?timeout=${timeout}`)).status, timeout).toBe(400);
    }
    const all = '/debug/cluster/control-planes-nodes/log-level/warn';
    expect((await admin.call('PUT', all)).body).toEqual({ message: 'log level changed' });
  });
});

describe('/schemas/…/validate', () => {
  const ok = { status: 200, body: { message: 'schema validation successful' } };
  async function validate(kind: string, body: unknown) {
    const answer = await admin.call('POST', `/schemas/${kind}/validate`, body);
    return { status: answer.status, body: answer.body };
  }

  it('fills defaults in, checks, and writes nothing', async () => {
    expect(await validate('services', { host: 'a.test' })).toEqual(ok);
    expect((await get('/services')).body['data']).toEqual([]);
    expect(await validate('services', {})).toMatchObject({
      status: 400,
      body: { code: 2, fields: { host: 'required field missing' } },
    });
  });

  it('knows the shape of a plugin’s configuration', async () => {
    expect(await validate('plugins', { name: 'key-auth' })).toEqual(ok);
    const config = { garbage: true };
    expect(await validate('plugins', { name: 'key-auth', config })).toMatchObject({
      status: 400,
      body: { message: 'schema violation (config.garbage: unknown field)' },
    });
  });

  it('does not look whether a parent exists', async () => {
    const service = { id: '6d5b6fd2-ba2b-4f4c-8a5c-0f4d0f6e9a11' };
    expect(await validate('routes', { paths: ['/x'], service })).toEqual(ok);
  });

  it('is not there for what is no entity', async () => {
    expect(await validate('nonsense', {})).toEqual({
      status: 404,
      body: { message: "No entity named 'nonsense'" },
    });
  });

  it('has the configuration alone at the deprecated path', async () => {
    const { body } = await get('/plugins/schema/key-auth');
    expect(Object.keys(body).toSorted()).toEqual(['entity_checks', 'fields']);
    expect(JSON.stringify(body['fields'])).toContain('key_names');
  });
});

describe('/upstreams/{u}/health', () => {
  it('lists targets without health, as a control plane that balances nothing', async () => {
    await admin.call('POST', '/upstreams', { name: 'u.test' });
    for (const target of ['a.test:1', 'b.test:1']) {
      await admin.call('POST', '/upstreams/u.test/targets', { target });
    }
    const { status, body } = await get('/upstreams/u.test/health?size=1');
    expect(status).toBe(200);
    expect(body['data']).toHaveLength(1);
    expect(body).toMatchObject({ offset: '1', next: '/upstreams/u.test/health?offset=1' });
    expect(typeof body['node_id']).toBe('string');
    expect((await get('/upstreams/nobody/health')).status).toBe(404);
  });
});

describe('a multipart body', () => {
  async function post(path: string, parts: readonly (readonly [string, string, string?])[]) {
    const lines = parts.flatMap(([name, value, type]) => [
      '--XX',
      `Content-Disposition: form-data; name="${name}"`,
      ...(type === undefined ? [] : [`Content-Type: ${type}`]),
      '',
      value,
    ]);
    const text = [...lines, '--XX--', ''].join('\r\n');
    return admin.call('POST', path, text, {
      'content-type': 'multipart/form-data; boundary=XX',
    });
  }

  it('is a form: nested names, lists, types by the schema', async () => {
    const made = await post('/routes', [
      ['name', 'from-parts'],
      ['paths[1]', '/a'],
      ['paths[2]', '/b'],
      ['strip_path', 'false'],
      ['headers[x-a]', '1'],
    ]);
    expect(made.body).toMatchObject({
      name: 'from-parts',
      paths: ['/a', '/b'],
      strip_path: false,
      headers: { 'x-a': ['1'] },
    });
  });

  it('takes a part of type JSON as what it says', async () => {
    const made = await post('/plugins', [
      ['name', 'key-auth'],
      ['config', '{"key_names":["k"]}', 'application/json'],
    ]);
    expect(made.body).toMatchObject({ config: { key_names: ['k'] } });
  });

  it.each([
    ['no boundary', 'multipart/form-data', ''],
    ['an end that never comes', 'multipart/form-data; boundary=XX', '--XX\r\nContent-Disp'],
    [
      'a part that the end cuts off',
      'multipart/form-data; boundary=XX',
      '--XX\r\nContent-Disposition: form-data; name="host"\r\n\r\nh.test',
    ],
    ['bytes that are no text', 'multipart/form-data; boundary=XX', null],
  ])('is refused with %s', async (_what, type, text) => {
    const bytes = Buffer.concat([
      Buffer.from('--XX\r\nContent-Disposition: form-data; name="host"\r\n\r\n'),
      Buffer.from([0xff, 0xfe]),
      Buffer.from('\r\n--XX--\r\n'),
    ]);
    const answer = await admin.call('POST', '/services', text ?? new Uint8Array(bytes), {
      'content-type': type,
    });
    expect(answer.status).toBe(400);
  });

  it('has as many parts as a form has arguments, and no more', async () => {
    const parts = (count: number) =>
      Array.from({ length: count }, (_, i) => [`x${i}`, 'v'] as const);
    expect((await post('/services', parts(1001))).body).toEqual({ message: 'Too many arguments' });
    expect((await post('/services', parts(999))).body['code']).toBe(2);
    const part = '--XX\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n';
    const type = { 'content-type': 'multipart/form-data; boundary=XX' };
    const cut = await admin.call('POST', '/services', part.repeat(1100), type);
    expect(cut.body).toEqual({ message: 'Too many arguments' });
  });
});
