/** What every implementation of the Crypto port must do. Known answers are from the RFCs named. */
import { describe, expect, it } from 'vitest';
import { fromHex, fromUtf8, hex, utf8 } from '#shared/base/bytes.ts';
import type { Crypto } from '#shared/platform/platform.ts';

export function cryptoSuite(name: string, crypto: Crypto): void {
  describe(`crypto port: ${name}`, () => {
    digests(crypto);
    signatures(crypto);
    agreement(crypto);
    encryption(crypto);
  });
}

function bytes(text: string): Uint8Array {
  const value = fromHex(text);
  if (value === null) throw new Error('not hex');
  return value;
}

function digests(crypto: Crypto): void {
  it('hashes text and bytes alike', () => {
    const expected = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';

    expect(hex(crypto.sha256('abc'))).toBe(expected);
    expect(hex(crypto.sha256(utf8('abc')))).toBe(expected);
  });

  it('hashes text outside ASCII as UTF-8', () => {
    expect(hex(crypto.sha256('é€😀'))).toBe(hex(crypto.sha256(utf8('é€😀'))));
  });

  // RFC 4231, test case 2.
  it('computes HMAC-SHA-256', () => {
    const mac = crypto.hmac(utf8('Jefe'), 'what do ya want for nothing?');

    expect(hex(mac)).toBe('5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843');
  });

  it('computes HMAC-SHA-256 under an empty key, and under one key many times', () => {
    const empty = new Uint8Array(0);
    const key = utf8('key');

    expect(hex(crypto.hmac(empty, ''))).toBe(
      'b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad',
    );
    expect(hex(crypto.hmac(key, 'a'))).not.toBe(hex(crypto.hmac(key, 'b')));
    expect(hex(crypto.hmac(key, 'a'))).toBe(hex(crypto.hmac(utf8('key'), utf8('a'))));
  });

  it('compares bytes of equal and of different length', () => {
    expect(crypto.timingSafeEqual(utf8('same'), utf8('same'))).toBe(true);
    expect(crypto.timingSafeEqual(utf8('same'), utf8('sane'))).toBe(false);
    expect(crypto.timingSafeEqual(utf8('same'), utf8('longer'))).toBe(false);
  });

  // RFC 5869, test case 3.
  it('derives keys with HKDF-SHA-256', async () => {
    const none = new Uint8Array(0);

    const derived = await crypto.derive(bytes('0b'.repeat(22)), none, '', 42);

    expect(hex(derived)).toBe(
      '8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8',
    );
    const other = await crypto.derive(bytes('0b'.repeat(22)), none, 'other', 42);
    expect(hex(other)).not.toBe(hex(derived));
  });
}

function signatures(crypto: Crypto): void {
  // RFC 8032, test 2.
  const seed = bytes('4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb');
  const publicKey = bytes('3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c');
  const signature = bytes(
    '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da' +
      '085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
  );
  const message = bytes('72');

  it('signs with Ed25519 from a raw seed', async () => {
    expect(hex(await crypto.sign(seed, message))).toBe(hex(signature));
  });

  it('accepts a right signature and no other', async () => {
    expect(await crypto.verify(publicKey, signature, message)).toBe(true);
    expect(await crypto.verify(publicKey, signature, bytes('73'))).toBe(false);
    const flipped = Uint8Array.from(signature);
    flipped[0] = (flipped[0] ?? 0) ^ 1;
    expect(await crypto.verify(publicKey, flipped, message)).toBe(false);
  });

  it('answers false, and throws nothing, for malformed keys and signatures', async () => {
    const empty = new Uint8Array(0);

    expect(await crypto.verify(empty, signature, message)).toBe(false);
    expect(await crypto.verify(new Uint8Array(33), signature, message)).toBe(false);
    expect(await crypto.verify(publicKey, empty, message)).toBe(false);
    expect(await crypto.verify(publicKey, new Uint8Array(63), message)).toBe(false);
    expect(await crypto.verify(publicKey, new Uint8Array(64), message)).toBe(false);
  });

  it('makes signing keys that verify what they sign', async () => {
    const pair = await crypto.generateSigningKey();

    expect([pair.privateKey.length, pair.publicKey.length]).toEqual([32, 32]);
    const signed = await crypto.sign(pair.privateKey, message);
    expect(await crypto.verify(pair.publicKey, signed, message)).toBe(true);
    expect(await crypto.verify(publicKey, signed, message)).toBe(false);
  });
}

function agreement(crypto: Crypto): void {
  // RFC 7748, section 6.1.
  it('agrees on a secret with X25519 from raw keys', async () => {
    const bob = bytes('5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb');
    const alice = bytes('8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a');

    expect(hex(await crypto.agree(bob, alice))).toBe(
      '4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742',
    );
  });

  it('gives both sides the same secret', async () => {
    const one = await crypto.generateSealingKey();
    const two = await crypto.generateSealingKey();

    const here = await crypto.agree(one.privateKey, two.publicKey);
    const there = await crypto.agree(two.privateKey, one.publicKey);

    expect(here.length).toBe(32);
    expect(hex(here)).toBe(hex(there));
  });

  it('refuses a public key of low order', async () => {
    const one = await crypto.generateSealingKey();

    await expect(crypto.agree(one.privateKey, new Uint8Array(32))).rejects.toThrow();
  });
}

function encryption(crypto: Crypto): void {
  const key = bytes('00'.repeat(32));
  const nonce = bytes('00'.repeat(12));
  const none = new Uint8Array(0);

  // The GCM specification's test case 14: AES-256, zero key, zero block.
  it('encrypts with AES-256-GCM, the tag behind the ciphertext', async () => {
    const sealed = await crypto.encrypt(key, nonce, none, new Uint8Array(16));

    expect(hex(sealed)).toBe('cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919');
  });

  it('opens what it encrypted', async () => {
    const sealed = await crypto.encrypt(key, nonce, utf8('aad'), utf8('text'));

    const opened = await crypto.decrypt(key, nonce, utf8('aad'), sealed);

    expect(opened).not.toBeNull();
    expect(fromUtf8(opened ?? new Uint8Array(0))).toBe('text');
  });

  it('answers null for a changed ciphertext, tag, associated data, key or length', async () => {
    const sealed = await crypto.encrypt(key, nonce, utf8('aad'), utf8('text'));
    const changed = (index: number): Uint8Array => {
      const copy = Uint8Array.from(sealed);
      copy[index] = (copy[index] ?? 0) ^ 1;
      return copy;
    };

    expect(await crypto.decrypt(key, nonce, utf8('aad'), changed(0))).toBeNull();
    expect(await crypto.decrypt(key, nonce, utf8('aad'), changed(sealed.length - 1))).toBeNull();
    expect(await crypto.decrypt(key, nonce, utf8('other'), sealed)).toBeNull();
    expect(await crypto.decrypt(bytes('01'.repeat(32)), nonce, utf8('aad'), sealed)).toBeNull();
    expect(await crypto.decrypt(key, nonce, utf8('aad'), sealed.subarray(0, 8))).toBeNull();
  });
}
