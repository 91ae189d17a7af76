/**
 * What a group's secret is used for, defined once for the control plane (which writes it into
 * records) and the data plane (which looks it up).
 */
import { hex } from '../base/bytes.ts';
import type { Crypto } from '../platform/platform.ts';

export interface GroupSecret {
  readonly generation: number;
  /** 32 bytes. */
  readonly secret: Uint8Array;
}

/**
 * The pepper of the generation that a configuration was made with, or of the newest when it does not
 * say; null when that secret is not held: what looks up credentials stays closed.
 *
 * @param secrets  newest first
 */
export function pepperFor(
  secrets: readonly GroupSecret[],
  generation: number | null,
  crypto: Crypto,
): Uint8Array | null {
  const found =
    generation === null ? secrets[0] : secrets.find((held) => held.generation === generation);
  return found === undefined ? null : groupPepper(found.secret, found.generation, crypto);
}

/**
 * The key under which look-up secrets of a group are hashed (decision 12).
 *
 * @param groupSecret  32 bytes, as sealed to the nodes in `welcome`
 * @param generation  that secret's generation
 */
export function groupPepper(
  groupSecret: Uint8Array,
  generation: number,
  crypto: Crypto,
): Uint8Array {
  return crypto.hmac(groupSecret, `headgate-pepper-v1\n${generation}`);
}

/**
 * What a data plane gets instead of a look-up secret such as an API key.
 *
 * @param kind  the definition's name (`keyauth_credentials`)
 * @param ws  workspace id
 * @returns hex, 64 digits
 */
export function lookupHash(
  pepper: Uint8Array,
  lookup: { readonly kind: string; readonly ws: string; readonly value: string },
  crypto: Crypto,
): string {
  return hex(crypto.hmac(pepper, `${lookup.kind}\n${lookup.ws}\n${lookup.value}`));
}

/** `info` under which a group's secret is sealed to one node in `welcome`. */
export function groupSecretInfo(of: {
  readonly cluster: string;
  readonly groupId: string;
  readonly node: string;
  readonly generation: number;
}): string {
  return `group-secret\n${of.cluster}\n${of.groupId}\n${of.node}\n${of.generation}`;
}
