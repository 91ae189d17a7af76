/**
 * How a control plane tells a node that its identity is in use elsewhere, or older than it was: enrol
 * again. It comes as the reason of a close, and signed: whoever sits on the line must not be able to
 * talk a node out of its identity.
 */
import { fromBase64url, utf8 } from '../base/bytes.ts';
import { publicKeyOf, type KeyList } from '../config/key-list.ts';
import { DOMAIN } from '../config/signed-text.ts';
import type { Crypto } from '../platform/platform.ts';

const REASON = /(?:^|\s)rejoin=([\w-]{86})$/;

/** What is signed with the signing key. @param nonce  of the session that is refused */
export function rejoinText(node: string, nonce: string): string {
  return `${DOMAIN.rejoin}${node}\n${nonce}`;
}

/** Reason of the close; fits a close frame. @param signature  base64url */
export function rejoinReason(signature: string): string {
  return `enrol again rejoin=${signature}`;
}

/** Whether a close reason says so, whoever wrote it. */
export function isRejoin(reason: string): boolean {
  return REASON.test(reason);
}

/** Whether a listed key has signed that this session of the node is to enrol again. */
export async function verifyRejoin(
  reason: string,
  { node, nonce }: { readonly node: string; readonly nonce: string },
  keys: KeyList['keys'],
  crypto: Crypto,
): Promise<boolean> {
  const signature = fromBase64url(REASON.exec(reason)?.[1] ?? '');
  if (signature === null) return false;
  for (const key of keys) {
    const publicKey = publicKeyOf(key);
    if (publicKey === null) continue;
    if (await crypto.verify(publicKey, signature, utf8(rejoinText(node, nonce)))) return true;
  }
  return false;
}
