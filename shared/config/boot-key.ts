/**
 * The key that an operator gives to data planes, so that they can open their group's secrets where no
 * control plane can be asked. It is made of the group's newest secret: once that is another (a node was
 * revoked), older boot keys open nothing that is written from then on.
 */
import type { Crypto } from '../platform/platform.ts';
import type { GroupSecret } from './secrets.ts';

/** @returns 32 bytes */
export function bootKey({ generation, secret }: GroupSecret, crypto: Crypto): Uint8Array {
  return crypto.hmac(secret, `headgate-boot-key-v1\n${generation}`);
}
