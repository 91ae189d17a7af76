import { describe, expect, it } from 'vitest';
import type { ClientFacts } from './forwarded.ts';
import { HeaderList } from './headers.ts';
import { joinHost, splitHost } from './host.ts';
import {
  addOwnHeaders,
  addProxiedHeaders,
  RESPONSE_FIELDS_DEFAULT,
  responseFields,
} from './response-headers.ts';
import { addForwardingHeaders, asksForTrailers, upstreamHost } from './upstream-headers.ts';
import type { ForwardingFacts } from './upstream-headers.ts';
import { upstreamPath } from './upstream-uri.ts';

const FIELDS = responseFields(RESPONSE_FIELDS_DEFAULT);

describe('the upstream path (kong-contract 5.3)', () => {
  it.each([
    // service path, request path, matched, strip → sent
    ['/', '/a', '/a', true, '/'],
    ['/', '/a/', '/a', true, '/'],
    ['/', '/a/', '/a/', true, '/'],
    ['/', '/a/b', '/a', true, '/b'],
    ['/', '/a/b', '/a/', true, '/b'],
    ['/', '/ab', '/a', true, '/b'],
    ['/', '/', '/', true, '/'],
    ['/', '/a', '/a', false, '/a'],
    ['/', '/', '/', false, '/'],
    [null, '/a/b', '/a', true, '/b'],
    [null, '/a/b', '/a', false, '/a/b'],
    ['/s/', '/a', '/a', true, '/s'],
    ['/s/', '/a/', '/a/', true, '/s/'],
    ['/s/', '/a/b', '/a', true, '/s/b'],
    ['/s/', '/a/b', '/a/', true, '/s/b'],
    ['/s/', '/a', '/a', false, '/s/a'],
    ['/s/', '/', '/', false, '/s/'],
    ['/s', '/a', '/a', true, '/s'],
    ['/s', '/a/', '/a/', true, '/s/'],
    ['/s', '/a/', '/a', true, '/s/'],
    ['/s', '/', '/', true, '/s'],
    ['/s', '/a/b', '/a', true, '/s/b'],
    ['/s', '/a/b', '/a/', true, '/s/b'],
    ['/s', '/ab', '/a', true, '/s/b'],
    ['/s', '/', '/', false, '/s'],
    ['/s', '/a', '/a', false, '/s/a'],
    // No paths on the route: nothing to strip but the slash.
    ['/s', '/a', null, true, '/s/a'],
    ['/s/', '/a', null, true, '/s/a'],
    ['/', '/a', null, true, '/a'],
    // The whole match of a regex is what is stripped.
    ['/s', '/u/12/x', '/u/12', true, '/s/x'],
    // The rest must not climb out of the service's path.
    ['/s', '/a../secret', '/a', true, '/s/secret'],
    ['/s', '/a./secret', '/a', true, '/s/secret'],
    ['/s', '/a..', '/a', true, '/s'],
    // Escaped again on the way out.
    ['/', '/a b/é', null, false, '/a%20b/%C3%A9'],
    ['/s%20t', '/a%2Fb', '/a', true, '/s%20t/%2Fb'],
  ] as const)(
    'of service path %s, request %s, match %s, strip %s is %s',
    (servicePath, requestPath, matchedPath, stripPath, expected) => {
      expect(
        upstreamPath({
          servicePath,
          requestPath,
          matchedPath,
          stripPath,
          pathHandling: 'v0',
        }),
      ).toBe(expected);
    },
  );
});

describe('the upstream path by path_handling v1 (kong-contract 5.3)', () => {
  it.each([
    // service path, request path, matched, strip → sent
    ['/', '/a/b', '/a', true, '/b'],
    ['/', '/a', '/a', true, '/'],
    ['/', '/ab', '/a', true, '/b'],
    ['/', '/a', '/a', false, '/a'],
    ['/s', '/a/b', '/a', true, '/s/b'],
    ['/s', '/ab', '/a', true, '/sb'],
    ['/s', '/a/', '/a/', true, '/s'],
    ['/s', '/a', '/a', true, '/s'],
    ['/s', '/a', '/a', false, '/sa'],
    ['/s', '/', '/', false, '/s'],
    ['/s', '/a', null, true, '/sa'],
    ['/s/', '/a/b', '/a', true, '/s/b'],
    ['/s/', '/ab', '/a', true, '/s/b'],
    ['/s/', '/a', '/a', true, '/s/'],
    ['/s/', '/a', '/a', false, '/s/a'],
    ['/s', '/a../secret', '/a', true, '/ssecret'],
  ] as const)(
    'of service path %s, request %s, match %s, strip %s is %s',
    (servicePath, requestPath, matchedPath, stripPath, expected) => {
      const parts = { servicePath, requestPath, matchedPath, stripPath };
      expect(upstreamPath({ ...parts, pathHandling: 'v1' })).toBe(expected);
    },
  );
});

const CLIENT: ClientFacts = {
  address: '203.0.113.9',
  scheme: 'https',
  host: 'public.example',
  port: 8443,
  path: null,
  prefix: null,
  isPeerTrusted: false,
};

function forwarding(raw: string[], facts: Partial<ForwardingFacts> = {}): HeaderList {
  const headers = new HeaderList(raw);
  addForwardingHeaders(headers, {
    httpVersion: '1.1',
    client: CLIENT,
    peerAddress: '192.0.2.1',
    wantsTrailers: false,
    originalPath: '/a/b',
    strippedPrefix: null,
    requestId: 'f00d',
    ...facts,
  });
  return headers;
}

describe('upstream request headers (kong-contract 5.6)', () => {
  it('say who asks and by what way', () => {
    expect(forwarding([]).raw).toEqual([
      'Via',
      '1.1 kong/3.9.4',
      'X-Real-IP',
      '203.0.113.9',
      'X-Forwarded-For',
      '192.0.2.1',
      'X-Forwarded-Proto',
      'https',
      'X-Forwarded-Host',
      'public.example',
      'X-Forwarded-Port',
      '8443',
      'X-Forwarded-Path',
      '/a/b',
      'X-Kong-Request-Id',
      'f00d',
    ]);
  });

  it('append to the chain of X-Forwarded-For and Via, trusted or not', () => {
    const headers = forwarding([
      'x-forwarded-for',
      '1.1.1.1',
      'X-Forwarded-For',
      '2.2.2.2',
      'via',
      '1.0 a',
    ]);

    expect(headers.getAll('x-forwarded-for')).toEqual(['1.1.1.1, 2.2.2.2, 192.0.2.1']);
    expect(headers.getAll('via')).toEqual(['1.0 a, 1.1 kong/3.9.4']);
  });

  it('overwrite what a stranger claims', () => {
    const headers = forwarding([
      'X-Real-IP',
      '6.6.6.6',
      'X-Forwarded-Proto',
      'ftp',
      'X-Forwarded-Host',
      'evil',
      'Forwarded',
      'for=6',
      'X-Forwarded-Port',
      '1',
      'X-Forwarded-Path',
      '/e',
      'X-Forwarded-Prefix',
      '/e',
      'x-kong-request-id',
      'mine',
    ]);

    expect(headers.raw.join()).not.toMatch(/6\.6|ftp|evil|for=6|\/e|mine/);
    expect(headers.get('x-forwarded-prefix')).toBeNull();
  });

  it('pass on what a trusted proxy says', () => {
    const client = { ...CLIENT, path: '/p', prefix: '/pre', isPeerTrusted: true };
    const headers = forwarding(['Forwarded', 'for=1'], { client, strippedPrefix: '/a' });

    expect(headers.get('x-forwarded-path')).toBe('/p');
    expect(headers.get('x-forwarded-prefix')).toBe('/pre');
    expect(headers.get('forwarded')).toBe('for=1');
  });

  it.each([
    [null, null],
    ['/', null],
    ['/a', '/a'],
  ])('name the stripped prefix %s as %s', (strippedPrefix, expected) => {
    expect(forwarding([], { strippedPrefix }).get('x-forwarded-prefix')).toBe(expected);
  });

  it('carry TE only for trailers', () => {
    expect(forwarding([], { wantsTrailers: true }).get('te')).toBe('trailers');
    expect(asksForTrailers(new HeaderList(['TE', 'gzip, Trailers;q=0.5']))).toBe(true);
    expect(asksForTrailers(new HeaderList(['TE', 'gzip']))).toBe(false);
    expect(asksForTrailers(new HeaderList())).toBe(false);
  });
});

describe('Host of the upstream request', () => {
  const FACTS = {
    preserveHost: false,
    requestHost: 'Public.Example:8443',
    hostHeader: null,
    targetHost: 'target.example',
    targetPort: 80,
    scheme: 'http',
  } as const;

  it.each([
    [{}, 'target.example'],
    [{ targetPort: 8080 }, 'target.example:8080'],
    [{ scheme: 'https', targetPort: 443 }, 'target.example'],
    [{ scheme: 'https', targetPort: 80 }, 'target.example:80'],
    [{ targetHost: '2001:db8::1', targetPort: 81 }, '[2001:db8::1]:81'],
    [{ hostHeader: 'named.example', targetPort: 8080 }, 'named.example:8080'],
    [{ hostHeader: 'named.example:9', targetPort: 8080 }, 'named.example:9'],
    [{ preserveHost: true, hostHeader: 'named.example' }, 'Public.Example:8443'],
    [{ preserveHost: true, requestHost: null }, 'target.example'],
  ] as const)('for %j is %s', (facts, expected) => {
    expect(upstreamHost({ ...FACTS, ...facts })).toBe(expected);
  });

  it('splits and joins names and ports', () => {
    expect(splitHost('[::1]:80')).toEqual({ name: '[::1]', port: 80 });
    expect(splitHost('[::1]')).toEqual({ name: '[::1]', port: null });
    expect(splitHost('a:b:80')).toEqual({ name: 'a:b:80', port: null });
    expect(splitHost('')).toEqual({ name: '', port: null });
    expect(joinHost('[::1]', 443, 'https')).toBe('[::1]');
  });
});

describe('response headers (kong-contract 5.6)', () => {
  it('of a proxied response keep the Server and append to Via', () => {
    const headers = new HeaderList([
      'Server',
      'nginx',
      'Via',
      '1.1 a',
      'X-Kong-Request-Id',
      'theirs',
    ]);
    addProxiedHeaders(headers, FIELDS, {
      httpVersion: '1.1',
      upstreamLatencyMs: 12.9,
      proxyLatencyMs: 0.4,
      upstreamStatus: 200,
      requestId: 'f00d',
    });

    expect(headers.raw).toEqual([
      'Server',
      'nginx',
      'Via',
      '1.1 a, 1.1 kong/3.9.4',
      'X-Kong-Request-Id',
      'f00d',
      'X-Kong-Upstream-Latency',
      '12',
      'X-Kong-Proxy-Latency',
      '0',
    ]);
  });

  it('of a proxied response name us when the upstream does not name itself', () => {
    const headers = new HeaderList();
    addProxiedHeaders(headers, FIELDS, {
      httpVersion: '2',
      upstreamLatencyMs: 1,
      proxyLatencyMs: -1,
      upstreamStatus: 200,
      requestId: 'f00d',
    });

    expect(headers.get('server')).toBe('kong/3.9.4');
    expect(headers.get('via')).toBe('2 kong/3.9.4');
    expect(headers.get('x-kong-proxy-latency')).toBe('0');
  });

  it('of our own response have no Via', () => {
    const headers = new HeaderList();
    addOwnHeaders(headers, FIELDS, { responseLatencyMs: 3.7, requestId: 'f00d' });

    expect(headers.raw).toEqual([
      'X-Kong-Response-Latency',
      '3',
      'Server',
      'kong/3.9.4',
      'X-Kong-Request-Id',
      'f00d',
    ]);
  });
});
