import { describe, expect, it } from 'vitest';
import { clientCertificateOf } from './client-certificate.ts';

const TOLD = {
  certPresented: '1',
  certVerified: 'SUCCESS',
  certSubjectDNRFC2253: 'CN=client,O=Headgate',
  certIssuerDNRFC2253: 'CN=root,O=Headgate',
  certSerial: '0a1b',
  certFingerprintSHA256: 'AB'.repeat(32),
  certRFC9440: `:${btoa('x'.repeat(60))}:`,
};

describe('a client’s certificate', () => {
  it('is what the platform tells of it', () => {
    expect(clientCertificateOf(TOLD)).toEqual({
      subject: 'CN=client,O=Headgate',
      issuer: 'CN=root,O=Headgate',
      serial: '0A1B',
      fingerprint: 'ab'.repeat(32),
      fault: null,
      pem: `-----BEGIN CERTIFICATE-----\n${'eHh4'.repeat(16)}\n${'eHh4'.repeat(4)}\n-----END CERTIFICATE-----\n`,
    });
  });

  it.each([
    ['FAILED:self signed certificate', 'self signed certificate'],
    ['NONE', 'NONE'],
    ['', 'not verified'],
  ])('that was not found good (%j) has a fault', (certVerified, fault) => {
    expect(clientCertificateOf({ ...TOLD, certVerified })?.fault).toBe(fault);
  });

  it('is none where none was presented, or nothing is told', () => {
    for (const told of [{ ...TOLD, certPresented: '0' }, {}, null, undefined, 'x']) {
      expect(clientCertificateOf(told)).toBeNull();
    }
  });

  it('has no PEM where the platform shows none', () => {
    expect(clientCertificateOf({ ...TOLD, certRFC9440: '' })?.pem).toBeNull();
  });
});
