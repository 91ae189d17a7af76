/** Certificates and keys out of PEM text; null for what is none. Nothing of it gets into a message. */
import {
  createPrivateKey,
  createPublicKey,
  type JsonWebKey,
  type KeyObject,
  X509Certificate,
} from 'node:crypto';

const CERTIFICATE = '-----BEGIN CERTIFICATE-----';

/** The first certificate of a text, which is the leaf of a chain. */
export function parseCertificate(text: string): X509Certificate | null {
  // Only PEM: given anything else, the parser guesses at DER.
  if (!text.includes(CERTIFICATE)) return null;
  return attempt(() => new X509Certificate(text));
}

export function countCertificates(text: string): number {
  return text.split(CERTIFICATE).length - 1;
}

export function parsePrivateKey(text: string): KeyObject | null {
  return attempt(() => createPrivateKey({ key: text, format: 'pem' }));
}

/** Only of a public key: a private key in its place would be shown where public ones are. */
export function parsePublicKey(text: string): KeyObject | null {
  if (!/-----BEGIN (RSA )?PUBLIC KEY-----/.test(text)) return null;
  return attempt(() => createPublicKey({ key: text, format: 'pem' }));
}

/** An asymmetric key, public or private. */
export function parseJwk(jwk: JsonWebKey): KeyObject | null {
  return 'd' in jwk
    ? attempt(() => createPrivateKey({ key: jwk, format: 'jwk' }))
    : attempt(() => createPublicKey({ key: jwk, format: 'jwk' }));
}

/** Whether a public key is that of a private key. */
export function isPair(publicKey: KeyObject, privateKey: KeyObject): boolean {
  return createPublicKey(privateKey).equals(publicKey);
}

function attempt<T>(parse: () => T): T | null {
  try {
    return parse();
  } catch {
    return null; // What the parser says of a text that is no key is of no use to whoever sent it.
  }
}
