import { describe, expect, it } from 'vitest';
import { TestConfig } from '../../test/support/builders.ts';
import { answer, FakeAbort, OneChunk, request } from '../../test/support/fake-platform.ts';
import { TestGateway } from '../../test/support/gateway.ts';
import { UpstreamError, type UpstreamFailure } from '../platform/platform.ts';

const BODY = new TextEncoder().encode('body');

function failing(failure: UpstreamFailure, maybeProcessed: boolean): TestGateway {
  const config = new TestConfig();
  const service = config.service({ retries: 2 });
  config.route({ paths: ['/a'], service: { id: service.id } });
  const test = new TestGateway(config.tables());
  test.platform.respond = () => {
    throw new UpstreamError(failure, maybeProcessed);
  };
  return test;
}

describe('a proxied request', () => {
  it('goes to the service of its route, with what the gateway says of the client', async () => {
    const config = new TestConfig();
    const service = config.service({ host: 'api.test', port: 8080, path: '/v1' });
    config.route({ paths: ['/shop'], service: { id: service.id } });
    const test = new TestGateway(config.tables());

    await test.get('/shop/items?x=%2F&y', {
      'x-forwarded-for': '203.0.113.9',
      'X-Consumer-ID': 'forged',
      connection: 'close, x-hop',
      'x-hop': '1',
    });

    const { host, port, target, headers, connectTimeoutMs, readTimeoutMs } = test.upstream;
    expect([host, port, target]).toEqual(['api.test', 8080, '/v1/items?x=%2F&y']);
    expect([connectTimeoutMs, readTimeoutMs]).toEqual([60_000, 60_000]);
    expect(headers.get('host')).toBe('api.test:8080');
    expect(headers.get('x-forwarded-for')).toBe('203.0.113.9, 192.0.2.1');
    expect(headers.get('x-real-ip')).toBe('192.0.2.1');
    expect(headers.get('x-forwarded-prefix')).toBe('/shop');
    expect(headers.get('x-forwarded-path')).toBe('/shop/items');
    expect(headers.get('via')).toBe('1.1 kong/3.9.4');
    for (const name of ['x-consumer-id', 'connection', 'x-hop']) {
      expect(headers.has(name), name).toBe(false);
    }
  });

  it('keeps the path and the Host when the route says so', async () => {
    const config = new TestConfig();
    config.route({ paths: ['/keep'], strip_path: false, preserve_host: true });
    const test = new TestGateway(config.tables());
    await test.get('/keep/a%20b');
    expect(test.upstream.target).toBe('/keep/a%20b');
    expect(test.upstream.headers.get('host')).toBe('gateway.test');
  });

  it('asks an https service by its name, without verifying unless told to', async () => {
    const config = new TestConfig();
    const service = config.service({ protocol: 'https', host: 'api.test', port: 443 });
    config.route({ paths: ['/a'], service: { id: service.id } });
    const test = new TestGateway(config.tables());
    await test.get('/a');
    expect(test.upstream.tls).toMatchObject({ serverName: 'api.test', verify: false });
    expect(test.upstream.headers.get('host')).toBe('api.test');
  });

  it('brings the response back, without what belongs to the upstream’s connection', async () => {
    const config = new TestConfig();
    config.route({ paths: ['/a'] });
    const test = new TestGateway(config.tables());
    test.platform.respond = () => {
      test.platform.clock.advance(7);
      return answer(201, 'made', ['Server', 'nginx', 'Connection', 'x-hop', 'X-Hop', '1']);
    };

    const got = await test.get('/a');

    expect([got.status, got.text]).toEqual([201, 'made']);
    expect(got.headers.get('server')).toBe('nginx');
    expect(got.headers.get('via')).toBe('1.1 kong/3.9.4');
    expect(got.headers.get('x-kong-upstream-latency')).toBe('7');
    expect(got.headers.get('x-kong-proxy-latency')).toBe('0');
    expect(got.headers.has('x-kong-response-latency')).toBe(false);
    expect(got.headers.has('x-hop')).toBe(false);
    const sentId = test.upstream.headers.get('x-kong-request-id');
    expect(got.headers.get('x-kong-request-id')).toBe(sentId);
  });

  it('passes errors of the upstream through untouched', async () => {
    const config = new TestConfig();
    config.route({ paths: ['/a'] });
    const test = new TestGateway(config.tables());
    test.platform.respond = () => answer(503, 'theirs');
    expect((await test.get('/a')).text).toBe('theirs');
    expect(test.platform.sent).toHaveLength(1);
  });

  it.each([
    ['HEAD', 200],
    ['GET', 204],
    ['GET', 304],
  ])('has no body in answer to %s with %i', async (method, status) => {
    const config = new TestConfig();
    config.route({ paths: ['/a'] });
    const test = new TestGateway(config.tables());
    const body = new OneChunk();
    test.platform.respond = () => ({ ...answer(status, 'hidden'), body });

    const got = await test.send(request('/a', { method }));

    expect([got.status, got.text, body.isCancelled]).toEqual([status, '', true]);
    expect(got.headers.get('content-length')).toBe(status === 204 ? null : '6');
  });

  it('drops an upgrade and goes on as plain HTTP', async () => {
    const config = new TestConfig();
    config.route({ paths: ['/a'] });
    const test = new TestGateway(config.tables());
    await test.get('/a', { connection: 'Upgrade', upgrade: 'websocket' });
    expect(test.upstream.headers.has('upgrade')).toBe(false);
    expect(test.upstream.headers.has('connection')).toBe(false);
  });

  it('names route and service to whoever may ask', async () => {
    const config = new TestConfig();
    const service = config.service({ name: 'svc' });
    const route = config.route({ name: 'rt', paths: ['/a'], service: { id: service.id } });
    const headers = { 'kong-debug': '1' };
    const open = await new TestGateway(config.tables(), { allowDebugHeader: true }).get(
      '/a',
      headers,
    );
    expect(open.headers.get('kong-route-id')).toBe(route.id);
    expect(open.headers.get('kong-service-name')).toBe('svc');
    const shut = await new TestGateway(config.tables()).get('/a', headers);
    expect(shut.headers.has('kong-route-id')).toBe(false);
  });

  it('ends with the tables it began with', async () => {
    const config = new TestConfig();
    config.route({ paths: ['/a'] });
    const test = new TestGateway(config.tables());
    test.platform.respond = () => {
      test.gateway.swap(new TestConfig().tables());
      return answer(200, 'old');
    };
    expect((await test.get('/a')).text).toBe('old');
    expect((await test.get('/a')).status).toBe(404);
  });
});

describe('tries', () => {
  it.each([
    ['resolve', 503, 'name resolution failed'],
    ['connect', 502, 'An invalid response was received from the upstream server'],
    ['connect_timeout', 504, 'The upstream server is timing out'],
    ['write_timeout', 504, 'The upstream server is timing out'],
    ['read_timeout', 504, 'The upstream server is timing out'],
    ['reset', 502, 'An invalid response was received from the upstream server'],
    ['invalid_response', 502, 'An invalid response was received from the upstream server'],
  ] as const)('that end with %s answer %i', async (failure, status, message) => {
    const got = await failing(failure, false).get('/a', { accept: '*/*' });
    expect(got.status).toBe(status);
    expect(got.json()).toMatchObject({ message });
    expect(got.headers.has('x-kong-upstream-latency')).toBe(true);
  });

  it('are as many as the service allows', async () => {
    const test = failing('connect', false);
    await test.get('/a');
    expect(test.platform.sent).toHaveLength(3);
    expect(test.log[0]?.tries.map(({ state }) => state)).toEqual(['connect', 'connect', 'connect']);
  });

  it.each([
    // method, body, may have been processed, tries
    ['GET', null, true, 3],
    ['PUT', BODY, true, 3],
    ['DELETE', null, true, 3],
    ['POST', null, true, 1],
    ['POST', BODY, true, 1],
    ['PATCH', BODY, true, 1],
    ['PURGE', null, true, 1],
    ['POST', BODY, false, 3],
  ])('of %s with body %s, maybe processed %s: %i', async (method, body, maybeProcessed, tries) => {
    const test = failing('reset', maybeProcessed);
    await test.send(request('/a', { method, body }));
    expect(test.platform.sent).toHaveLength(tries);
  });

  it('do not repeat a stream that has begun to flow', async () => {
    const config = new TestConfig();
    config.route({ paths: ['/a'] });
    const test = new TestGateway(config.tables());
    const body = new OneChunk();
    test.platform.respond = () => {
      body.consumed = true;
      throw new UpstreamError('reset', false);
    };
    await test.send(request('/a', { method: 'PUT', body }));
    expect(test.platform.sent).toHaveLength(1);
  });

  it('repeat a stream that nobody has touched', async () => {
    const test = failing('connect', false);
    await test.send(request('/a', { method: 'POST', body: new OneChunk() }));
    expect(test.platform.sent).toHaveLength(3);
  });

  it('end when the client has gone', async () => {
    const test = failing('connect', false);
    const abort = new FakeAbort();
    abort.fire();
    await test.send(request('/a', { abort }));
    expect(test.platform.sent).toHaveLength(1);
    const gone = failing('aborted', true);
    expect((await gone.get('/a')).status).toBe(499);
  });

  it('go to another target first, and begin again when all were tried', async () => {
    const config = new TestConfig();
    const upstream = config.add('upstreams', { name: 'pool.test' });
    for (const target of ['10.0.0.1:80', '10.0.0.2:80']) {
      config.add('targets', { target, upstream: { id: upstream.id } });
    }
    const service = config.service({ host: 'pool.test', retries: 3 });
    config.route({ paths: ['/a'], service: { id: service.id } });
    const test = new TestGateway(config.tables());
    test.platform.respond = () => {
      throw new UpstreamError('connect', false);
    };
    await test.get('/a');
    const hosts = test.platform.sent.map(({ host }) => host);
    expect(hosts).toHaveLength(4);
    expect(new Set(hosts.slice(0, 2)).size).toBe(2);
    expect(new Set(hosts.slice(2)).size).toBe(2);
  });

  it('send the host_header of the Upstream', async () => {
    const config = new TestConfig();
    const upstream = config.add('upstreams', { name: 'pool.test', host_header: 'inner.test' });
    config.add('targets', { target: '10.0.0.1:80', upstream: { id: upstream.id } });
    const service = config.service({ host: 'pool.test' });
    config.route({ paths: ['/a'], service: { id: service.id } });
    const test = new TestGateway(config.tables());
    await test.get('/a');
    expect(test.upstream.headers.get('host')).toBe('inner.test');
    expect(test.upstream.host).toBe('10.0.0.1');
  });

  it('are none for an Upstream without targets', async () => {
    const config = new TestConfig();
    config.add('upstreams', { name: 'empty.test' });
    const service = config.service({ host: 'empty.test' });
    config.route({ paths: ['/a'], service: { id: service.id } });
    const test = new TestGateway(config.tables());
    const got = await test.get('/a');
    expect(got.status).toBe(503);
    expect(got.json()).toMatchObject({ message: 'failure to get a peer from the ring-balancer' });
    expect(got.headers.has('x-kong-response-latency')).toBe(true);
    expect(got.headers.has('x-kong-upstream-latency')).toBe(false);
    expect(test.platform.sent).toHaveLength(0);
  });
});
