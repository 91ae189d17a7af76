import { describe, expect, it } from 'vitest';
import { resolveClient, TrustedProxies } from './forwarded.ts';
import type { ClientFacts } from './forwarded.ts';
import { HeaderList } from './headers.ts';
import type { GatewayRequest } from './message.ts';

function trusted(...items: string[]): TrustedProxies {
  const parsed = TrustedProxies.parse(items);
  if (!parsed.ok) throw new Error(parsed.item);
  return parsed.value;
}

function request(peerAddress: string, ...raw: string[]): GatewayRequest {
  return {
    method: 'GET',
    target: '/',
    httpVersion: '1.1',
    scheme: 'http',
    headers: new HeaderList(raw),
    body: null,
    peerAddress,
    peerPort: 50_000,
    localAddress: '192.0.2.2',
    localPort: 8000,
    tls: null,
    abort: { aborted: false, onAbort: () => () => {} },
    sendInterim: null,
    upgrade: null,
  };
}

const CLAIMS = [
  'Host',
  'Gateway.Example:8000',
  'X-Forwarded-For',
  '203.0.113.9, 198.51.100.7',
  'X-Forwarded-Proto',
  'HTTPS',
  'X-Forwarded-Host',
  'Public.Example',
  'X-Forwarded-Port',
  '443',
  'X-Forwarded-Path',
  '/public',
  'X-Forwarded-Prefix',
  '/pre',
];

const OWN: ClientFacts = {
  address: '192.0.2.1',
  scheme: 'http',
  host: 'gateway.example',
  port: 8000,
  path: null,
  prefix: null,
  isPeerTrusted: false,
};

describe('resolveClient', () => {
  it('believes nobody by default', () => {
    expect(resolveClient(request('192.0.2.1', ...CLAIMS), TrustedProxies.NONE)).toEqual(OWN);
  });

  it('believes no stranger', () => {
    expect(resolveClient(request('192.0.2.1', ...CLAIMS), trusted('10.0.0.0/8'))).toEqual(OWN);
  });

  it('believes a named proxy', () => {
    expect(resolveClient(request('10.1.1.1', ...CLAIMS), trusted('10.0.0.0/8'))).toEqual({
      address: '198.51.100.7',
      scheme: 'https',
      host: 'public.example',
      port: 443,
      path: '/public',
      prefix: '/pre',
      isPeerTrusted: true,
    });
  });

  it.each([
    // The rightmost that is not itself trusted; further left anybody may have written.
    ['1.1.1.1, 203.0.113.9', '203.0.113.9'],
    ['1.1.1.1, 203.0.113.9, 10.0.0.2', '203.0.113.9'],
    ['1.1.1.1, 10.0.0.3 , 10.0.0.2', '1.1.1.1'],
    ['10.0.0.3, 10.0.0.2', '10.0.0.3'],
    ['203.0.113.9:4711', '203.0.113.9'],
    ['[2001:db8::1]:4711', '2001:db8::1'],
    ['2001:DB8:0:0::1', '2001:db8::1'],
    ['::ffff:203.0.113.9', '203.0.113.9'],
    ['203.0.113.9, ::ffff:10.0.0.2', '203.0.113.9'],
    // What cannot be read cannot be followed.
    ['203.0.113.9, unknown', '10.1.1.1'],
    ['203.0.113.9, unknown, 10.0.0.2', '10.0.0.2'],
    ['', '10.1.1.1'],
  ])('finds the client in the chain %s: %s', (chain, address) => {
    const client = resolveClient(
      request('10.1.1.1', 'X-Forwarded-For', chain),
      trusted('10.0.0.0/8'),
    );

    expect(client.address).toBe(address);
  });

  it('reads several X-Forwarded-For fields as one chain', () => {
    const fields = ['x-forwarded-for', '1.1.1.1', 'X-Forwarded-For', '203.0.113.9'];

    expect(resolveClient(request('10.1.1.1', ...fields), trusted('10.1.1.1')).address).toBe(
      '203.0.113.9',
    );
  });

  it('follows a bounded number of proxies', () => {
    const chain = `203.0.113.9${', 10.0.0.2'.repeat(64)}`;

    expect(
      resolveClient(request('10.1.1.1', 'X-Forwarded-For', chain), trusted('10.0.0.0/8')).address,
    ).toBe('10.0.0.2');
  });

  it.each([
    [['X-Forwarded-Proto', 'https, http']],
    [['X-Forwarded-Proto', 'https', 'x-forwarded-proto', 'http']],
    [['X-Forwarded-Proto', 'ftp']],
    [['X-Forwarded-Host', 'a b']],
    [['X-Forwarded-Host', 'a, b']],
    [['X-Forwarded-Port', '0']],
    [['X-Forwarded-Port', '70000']],
    [['X-Forwarded-Port', '44x']],
    [['X-Forwarded-Prefix', 'no-slash']],
    [['X-Forwarded-Path', '/a b']],
  ])('takes %j, which is malformed or ambiguous, for none', (fields) => {
    const client = resolveClient(
      request('10.1.1.1', 'Host', 'gateway.example', ...fields),
      trusted('10.0.0.0/8'),
    );

    expect(client).toEqual({ ...OWN, address: '10.1.1.1', isPeerTrusted: true });
  });
});

describe('TrustedProxies.parse', () => {
  it('names the item that it cannot read', () => {
    expect(TrustedProxies.parse(['10.0.0.0/8', 'ten'])).toEqual({ ok: false, item: 'ten' });
  });
});

describe('a client that a PROXY header names', () => {
  const parsed = TrustedProxies.parse(['10.0.0.0/8'], 'proxy_protocol');
  const proxies = parsed.ok ? parsed.value : TrustedProxies.NONE;

  it('is believed of trusted peers, and of no field of a request', () => {
    expect(proxies.believesConnectionOf('10.1.2.3')).toBe(true);
    expect(proxies.believesConnectionOf('192.0.2.1')).toBe(false);
    expect(trusted('10.0.0.0/8').believesConnectionOf('10.1.2.3')).toBe(false);

    const claims = ['proxy_protocol', '203.0.113.9', 'X-Forwarded-For', '203.0.113.9'];
    expect(resolveClient(request('10.1.2.3', ...claims), proxies).address).toBe('10.1.2.3');
  });
});
