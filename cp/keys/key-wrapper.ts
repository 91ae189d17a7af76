/**
 * The port to what wraps the few small keys that everything else hangs on. What ships is a
 * key-encryption key held by the process (`HEADGATE_KEK`); a key management service would be another
 * implementation, which never gives its key away.
 */
import { nodeCrypto } from '#shared/platform/node/crypto.ts';
import { openBytes, type Place, sealBytes } from './cipher.ts';

export interface KeyWrapper {
  wrap(place: Place, key: Uint8Array): Promise<Uint8Array>;
  /** @throws CipherError when it was wrapped by another key, for another place, or changed */
  unwrap(place: Place, wrapped: Uint8Array): Promise<Uint8Array>;
  /** Tells this key from another one, and nothing else of it. */
  fingerprint(clusterId: string): Promise<Uint8Array>;
}

export class KekWrapper implements KeyWrapper {
  readonly #kek: Uint8Array;

  constructor(kek: Uint8Array) {
    this.#kek = kek;
  }

  async wrap(place: Place, key: Uint8Array): Promise<Uint8Array> {
    return sealBytes(this.#kek, place, key);
  }

  async unwrap(place: Place, wrapped: Uint8Array): Promise<Uint8Array> {
    return openBytes(this.#kek, place, wrapped);
  }

  async fingerprint(clusterId: string): Promise<Uint8Array> {
    return new Uint8Array(nodeCrypto.hmac(this.#kek, `headgate-kek-check-v1\n${clusterId}`));
  }
}
