/** The root key: a seed of 32 bytes in a file; both halves come from it. */
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { must } from '#shared/base/assert.ts';
import { fromBase64url } from '#shared/base/bytes.ts';
import type { RawKeyPair } from '#shared/platform/platform.ts';

export function rootKeyPair(seed: Uint8Array): RawKeyPair {
  return { privateKey: seed, publicKey: publicKeyOf(seed) };
}

/** PKCS#8 head of an Ed25519 seed. */
const PKCS8_ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex');

function publicKeyOf(seed: Uint8Array): Uint8Array {
  const key = createPrivateKey({
    key: Buffer.concat([PKCS8_ED25519, seed]),
    format: 'der',
    type: 'pkcs8',
  });
  const { x } = createPublicKey(key).export({ format: 'jwk' });
  return must(fromBase64url(x ?? ''), 'a public key');
}
