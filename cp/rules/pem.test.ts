import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { EXPIRED_AUTHORITY } from '../../test/support/certificates.ts';
import {
  countCertificates,
  isPair,
  parseCertificate,
  parseJwk,
  parsePrivateKey,
  parsePublicKey,
} from './pem.ts';

const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });

function pem(key: KeyObject, type: 'spki' | 'pkcs8' | 'pkcs1'): string {
  return key.type === 'public'
    ? key.export({ type: type === 'pkcs8' ? 'spki' : type, format: 'pem' }).toString()
    : key.export({ type: type === 'spki' ? 'pkcs8' : type, format: 'pem' }).toString();
}

describe('a certificate', () => {
  it('is the first one of a text, whatever stands before it', () => {
    const text = `subject=/CN=a\n${EXPIRED_AUTHORITY}${EXPIRED_AUTHORITY}`;
    expect(parseCertificate(text)?.ca).toBe(true);
    expect(countCertificates(text)).toBe(2);
  });

  it.each([
    ['nothing', ''],
    ['a key', pem(publicKey, 'spki')],
    ['half of one', EXPIRED_AUTHORITY.slice(0, 300)],
    ['rubbish', '-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----'],
  ])('is not %s', (_, text) => {
    expect(parseCertificate(text)).toBeNull();
  });
});

describe('a key', () => {
  it.each(['spki', 'pkcs1'] as const)('may be public, as %s', (type) => {
    expect(parsePublicKey(pem(publicKey, type))?.equals(publicKey)).toBe(true);
    expect(parsePrivateKey(pem(publicKey, type))).toBeNull();
  });

  it.each(['pkcs8', 'pkcs1'] as const)('may be private, as %s', (type) => {
    expect(parsePrivateKey(pem(privateKey, type))?.equals(privateKey)).toBe(true);
    expect(parsePublicKey(pem(privateKey, type))).toBeNull();
  });

  it('is not one behind a passphrase', () => {
    const options = { cipher: 'aes-256-cbc', passphrase: 'x' };
    const text = privateKey.export({ type: 'pkcs8', format: 'pem', ...options }).toString();
    expect(parsePrivateKey(text)).toBeNull();
  });

  it('has one other half', () => {
    const other = generateKeyPairSync('ed25519');
    expect(isPair(publicKey, privateKey)).toBe(true);
    expect(isPair(other.publicKey, privateKey)).toBe(false);
  });

  it('may be a JWK, public or private, of no symmetric kind', () => {
    expect(parseJwk(publicKey.export({ format: 'jwk' }))?.type).toBe('public');
    expect(parseJwk(privateKey.export({ format: 'jwk' }))?.type).toBe('private');
    expect(parseJwk({ kty: 'oct', k: 'AQ' })).toBeNull();
    expect(parseJwk({})).toBeNull();
  });
});
