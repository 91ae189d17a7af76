import { execFileSync } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { hasOpenssl } from '../../../../test/support/openssl.ts';
import { selfSigned } from './self-signed.ts';

const HOSTS = ['localhost', 'a.example', '127.0.0.1', '::1'];
const REQUEST = {
  name: 'Headgate — tëst',
  hosts: HOSTS,
  notBefore: new Date('2026-01-02T03:04:05Z'),
  notAfter: new Date('2036-02-03T04:05:06Z'),
};

describe('a self-signed certificate', () => {
  const { cert, key } = selfSigned(REQUEST);
  const parsed = new X509Certificate(cert);

  it('is one, by its own key', () => {
    expect(parsed.verify(parsed.publicKey)).toBe(true);
    expect(parsed.issuer).toBe(parsed.subject);
    expect(parsed.checkPrivateKey(createPrivateKey(key))).toBe(true);
    expect(parsed.ca).toBe(false);
    expect(parsed.subject).toBe('CN=Headgate — tëst');
    expect(parsed.publicKey.asymmetricKeyDetails).toEqual({ namedCurve: 'prime256v1' });
  });

  it('is good for the hosts it names, and for serving', () => {
    for (const host of ['localhost', 'a.example']) expect(parsed.checkHost(host)).toBe(host);
    expect(parsed.checkHost('b.example')).toBe(undefined);
    for (const address of ['127.0.0.1', '::1']) expect(parsed.checkIP(address)).toBe(address);
    expect(parsed.checkIP('127.0.0.2')).toBe(undefined);
    expect(parsed.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1']);
  });

  it('is valid from when to when it was asked for', () => {
    expect(parsed.validFromDate).toEqual(REQUEST.notBefore);
    expect(parsed.validToDate).toEqual(REQUEST.notAfter);
    const far = { ...REQUEST, notAfter: new Date('2051-01-01T00:00:00Z') };
    expect(new X509Certificate(selfSigned(far).cert).validToDate).toEqual(far.notAfter);
  });

  it('has a number and a key of its own', () => {
    const other = new X509Certificate(selfSigned(REQUEST).cert);
    expect(other.serialNumber).not.toBe(parsed.serialNumber);
    expect(other.serialNumber).toMatch(/^[4-7][0-9A-F]{31}$/);
    expect(other.publicKey.equals(parsed.publicKey)).toBe(false);
  });

  it('has as many hosts as it is given', () => {
    const hosts = Array.from({ length: 60 }, (_, i) => `host-${i}.example`);
    const many = new X509Certificate(selfSigned({ ...REQUEST, hosts }).cert);
    expect(many.checkHost('host-59.example')).toBe('host-59.example');
  });

  it.skipIf(!hasOpenssl())('is understood by OpenSSL', () => {
    const folder = mkdtempSync(join(tmpdir(), 'headgate-x509-'));
    const path = join(folder, 'cert.pem');
    writeFileSync(path, cert);
    const text = execFileSync('openssl', ['x509', '-in', path, '-noout', '-text']).toString();
    execFileSync('openssl', ['verify', '-purpose', 'sslserver', '-CAfile', path, path]);
    rmSync(folder, { recursive: true });
    expect(text).toMatch(/Version: 3 /);
    expect(text).toMatch(/X509v3 Key Usage: critical\s+Digital Signature\s/);
    expect(text).toMatch(/X509v3 Basic Constraints: critical\s+CA:FALSE/);
    expect(text).toMatch(/TLS Web Server Authentication/);
  });
});
