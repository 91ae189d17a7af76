/** The Crypto port over `node:crypto`. Keys travel as raw bytes; key objects are cached, bounded. */
import * as node from 'node:crypto';
import type { Crypto, RawKeyPair } from '../platform.ts';

/** Key objects kept per kind; a process works with a handful. */
const KEY_CACHE_MAX = 256;
const RAW_KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** HKDF-SHA-256 cannot give more than 255 blocks. */
const DERIVED_BYTES_MAX = 255 * 32;

type Curve = 'Ed25519' | 'X25519';

export const nodeCrypto: Crypto = {
  sha256(data) {
    return node.hash('sha256', data, 'buffer');
  },

  hmac(key, data) {
    return node.createHmac('sha256', secretKeyObject(key)).update(data).digest();
  },

  timingSafeEqual(a, b) {
    return a.length === b.length && node.timingSafeEqual(a, b);
  },

  async generateSigningKey() {
    return generate('Ed25519');
  },

  async sign(privateKey, data) {
    return node.sign(null, data, privateKeyObject('Ed25519', privateKey));
  },

  async verify(publicKey, signature, data) {
    try {
      return node.verify(null, data, publicKeyObject('Ed25519', publicKey), signature);
    } catch {
      // A malformed key is as good as a wrong one.
      return false;
    }
  },

  async generateSealingKey() {
    return generate('X25519');
  },

  async agree(privateKey, publicKey) {
    return node.diffieHellman({
      privateKey: privateKeyObject('X25519', privateKey),
      publicKey: publicKeyObject('X25519', publicKey),
    });
  },

  async derive(secret, salt, info, length) {
    if (length > DERIVED_BYTES_MAX) throw new RangeError('HKDF output too long');
    return new Uint8Array(node.hkdfSync('sha256', secret, salt, info, length));
  },

  async encrypt(key, nonce, aad, data) {
    const cipher = node.createCipheriv('aes-256-gcm', key, checkedNonce(nonce));
    cipher.setAAD(aad);
    const body = cipher.update(data);
    return Buffer.concat([body, cipher.final(), cipher.getAuthTag()]);
  },

  async decrypt(key, nonce, aad, data) {
    if (data.length < TAG_BYTES || nonce.length !== NONCE_BYTES) return null;
    const split = data.length - TAG_BYTES;
    const decipher = node.createDecipheriv('aes-256-gcm', key, nonce);
    decipher.setAAD(aad);
    decipher.setAuthTag(data.subarray(split));
    const body = decipher.update(data.subarray(0, split));
    try {
      return Buffer.concat([body, decipher.final()]);
    } catch {
      // `final` throws for one reason only: the tag does not fit.
      return null;
    }
  },
};

function checkedNonce(nonce: Uint8Array): Uint8Array {
  if (nonce.length !== NONCE_BYTES) throw new RangeError('AES-GCM nonce must be 12 bytes');
  return nonce;
}

function generate(curve: Curve): RawKeyPair {
  const pair =
    curve === 'Ed25519' ? node.generateKeyPairSync('ed25519') : node.generateKeyPairSync('x25519');
  const jwk = pair.privateKey.export({ format: 'jwk' });
  return { privateKey: fromJwk(jwk.d), publicKey: fromJwk(jwk.x) };
}

function fromJwk(text: string | undefined): Uint8Array {
  if (text === undefined) throw new TypeError('JWK lacks a member');
  return new Uint8Array(Buffer.from(text, 'base64url'));
}

/** Importing a key costs five times what the HMAC itself does, and peppers live long. */
const secretKeys = new WeakMap<Uint8Array, node.KeyObject>();

/** By identity: a key's bytes must not change once it was used. */
function secretKeyObject(key: Uint8Array): node.KeyObject {
  const known = secretKeys.get(key);
  if (known !== undefined) return known;
  const made = node.createSecretKey(key);
  secretKeys.set(key, made);
  return made;
}

const privateKeys = new Map<string, node.KeyObject>();
const publicKeys = new Map<string, node.KeyObject>();

function publicKeyObject(curve: Curve, raw: Uint8Array): node.KeyObject {
  const x = base64urlOf(raw);
  return cached(publicKeys, `${curve}:${x}`, () =>
    node.createPublicKey({ key: { kty: 'OKP', crv: curve, x }, format: 'jwk' }),
  );
}

/** PKCS#8 rather than JWK: a JWK wants the public half too, which the caller need not have. */
const PKCS8_PREFIX: Record<Curve, Uint8Array> = {
  Ed25519: Buffer.from('302e020100300506032b657004220420', 'hex'),
  X25519: Buffer.from('302e020100300506032b656e04220420', 'hex'),
};

function privateKeyObject(curve: Curve, raw: Uint8Array): node.KeyObject {
  if (raw.length !== RAW_KEY_BYTES) throw new RangeError(`${curve} private key must be 32 bytes`);
  // Looked up by digest, so that no private key stands as text in a map.
  const name = `${curve}:${node.hash('sha256', raw, 'base64')}`;
  return cached(privateKeys, name, () =>
    node.createPrivateKey({
      key: Buffer.concat([PKCS8_PREFIX[curve], raw]),
      format: 'der',
      type: 'pkcs8',
    }),
  );
}

function base64urlOf(raw: Uint8Array): string {
  if (raw.length !== RAW_KEY_BYTES) throw new RangeError('public key must be 32 bytes');
  return Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength).toString('base64url');
}

function cached(
  cache: Map<string, node.KeyObject>,
  name: string,
  make: () => node.KeyObject,
): node.KeyObject {
  const known = cache.get(name);
  if (known !== undefined) return known;
  const made = make();
  if (cache.size >= KEY_CACHE_MAX) cache.clear();
  cache.set(name, made);
  return made;
}
