import { BlockList } from 'node:net';
import { describe, expect, it } from 'vitest';
import { REGISTRY } from '#shared/registry.ts';
import { auditedPath, secretSegments } from './audited-path.ts';
import { forwardedFor } from './forwarded.ts';

const secrets = secretSegments(REGISTRY.entities);
const path = (target: string) => auditedPath(new URL(`http://x${target}`), secrets);
const ID = '3b5ac3f6-8a1e-4f0e-9d5b-5b3d6f6f0c11';

describe('a path in the audit', () => {
  it.each([
    '/services/my-service/routes',
    '/consumers/bob/key-auth',
    `/key-auths/${ID}`,
    `/team-a/consumers/bob/key-auth/${ID}`,
    '/plugins',
    '/',
  ])('is %s as it was sent', (target) => expect(path(target)).toBe(target));

  it.each([
    ['/key-auths/s3cret', '/key-auths/***'],
    ['/key-auths/s3cret/consumer', '/key-auths/***/consumer'],
    ['/consumers/bob/key-auth/s3cret', '/consumers/bob/key-auth/***'],
    ['/team-a/consumers/bob/key-auth/s3cret/', '/team-a/consumers/bob/key-auth/***/'],
    ['/consumers/bob/KEY-AUTH/s3cret', '/consumers/bob/KEY-AUTH/***'],
    ['/consumers/bob/key%2Dauth/s3cret', '/consumers/bob/key%2Dauth/***'],
    ['/key-auths//s3cret', '/key-auths//***'],
    ['/key-auths/%zz', '/key-auths/***'],
    ['/consumers/bob/key-auth%2Fs3cret', '/consumers/bob/***'],
    ['/keyauth_credentials/s3cret', '/keyauth_credentials/***'],
  ])('never shows a key: %s', (target, shown) => expect(path(target)).toBe(shown));

  it('names what was asked, and no value', () => {
    expect(path('/services?size=3&tags=a%20b&s3cret%20value')).toBe('/services?size&tags');
    expect(path('/services?dry_run=true&dry_run=x')).toBe('/services?dry_run');
  });

  it('is bounded', () => {
    expect(path(`/services/${'a'.repeat(5_000)}`)).toHaveLength(2_000);
    const many = Array.from({ length: 100 }, (_, i) => `a${i}=1`).join('&');
    expect(path(`/?${many}`).split('&')).toHaveLength(20);
  });
});

describe('the client behind a terminator', () => {
  const trusted = new BlockList();
  trusted.addSubnet('10.0.0.0', 8, 'ipv4');

  it('is the last address that is no terminator’s', () => {
    const header = '1.1.1.1, 203.0.113.9, 10.0.0.4';
    expect(forwardedFor(header, '10.0.0.5', trusted)).toBe('203.0.113.9');
    expect(forwardedFor('2001:db8::1', '10.0.0.5', trusted)).toBe('2001:db8::1');
  });

  it('is unknown when nobody who is trusted says so', () => {
    expect(forwardedFor('203.0.113.9', '203.0.113.1', trusted)).toBe(null);
    expect(forwardedFor(null, '10.0.0.5', trusted)).toBe(null);
    expect(forwardedFor('10.0.0.9', '10.0.0.5', trusted)).toBe(null);
    expect(forwardedFor('1.1.1.1, nonsense', '10.0.0.5', trusted)).toBe(null);
  });
});
