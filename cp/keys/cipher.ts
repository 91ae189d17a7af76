/**
 * AES-256-GCM with a random nonce, synchronous. A sealed value is bound to where it stands: its
 * table, field and row are authenticated, so that a ciphertext moved elsewhere does not open.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { fromUtf8, utf8 } from '#shared/base/bytes.ts';

const FORMAT = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEAD_BYTES = 1 + NONCE_BYTES;

/** A ciphertext that does not open: wrong key, wrong place, or changed. */
export class CipherError extends Error {
  override readonly name = 'CipherError';
}

/** Where a ciphertext stands. */
export type Place = readonly [table: string, field: string, id: string];

/** @returns format byte, nonce, ciphertext, tag */
export function sealBytes(key: Uint8Array, place: Place, data: Uint8Array): Uint8Array {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(utf8(place.join('\n')));
  const body = cipher.update(data);
  return new Uint8Array(
    Buffer.concat([Uint8Array.of(FORMAT), nonce, body, cipher.final(), cipher.getAuthTag()]),
  );
}

/** @throws CipherError */
export function openBytes(key: Uint8Array, place: Place, sealed: Uint8Array): Uint8Array {
  if (sealed.length < HEAD_BYTES + TAG_BYTES || sealed[0] !== FORMAT) {
    throw new CipherError(`${place[0]}.${place[1]}: not a ciphertext of this release`);
  }
  const end = sealed.length - TAG_BYTES;
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(1, HEAD_BYTES));
  decipher.setAAD(utf8(place.join('\n')));
  decipher.setAuthTag(sealed.subarray(end));
  try {
    const body = decipher.update(sealed.subarray(HEAD_BYTES, end));
    return new Uint8Array(Buffer.concat([body, decipher.final()]));
  } catch (cause) {
    throw new CipherError(`${place[0]}.${place[1]} of ${place[2]} does not open`, { cause });
  }
}

export function sealText(key: Uint8Array, place: Place, text: string): Uint8Array {
  return sealBytes(key, place, utf8(text));
}

/** @throws CipherError */
export function openText(key: Uint8Array, place: Place, sealed: Uint8Array): string {
  return fromUtf8(openBytes(key, place, sealed));
}

/** HKDF-SHA-256. */
export function deriveKey(secret: Uint8Array, salt: string, info: string): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', secret, utf8(salt), info, 32));
}
