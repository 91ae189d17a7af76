import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '#shared/schema/field.ts';
import { type Answer, openTestAdmin, type TestAdmin } from './admin.suite.ts';
import { LINE_MAX, LOADS_MAX } from './endpoints/config.ts';

let admin: TestAdmin;
let count = 0;
beforeAll(async () => {
  admin = await openTestAdmin();
});
afterAll(() => admin.close());

/** A workspace of its own, as a path prefix. */
async function workspace(): Promise<string> {
  count += 1;
  await admin.call('POST', '/workspaces', { name: `w${count}` });
  return `/w${count}`;
}

const load = (ws: string, body: unknown, query = '', headers = {}): Promise<Answer> =>
  admin.call('POST', `${ws}/config${query}`, body, headers);
const v3 = (members: JsonObject): JsonObject => ({ _format_version: '3.0', ...members });
const changes = ({ headers }: Answer) => headers.get('headgate-changes');
const dataOf = async (path: string) =>
  (await admin.call('GET', path)).body['data'] as readonly JsonObject[];

const SHOP = v3({
  services: [
    {
      name: 'orders',
      url: 'http://orders.internal/api',
      routes: [
        { name: 'orders-r', paths: ['/orders'], plugins: [{ name: 'key-auth' }] },
        { paths: ['~/old/\\d+'] },
      ],
    },
  ],
  routes: [{ name: 'late', paths: ['/late'], service: 'orders' }],
  consumers: [
    {
      username: 'ann',
      keyauth_credentials: [{ key: 'k-ann' }, {}],
      basicauth_credentials: [{ username: 'ann', password: 'secret' }],
      acls: [{ group: 'staff' }],
    },
  ],
  plugins: [{ name: 'rate-limiting', consumer: 'ann', service: 'orders', config: { minute: 5 } }],
  upstreams: [{ name: 'pool', targets: [{ target: '10.0.0.1' }, { target: '10.0.0.2:81' }] }],
  key_sets: [{ name: 'set' }],
});

describe('loading a configuration', () => {
  it('makes the workspace what it says, in one version', async () => {
    const ws = await workspace();
    const answer = await load(ws, SHOP);
    expect([answer.status, answer.text.slice(0, 500)]).toEqual([201, expect.any(String)]);
    expect(answer.headers.get('headgate-version')).toBe('1');
    expect(changes(answer)).toBe('created=15, updated=0, removed=0');
    const [service] = Object.values(answer.body['services'] as JsonObject) as JsonObject[];
    expect(service).toMatchObject({ name: 'orders', host: 'orders.internal', path: '/api' });
    const routes = await dataOf(`${ws}/services/orders/routes`);
    expect(new Set(routes.map(({ name }) => name))).toEqual(new Set(['late', 'orders-r', null]));
    expect(await dataOf(`${ws}/routes/orders-r/plugins`)).toMatchObject([{ name: 'key-auth' }]);
    expect(await dataOf(`${ws}/consumers/ann/plugins`)).toMatchObject([
      { name: 'rate-limiting', service: { id: service?.['id'] } },
    ]);
    const targets = await dataOf(`${ws}/upstreams/pool/targets`);
    expect(targets.map(({ target }) => target).toSorted()).toEqual([
      '10.0.0.1:8000',
      '10.0.0.2:81',
    ]);
    const [credential] = await dataOf(`${ws}/consumers/ann/basic-auth`);
    expect(credential?.['password']).toMatch(/^[0-9a-f]{40}$/);
  });

  it('gives the ids that Kong gives', async () => {
    const ws = await workspace();
    const { body } = await load(ws, v3({ services: [{ name: 'my-svc', host: 'a.test' }] }));
    // uuid5(uuid5('fd02801f-0957-4a15-a55a-c8d9606f30b5', 'services'), 'my-svc')
    expect(Object.keys(body['services'] as JsonObject)).toEqual([
      '499df8c5-9169-5ffa-957c-969017230b2c',
    ]);
  });

  it('changes nothing the second time', async () => {
    const ws = await workspace();
    const first = await load(ws, SHOP);
    const second = await load(ws, SHOP);
    expect(changes(second)).toBe('created=0, updated=0, removed=0');
    expect(second.headers.get('headgate-version')).toBe('1');
    expect(second.body).toEqual(first.body);
    const third = await load(ws, SHOP, '?check_hash=1');
    expect([third.status, third.text]).toEqual([304, '']);
  });

  it('removes what is not in it, and updates only what differs', async () => {
    const ws = await workspace();
    const one = { name: 'one', host: 'a.test' };
    const two = { name: 'two', host: 'a.test', routes: [{ name: 'r', paths: ['/r'] }] };
    await load(ws, v3({ services: [one, two] }));
    const before = await admin.call('GET', `${ws}/services/one`);
    const answer = await load(ws, v3({ services: [one, { ...two, port: 81, routes: [] }] }));
    expect(changes(answer)).toBe('created=0, updated=1, removed=1');
    expect((await admin.call('GET', `${ws}/services/one`)).text).toBe(before.text);
    expect((await admin.call('GET', `${ws}/services/two`)).body['port']).toBe(81);
    expect(await dataOf(`${ws}/routes`)).toEqual([]);
  });

  it('adopts what was there under another id when something unique is the same', async () => {
    const ws = await workspace();
    const made = await admin.call('POST', `${ws}/services`, { name: 'kept', host: 'a.test' });
    const consumer = await admin.call('POST', `${ws}/consumers`, { custom_id: 'c-1' });
    const { id } = made.body;
    const plugin = { name: 'key-auth', service: { id } };
    const plugged = await admin.call('POST', `${ws}/plugins`, plugin);
    const answer = await load(
      ws,
      v3({
        services: [{ name: 'kept', host: 'a.test', plugins: [{ name: 'key-auth' }] }],
        consumers: [{ custom_id: 'c-1', username: 'now-named' }],
      }),
    );
    expect(changes(answer)).toBe('created=0, updated=1, removed=0');
    expect(answer.body).toMatchObject({
      services: { [String(id)]: { name: 'kept' } },
      consumers: { [String(consumer.body['id'])]: { username: 'now-named' } },
      plugins: { [String(plugged.body['id'])]: { service: { id } } },
    });
  });

  it('keeps what was generated, and when it was created', async () => {
    const ws = await workspace();
    const file = v3({ consumers: [{ username: 'u', jwt_secrets: [{}], tags: ['a'] }] });
    const first = await load(ws, file);
    const again = v3({ consumers: [{ username: 'u', jwt_secrets: [{}], tags: ['b'] }] });
    const second = await load(ws, again);
    expect(changes(second)).toBe('created=0, updated=1, removed=0');
    expect(second.body['jwt_secrets']).toEqual(first.body['jwt_secrets']);
    const created = ({ body }: Answer) =>
      Object.values(body['consumers'] as JsonObject).map(
        (one) => (one as JsonObject)['created_at'],
      );
    expect(created(second)).toEqual(created(first));
  });

  it('takes names, ids and objects for references', async () => {
    const ws = await workspace();
    const id = '3d2ae8f3-3a51-4a5d-9a5e-7b3b8f2f6a01';
    const answer = await load(
      ws,
      v3({
        services: [{ id, name: 's', host: 'a.test' }],
        consumers: [{ username: 'c' }],
        routes: [
          { name: 'by-name', paths: ['/1'], service: 's' },
          { name: 'by-id', paths: ['/2'], service: id.toUpperCase() },
          { name: 'by-object', paths: ['/3'], service: { id } },
          { name: 'by-named-object', paths: ['/4'], service: { name: 's' } },
          { name: 'to-nothing', paths: ['/5'], service: null },
        ],
        plugins: [{ name: 'key-auth', route: 'by-name' }],
      }),
    );
    const routes = Object.values(answer.body['routes'] as JsonObject) as JsonObject[];
    const targets = routes.map(({ name, service }) => [
      name,
      (service as JsonObject | null)?.['id'],
    ]);
    expect(Object.fromEntries(targets)).toEqual({
      'by-name': id,
      'by-id': id,
      'by-object': id,
      'by-named-object': id,
      'to-nothing': undefined,
    });
  });

  it('leaves other workspaces and what data planes made alone', async () => {
    const [ws, other] = [await workspace(), await workspace()];
    await load(other, SHOP);
    await load(
      ws,
      v3({ consumers: [{ username: 'c', oauth2_credentials: [{ name: 'app', client_id: 'x' }] }] }),
    );
    const [app] = await dataOf(`${ws}/oauth2`);
    const token = { credential: { id: app?.['id'] }, expires_in: 10, access_token: 'tok' };
    expect((await admin.call('POST', `${ws}/oauth2_tokens`, token)).status).toBe(201);
    const again = v3({
      consumers: [{ username: 'c', oauth2_credentials: [{ name: 'renamed', client_id: 'x' }] }],
    });
    expect(changes(await load(ws, again))).toBe('created=0, updated=1, removed=0');
    expect(await dataOf(`${ws}/oauth2_tokens`)).toHaveLength(1);
    expect(await dataOf(`${other}/routes`)).toHaveLength(3);
  });

  it('counts a time to live from when the entity came', async () => {
    const ws = await workspace();
    const file = v3({
      consumers: [{ username: 't', keyauth_credentials: [{ key: 'ttl', ttl: 500 }] }],
    });
    await load(ws, file);
    const again = await load(ws, file);
    expect(changes(again)).toBe('created=0, updated=0, removed=0');
    // What is left is shown rounded down: this is the same time, exported and loaded.
    const [shown] = await dataOf(`${ws}/key-auths`);
    expect(shown?.['ttl']).toBe(499);
    const exported = v3({
      consumers: [{ username: 't', keyauth_credentials: [{ key: 'ttl', ttl: 499 }] }],
    });
    expect(changes(await load(ws, exported))).toBe('created=0, updated=0, removed=0');
    const shorter = v3({
      consumers: [{ username: 't', keyauth_credentials: [{ key: 'ttl', ttl: 50 }] }],
    });
    expect(changes(await load(ws, shorter))).toBe('created=0, updated=1, removed=0');
    const bad = v3({
      consumers: [{ username: 't', keyauth_credentials: [{ key: 'ttl', ttl: -1 }] }],
    });
    expect((await load(ws, bad)).body['fields']).toMatchObject({
      consumers: [{ keyauth_credentials: [{ ttl: expect.stringContaining('between 0') }] }],
    });
  });

  it('takes secrets for hashes with _transform false, and hashes them otherwise', async () => {
    const ws = await workspace();
    const file = (transform: boolean | null, password: string) => ({
      _format_version: '3.0',
      _transform: transform,
      consumers: [{ username: 'p', basicauth_credentials: [{ username: 'p', password }] }],
    });
    const passwordOf = async () => (await dataOf(`${ws}/basic-auths`))[0]?.['password'];
    await load(ws, file(false, 'as-it-is'));
    expect(await passwordOf()).toBe('as-it-is');
    await load(ws, file(null, 'plain'));
    const hash = await passwordOf();
    expect(hash).toMatch(/^[0-9a-f]{40}$/);
    expect(changes(await load(ws, file(true, 'plain')))).toBe('created=0, updated=0, removed=0');
    expect(changes(await load(ws, file(false, String(hash))))).toContain('updated=0');
  });
});

describe("changes that get in each other's way", () => {
  const id = (digit: number) => `00000000-0000-4000-8000-00000000000${digit}`;
  const service = (digit: number, name: string, more = {}) => ({
    id: id(digit),
    name,
    host: 'a.test',
    ...more,
  });

  it.each<[string, JsonObject, JsonObject]>([
    [
      'two services exchange their names',
      { services: [service(1, 'a'), service(2, 'b')] },
      { services: [service(1, 'b'), service(2, 'a')] },
    ],
    [
      'three pass their names on in a circle',
      { services: [service(1, 'a'), service(2, 'b'), service(3, 'c')] },
      { services: [service(1, 'b'), service(2, 'c'), service(3, 'a')] },
    ],
    [
      'a service gets another id, and its routes stay',
      {
        services: [
          service(1, 'a', {
            routes: [{ id: id(3), paths: ['/r'], plugins: [{ id: id(4), name: 'key-auth' }] }],
          }),
        ],
      },
      {
        services: [
          service(2, 'a', {
            routes: [{ id: id(3), paths: ['/r'], plugins: [{ id: id(4), name: 'key-auth' }] }],
          }),
        ],
      },
    ],
    [
      'a new service takes the name of one that goes',
      { services: [service(1, 'a')] },
      { services: [service(2, 'a')] },
    ],
    [
      'plugins exchange what they are on',
      {
        services: [
          service(1, 'a', { plugins: [{ id: id(3), name: 'key-auth' }] }),
          service(2, 'b', { plugins: [{ id: id(4), name: 'key-auth' }] }),
        ],
      },
      {
        services: [
          service(1, 'a', { plugins: [{ id: id(4), name: 'key-auth' }] }),
          service(2, 'b', { plugins: [{ id: id(3), name: 'key-auth' }] }),
        ],
      },
    ],
    [
      'a plugin leaves a service that goes, for everything',
      { services: [service(1, 'a', { plugins: [{ id: id(3), name: 'key-auth' }] })] },
      { plugins: [{ id: id(3), name: 'key-auth' }] },
    ],
    [
      'targets exchange their addresses',
      {
        upstreams: [
          {
            id: id(1),
            name: 'u',
            targets: [
              { id: id(2), target: 'a:1' },
              { id: id(3), target: 'b:1' },
            ],
          },
        ],
      },
      {
        upstreams: [
          {
            id: id(1),
            name: 'u',
            targets: [
              { id: id(2), target: 'b:1' },
              { id: id(3), target: 'a:1' },
            ],
          },
        ],
      },
    ],
    [
      'a credential goes to another consumer, and its own goes away',
      {
        consumers: [
          { id: id(1), username: 'a', keyauth_credentials: [{ id: id(3), key: 'moving' }] },
          { id: id(2), username: 'b' },
        ],
      },
      {
        consumers: [
          { id: id(2), username: 'b', keyauth_credentials: [{ id: id(3), key: 'moving' }] },
        ],
      },
    ],
    [
      'consumers exchange keys',
      {
        consumers: [
          {
            id: id(1),
            username: 'a',
            keyauth_credentials: [
              { id: id(3), key: 'k3' },
              { id: id(4), key: 'k4' },
            ],
          },
        ],
      },
      {
        consumers: [
          {
            id: id(1),
            username: 'a',
            keyauth_credentials: [
              { id: id(3), key: 'k4' },
              { id: id(4), key: 'k3' },
            ],
          },
        ],
      },
    ],
  ])('are made: %s', async (_, before, after) => {
    const ws = await workspace();
    expect((await load(ws, v3(before))).status).toBe(201);
    const answer = await load(ws, v3(after), '?force=true');
    expect([answer.status, answer.text.slice(0, 300)]).toEqual([201, expect.any(String)]);
    expect(answer.headers.get('headgate-version')).toBe('2');
    // What is there is what a workspace would hold that has seen nothing else.
    const fresh = await workspace();
    await load(fresh, v3(after));
    const states = await Promise.all([ws, fresh].map((one) => admin.call('GET', `${one}/config`)));
    const dateless = states.map(({ body }) =>
      String(body['config']).replaceAll(/\d{10}(\.\d+)?/g, 'T'),
    );
    expect(dateless[0]).toBe(dateless[1]);
    expect(changes(await load(ws, v3(after)))).toBe('created=0, updated=0, removed=0');
  });
});

describe('the forms of a configuration', () => {
  const yaml = '_format_version: "3.0"\nconsumers:\n- username: form\n  tags: [yes-man]\n';
  const json = JSON.stringify({ _format_version: '3.0', consumers: [{ username: 'form' }] });
  const form = 'application/x-www-form-urlencoded';
  const part = (type: string, text: string) =>
    `--b\r\nContent-Disposition: form-data; name="config"\r\nContent-Type: ${type}\r\n\r\n${text}\r\n--b--\r\n`;

  it.each<[string, unknown, string]>([
    ['a table', json, 'application/json'],
    ['YAML in JSON', { config: yaml }, 'application/json'],
    ['JSON in JSON', { config: json }, 'application/json; charset=utf-8'],
    ['YAML', yaml, 'application/yaml'],
    ['YAML as text', yaml, 'text/yaml'],
    ['JSON as YAML', json, 'text/yaml'],
    ['flow style', '{_format_version: "3.0", consumers: [{username: form}]}', 'text/yaml'],
    ['a form', `config=${encodeURIComponent(yaml)}`, form],
    ['a multipart form', part('text/plain', yaml), 'multipart/form-data; boundary=b'],
    ['a part that is JSON', part('application/json', json), 'multipart/form-data; boundary=b'],
  ])('may be %s', async (_, body, type) => {
    const ws = await workspace();
    const answer = await load(ws, body, '', { 'content-type': type });
    expect([answer.status, answer.text.slice(0, 300)]).toEqual([201, expect.any(String)]);
    expect(await dataOf(`${ws}/consumers`)).toMatchObject([{ username: 'form' }]);
  });

  it('read paths of old formats as those did: a regex where it looks like one', async () => {
    const paths = ['/plain', '/a%2fb//c/', '/\\d+', '/x(y)$', '/%2e', '/a b'];
    for (const _format_version of ['1.1', '2.1']) {
      const ws = await workspace();
      const body = {
        _format_version,
        services: [{ name: 's', host: 'a.test', routes: [{ name: 'nested', paths }] }],
        routes: [{ name: 'top', paths }],
      };
      await load(ws, body);
      const routes = await dataOf(`${ws}/routes`);
      for (const route of routes) {
        expect(route['paths']).toEqual(['/plain', '/a%2Fb/c/', '~/\\d+', '~/x(y)$', '/', '~/a b']);
      }
      expect(routes).toHaveLength(2);
    }
    const ws = await workspace();
    await load(ws, v3({ routes: [{ paths: ['/\\d+'] }] }));
    expect(await dataOf(`${ws}/routes`)).toMatchObject([{ paths: ['/\\d+'] }]);
  });
});

describe('a configuration shown', () => {
  it('can be loaded elsewhere, and is the same there', async () => {
    const [ws, copy] = [await workspace(), await workspace()];
    await load(ws, SHOP);
    const shown = await admin.call('GET', `${ws}/config`);
    const text = String(shown.body['config']);
    expect(text).toMatch(/^_format_version: "3.0"\n_transform: false\nconsumers:\n {2}- id: /);
    const answer = await load(copy, { config: text });
    expect([answer.status, changes(answer)]).toEqual([201, 'created=15, updated=0, removed=0']);
    expect((await admin.call('GET', `${copy}/config`)).body['config']).toBe(text);
    expect(changes(await load(ws, { config: text }))).toBe('created=0, updated=0, removed=0');
  });

  it('is YAML for who asks for that', async () => {
    const ws = await workspace();
    const { type, text } = await admin.text(`${ws}/config`, { accept: 'application/yaml' });
    expect(type).toBe('application/yaml; charset=utf-8');
    expect(text).toBe('_format_version: "3.0"\n_transform: false\n');
  });
});

describe('the guard of a load', () => {
  const many = (size: number, from = 0) =>
    v3({ consumers: Array.from({ length: size }, (_, i) => ({ username: `g${i + from}` })) });

  it('refuses to drop a great part unless forced, and tells how many', async () => {
    const ws = await workspace();
    await load(ws, many(30));
    const answer = await load(ws, many(14));
    expect([answer.status, answer.body['counts']]).toEqual([
      409,
      { present: 30, created: 0, updated: 0, removed: 16 },
    ]);
    expect(await dataOf(`${ws}/consumers`)).toHaveLength(30);
    expect((await load(ws, v3({}))).status).toBe(409);
    expect((await load(ws, v3({}), '?dry_run=true')).status).toBe(409);
    expect((await load(ws, many(15))).status).toBe(201);
    expect(changes(await load(ws, v3({}), '?force=1'))).toBe('created=0, updated=0, removed=15');
    expect((await load(ws, many(1), '?force=maybe')).status).toBe(400);
  });

  it('lets ten go, whatever their share', async () => {
    const ws = await workspace();
    await load(ws, many(11));
    expect((await load(ws, many(1, 100))).status).toBe(409);
    expect((await load(ws, many(1))).status).toBe(201);
  });

  it('is followed by a report when it is only tried', async () => {
    const ws = await workspace();
    await load(ws, v3({ consumers: [{ username: 'a' }, { username: 'b' }] }));
    const next = v3({
      consumers: [{ username: 'a', tags: ['x'], custom_id: 'y' }, { username: 'c' }],
    });
    const tried = await load(ws, next, '?dry_run=true');
    expect([tried.status, tried.headers.get('headgate-dry-run')]).toEqual([200, 'true']);
    expect(tried.body).toEqual({
      counts: { present: 2, created: 1, updated: 1, removed: 1 },
      created: [{ kind: 'consumers', id: expect.any(String), key: 'c' }],
      updated: [
        { kind: 'consumers', id: expect.any(String), key: 'a', fields: ['custom_id', 'tags'] },
      ],
      removed: [{ kind: 'consumers', id: expect.any(String), key: 'b' }],
    });
    expect(await dataOf(`${ws}/consumers`)).toMatchObject([{ tags: null }, { tags: null }]);
  });
});

describe('loading', () => {
  it('lets others have their turn, however much there is', async () => {
    const ws = await workspace();
    const consumers = Array.from({ length: 20_000 }, (_, i) => ({ username: `c${i}` }));
    let turns = 0;
    let isOver = false;
    const watch = (): void => {
      turns += 1;
      if (!isOver) setImmediate(watch);
    };
    const refused = load(ws, v3({ consumers: [...consumers, { username: 7 }] }));
    setImmediate(watch);
    expect((await refused).status).toBe(400);
    isOver = true;
    // One for each 500 entities, in each of the steps that look at them.
    expect(turns).toBeGreaterThanOrEqual(3 * 40);
  });

  it('is done for so many at once, and others are told when to come back', async () => {
    const ws = await workspace();
    const answers = await Promise.all(
      Array.from({ length: LOADS_MAX + LINE_MAX + 3 }, () => load(ws, SHOP, '?dry_run=true')),
    );
    const statuses = answers.map(({ status }) => status);
    expect(statuses.filter((status) => status === 200).length).toBe(LOADS_MAX + LINE_MAX);
    const later = answers.find(({ status }) => status === 429);
    expect(later?.headers.get('retry-after')).toBe('1');
    expect((await load(ws, SHOP, '?dry_run=true')).status).toBe(200);
  });
});
