/**
 * `hga_<id>_<secret>`: what the holder of a named token sends. The id finds the row, the secret proves
 * it. The prefix lets secret scanners find a token that was committed by mistake.
 *
 * At rest there is only the secret's SHA-256. Slow password hashes make guessing dear where secrets
 * can be guessed; this one has 256 random bits, so one fast hash is as good and costs a microsecond.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

const ID_BYTES = 8;
const SECRET_BYTES = 32;
const PREFIX = 'hga_';
const TOKEN = /^hga_([0-9a-f]{16})_([A-Za-z0-9_-]{43})$/;

export interface TokenText {
  /** 16 hexadecimal digits; no secret. */
  readonly id: string;
  readonly secret: string;
}

export function newTokenId(): string {
  return randomBytes(ID_BYTES).toString('hex');
}

/** @returns the secret half in base64url */
export function newTokenSecret(): string {
  return randomBytes(SECRET_BYTES).toString('base64url');
}

export function formatToken({ id, secret }: TokenText): string {
  return `${PREFIX}${id}_${secret}`;
}

export function isTokenId(text: string): boolean {
  return /^[0-9a-f]{16}$/.test(text);
}

/** Null for anything that is no named token. */
export function parseToken(text: string): TokenText | null {
  const [, id, secret] = TOKEN.exec(text) ?? [];
  return id === undefined || secret === undefined ? null : { id, secret };
}

/** Whether somebody meant it to be a named token. */
export function isTokenLike(text: string): boolean {
  return text.startsWith(PREFIX);
}

export function digestOf(secret: string): Uint8Array {
  return new Uint8Array(createHash('sha256').update(secret).digest());
}

/** In constant time. */
export function isSameDigest(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
