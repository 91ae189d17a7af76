/** Credentials: passwords and secrets that are kept as hashes, and public keys that are some. */
import { createHash, pbkdf2, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { must } from '#shared/base/assert.ts';
import { quotedList } from '#shared/schema/attributes.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import type { Violations } from '#shared/schema/violations.ts';
import { foreignId } from '../store/sql.ts';
import { parsePublicKey } from './pem.ts';
import type { EntityRules } from './rules.ts';

const derive = promisify(pbkdf2);

/**
 * A password is kept and shown as Kong does (decision 28), salted with the consumer's id. Clients
 * that write back what they read send the hash: it stays what it is, where Kong would hash it again
 * and lock the consumer out.
 *
 * Source: Kong `kong/plugins/basic-auth/crypto.lua`
 */
export const basicAuthRules: EntityRules = {
  checkRelations: async (entity, { current }) => {
    const owner = foreignId(current?.['consumer']);
    if (owner === null || owner === foreignId(entity['consumer'])) return null;
    // The hash that is stored is good for the former consumer only.
    const isKept = entity['password'] === current?.['password'];
    return isKept ? allOrNone('password', 'consumer.id') : null;
  },
  derive: (entity, current) => {
    const { password } = entity;
    if (current !== null && password === current['password']) return entity;
    const salt = must(foreignId(entity['consumer']), 'a credential has a consumer');
    const hash = createHash('sha1')
      .update(`${String(password)}${salt}`)
      .digest('hex');
    return { ...entity, password: hash };
  },
};

const ITERATIONS = 10_000;
const HASH_LENGTH = 32;
const SALT_LENGTH = 16;

/** Source: Kong `kong/plugins/oauth2/secret.lua`; the text is a PHC string. */
export const oauth2Rules: EntityRules = {
  checkRelations: async (entity, { given, current, isMerge }) => {
    if (!isMerge || isGiven(given, 'hash_secret') === isGiven(given, 'client_secret')) return null;
    const isSame = entity['client_secret'] === current?.['client_secret'];
    return isSame && !isGiven(given, 'hash_secret')
      ? null
      : allOrNone('hash_secret', 'client_secret');
  },
  derive: async (entity, current) => {
    const secret = entity['client_secret'];
    if (entity['hash_secret'] !== true || typeof secret !== 'string') return entity;
    const isHashed = current?.['hash_secret'] === true && current['client_secret'] === secret;
    return isHashed ? entity : { ...entity, client_secret: await hashSecret(secret) };
  },
};

async function hashSecret(secret: string): Promise<string> {
  const salt = randomBytes(SALT_LENGTH);
  const hash = await derive(secret, salt, ITERATIONS, HASH_LENGTH, 'sha512');
  const parameters = `i=${ITERATIONS},l=${HASH_LENGTH}`;
  return `$pbkdf2-sha512$${parameters}$${unpadded(salt)}$${unpadded(hash)}`;
}

function unpadded(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64').replace(/=+$/, '');
}

function isGiven(given: JsonObject, name: string): boolean {
  return (given[name] ?? null) !== null;
}

function allOrNone(...names: readonly string[]): Violations {
  return { '@entity': [`all or none of these fields must be set: ${quotedList(names)}`] };
}

const WITH_PUBLIC_KEY = /^(RS|PS|EdDSA)/;

/** Source: Kong `kong/plugins/jwt/daos.lua`. Keys of ES* are not looked at there either. */
export const jwtRules: EntityRules = {
  check: ({ algorithm, rsa_public_key: text }: AnyEntity) => {
    if (!WITH_PUBLIC_KEY.test(String(algorithm)) || parsePublicKey(String(text)) !== null) {
      return null;
    }
    return {
      rsa_public_key: 'invalid key',
      '@entity': ["failed conditional validation given value of field 'algorithm'"],
    };
  },
};
