import { describe, expect, it } from 'vitest';
import { TestConfig } from '../../test/support/builders.ts';
import { request } from '../../test/support/fake-platform.ts';
import { TestGateway } from '../../test/support/gateway.ts';
import { isPromise } from '../base/maybe-promise.ts';
import { TrustedProxies } from '../http/forwarded.ts';
import type { GatewayResponse } from '../http/message.ts';

describe('a gateway without a configuration', () => {
  it('answers 503 and says so', async () => {
    const got = await new TestGateway(null).get('/');
    expect(got.status).toBe(503);
    expect(got.json()).toMatchObject({ message: 'no configuration available' });
  });
});

describe('a gateway with an empty configuration', () => {
  it('answers 404, at once', () => {
    const { gateway } = new TestGateway(new TestConfig().tables());
    const got = gateway.handle(request('/'));
    expect(isPromise(got)).toBe(false);
    expect((got as GatewayResponse).status).toBe(404);
  });

  it('says who answered, and gives the request an id', async () => {
    const got = await new TestGateway(new TestConfig().tables()).get('/');
    expect(got.headers.get('server')).toBe('kong/3.9.4');
    expect(got.headers.get('x-kong-response-latency')).toBe('0');
    expect(got.headers.has('via')).toBe(false);
    const id = got.headers.get('x-kong-request-id');
    expect(id).toMatch(/^[0-9a-f]{32}$/);
    expect(got.json()).toEqual({ message: 'no Route matched with those values', request_id: id });
  });

  it('answers in the format that the client accepts', async () => {
    const got = await new TestGateway(new TestConfig().tables()).get('/', { accept: 'text/html' });
    expect(got.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(got.text).toContain('<h1>Error</h1>');
  });

  it('refuses a target that runtimes read differently', async () => {
    expect((await new TestGateway(new TestConfig().tables()).get('/a\\b')).status).toBe(400);
  });
});

describe('what a route demands of the protocol', () => {
  it('is https, by 426', async () => {
    const config = new TestConfig();
    config.route({ paths: ['/a'], protocols: ['https'] });
    const got = await new TestGateway(config.tables()).get('/a');
    expect(got.status).toBe(426);
    expect(got.json()).toMatchObject({ message: 'Please use HTTPS protocol' });
    expect(got.headers.get('upgrade')).toBe('TLS/1.2, HTTP/1.1');
  });

  it('is https, by a redirect', async () => {
    const config = new TestConfig();
    config.route({ paths: ['/a'], protocols: ['https'], https_redirect_status_code: 301 });
    const got = await new TestGateway(config.tables()).get('/a?b=c');
    expect([got.status, got.headers.get('location')]).toEqual([301, 'https://gateway.test/a?b=c']);
  });

  it('is taken from a trusted proxy, and from nobody else', async () => {
    const config = new TestConfig();
    config.route({ paths: ['/a'], protocols: ['https'] });
    const parsed = TrustedProxies.parse(['192.0.2.0/24']);
    if (!parsed.ok) throw new Error('bad test');
    const headers = { 'x-forwarded-proto': 'https' };
    const trusting = new TestGateway(config.tables(), { trustedIps: parsed.value });
    expect((await trusting.get('/a', headers)).status).toBe(200);
    expect((await new TestGateway(config.tables()).get('/a', headers)).status).toBe(426);
  });

  it('is gRPC over HTTP/2', async () => {
    const config = new TestConfig();
    config.route({ paths: ['/a'], protocols: ['grpc'], strip_path: false });
    const test = new TestGateway(config.tables());
    expect((await test.get('/a')).status).toBe(415);
    const got = await test.get('/a', { 'content-type': 'application/grpc' });
    expect([got.status, got.headers.get('grpc-message')]).toEqual([
      426,
      'Please use HTTP2 protocol',
    ]);
  });

  it('is gRPC over TLS', async () => {
    const config = new TestConfig();
    config.route({ paths: ['/a'], protocols: ['grpcs'], strip_path: false });
    const headers = { 'content-type': 'application/grpc' };
    const got = await new TestGateway(config.tables()).send(
      request('/a', { httpVersion: '2', headers }),
    );
    expect([got.status, got.headers.get('grpc-status')]).toEqual([200, '1']);
  });
});

describe('a request with synchronous plugins only', () => {
  it('is answered at once where no upstream is needed', () => {
    const config = new TestConfig();
    config.plugin('key-auth');
    config.plugin('correlation-id', { echo_downstream: true });
    config.route({ paths: ['/a'] });
    const got = new TestGateway(config.tables()).gateway.handle(request('/a'));
    expect(isPromise(got)).toBe(false);
  });

  it('reaches the transport before it lets go of the thread', () => {
    const config = new TestConfig();
    config.plugin('key-auth');
    config.plugin('rate-limiting', { minute: 5 });
    config.consumer('ann', 'secret');
    config.route({ paths: ['/a'] });
    const test = new TestGateway(config.tables());
    void test.gateway.handle(request('/a', { headers: { apikey: 'secret' } }));
    expect(test.platform.sent).toHaveLength(1);
  });
});
