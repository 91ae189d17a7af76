/** What a node proves in `hello` and `enrol`, made by one side and checked by the other. */
import { base64url, fromBase64url } from '../base/bytes.ts';
import { CanonicalError, canonicalJson } from '../config/canonical.ts';
import { DOMAIN, signText, verifyText } from '../config/signed-text.ts';
import type { Crypto } from '../platform/platform.ts';
import type { JsonObject } from '../schema/field.ts';
import type { FrameOf } from '../wire/frames.ts';

type Hello = FrameOf<'hello'>;
type Enrol = FrameOf<'enrol'>;

/** Signs a session with the node's own key. */
export async function signHello(
  frame: Omit<Hello, 'signature'>,
  privateKey: Uint8Array,
  crypto: Crypto,
): Promise<Hello> {
  const signature = await signText(DOMAIN.session, canonicalJson(frame), privateKey, crypto);
  return { ...frame, signature };
}

export async function verifyHello(
  frame: Hello,
  publicKey: Uint8Array,
  crypto: Crypto,
): Promise<boolean> {
  const { signature, ...signed } = frame;
  const text = canonicalText(signed);
  return text !== null && verifyText(DOMAIN.session, { text, signature }, publicKey, crypto);
}

/**
 * Proves a join token and the possession of the new key.
 *
 * @param by.tokenSecret  the token's 32 bytes; they do not become part of the frame
 */
export async function signEnrol(
  frame: Omit<Enrol, 'proof' | 'signature'>,
  by: { readonly tokenSecret: Uint8Array; readonly privateKey: Uint8Array },
  crypto: Crypto,
): Promise<Enrol> {
  const proof = base64url(tokenProof(canonicalJson(frame), crypto.sha256(by.tokenSecret), crypto));
  const proven = { ...frame, proof };
  const signature = await signText(DOMAIN.enrol, canonicalJson(proven), by.privateKey, crypto);
  return { ...proven, signature };
}

/** @param verifier  SHA-256 of the token's secret: all that a control plane keeps of it */
export function verifyTokenProof(frame: Enrol, verifier: Uint8Array, crypto: Crypto): boolean {
  const { proof, signature: _, ...proven } = frame;
  const given = fromBase64url(proof);
  const text = canonicalText(proven);
  if (given === null || text === null) return false;
  return crypto.timingSafeEqual(given, tokenProof(text, verifier, crypto));
}

/** @param publicKey  the frame's own `public_key`: the sender holds its other half */
export async function verifyEnrol(
  frame: Enrol,
  publicKey: Uint8Array,
  crypto: Crypto,
): Promise<boolean> {
  const { signature, ...signed } = frame;
  const text = canonicalText(signed);
  return text !== null && verifyText(DOMAIN.enrol, { text, signature }, publicKey, crypto);
}

/** What both keys sign when a node changes from one to the other. */
export function rotationText(node: string, publicKey: string): string {
  return `${node}\n${publicKey}`;
}

function tokenProof(canonicalFrame: string, verifier: Uint8Array, crypto: Crypto): Uint8Array {
  return crypto.hmac(verifier, DOMAIN.enrol + canonicalFrame);
}

/** Null for what nobody can have signed: a peer's JSON may hold a lone surrogate. */
function canonicalText(frame: JsonObject): string | null {
  try {
    return canonicalJson(frame);
  } catch (error) {
    if (error instanceof CanonicalError) return null;
    throw error;
  }
}
