import { describe, expect, it } from 'vitest';
import { TestConfig } from '../../test/support/builders.ts';
import { answer, request } from '../../test/support/fake-platform.ts';
import { readAnswer, TestGateway } from '../../test/support/gateway.ts';

describe('the access log', () => {
  it('tells what happened', async () => {
    const config = new TestConfig();
    const service = config.service({ name: 'svc' });
    const route = config.route({ name: 'rt', paths: ['/a'], service: { id: service.id } });
    const test = new TestGateway(config.tables());
    test.platform.respond = () => {
      test.platform.clock.advance(5);
      return answer(200, 'hello');
    };
    const got = await test.get('/a/b');
    expect(test.log).toMatchObject([
      {
        request_id: got.headers.get('x-kong-request-id'),
        client_ip: '192.0.2.1',
        request: { method: 'GET', uri: '/a/b', host: 'gateway.test', scheme: 'http' },
        response: { status: 200, size: 5, complete: true, source: 'upstream' },
        latencies: { request: 5, proxy: 5, gateway: 0 },
        route: { id: route.id, name: 'rt' },
        service: { id: service.id, name: 'svc' },
        consumer: null,
        upstream_uri: '/b',
        tries: [{ host: 'upstream.test', port: 80, state: 'ok' }],
      },
    ]);
  });

  it('never shows a key, wherever it stood', async () => {
    const config = new TestConfig();
    config.plugin('key-auth');
    config.consumer('ann', 'tellnobody');
    config.route({ paths: ['/a'] });
    const test = new TestGateway(config.tables());
    await test.get('/a?apikey=tellnobody&tellnobody');
    await test.get('/a', { apikey: 'tellnobody' });
    expect(test.log).toHaveLength(2);
    expect(test.log[0]?.request.query_names).toEqual(['apikey']);
    expect(test.log[0]?.consumer?.username).toBe('ann');
    expect(JSON.stringify([test.log, test.platform.logs])).not.toContain('tellnobody');
  });

  it('names at most 32 parameters', async () => {
    const test = new TestGateway(new TestConfig().tables());
    await test.get(`/?${Array.from({ length: 40 }, (_, i) => `p${i}=1`).join('&')}`);
    expect(test.log[0]?.request.query_names).toHaveLength(32);
  });

  it('that fails does not break the exchange', async () => {
    const test = new TestGateway(new TestConfig().tables());
    test.log.push = () => {
      throw new Error('full');
    };
    const response = test.gateway.handle(request('/'));
    expect((await readAnswer(await response)).status).toBe(404);
    expect(test.platform.logs).toMatchObject([{ message: 'access log failed' }]);
  });
});
