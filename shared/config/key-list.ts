/**
 * The keys that may sign manifests, listed and signed by the cluster's root key. A data plane pins
 * the root alone, so signing keys can be rotated, and one that leaked be dropped, without it.
 */
import { fromBase64url, hex } from '../base/bytes.ts';
import type { Crypto } from '../platform/platform.ts';
import { defineFields, type RecordOf } from '../schema/infer.ts';
import { parseRecord } from '../schema/parse.ts';
import { canonicalJson } from './canonical.ts';
import { DOMAIN, parseJson, signText, verifyText } from './signed-text.ts';

/** Signing keys in force at one time: the present one, and those being rotated in and out. */
export const KEYS_COUNT_MAX = 16;

/** Each takes the upper half of the epochs that were left. */
export const RECOVERIES_MAX = 20;
const EPOCHS = 2 ** 53;

const KEY_BYTES = 32;
const count = { type: 'integer', required: true, between: [0, Number.MAX_SAFE_INTEGER] } as const;

export const keyListFields = defineFields({
  format: { type: 'integer', required: true, one_of: [1] },
  cluster: { type: 'string', required: true, uuid: true },
  /** Grows with every new list: an older one is not taken any more. */
  sequence: count,
  /**
   * How often the cluster was recovered from the theft of a signing key: each time, manifests are of
   * epochs that no list before allowed for. Absent: never.
   */
  recoveries: { type: 'integer', required: false, between: [0, RECOVERIES_MAX] },
  keys: {
    type: 'array',
    required: true,
    len_max: KEYS_COUNT_MAX,
    elements: {
      type: 'record',
      fields: {
        id: { type: 'string', required: true },
        /** Ed25519, base64url. */
        public_key: { type: 'string', required: true },
        /** Epoch seconds; a manifest's `created_at` must lie between the two. */
        not_before: count,
        /** Null: until further notice. */
        not_after: { type: 'integer', between: [0, Number.MAX_SAFE_INTEGER] },
      },
    },
  },
});

export type KeyList = RecordOf<typeof keyListFields>;
export type ListedKey = KeyList['keys'][number];

/** Names a signing key: the first half of its hash, hex. Tells keys apart, is no secret. */
export function signingKeyId(publicKey: Uint8Array, crypto: Crypto): string {
  return hex(crypto.sha256(publicKey)).slice(0, 32);
}

/** The epochs that manifests under a list may be of: from `first` on, before `end`. */
export function epochsOf({ recoveries }: Pick<KeyList, 'recoveries'>): {
  readonly first: number;
  readonly end: number;
} {
  const times = recoveries ?? 0;
  return { first: EPOCHS - EPOCHS / 2 ** times, end: EPOCHS - EPOCHS / 2 ** (times + 1) };
}

/** Canonical; older releases know of no recoveries. */
export function keyListText({ recoveries, ...rest }: KeyList): string {
  return canonicalJson(recoveries === null ? rest : { ...rest, recoveries });
}

/** @returns the list's canonical text and the root's signature over it, base64url */
export async function signKeyList(
  {
    recoveries = null,
    ...rest
  }: Omit<KeyList, 'recoveries'> & Partial<Pick<KeyList, 'recoveries'>>,
  rootKey: { readonly privateKey: Uint8Array },
  crypto: Crypto,
): Promise<{ text: string; signature: string }> {
  const text = keyListText({ ...rest, recoveries });
  return { text, signature: await signText(DOMAIN.keys, text, rootKey.privateKey, crypto) };
}

/** The list, if the root key signed exactly this text; null for anything else. */
export async function verifyKeyList(
  signed: { readonly text: string; readonly signature: string },
  rootKey: Uint8Array,
  crypto: Crypto,
): Promise<KeyList | null> {
  if (!(await verifyText(DOMAIN.keys, signed, rootKey, crypto))) return null;
  const parsed = parseRecord(keyListFields, parseJson(signed.text));
  return parsed.ok ? parsed.value : null;
}

/** A listed key's bytes; null when the list names something else. */
export function publicKeyOf(key: ListedKey): Uint8Array | null {
  const bytes = fromBase64url(key.public_key);
  return bytes?.length === KEY_BYTES ? bytes : null;
}
