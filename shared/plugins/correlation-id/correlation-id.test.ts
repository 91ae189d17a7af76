import { describe, expect, it } from 'vitest';
import { TestConfig } from '../../../test/support/builders.ts';
import { TestGateway } from '../../../test/support/gateway.ts';
import type { JsonObject } from '../../schema/field.ts';

const UUID = '[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}';

function setUp(config: JsonObject = {}): TestGateway {
  const entities = new TestConfig();
  entities.plugin('correlation-id', config);
  entities.route({ paths: ['/a'] });
  return new TestGateway(entities.tables());
}

describe('correlation-id', () => {
  it('gives a request a UUID and a number that grows', async () => {
    const test = setUp();
    await test.get('/a');
    await test.get('/a');
    const ids = test.platform.sent.map(({ headers }) => headers.get('kong-request-id'));
    expect(ids[0]).toMatch(new RegExp(`^${UUID}#1$`));
    expect(ids[1]).toBe(ids[0]?.replace('#1', '#2'));
  });

  it.each([
    ['uuid', new RegExp(`^${UUID}$`)],
    ['tracker', /^192\.0\.2\.1-8000-\d+-1-1-1773144000\.000$/],
  ])('makes it by %s', async (generator, shape) => {
    const test = setUp({ generator });
    await test.get('/a');
    expect(test.upstream.headers.get('kong-request-id')).toMatch(shape);
  });

  it('keeps the id that a request brings, and not an empty one', async () => {
    const test = setUp({ header_name: 'X-Trace' });
    await test.get('/a', { 'x-trace': 'mine' });
    expect(test.upstream.headers.getAll('x-trace')).toEqual(['mine']);
    await test.get('/a', { 'x-trace': '' });
    expect(test.upstream.headers.get('x-trace')).not.toBe('');
  });

  it('sends the id on although Connection names it', async () => {
    const test = setUp({ header_name: 'X-Trace' });
    await test.get('/a', { 'x-trace': 'mine', connection: 'x-trace' });
    expect(test.upstream.headers.get('x-trace')).toBe('mine');
  });

  it('tells the client only when told to', async () => {
    expect((await setUp().get('/a')).headers.has('kong-request-id')).toBe(false);
    const test = setUp({ echo_downstream: true });
    const got = await test.get('/a');
    const sent = test.upstream.headers.get('kong-request-id');
    expect(got.headers.get('kong-request-id')).toBe(sent);
    const brought = await test.get('/a', { 'kong-request-id': 'mine' });
    expect(brought.headers.get('kong-request-id')).toBe('mine');
  });

  it('makes one for a response that no access phase came before', async () => {
    const got = await setUp({ echo_downstream: true }).get('/nowhere');
    expect(got.status).toBe(404);
    expect(got.headers.get('kong-request-id')).toMatch(/#1$/);
  });
});
