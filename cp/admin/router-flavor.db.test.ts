import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { registryFor } from '#shared/registry.ts';
import { EXPRESSION_LENGTH_MAX } from '#shared/entities/expression.ts';
import { openTestAdmin, type TestAdmin } from './admin.suite.ts';

const EXPRESSION = '(http.path ^= "/a") && http.host == r#"a"b"# && net.port == 8000';
const PREFIX = 'Router Expression failed validation: ';

let test: TestAdmin;
let call: TestAdmin['call'];

describe('a route where the router takes expressions', () => {
  beforeAll(async () => {
    const registry = registryFor('expressions');
    test = await openTestAdmin({ registry, allowUnsupported: true });
    ({ call } = test);
  });
  afterAll(() => test.close());

  it('may match by an expression, with its priority', async () => {
    const body = { expression: EXPRESSION, priority: 70_368_744_177_663 };
    const made = await call('POST', '/routes', body);
    expect([made.status, made.body]).toEqual([201, expect.objectContaining(body)]);
    const read = await call('GET', `/routes/${String(made.body['id'])}`);
    expect(read.body).toMatchObject({ ...body, paths: null });
    const moved = await call('PATCH', `/routes/${String(made.body['id'])}`, { priority: 1 });
    expect(moved.body).toMatchObject({ expression: EXPRESSION, priority: 1 });
  });

  it('may match by what other routes match by', async () => {
    const made = await call('POST', '/routes', { paths: ['/a'], sources: [{ ip: '10.0.0.1' }] });
    expect(made.body).toMatchObject({ expression: null, priority: 0, regex_priority: 0 });
  });

  it.each(['http', 'https', 'tcp', 'tls', 'tls_passthrough', 'grpc', 'grpcs'])(
    'must match by something, of which an expression is enough: %s',
    async (protocol) => {
      const strip = protocol.startsWith('grpc') ? { strip_path: false } : {};
      const bare = { protocols: [protocol], ...strip };
      const refused = await call('POST', '/routes', bare);
      expect(refused.body['code'], refused.text).toBe(2);
      const made = await call('POST', '/routes', { ...bare, expression: EXPRESSION });
      expect(made.status, made.text).toBe(201);
    },
  );

  it.each([
    [{ paths: ['/a'] }, `${PREFIX}'expression' cannot be set beside 'paths'`],
    [
      { methods: ['GET'], snis: ['a.test'] },
      `${PREFIX}'expression' cannot be set beside 'methods', 'snis'`,
    ],
    [{ regex_priority: 1 }, `${PREFIX}'regex_priority' cannot be set beside 'expression'`],
    [
      { expression: null, hosts: ['a.test'], priority: 1 },
      `${PREFIX}'priority' cannot be set beside 'hosts'`,
    ],
  ])('cannot mix the two: %j', async (more, text) => {
    const refused = await call('POST', '/routes', { expression: EXPRESSION, ...more });
    expect(refused.body).toMatchObject({ code: 2, fields: { '@entity': [text] } });
  });

  it.each([
    ['', 'length must be at least 1'],
    [' ', `${PREFIX}it is empty`],
    ['(a', `${PREFIX}a bracket is not closed`],
    ['a)(', `${PREFIX}a bracket closes that was not opened`],
    ['a == "b', `${PREFIX}a text does not end`],
    ['a == "b\\"', `${PREFIX}a text does not end`],
    ['a'.repeat(EXPRESSION_LENGTH_MAX + 1), `length must be at most ${EXPRESSION_LENGTH_MAX}`],
  ])('must have a well formed expression, unlike %s', async (expression, text) => {
    const refused = await call('POST', '/routes', { expression });
    expect(refused.body['fields']).toMatchObject({ expression: text });
  });

  it.each(['a == ")"', 'a == "\\")"', 'a == r#"("\\"#', 'a'.repeat(EXPRESSION_LENGTH_MAX)])(
    'is not misled by what stands in a text: %#',
    async (expression) => {
      expect((await call('POST', '/routes', { expression })).status).toBe(201);
    },
  );
});

describe('a route that no data plane can match', () => {
  let strict: TestAdmin;
  beforeAll(async () => {
    strict = await openTestAdmin({ registry: registryFor('expressions') });
  });
  afterAll(() => strict.close());

  it.each([
    ['expression', { expression: EXPRESSION }],
    ['sources', { paths: ['/'], sources: [{ port: 1 }] }],
    ['destinations', { paths: ['/'], destinations: [{ port: 1 }] }],
  ])('is refused: by %s', async (field, body) => {
    const refused = await strict.call('POST', '/routes', body);
    expect(refused.body).toMatchObject({
      code: 2,
      fields: { [field]: expect.stringContaining('HEADGATE_ALLOW_UNSUPPORTED_PLUGINS') },
    });
  });

  it('does not keep others from being made', async () => {
    const http = await strict.call('POST', '/routes', { paths: ['/'] });
    const stream = { protocols: ['tcp'], sources: [{ port: 1 }] };
    expect([http.status, (await strict.call('POST', '/routes', stream)).status]).toEqual([
      201, 201,
    ]);
  });
});

describe('a route of the usual kind', () => {
  it('knows no expression', async () => {
    const usual = await openTestAdmin();
    const refused = await usual.call('POST', '/routes', { paths: ['/'], expression: 'a' });
    expect(refused.body['fields']).toEqual({ expression: 'unknown field' });
    await usual.close();
  });
});
