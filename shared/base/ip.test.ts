import { describe, expect, it } from 'vitest';
import { formatIp, isInCidr, parseCidr, parseIp } from './ip.ts';

describe('parseIp', () => {
  it.each([
    [
      '10.1.2.3',
      '::ffff:10.1.2.3',
      '::FFFF:0a01:0203',
      '0:0:0:0:0:ffff:10.1.2.3',
      '[::ffff:a01:203]',
    ],
    ['::1', '0:0:0:0:0:0:0:1', '0000:0000::0001', '[::1]', '::0.0.0.1'],
    ['2001:db8::1', '2001:0DB8:0:0::1', '2001:db8:0:0:0:0:0:1', '2001:db8::0:1'],
    ['::', '0::0', '0:0:0:0:0:0:0:0'],
  ])('reads all spellings of %s as one number', (first, ...others) => {
    for (const spelling of others) expect(parseIp(spelling), spelling).toBe(parseIp(first));
    expect(formatIp(parseIp(first) ?? 0n)).toBe(first);
  });

  it.each([
    '',
    ' ',
    '1.2.3',
    '1.2.3.4.5',
    '256.1.1.1',
    '01.2.3.4',
    '0x1.2.3.4',
    '1.2.3.4 ',
    '16909060',
    ':',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7:8::',
    'g::1',

    '12345::',
    '::1%eth0',
    '[::1',
    '::1]',
    '1.2.3.4::',
    '::1.2.3.4:5',
    '::256.1.1.1',
    'localhost',
    '1'.repeat(100),
  ])('refuses %j', (text) => {
    expect(parseIp(text)).toBeNull();
  });
});

describe('formatIp', () => {
  it.each([
    ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
    ['1:0:2:3:4:5:6:7', '1:0:2:3:4:5:6:7'],
    ['1:2:3:4:5:6:0:0', '1:2:3:4:5:6::'],
  ])('shortens %s as RFC 5952 has it', (text, expected) => {
    expect(formatIp(parseIp(text) ?? 0n)).toBe(expected);
  });
});

describe('parseCidr', () => {
  it.each([
    ['10.0.0.0/8', '10.255.1.1', true],
    ['10.0.0.0/8', '::ffff:10.1.1.1', true],
    ['10.0.0.0/8', '11.0.0.0', false],
    ['10.1.2.3/8', '10.9.9.9', true],
    ['10.1.2.3', '10.1.2.3', true],
    ['10.1.2.3', '10.1.2.4', false],
    ['0.0.0.0/0', '255.255.255.255', true],
    ['0.0.0.0/0', '2001:db8::1', false],
    ['::/0', '1.2.3.4', true],
    ['2001:db8::/33', '2001:db8:7fff::1', true],
    ['2001:db8::/33', '2001:db8:8000::1', false],
    ['::ffff:10.0.0.0/104', '10.2.3.4', true],
  ])('%s holds %s: %s', (network, address, expected) => {
    const cidr = parseCidr(network);
    expect(cidr !== null && isInCidr(parseIp(address) ?? -1n, cidr)).toBe(expected);
  });

  it.each([
    '10.0.0.0/33',
    '::/129',
    '10.0.0.0/',
    '10.0.0.0/-1',
    '10.0.0.0/08',
    '/8',
    'x/8',
    '1.2.3.4/8/8',
  ])('refuses %s', (text) => {
    expect(parseCidr(text)).toBeNull();
  });
});
