/**
 * The Crypto port in workerd: digests and HMAC through its synchronous `node:crypto`, everything
 * with keys through WebCrypto. Keys travel as raw bytes.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { Crypto, RawKeyPair } from '#shared/platform/platform.ts';

const RAW_KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** HKDF-SHA-256 cannot give more than 255 blocks. */
const DERIVED_BYTES_MAX = 255 * 32;

/** DER in front of a raw private key; the last byte of the object id tells the curves apart. */
const PKCS8_PREFIX_BYTES = 16;
function pkcs8(curve: Curve, raw: Uint8Array): Uint8Array {
  if (raw.length !== RAW_KEY_BYTES) throw new RangeError(`${curve} private key must be 32 bytes`);
  const oid = curve === 'Ed25519' ? 0x70 : 0x6e;
  const head = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, oid, 4, 0x22, 4, 0x20];
  const der = new Uint8Array(PKCS8_PREFIX_BYTES + RAW_KEY_BYTES);
  der.set(head);
  der.set(raw, PKCS8_PREFIX_BYTES);
  return der;
}

type Curve = 'Ed25519' | 'X25519';

export const edgeCrypto: Crypto = {
  sha256(data) {
    return new Uint8Array(createHash('sha256').update(data).digest());
  },

  hmac(key, data) {
    return new Uint8Array(createHmac('sha256', key).update(data).digest());
  },

  timingSafeEqual(a, b) {
    return a.length === b.length && timingSafeEqual(a, b);
  },

  generateSigningKey() {
    return generate('Ed25519', ['sign', 'verify']);
  },

  async sign(privateKey, data) {
    const key = await importPrivate('Ed25519', privateKey, ['sign']);
    return new Uint8Array(await crypto.subtle.sign('Ed25519', key, data));
  },

  async verify(publicKey, signature, data) {
    try {
      const key = await importPublic('Ed25519', publicKey, ['verify']);
      return await crypto.subtle.verify('Ed25519', key, signature, data);
    } catch {
      // A malformed key is as good as a wrong one.
      return false;
    }
  },

  generateSealingKey() {
    return generate('X25519', ['deriveBits']);
  },

  async agree(privateKey, publicKey) {
    const own = await importPrivate('X25519', privateKey, ['deriveBits']);
    const theirs = await importPublic('X25519', publicKey, []);
    // The types know the algorithm's field only by the name it had in older runtimes.
    const algorithm = { name: 'X25519', public: theirs, $public: theirs };
    return new Uint8Array(await crypto.subtle.deriveBits(algorithm, own, RAW_KEY_BYTES * 8));
  },

  async derive(secret, salt, info, length) {
    if (length > DERIVED_BYTES_MAX) throw new RangeError('HKDF output too long');
    const key = await crypto.subtle.importKey('raw', secret, 'HKDF', false, ['deriveBits']);
    const algorithm = { name: 'HKDF', hash: 'SHA-256', salt, info: new TextEncoder().encode(info) };
    return new Uint8Array(await crypto.subtle.deriveBits(algorithm, key, length * 8));
  },

  async encrypt(key, nonce, aad, data) {
    if (nonce.length !== NONCE_BYTES) throw new RangeError('AES-GCM nonce must be 12 bytes');
    const imported = await importAes(key, 'encrypt');
    const algorithm = { name: 'AES-GCM', iv: nonce, additionalData: aad };
    return new Uint8Array(await crypto.subtle.encrypt(algorithm, imported, data));
  },

  async decrypt(key, nonce, aad, data) {
    if (data.length < TAG_BYTES || nonce.length !== NONCE_BYTES) return null;
    const imported = await importAes(key, 'decrypt');
    const algorithm = { name: 'AES-GCM', iv: nonce, additionalData: aad };
    try {
      return new Uint8Array(await crypto.subtle.decrypt(algorithm, imported, data));
    } catch {
      // It throws for one reason only: the tag does not fit.
      return null;
    }
  },
};

async function generate(curve: Curve, usages: string[]): Promise<RawKeyPair> {
  const pair = await crypto.subtle.generateKey({ name: curve }, true, usages);
  if (!('privateKey' in pair)) throw new TypeError(`${curve} gave no key pair`);
  const der = await crypto.subtle.exportKey('pkcs8', pair.privateKey);
  const publicKey = await crypto.subtle.exportKey('raw', pair.publicKey);
  if (!(der instanceof ArrayBuffer) || !(publicKey instanceof ArrayBuffer)) {
    throw new TypeError(`${curve} keys were not exported as bytes`);
  }
  return {
    privateKey: new Uint8Array(der).slice(PKCS8_PREFIX_BYTES),
    publicKey: new Uint8Array(publicKey),
  };
}

function importPrivate(curve: Curve, raw: Uint8Array, usages: string[]): Promise<CryptoKey> {
  return crypto.subtle.importKey('pkcs8', pkcs8(curve, raw), { name: curve }, false, usages);
}

function importPublic(curve: Curve, raw: Uint8Array, usages: string[]): Promise<CryptoKey> {
  if (raw.length !== RAW_KEY_BYTES) throw new RangeError(`${curve} public key must be 32 bytes`);
  return crypto.subtle.importKey('raw', raw, { name: curve }, false, usages);
}

function importAes(key: Uint8Array, usage: 'encrypt' | 'decrypt'): Promise<CryptoKey> {
  return crypto.subtle.importKey('raw', key, 'AES-GCM', false, [usage]);
}
