/**
 * What a data plane does with traffic, as a client and an upstream see it. The same suite runs
 * against the Node data plane and the edge data plane; what a runtime forces to differ is a
 * capability here and a row of the parity table in the README.
 */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EchoReport } from '../support/echo.ts';
import { open, type Received, send, type Sent } from '../support/http-client.ts';

export interface ProxyUnderTest {
  readonly url: string;
  close(): Promise<void>;
}

/** In what the platforms differ; everything else must not. */
export interface Capabilities {
  readonly name: string;
  /** The upstream can be sent another Host than its own name. */
  readonly preservesHost: boolean;
  /** Failed name resolution can be told from other failures to connect. */
  readonly knowsResolveFailure: boolean;
}

const JSON_TYPE = 'application/json; charset=utf-8';

export function proxySuite(capabilities: Capabilities, start: () => Promise<ProxyUnderTest>): void {
  let proxy: ProxyUnderTest;
  beforeAll(async () => {
    proxy = await start();
  });
  afterAll(() => proxy?.close());

  const get = (path: string, headers: Sent['headers'] = {}): Promise<Received> =>
    send(proxy.url, path, { headers });
  /** What the upstream saw of a request that got through. */
  const seen = async (path: string, sent: Sent = {}): Promise<EchoReport> => {
    const answer = await send(proxy.url, path, sent);
    expect(answer.status, answer.text).toBe(200);
    return answer.json() as EchoReport;
  };

  describe(`proxying on ${capabilities.name}`, () => {
    routingTests(get, seen, capabilities);
    headerTests(get, seen);
    failureTests(get, capabilities);
    pluginTests(get, seen);
    streamingTests(() => proxy.url, seen);
  });
}

type Get = (path: string, headers?: Sent['headers']) => Promise<Received>;
type Seen = (path: string, sent?: Sent) => Promise<EchoReport>;

function routingTests(get: Get, seen: Seen, capabilities: Capabilities): void {
  it('strips the matched prefix, and keeps it when told to', async () => {
    expect((await seen('/prefix/a/b?x=1')).url).toBe('/a/b?x=1');
    expect((await seen('/prefix')).url).toBe('/');
    expect((await seen('/prefix/longer/z')).url).toBe('/prefix/longer/z');
  });

  it('joins the path of the service', async () => {
    expect((await seen('/based')).url).toBe('/base');
    expect((await seen('/based/x?y')).url).toBe('/base/x?y');
    expect((await seen('/kept/x')).url).toBe('/base/kept/x');
  });

  it('sends the query on as it came', async () => {
    expect((await seen('/prefix/q?a=1&a=2&b=%20%2F&c')).url).toBe('/q?a=1&a=2&b=%20%2F&c');
    expect((await seen('/prefix/q?')).url).toMatch(/^\/q\??$/);
  });

  it('matches regex paths', async () => {
    expect((await seen('/item/42')).url).toBe('/item/42');
    expect((await get('/item/x')).status).toBe(404);
  });

  it('matches hosts, exact and by wildcard, whatever the port', async () => {
    expect((await seen('/h', { headers: { host: 'exact.test' } })).url).toBe('/h');
    expect((await seen('/h', { headers: { host: 'exact.test:9999' } })).url).toBe('/h');
    expect((await seen('/h', { headers: { host: 'a.b.wild.test' } })).url).toBe('/h');
    expect((await seen('/h', { headers: { host: 'tail.example' } })).url).toBe('/h');
    expect((await get('/h', { host: 'wild.test' })).status).toBe(404);
    expect((await get('/h', { host: 'other.test' })).status).toBe(404);
  });

  it('matches methods and headers', async () => {
    expect((await get('/method')).status).toBe(404);
    expect((await seen('/method', { method: 'PUT' })).method).toBe('PUT');
    const red = await get('/header', { 'x-color': 'red', 'kong-debug': '1' });
    expect(red.status).toBe(200);
  });

  it('asks for https where a route wants it', async () => {
    const answer = await get('/secure/x', { host: 'shop.test' });
    expect(answer.status).toBe(426);
    expect(answer.json()).toMatchObject({ message: 'Please use HTTPS protocol' });
    const redirect = await get('/redirected/x?y=1', { host: 'shop.test' });
    expect(redirect.status).toBe(308);
    expect(redirect.headers.location).toBe('https://shop.test/redirected/x?y=1');
  });

  it('resolves dot segments and escapes before it matches', async () => {
    expect((await seen('/nowhere/../prefix/x')).url).toBe('/x');
    expect((await seen('/nowhere/%2e%2e/prefix/x')).url).toBe('/x');
    expect((await seen('/prefix/a%2Fb')).url).toBe('/a%2Fb');
  });

  it('sends the client’s Host on where the platform can', async () => {
    const report = await seen('/preserve', { headers: { host: 'kept.test' } });
    const expected = capabilities.preservesHost ? 'kept.test' : /^127\.0\.0\.1:\d+$/;
    expect(report.headers['host']).toEqual(
      typeof expected === 'string' ? expected : expect.stringMatching(expected),
    );
    expect((await seen('/prefix', { headers: { host: 'not-kept.test' } })).headers['host']).toMatch(
      /^127\.0\.0\.1:\d+$/,
    );
  });

  it('spreads requests over targets by weight', async () => {
    const names = new Map<string, number>();
    for (let i = 0; i < 40; i++) {
      const { name } = await seen('/balanced');
      names.set(name, (names.get(name) ?? 0) + 1);
    }
    expect(Object.fromEntries(names)).toEqual({ one: 30, two: 10 });
  });
}

function headerTests(get: Get, seen: Seen): void {
  it('tells the upstream where the request came from, believing nobody', async () => {
    const { headers } = await seen('/prefix/x', {
      headers: {
        host: 'front.test:8123',
        'x-forwarded-for': '6.6.6.6',
        'x-forwarded-proto': 'https',
        'x-forwarded-host': 'evil.test',
        'x-forwarded-port': '1',
        'x-real-ip': '6.6.6.6',
      },
    });
    expect(headers['x-forwarded-for']).toMatch(/^6\.6\.6\.6, 127\.0\.0\.1$/);
    expect(headers['x-real-ip']).toBe('127.0.0.1');
    expect(headers['x-forwarded-proto']).toBe('http');
    expect(headers['x-forwarded-host']).toBe('front.test');
    expect(headers['x-forwarded-path']).toBe('/prefix/x');
    expect(headers['x-forwarded-prefix']).toBe('/prefix');
    expect(headers['x-kong-request-id']).toMatch(/^[0-9a-f]{32}$/);
    expect(headers['via']).toMatch(/^1\.1 kong\/3\.9/);
  });

  it('drops hop-by-hop headers and what Connection names', async () => {
    const { headers } = await seen('/prefix', {
      headers: {
        connection: 'x-secret-hop, keep-alive',
        'x-secret-hop': '1',
        te: 'gzip',
        'proxy-authorization': 'Basic eDp5',
        'proxy-connection': 'keep-alive',
        'x-end-to-end': '1',
      },
    });
    expect(headers['x-end-to-end']).toBe('1');
    for (const name of ['x-secret-hop', 'te', 'proxy-authorization', 'proxy-connection']) {
      expect(headers[name], name).toBeUndefined();
    }
  });

  it('lets no client name its own consumer', async () => {
    const { headers } = await seen('/prefix', {
      headers: {
        'x-consumer-username': 'root',
        X_Consumer_ID: '1',
        'X-Credential-Identifier': '1',
        'x-anonymous-consumer': 'true',
      },
    });
    const names = Object.keys(headers).map((name) => name.replace(/_/g, '-'));
    expect(names.filter((name) => /consumer|credential/.test(name))).toEqual([]);
  });

  it('adds what Kong adds to a proxied response', async () => {
    const answer = await get('/prefix');
    expect(answer.headers['x-kong-upstream-latency']).toMatch(/^\d+$/);
    expect(answer.headers['x-kong-proxy-latency']).toMatch(/^\d+$/);
    expect(answer.headers['via']).toMatch(/1\.1 kong\/3\.9/);
    expect(answer.headers['x-kong-request-id']).toMatch(/^[0-9a-f]{32}$/);
    expect(answer.headers['x-kong-response-latency']).toBeUndefined();
    expect(answer.headers['x-kong-request-id']).toBe(
      (answer.json() as EchoReport).headers['x-kong-request-id'],
    );
  });

  it('passes statuses, repeated headers and empty bodies through', async () => {
    const cookies = await get('/prefix/cookies');
    expect(cookies.headers['set-cookie']).toEqual(['a=1; Path=/', 'b=2; Path=/']);
    expect((await get('/prefix/status/418')).status).toBe(418);
    const redirect = await get('/prefix/status/302');
    expect(redirect.status).toBe(302);
    const empty = await get('/prefix/status/204');
    expect([empty.status, empty.text]).toEqual([204, '']);
  });
}

function failureTests(get: Get, capabilities: Capabilities): void {
  it('answers 404 in the format that the client accepts', async () => {
    const json = await get('/nothing/here');
    expect(json.status).toBe(404);
    expect(json.headers['content-type']).toBe(JSON_TYPE);
    expect(json.headers['server']).toMatch(/^kong\/3\.9/);
    expect(json.headers['x-kong-response-latency']).toMatch(/^\d+$/);
    expect(json.headers['via']).toBeUndefined();
    const id = json.headers['x-kong-request-id'];
    expect(json.text.trimEnd()).toBe(
      `{\n  "message":"no Route matched with those values",\n  "request_id":"${id}"\n}`,
    );
    const html = await get('/nothing', { accept: 'text/html' });
    expect(html.headers['content-type']).toBe('text/html; charset=utf-8');
    expect(html.text).toContain('no Route matched with those values');
    const plain = await get('/nothing', { accept: 'text/plain' });
    expect(plain.headers['content-type']).toBe('text/plain; charset=utf-8');
    const xml = await get('/nothing', { accept: 'application/xml' });
    expect(xml.headers['content-type']).toBe('application/xml; charset=utf-8');
    expect(xml.text).toContain('<message>no Route matched with those values</message>');
  });

  it('answers 503 for a route without a service, and 404 for a disabled one', async () => {
    const answer = await get('/serviceless');
    expect(answer.status).toBe(503);
    expect(answer.json()).toMatchObject({ message: 'no Service found with those values' });
    expect((await get('/disabled')).status).toBe(404);
  });

  it('answers 503 for an upstream without a target', async () => {
    const answer = await get('/no-target');
    expect(answer.status).toBe(503);
    expect(answer.json()).toMatchObject({
      message: 'failure to get a peer from the ring-balancer',
    });
  });

  it('answers 502 when nobody listens, and goes on to a target that does', async () => {
    const answer = await get('/refused');
    expect(answer.status).toBe(502);
    expect(answer.text).toContain('An invalid response was received from the upstream server');
    for (let i = 0; i < 6; i++) expect((await get('/half-dead')).status).toBe(200);
  });

  it('answers 503 or 502 when the name does not resolve', async () => {
    const answer = await get('/unresolved');
    expect(answer.status).toBe(capabilities.knowsResolveFailure ? 503 : 502);
    if (capabilities.knowsResolveFailure) {
      expect(answer.json()).toMatchObject({ message: 'name resolution failed' });
    }
  });

  it('answers 504 when the upstream is silent for too long', async () => {
    const answer = await get('/slow/hang');
    expect(answer.status).toBe(504);
    expect(answer.text).toContain('The upstream server is timing out');
  });
}

function pluginTests(get: Get, seen: Seen): void {
  it('lets in who shows a key, and nobody else', async () => {
    const none = await get('/keyed');
    expect(none.status).toBe(401);
    expect(none.json()).toMatchObject({ message: 'No API key found in request' });
    expect(none.headers['www-authenticate']).toBe('Key');
    const wrong = await get('/keyed', { apikey: 'nobody-s-key' });
    expect(wrong.status).toBe(401);
    expect(wrong.json()).toMatchObject({ message: 'Unauthorized' });
    const { headers } = await seen('/keyed', { headers: { apikey: 'ann-key-0123456789' } });
    expect(headers['x-consumer-username']).toBe('ann');
    expect(headers['x-consumer-custom-id']).toBe('ann-7');
    expect(headers['x-credential-identifier']).toMatch(/^[0-9a-f-]{36}$/);
    expect((await seen('/keyed?apikey=ann-key-0123456789')).headers['x-consumer-username']).toBe(
      'ann',
    );
  });

  it('hides the key from the upstream when told to', async () => {
    const report = await seen('/keyed-hidden', { headers: { 'x-key': 'ann-key-0123456789' } });
    expect(report.headers['x-key']).toBeUndefined();
    expect((await seen('/keyed-hidden?x-key=ann-key-0123456789&a=1')).url).toBe('/?a=1');
  });

  it('falls back to the anonymous consumer', async () => {
    const { headers } = await seen('/keyed-anonymous');
    expect(headers['x-anonymous-consumer']).toBe('true');
    expect(headers['x-consumer-username']).toBe('guest');
  });

  it('limits a rate, and says how much is left', async () => {
    const remaining: (string | undefined)[] = [];
    for (let i = 0; i < 3; i++) {
      const answer = await get('/limited');
      expect(answer.status).toBe(200);
      remaining.push(answer.headers['ratelimit-remaining'] as string | undefined);
    }
    expect(remaining).toEqual(['2', '1', '0']);
    const limited = await get('/limited');
    expect(limited.status).toBe(429);
    expect(limited.json()).toMatchObject({ message: 'API rate limit exceeded' });
    expect(limited.headers['retry-after']).toMatch(/^\d+$/);
    expect(limited.headers['x-ratelimit-limit-minute']).toBe('3');
  });

  it('prefers the plugin configured for the consumer', async () => {
    const answer = await get('/limited-consumer', { apikey: 'ann-key-0123456789' });
    expect(answer.headers['x-ratelimit-limit-hour']).toBe('2');
  });

  it('gives a request its correlation id, and echoes it', async () => {
    const answer = await get('/correlated');
    const id = answer.headers['x-trace'];
    expect(id).toMatch(/#1$|#\d+$/);
    expect((answer.json() as EchoReport).headers['x-trace']).toBe(id);
    expect((await get('/correlated', { 'x-trace': 'mine' })).headers['x-trace']).toBe('mine');
  });

  it('transforms a response’s headers and JSON body', async () => {
    const answer = await get('/json');
    expect(answer.headers['x-added']).toBe('yes');
    expect(answer.headers['x-upstream-name']).toBeUndefined();
    const body = answer.json() as Record<string, unknown>;
    expect(body['added']).toBe('value');
    expect(body).not.toHaveProperty('headers');
  });
}

function streamingTests(url: () => string, seen: Seen): void {
  it('streams a request body of unknown length', async () => {
    const body = Buffer.alloc(3 * 1024 * 1024, 'abcdefgh');
    const sha256 = createHash('sha256').update(body).digest('hex');
    const chunked = { 'transfer-encoding': 'chunked' };
    const report = await seen('/prefix', { method: 'POST', body, headers: chunked });
    expect(report.body).toEqual({ length: body.length, sha256 });
    const known = { 'content-length': String(body.length) };
    const again = await seen('/prefix', { method: 'PUT', body, headers: known });
    expect(again.body).toEqual({ length: body.length, sha256 });
  });

  it('hands a response on while it is still being made', async () => {
    const incoming = await open(url(), '/prefix/drip');
    const times: number[] = [];
    let text = '';
    for await (const chunk of incoming) {
      times.push(performance.now());
      text += String(chunk);
    }
    expect(text).toBe('first\nsecond\nthird\n');
    // The upstream pauses between its lines; had somebody collected them, they would come as one.
    expect((times.at(-1) ?? 0) - (times[0] ?? 0)).toBeGreaterThan(100);
  });

  it('streams a large response whole', async () => {
    const incoming = await open(url(), '/prefix/bytes/20000000');
    let length = 0;
    for await (const chunk of incoming) length += (chunk as Buffer).length;
    expect(length).toBe(20_000_000);
  });

  it('breaks off when the upstream does, rather than ending cleanly', async () => {
    const incoming = await open(url(), '/prefix/truncated');
    const read = async (): Promise<void> => {
      for await (const chunk of incoming) void chunk;
    };
    await expect(read()).rejects.toThrow();
  });

  it('answers HEAD without a body', async () => {
    const answer = await send(url(), '/prefix', { method: 'HEAD' });
    expect([answer.status, answer.text]).toEqual([200, '']);
  });
}
