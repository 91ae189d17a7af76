/**
 * Sealing: only the holder of a private key can read it, nobody can tell who wrote it.
 *
 * A fresh X25519 key pair per message agrees with the recipient's public key; HKDF-SHA-256 makes an
 * AES-256-GCM key and nonce that are used once. The idea is that of HPKE's base mode (RFC 9180), not
 * its encoding.
 */
import { base64url, concat, fromBase64url, utf8 } from '../base/bytes.ts';
import type { Crypto } from '../platform/platform.ts';

const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const DOMAIN = 'headgate-seal-v1\n';

/**
 * @param recipientPublicKey  X25519, 32 bytes
 * @param info  what it is and for whom; `open` must be given the same
 * @returns base64url of the ephemeral public key, the ciphertext and its tag
 */
export async function seal(
  recipientPublicKey: Uint8Array,
  plaintext: Uint8Array,
  info: string,
  crypto: Crypto,
): Promise<string> {
  const ephemeral = await crypto.generateSealingKey();
  const shared = await crypto.agree(ephemeral.privateKey, recipientPublicKey);
  const { key, nonce } = await deriveOnce(shared, ephemeral.publicKey, info, crypto);
  const sealed = await crypto.encrypt(key, nonce, utf8(DOMAIN + info), plaintext);
  return base64url(concat(ephemeral.publicKey, sealed));
}

/**
 * @param privateKey  X25519, of whom it was sealed to
 * @returns null when it was not sealed to this key with this info, or was changed since
 */
export async function open(
  privateKey: Uint8Array,
  sealed: string,
  info: string,
  crypto: Crypto,
): Promise<Uint8Array | null> {
  const bytes = fromBase64url(sealed);
  if (bytes === null || bytes.length < KEY_BYTES + TAG_BYTES) return null;
  const ephemeral = bytes.subarray(0, KEY_BYTES);
  let shared: Uint8Array;
  try {
    shared = await crypto.agree(privateKey, ephemeral);
  } catch {
    return null; // A public key of low order: nobody honest has one.
  }
  const { key, nonce } = await deriveOnce(shared, ephemeral, info, crypto);
  return crypto.decrypt(key, nonce, utf8(DOMAIN + info), bytes.subarray(KEY_BYTES));
}

async function deriveOnce(
  shared: Uint8Array,
  ephemeral: Uint8Array,
  info: string,
  crypto: Crypto,
): Promise<{ key: Uint8Array; nonce: Uint8Array }> {
  const bytes = await crypto.derive(shared, ephemeral, DOMAIN + info, KEY_BYTES + NONCE_BYTES);
  return { key: bytes.subarray(0, KEY_BYTES), nonce: bytes.subarray(KEY_BYTES) };
}
