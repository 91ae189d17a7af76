import { describe, expect, it } from 'vitest';
import { TestConfig } from '../../test/support/builders.ts';
import { TestGateway } from '../../test/support/gateway.ts';
import { UpstreamError } from '../platform/platform.ts';
import { TrustedProxies } from '../http/forwarded.ts';
import { responseFields } from '../http/response-headers.ts';

/** What the gateway says of itself, and in which format: Kong's `headers`, `error_default_type` … */

function served(): TestConfig {
  const config = new TestConfig();
  config.route({ paths: ['/a'], service: { id: config.service().id } });
  return config;
}

describe('fields of ours', () => {
  it('are those that the setting names', async () => {
    const only = responseFields(['x-kong-upstream-status', 'Via']);
    const test = new TestGateway(served().tables(), { responseFields: only });

    const { headers } = await test.get('/a');

    expect(headers.get('x-kong-upstream-status')).toBe('200');
    expect(headers.get('via')).toContain('kong/');
    expect(headers.has('server')).toBe(false);
    expect(headers.has('x-kong-proxy-latency')).toBe(false);
    expect(headers.has('x-kong-request-id')).toBe(false);
  });

  it('are none with off, in answers of our own either', async () => {
    const test = new TestGateway(served().tables(), { responseFields: responseFields(['off']) });

    expect([
      ...new Set((await test.get('/none')).headers.raw.filter((_, i) => i % 2 === 0)),
    ]).toEqual(['Content-Type']);
  });

  it('say no upstream status when no upstream answered', async () => {
    const only = responseFields(['X-Kong-Upstream-Status']);
    const test = new TestGateway(served().tables(), { responseFields: only });
    test.platform.respond = () => {
      throw new UpstreamError('reset', true);
    };

    expect((await test.get('/a')).headers.has('x-kong-upstream-status')).toBe(false);
  });

  it('go upstream or not, as the setting says', async () => {
    const silent = new TestGateway(served().tables(), { sendsRequestId: false });
    await silent.get('/a', { 'X-Kong-Request-Id': 'forged' });
    expect(silent.upstream.headers.has('x-kong-request-id')).toBe(false);

    const talking = new TestGateway(served().tables());
    await talking.get('/a');
    expect(talking.upstream.headers.get('x-kong-request-id')).toMatch(/^[0-9a-f]{32}$/);
  });
});

describe('an error without Accept', () => {
  /** Kong error_handlers.lua: nginx' own errors; kong.response.error always answers JSON. */
  it.each([
    ['the server’s own is plain by default', {}, 'text/plain; charset=utf-8'],
    [
      'the server’s own goes by Content-Type',
      { 'Content-Type': 'application/xml' },
      'application/xml; charset=utf-8',
    ],
    [
      'Accept is stronger',
      { Accept: 'application/json', 'Content-Type': 'text/html' },
      'application/json; charset=utf-8',
    ],
  ])('%s', async (_, headers, type) => {
    const test = new TestGateway(served().tables());
    test.platform.respond = () => {
      throw new UpstreamError('reset', true);
    };

    const answer = await test.get('/a', headers);

    expect(answer.status).toBe(502);
    expect(answer.headers.get('content-type')).toBe(type);
  });

  it('is JSON when it is the gateway’s: no route', async () => {
    const test = new TestGateway(served().tables(), { errorDefaultFormat: 'html' });

    const answer = await test.get('/none', { 'Content-Type': 'text/html' });

    expect(answer.status).toBe(404);
    expect(answer.headers.get('content-type')).toBe('application/json; charset=utf-8');
  });
});

describe('a trusted peer', () => {
  it('may name the client in X-Real-IP, when that is where to look', async () => {
    const trusted = TrustedProxies.parse(['192.0.2.0/24'], 'X-Real-IP');
    if (!trusted.ok) throw new Error(trusted.item);
    const test = new TestGateway(served().tables(), { trustedIps: trusted.value });

    await test.get('/a', { 'X-Real-IP': '198.51.100.7', 'X-Forwarded-For': '203.0.113.9' });

    expect(test.upstream.headers.get('x-real-ip')).toBe('198.51.100.7');
  });
});
