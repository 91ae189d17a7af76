/**
 * AES-256-GCM with a random nonce, synchronous. A sealed value is bound to where it stands: its
 * table, field and row are authenticated, so that a ciphertext moved elsewhere does not open.
 *
 * Two formats: 1 is format byte, nonce, ciphertext, tag. 2 has the key's generation (4 bytes, big
 * endian) after the format byte, authenticated as well; what is of format 1 is of generation 1.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { concat, fromUtf8, utf8 } from '#shared/base/bytes.ts';

const FORMAT = 1;
const FORMAT_GENERATION = 2;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
export const GENERATION_BYTES = 4;

/** A ciphertext that does not open: wrong key, wrong place, or changed. */
export class CipherError extends Error {
  override readonly name = 'CipherError';
}

/** Where a ciphertext stands. */
export type Place = readonly [table: string, field: string, id: string];

/** With a key that has no generations. */
export function sealBytes(key: Uint8Array, place: Place, data: Uint8Array): Uint8Array {
  return seal(key, place, 1, data);
}

/** @throws CipherError */
export function openBytes(key: Uint8Array, place: Place, sealed: Uint8Array): Uint8Array {
  if (generationOf(place, sealed) !== 1) throw new CipherError(`${nameOf(place)}: not of this key`);
  return open(key, place, sealed);
}

/** @param generation  which generation `key` is of, from 1 */
export function sealText(
  key: Uint8Array,
  place: Place,
  generation: number,
  text: string,
): Uint8Array {
  return seal(key, place, generation, utf8(text));
}

/** @param key  of the generation that `generationOf` names @throws CipherError */
export function openText(key: Uint8Array, place: Place, sealed: Uint8Array): string {
  return fromUtf8(open(key, place, sealed));
}

/** Which generation of the key opens it, as it says itself. @throws CipherError */
export function generationOf(place: Place, sealed: Uint8Array): number {
  const head = headOf(sealed);
  if (head === null || sealed.length < head.length + NONCE_BYTES + TAG_BYTES) {
    throw new CipherError(`${nameOf(place)}: not a ciphertext of this release`);
  }
  if (head.length === 1) return 1;
  return new DataView(head.buffer, head.byteOffset).getUint32(1);
}

/** A generation as it stands in ciphertexts and blind indexes. */
export function generationBytes(generation: number): Uint8Array {
  const bytes = new Uint8Array(GENERATION_BYTES);
  new DataView(bytes.buffer).setUint32(0, generation);
  return bytes;
}

/** HKDF-SHA-256. */
export function deriveKey(secret: Uint8Array, salt: string, info: string): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', secret, utf8(salt), info, 32));
}

function seal(key: Uint8Array, place: Place, generation: number, data: Uint8Array): Uint8Array {
  // Generation 1 keeps the format that the release before generations reads.
  const head =
    generation === 1
      ? Uint8Array.of(FORMAT)
      : concat(Uint8Array.of(FORMAT_GENERATION), generationBytes(generation));
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(authenticated(place, head));
  const body = cipher.update(data);
  return concat(head, nonce, body, cipher.final(), cipher.getAuthTag());
}

function open(key: Uint8Array, place: Place, sealed: Uint8Array): Uint8Array {
  const head = headOf(sealed) ?? new Uint8Array();
  const start = head.length + NONCE_BYTES;
  const end = sealed.length - TAG_BYTES;
  if (head.length === 0 || end < start) {
    throw new CipherError(`${nameOf(place)}: not a ciphertext of this release`);
  }
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(head.length, start));
  decipher.setAAD(authenticated(place, head));
  decipher.setAuthTag(sealed.subarray(end));
  try {
    return concat(decipher.update(sealed.subarray(start, end)), decipher.final());
  } catch (cause) {
    throw new CipherError(`${nameOf(place)} of ${place[2]} does not open`, { cause });
  }
}

function headOf(sealed: Uint8Array): Uint8Array | null {
  if (sealed[0] === FORMAT) return sealed.subarray(0, 1);
  if (sealed[0] === FORMAT_GENERATION) return sealed.subarray(0, 1 + GENERATION_BYTES);
  return null;
}

/** Format 1 has nothing of its head in it: its key exists in one generation only. */
function authenticated(place: Place, head: Uint8Array): Uint8Array {
  const where = utf8(place.join('\n'));
  return head.length === 1 ? where : concat(where, utf8('\n'), head);
}

function nameOf(place: Place): string {
  return `${place[0]}.${place[1]}`;
}
