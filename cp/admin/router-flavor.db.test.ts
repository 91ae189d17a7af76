import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { registryFor } from '#shared/registry.ts';
import { EXPRESSION_LENGTH_MAX } from '#shared/expression/syntax.ts';
import { openTestAdmin, type TestAdmin } from './admin.suite.ts';

const EXPRESSION = '(http.path ^= "/a") && http.host == r#"a"b"# && net.port == 8000';
const STREAM_EXPRESSION = 'tls.sni == "a.test" || net.src.ip in 10.0.0.0/8';
const PREFIX = 'Router Expression failed validation: ';

let test: TestAdmin;
let call: TestAdmin['call'];

describe('a route where the router takes expressions', () => {
  beforeAll(async () => {
    const registry = registryFor('expressions');
    test = await openTestAdmin({ registry });
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
      const isStream = protocol.startsWith('t');
      const expression = isStream ? STREAM_EXPRESSION : EXPRESSION;
      const made = await call('POST', '/routes', { ...bare, expression });
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
    [' ', 'expected a field (line 1, column 2)'],
    ['(http.path == "/"', 'expected &&, || or ) (line 1, column 18)'],
    ['http.path == "/" &&\n http.pth == "/"', 'no field http.pth (line 2, column 2)'],
    ['http.path == 1', '== does not compare so: http.path is String, and this an integer'],
    ['http.path ~ "(?=a)"', 'invalid regex: look-around is not supported'],
    ['http.path.segments.2_1 == "a/b"', 'after segments. comes len, a number, or two'],
    [' '.repeat(EXPRESSION_LENGTH_MAX + 1), `longer than ${EXPRESSION_LENGTH_MAX} bytes`],
  ])('must have an expression that the router can read, unlike %j', async (expression, text) => {
    const refused = await call('POST', '/routes', { expression });
    expect(refused.body).toMatchObject({
      code: 2,
      fields: { '@entity': [expect.stringContaining(text)] },
    });
    expect(refused.text).toContain(PREFIX);
  });

  it('is checked for its protocols, also when only those change', async () => {
    const body = { protocols: ['tcp'], expression: 'http.path == "/"' };
    const refused = await call('POST', '/routes', body);
    expect(refused.text).toContain('http.path is not of TCP, TLS or UDP');
    const made = await call('POST', '/routes', { expression: 'http.path == "/"' });
    const path = `/routes/${String(made.body['id'])}`;
    const changed = await call('PATCH', path, { protocols: ['tls'] });
    expect(changed.text).toContain('http.path is not of TCP, TLS or UDP');
  });

  it('is told so by the validating endpoint as well', async () => {
    const refused = await call('POST', '/schemas/routes/validate', { expression: 'a == 1' });
    expect(refused.text).toContain(`${PREFIX}no field a (line 1, column 1)`);
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
