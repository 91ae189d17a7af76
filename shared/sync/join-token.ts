/**
 * Join tokens: `hgj_<id>_<secret>_<pin>`. The secret proves the right to enrol and never crosses the
 * wire; the pin is the hash of the cluster's root key, so a node knows whom it joins before it says
 * anything.
 */
import { base64url, fromBase64url } from '../base/bytes.ts';
import type { Crypto } from '../platform/platform.ts';

export const TOKEN_SECRET_BYTES = 32;

const PREFIX = 'hgj';
const PIN_BYTES = 32;
// Neither a UUID nor a prefix holds `_`, but base64url does: the parts have known lengths.
const TOKEN_PATTERN = /^hgj_([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})_([\w-]{43})_([\w-]{43})$/;

export interface JoinToken {
  readonly id: string;
  /** 32 bytes. */
  readonly secret: Uint8Array;
  /** SHA-256 of the root public key. */
  readonly rootKeyHash: Uint8Array;
}

/** The text that an operator hands to a data plane. */
export function formatJoinToken(
  token: { readonly id: string; readonly secret: Uint8Array; readonly rootKey: Uint8Array },
  crypto: Crypto,
): string {
  const pin = base64url(crypto.sha256(token.rootKey));
  return `${PREFIX}_${token.id}_${base64url(token.secret)}_${pin}`;
}

/** Null when the text is no join token (surrounding white space is forgiven). */
export function parseJoinToken(text: string): JoinToken | null {
  const match = TOKEN_PATTERN.exec(text.trim());
  const [, id = '', secretText = '', pinText = ''] = match ?? [];
  const secret = fromBase64url(secretText);
  const rootKeyHash = fromBase64url(pinText);
  if (secret?.length !== TOKEN_SECRET_BYTES || rootKeyHash?.length !== PIN_BYTES) return null;
  return { id, secret, rootKeyHash };
}
