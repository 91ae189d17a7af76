/** The few synchronous parts of workerd's `node:crypto` that are used; its types know none of it. */
declare module 'node:crypto' {
  interface Digest {
    update(data: Uint8Array | string): Digest;
    digest(): Uint8Array;
  }
  export function createHash(algorithm: 'sha256'): Digest;
  export function createHmac(algorithm: 'sha256', key: Uint8Array): Digest;
  /** Throws when the lengths differ. */
  export function timingSafeEqual(a: Uint8Array, b: Uint8Array): boolean;
}
