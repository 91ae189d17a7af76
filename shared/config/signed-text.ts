/** Texts that are signed as they stand, each for one purpose only. */
import { base64url, fromBase64url, utf8 } from '../base/bytes.ts';
import type { Crypto } from '../platform/platform.ts';

/**
 * First line of what is signed. It keeps a signature made for one purpose from being passed off as
 * one made for another.
 */
export const DOMAIN = {
  keys: 'headgate-keys-v1\n',
  manifest: 'headgate-manifest-v1\n',
  session: 'headgate-session-v1\n',
  enrol: 'headgate-enrol-v1\n',
  rejoin: 'headgate-rejoin-v1\n',
  rotate: 'headgate-rotate-v1\n',
  freshness: 'headgate-freshness-v1\n',
} as const;

export type Domain = (typeof DOMAIN)[keyof typeof DOMAIN];

/** Ed25519, base64url. */
export async function signText(
  domain: Domain,
  text: string,
  privateKey: Uint8Array,
  crypto: Crypto,
): Promise<string> {
  return base64url(await crypto.sign(privateKey, utf8(domain + text)));
}

/** False for a signature that is none, never an exception. */
export async function verifyText(
  domain: Domain,
  signed: { readonly text: string; readonly signature: string },
  publicKey: Uint8Array,
  crypto: Crypto,
): Promise<boolean> {
  const signature = fromBase64url(signed.signature);
  if (signature === null) return false;
  return crypto.verify(publicKey, signature, utf8(domain + signed.text));
}

/** What a text says; null when it is no JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
