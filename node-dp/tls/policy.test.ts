import { describe, expect, it } from 'vitest';
import { parseSessionTimeout, parseTlsProtocols } from '#shared/settings/tls.ts';
import { readPolicy } from './policy.ts';
import { settingsOf } from './tls.suite.ts';

describe('versions of TLS', () => {
  it.each([
    ['TLSv1.2 TLSv1.3', ['TLSv1.2', 'TLSv1.3']],
    ['TLSv1.3', ['TLSv1.3']],
    [' TLSv1.3  TLSv1.2 TLSv1.1', ['TLSv1.1', 'TLSv1.2', 'TLSv1.3']],
    ['TLSv1.1 TLSv1.3', null],
    ['TLSv1.2 SSLv3', null],
    ['', null],
  ])('of %j are %j', (text, versions) => {
    expect(parseTlsProtocols(text)).toEqual(versions);
  });
});

describe('a session timeout', () => {
  it.each([
    ['1d', 86_400],
    ['7d', 604_800],
    ['90', 90],
    ['5m', 300],
    ['2h', 7200],
    ['8d', null],
    ['0', null],
    ['1w', null],
    ['-1', null],
    ['', null],
  ])('%j is %j seconds', (text, seconds) => {
    expect(parseSessionTimeout(text)).toBe(seconds);
  });
});

describe('a policy', () => {
  it.each([
    ['modern', 'TLSv1.3', 'TLSv1.3'],
    ['intermediate', 'TLSv1.2', 'TLSv1.3'],
    ['old', 'TLSv1.1', 'TLSv1.3'],
    ['fips', 'TLSv1.2', 'TLSv1.3'],
  ])('of the suite %s allows %s to %s', (suite, minVersion, maxVersion) => {
    const policy = readPolicy(settingsOf({ HEADGATE_SSL_CIPHER_SUITE: suite }));
    expect(policy).toMatchObject({ minVersion, maxVersion });
  });

  it('is what the settings say when it is custom', () => {
    const policy = readPolicy(
      settingsOf({
        HEADGATE_SSL_CIPHER_SUITE: 'custom',
        HEADGATE_SSL_CIPHERS: 'ECDHE-RSA-AES128-GCM-SHA256',
        HEADGATE_SSL_PROTOCOLS: 'TLSv1.2',
        HEADGATE_SSL_PREFER_SERVER_CIPHERS: 'off',
        HEADGATE_SSL_SESSION_TIMEOUT: '10m',
      }),
    );
    expect(policy).toMatchObject({
      minVersion: 'TLSv1.2',
      maxVersion: 'TLSv1.2',
      ciphers: 'ECDHE-RSA-AES128-GCM-SHA256',
      honorCipherOrder: false,
      sessionTimeout: 600,
    });
  });

  it.each([
    ['no ciphers', {}, /HEADGATE_SSL_CIPHERS.*custom/],
    [
      'ciphers that nobody knows',
      { HEADGATE_SSL_CIPHERS: 'NONESUCH' },
      /HEADGATE_SSL_CIPHERS is "NONESUCH"/,
    ],
    [
      'a version that nobody knows',
      { HEADGATE_SSL_PROTOCOLS: 'SSLv3' },
      /HEADGATE_SSL_PROTOCOLS is "SSLv3"/,
    ],
  ])('is refused with %s', (_what, env, message) => {
    const settings = { HEADGATE_SSL_CIPHER_SUITE: 'custom', ...env };
    expect(() => readPolicy(settingsOf(settings))).toThrow(message);
  });

  it('needs no ciphers when there is TLS 1.3 only', () => {
    const settings = { HEADGATE_SSL_CIPHER_SUITE: 'custom', HEADGATE_SSL_PROTOCOLS: 'TLSv1.3' };
    expect(readPolicy(settingsOf(settings)).minVersion).toBe('TLSv1.3');
  });
});
