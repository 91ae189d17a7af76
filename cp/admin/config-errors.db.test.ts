import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { REGISTRY } from '#shared/registry.ts';
import type { JsonObject, JsonValue } from '#shared/schema/field.ts';
import { ERRORS_MAX } from '../declarative/import-errors.ts';
import { declarableKinds } from '../declarative/kinds.ts';
import { type Answer, openTestAdmin, type TestAdmin } from './admin.suite.ts';

let admin: TestAdmin;
let before = '';
beforeAll(async () => {
  admin = await openTestAdmin();
  const kept = { _format_version: '3.0', consumers: [{ username: 'kept' }] };
  await admin.call('POST', '/config', kept);
  before = await state();
});
// Whatever is refused has changed nothing.
afterEach(async () => {
  expect(await state()).toBe(before);
  expect(admin.errors).toEqual([]);
});
afterAll(() => admin.close());

const state = async () => {
  const { rows } = await admin.store.db.query('SELECT ws_id, version FROM workspace_versions');
  return JSON.stringify(rows) + (await admin.call('GET', '/config')).text;
};
const load = (body: unknown, query = '', headers = {}): Promise<Answer> =>
  admin.call('POST', `/config${query}`, body, headers);
const v3 = (members: JsonObject): JsonObject => ({ _format_version: '3.0', ...members });

describe('what is wrong with a configuration', () => {
  it('is told as it lies in it, all at once', async () => {
    const answer = await load(
      v3({
        services: [
          { name: 'fine', host: 'a.test' },
          {
            name: 'bad',
            prot: 'http',
            routes: [{ paths: ['/x'] }, { paths: ['x'], plugins: [{ name: 'no-such' }] }],
          },
        ],
        consumers: [{ username: 'kept' }, {}],
        nothings: [],
      }),
    );
    expect([answer.status, answer.body]).toEqual([
      400,
      {
        code: 14,
        name: 'invalid declarative configuration',
        message: 'declarative config is invalid: {nothings="unknown field"}',
        fields: { nothings: 'unknown field' },
      },
    ]);
    const { body } = await load(
      v3({
        services: [
          { name: 'fine', host: 'a.test' },
          {
            name: 'bad',
            prot: 'http',
            routes: [{ paths: ['/x'] }, { paths: ['x'], plugins: [{ name: 'no-such' }] }],
          },
        ],
        consumers: [{ username: 'kept' }, {}],
      }),
    );
    expect(body['fields']).toEqual({
      services: [
        null,
        {
          host: 'required field missing',
          prot: 'unknown field',
          routes: [
            null,
            {
              paths: [expect.any(String)],
              plugins: [{ name: expect.stringContaining("'no-such' not enabled") }],
            },
          ],
        },
      ],
      consumers: [
        null,
        { '@entity': ["at least one of these fields must be non-empty: 'custom_id', 'username'"] },
      ],
    });
    expect(body['message']).toMatch(/^declarative config is invalid: \{consumers=\{\[2\]=/);
  });

  it('can be told entity by entity', async () => {
    const id = '3d2ae8f3-3a51-4a5d-9a5e-7b3b8f2f6a01';
    const { status, body } = await load(
      v3({
        services: [
          {
            name: 'bad',
            tags: ['t'],
            path: '/p',
            protocol: 'tcp',
            routes: [
              {
                id,
                name: 'r',
                paths: ['/x', 5],
                plugins: [{ name: 'rate-limiting', config: { minute: 'x', redis: { port: -1 } } }],
              },
            ],
          },
        ],
      }),
      '?flatten_errors=1',
    );
    expect([status, body['fields']]).toEqual([400, {}]);
    const flat = body['flattened_errors'] as JsonObject[];
    expect(flat.map((one) => one['entity_type']).toSorted()).toEqual([
      'plugin',
      'route',
      'service',
    ]);
    const of = (type: string) => flat.find((one) => one['entity_type'] === type);
    expect(of('service')).toEqual({
      entity_type: 'service',
      entity_name: 'bad',
      entity_tags: ['t'],
      entity: { name: 'bad', tags: ['t'], path: '/p', protocol: 'tcp' },
      errors: expect.arrayContaining([
        { type: 'field', field: 'host', message: 'required field missing' },
      ]),
    });
    expect(of('route')).toMatchObject({
      entity_id: id,
      entity_name: 'r',
      errors: [{ type: 'field', field: 'paths.2', message: 'expected a string' }],
    });
    const errors = (of('plugin') ?? {})['errors'] as JsonObject[];
    expect(errors.map((one) => one['field'])).toEqual(
      expect.arrayContaining(['config.minute', 'config.redis.port']),
    );
  });

  it.each<[string, JsonObject, JsonValue]>([
    [
      'a reference to nothing',
      { routes: [{ paths: ['/'], service: 'none' }] },
      { routes: [{ service: "invalid reference 'service: none' (no such entry in 'services')" }] },
    ],
    [
      'a reference to what goes',
      { plugins: [{ name: 'rate-limiting', config: { minute: 1 }, consumer: 'gone' }] },
      { plugins: [{ consumer: expect.stringContaining("no such entry in 'consumers'") }] },
    ],
    [
      'an object that names nothing',
      { routes: [{ paths: ['/'], service: {} }] },
      { routes: [{ service: expect.stringContaining('invalid reference') }] },
    ],
    [
      'a reference that is a number',
      { routes: [{ paths: ['/'], service: 5 }] },
      { routes: [{ service: expect.anything() }] },
    ],
    [
      'a parent named within another',
      {
        services: [
          { name: 'a', host: 'a', routes: [{ paths: ['/'], service: 'b' }] },
          { name: 'b', host: 'b' },
        ],
      },
      { services: [{ routes: [{ service: 'value must be null' }] }] },
    ],
    [
      'a name twice',
      {
        services: [
          { name: 'a', host: 'a' },
          { name: 'a', host: 'b' },
        ],
      },
      { services: [null, expect.stringContaining("uniqueness violation: 'services' entity with")] },
    ],
    [
      'an id twice',
      {
        consumers: ['a', 'b'].map((username) => ({
          id: '3d2ae8f3-3a51-4a5d-9a5e-7b3b8f2f6a01',
          username,
        })),
      },
      { consumers: [null, expect.stringContaining('primary key')] },
    ],
    [
      'a plugin twice',
      { plugins: [{ name: 'key-auth' }, { name: 'key-auth' }] },
      { plugins: [null, expect.stringContaining('already declared')] },
    ],
    [
      'a key twice, in two consumers',
      {
        consumers: ['a', 'b'].map((username) => ({
          username,
          keyauth_credentials: [{ key: 'k' }],
        })),
      },
      { consumers: [null, { keyauth_credentials: [expect.stringContaining('already declared')] }] },
    ],
    [
      'a target twice, spelt in two ways',
      { upstreams: [{ name: 'u', targets: [{ target: '1.2.3.4' }, { target: '1.2.3.4:8000' }] }] },
      { upstreams: [{ targets: [null, expect.stringContaining('already declared')] }] },
    ],
    [
      'a kind that lies elsewhere',
      { services: [{ name: 'a', host: 'a', consumers: [] }] },
      { services: [{ consumers: 'unknown field' }] },
    ],
    ['workspaces', { workspaces: [{ name: 'w' }] }, { workspaces: 'unknown field' }],
    ['tokens', { oauth2_tokens: [] }, { oauth2_tokens: 'unknown field' }],
    ['a kind that is nowhere kept', { filter_chains: [] }, { filter_chains: 'unknown field' }],
    ['no list', { services: { a: 1 } }, { services: 'expected an array' }],
    ['a list in a list', { services: [[]] }, { services: ['expected a record'] }],
    [
      'texts in a list',
      { services: ['a', null, 5] },
      { services: ['expected a record', 'expected a record', 'expected a record'] },
    ],
    [
      'nested no list',
      { services: [{ name: 'a', host: 'a', routes: 'r' }] },
      { services: [{ routes: 'expected an array' }] },
    ],
    [
      'an id that is none',
      { services: [{ id: 'x', host: 'a' }] },
      { services: [{ id: 'expected a valid UUID' }] },
    ],
    [
      'a rule that takes other entities',
      {
        services: [
          {
            name: 'a',
            host: 'a',
            routes: [
              {
                paths: ['/'],
                protocols: ['http'],
                plugins: [{ name: 'key-auth', protocols: ['grpc'] }],
              },
            ],
          },
        ],
      },
      {
        services: [
          { routes: [{ plugins: [{ protocols: "must match the associated route's protocols" }] }] },
        ],
      },
    ],
    [
      'a certificate that is none',
      { certificates: [{ cert: 'x', key: 'y' }] },
      { certificates: [expect.anything()] },
    ],
    [
      'a number too great',
      { services: [{ host: 'a', retries: 2 ** 60 }] },
      { services: [{ retries: expect.any(String) }] },
    ],
    [
      'an odd name',
      { services: [{ host: 'a', name: 'a\u0000b' }] },
      { services: [{ name: expect.any(String) }] },
    ],
    [
      'a lone surrogate',
      { services: [{ host: 'a', name: 'a\ud800b' }] },
      { services: [{ name: expect.any(String) }] },
    ],
    ['a remark that is none', { _comment: 5 }, { _comment: 'expected a string' }],
    [
      'another workspace',
      { _workspace: 'other' },
      { _workspace: expect.stringContaining("'default'") },
    ],
    ['Konnect', { _konnect: { control_plane_name: 'x' } }, { _konnect: expect.any(String) }],
    [
      'tags that decK selects by',
      { _info: { select_tags: ['a'] } },
      { _info: { select_tags: expect.any(String) } },
    ],
    ['a transform that is none', { _transform: 'no' }, { _transform: 'expected a boolean' }],
  ])('names %s', async (_, members, fields) => {
    const answer = await load(v3(members));
    expect([answer.status, answer.body['code'], answer.body['fields']]).toEqual([400, 14, fields]);
  });

  it.each<[JsonValue, string]>([
    [null, 'required field missing'],
    [3, 'expected a string'],
    ['4.0', 'expected one of: 1.1, 2.1, 3.0'],
    ['', 'expected one of: 1.1, 2.1, 3.0'],
  ])('is a format version of %j', async (version, text) => {
    const { body } = await load({ _format_version: version });
    expect(body['fields']).toEqual({ _format_version: text });
  });

  it('is told of so many entities and no more', async () => {
    const services = Array.from({ length: 3 * ERRORS_MAX }, () => ({ port: 'x' }));
    const { body } = await load(v3({ services }), '?flatten_errors=true');
    expect(body['flattened_errors']).toHaveLength(ERRORS_MAX);
  });

  it('can be known to the database alone, and still names the entity', async () => {
    await admin.call('POST', '/workspaces', { name: 'owner' });
    const vault = { prefix: 'taken', name: 'env', config: {} };
    expect((await admin.call('POST', '/owner/vaults', vault)).status).toBe(201);
    before = await state();
    const answer = await load(v3({ consumers: [{ username: 'kept' }], vaults: [vault] }));
    expect([answer.status, answer.body['code'], answer.body['entity']]).toEqual([
      409,
      5,
      { kind: 'vaults', id: expect.any(String) },
    ]);
  });

  it.each(declarableKinds(REGISTRY.entities).map(({ name, fields }) => [name, fields] as const))(
    'is no surprise with null in every field of %s',
    async (name, fields) => {
      const nulls = Object.fromEntries(Object.keys(fields).map((field) => [field, null]));
      const answer = await load(v3({ [name]: [nulls, {}] }), '?dry_run=true');
      expect([200, 400], answer.text).toContain(answer.status);
      if (answer.status === 400) expect(answer.body['fields']).toHaveProperty(name);
    },
  );
});

describe('what is no configuration', () => {
  const yaml = { 'content-type': 'application/yaml' };
  it.each<[string, unknown, object, number]>([
    ['nothing', undefined, {}, 400],
    ['an empty object', {}, {}, 400],
    ['a list', [], {}, 400],
    ['a config that is a number', { config: 5 }, {}, 400],
    ['an empty config', { config: '' }, {}, 400],
    ['a text', { config: 'just words' }, {}, 400],
    ['broken YAML', 'a: [', yaml, 400],
    ['YAML that is a list', '- a\n', yaml, 400],
    ['empty YAML', '', yaml, 400],
    ['a key twice', '_format_version: "3.0"\n_format_version: "3.0"\n', yaml, 400],
    [
      'an alias bomb',
      `a: &a [x,x]\n${[...'bcdefghijklmnopqrst'].map((c, i) => `${c}: &${c} [${`*${'abcdefghijklmnopqrs'[i]},`.repeat(9)}]`).join('\n')}`,
      yaml,
      400,
    ],
    ['a value in itself', 'services: &s [*s]\n', yaml, 400],
    ['YAML of depth 10,000', '['.repeat(10_000), yaml, 400],
    [
      'JSON of depth 10,000',
      `{"_format_version":"3.0","a":${'['.repeat(10_000)}${']'.repeat(10_000)}}`,
      {},
      400,
    ],
    ['invalid UTF-8', new Uint8Array([0x61, 0x3a, 0x20, 0xff]), yaml, 400],
    ['invalid UTF-8 in JSON', new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x7d]), {}, 400],
    ['another type', 'x', { 'content-type': 'text/plain' }, 415],
    ['a compressed one', 'x', { ...yaml, 'content-encoding': 'gzip' }, 415],
  ])('is refused: %s', async (_, body, headers, status) => {
    const answer = await load(body, '', headers);
    expect([answer.status, answer.text]).toEqual([status, expect.any(String)]);
  });

  it('is refused: a million keys', async () => {
    const members = Array.from({ length: 1_000_000 }, (_, index) => `"k${index}":1`).join(',');
    const answer = await load(`{"_format_version":"3.0",${members}}`);
    expect(answer.status).toBe(400);
    expect(Object.keys(answer.body['fields'] as JsonObject)).toHaveLength(ERRORS_MAX);
  });

  it('may be longer than other bodies', async () => {
    const text = `${'# a remark\n'.repeat(200_000)}_format_version: "5"\n`;
    expect((await load(text, '', yaml)).body['fields']).toHaveProperty('_format_version');
    const headers = { ...yaml, 'content-length': String(128 * 1024 * 1024 + 1) };
    expect((await load('a', '', headers)).status).toBe(413);
  });
});
