/** The client's certificate as Cloudflare tells of it, where a zone asks for one. */
import type { PeerCertificate } from '#shared/http/message.ts';

/** @param told  `cf.tlsClientAuth` of a request */
export function clientCertificateOf(told: unknown): PeerCertificate | null {
  if (typeof told !== 'object' || told === null) return null;
  const text = (name: string): string => {
    const value: unknown = Reflect.get(told, name);
    return typeof value === 'string' ? value : '';
  };
  if (text('certPresented') !== '1') return null;
  const verified = text('certVerified');
  return {
    subject: text('certSubjectDNRFC2253') || text('certSubjectDN'),
    issuer: text('certIssuerDNRFC2253') || text('certIssuerDN'),
    serial: text('certSerial').toUpperCase(),
    fingerprint: text('certFingerprintSHA256').toLowerCase(),
    // `FAILED:self signed certificate` and the like.
    fault: verified === 'SUCCESS' ? null : verified.replace(/^FAILED:/, '') || 'not verified',
    pem: pemOf(text('certRFC9440')),
  };
}

/** RFC 9440 has the DER between colons, in base64. */
function pemOf(field: string): string | null {
  const [, base64] = /^:([A-Za-z0-9+/=]+):$/.exec(field) ?? [];
  if (base64 === undefined) return null;
  const lines = base64.match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}
