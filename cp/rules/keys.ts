/**
 * Keys: that they are some.
 *
 * Source of the texts: Kong `kong/db/schema/entities/keys.lua`, `kong/db/schema/typedefs.lua`
 */
import { isReference } from '#shared/schema/attributes.ts';
import type { Field, JsonObject, JsonValue } from '#shared/schema/field.ts';
import { parseRecord } from '#shared/schema/parse.ts';
import { isPlainObject } from '#shared/schema/validate.ts';
import { violationMessage, type Violations } from '#shared/schema/violations.ts';
import { isPair, parseJwk, parsePrivateKey, parsePublicKey } from './pem.ts';
import type { EntityRules } from './rules.ts';

export const keyRules: EntityRules = {
  check: ({ jwk, pem, kid }) => {
    if (typeof jwk === 'string') {
      const error = isReference(jwk) ? null : jwkError(jwk, kid ?? null);
      return error === null ? null : { '@entity': [error] };
    }
    return isPlainObject(pem) ? pemViolations(pem) : null;
  },
};

const TEXTS = 'issuer kty use alg kid x5u x5t x5t#S256 k x y crv n e d p q dp dq qi oth r t'.split(
  ' ',
);
const LISTS = ['key_ops', 'x5c'];

/** Members that a JWK may have. Source: RFC 7517, RFC 7518 */
const JWK_MEMBERS: Readonly<Record<string, Field>> = Object.fromEntries([
  ...TEXTS.map((name): [string, Field] => [name, { type: 'string' }]),
  ...LISTS.map((name): [string, Field] => [name, { type: 'array', elements: { type: 'string' } }]),
]);

function jwkError(text: string, kid: JsonValue): string | null {
  const jwk = parseObject(text);
  if (jwk === null) return 'could not json decode jwk string';
  if (jwk['kid'] !== kid) return 'kid in jwk.kid must be equal to keys.kid';
  const parsed = parseRecord(JWK_MEMBERS, jwk);
  if (!parsed.ok) return violationMessage(parsed.violations);
  return parseJwk(jwk) === null ? 'could not load JWK, likely not a valid key' : null;
}

function parseObject(text: string): JsonObject | null {
  try {
    const value: unknown = JSON.parse(text);
    // JSON.parse yields JSON values only.
    return isPlainObject(value) ? (value as JsonObject) : null;
  } catch {
    return null; // Its caller says so.
  }
}

function pemViolations(pem: Readonly<Record<string, unknown>>): Violations | null {
  const { public_key: publicText, private_key: privateText } = pem;
  if (isReference(publicText) || isReference(privateText)) return null;
  const publicKey = typeof publicText === 'string' ? parsePublicKey(publicText) : null;
  if (publicText !== null && publicKey === null) return { pem: 'could not load public key' };
  const privateKey = typeof privateText === 'string' ? parsePrivateKey(privateText) : null;
  if (privateText !== null && privateKey === null) return { pem: 'could not load private key' };
  if (publicKey === null || privateKey === null || isPair(publicKey, privateKey)) return null;
  return { pem: 'public key does not match private key' };
}
