import { describe, expect, it } from 'vitest';
import { formatHost, parseHost } from './host.ts';

describe('a host with an optional port', () => {
  it.each([
    ['example.com', 'name', 'example.com', null],
    ['example.com.', 'name', 'example.com.', null],
    ['my_host-1:80', 'name', 'my_host-1', 80],
    ['001.002.003.004', 'ipv4', '1.2.3.4', null],
    ['1.2.3.4:65535', 'ipv4', '1.2.3.4', 65_535],
    ['::1', 'ipv6', '0000:0000:0000:0000:0000:0000:0000:0001', null],
    ['[FE80::1]:443', 'ipv6', 'fe80:0000:0000:0000:0000:0000:0000:0001', 443],
    ['::', 'ipv6', '0000:0000:0000:0000:0000:0000:0000:0000', null],
    ['1:2:3:4:5:6:7:8', 'ipv6', '0001:0002:0003:0004:0005:0006:0007:0008', null],
  ])('reads %s', (text, kind, host, port) => {
    expect(parseHost(text)).toEqual({ ok: true, host: { kind, host, port } });
  });

  it.each([
    ['', 'invalid hostname: '],
    ['a b', 'invalid hostname: a b'],
    ['a..b', 'invalid hostname: a..b'],
    ['.a', 'invalid hostname: .a'],
    ['a-.b', 'invalid hostname: a-.b'],
    ['a:b', 'invalid hostname: a:b'],
    ['a:65536', 'invalid port number'],
    ['1.2.3', 'invalid ipv4 address: 1.2.3'],
    ['1.2.3.256', 'invalid ipv4 address: 1.2.3.256'],
    ['1.2.3.4:65536', 'invalid port number'],
    ['1:2:3', 'invalid ipv6 address: 1:2:3'],
    ['1::2::3', 'invalid ipv6 address: 1::2::3'],
    ['[::1]:', 'invalid ipv6 address'],
    ['[::1]:70000', 'invalid port number'],
    ['1:2:3:4:5:6:7::8', 'invalid ipv6 address: 1:2:3:4:5:6:7::8'],
  ])('refuses %j', (text, error) => {
    expect(parseHost(text)).toEqual({ ok: false, error });
  });

  it('is written in one way, with a port', () => {
    const written = ['a.b', '1.2.3.4:1', '::1'].map((text) => {
      const parsed = parseHost(text);
      return parsed.ok ? formatHost(parsed.host, 8000) : null;
    });

    expect(written).toEqual([
      'a.b:8000',
      '1.2.3.4:1',
      '[0000:0000:0000:0000:0000:0000:0000:0001]:8000',
    ]);
  });
});
