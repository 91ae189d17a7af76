import { describe, expect, it } from 'vitest';
import { ADDRESSES_COUNT_MAX, mergeAddresses, parseAddress } from './address.ts';

describe('an address', () => {
  it.each([
    ['wss://cp.test', 'wss://cp.test/headgate/v1/sync', 'cp.test', false],
    ['wss://cp.test/', 'wss://cp.test/headgate/v1/sync', 'cp.test', false],
    ['wss://CP.test:443/cluster/', 'wss://CP.test:443/cluster/headgate/v1/sync', 'cp.test', false],
    ['wss://cp.test:8005', 'wss://cp.test:8005/headgate/v1/sync', 'cp.test:8005', false],
    ['ws://127.0.0.1:80', 'ws://127.0.0.1:80/headgate/v1/sync', '127.0.0.1', false],
    ['ws://[::1]:8005', 'ws://[::1]:8005/headgate/v1/sync', '[::1]:8005', false],
    ['https://cp.test', 'https://cp.test/headgate/v1/pull', 'cp.test', true],
    ['wss://cp.test/headgate/v1/sync', 'wss://cp.test/headgate/v1/sync', 'cp.test', false],
  ])('%s leads to %s with the host %s', (text, url, host, isPull) => {
    expect(parseAddress(text)).toMatchObject({ url, host, isPull });
  });

  it.each([
    '',
    'cp.test',
    'ftp://cp.test',
    'wss://',
    'wss://user@cp.test',
    'wss://cp.test?x',
    'wss://a b',
  ])('is none: %j', (text) => {
    expect(parseAddress(text)).toBeNull();
  });
});

describe('addresses that were told', () => {
  it('come behind the configured ones, once each, and encrypted only', () => {
    const told = ['ws://evil.test', 'http://evil.test', 'wss://b', 'wss://a', 'https://c', 'junk'];
    expect(mergeAddresses(['ws://127.0.0.1:8005', 'wss://a'], told)).toEqual([
      'ws://127.0.0.1:8005',
      'wss://a',
      'wss://b',
      'https://c',
    ]);
  });

  it('are not more than can be tried', () => {
    const told = Array.from({ length: 100 }, (_, i) => `wss://cp${i}`);
    expect(mergeAddresses(['wss://mine'], told)).toHaveLength(ADDRESSES_COUNT_MAX);
    expect(mergeAddresses(['wss://mine'], told)[0]).toBe('wss://mine');
  });
});
