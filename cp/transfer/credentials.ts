/** Credentials: passwords and secrets that are hashes, and times to live. */
import { type Item, textOf } from './document.ts';

/** SHA-1 in hex. Source: Kong `kong/plugins/basic-auth/crypto.lua` */
const HASHED_PASSWORD = /^[0-9a-f]{40}$/;
const HASHED_SECRET = /^\$(?:pbkdf2-sha512|argon2\w*|2[aby]|5|6)\$/;

/** Whether its password or secret is a hash, and what follows from that. */
export function judgeBasicAuth(item: Item): boolean {
  const password = textOf(item.entity['password']);
  if (password === null) return false;
  const { passwords, isLive } = item.document;
  const looksHashed = HASHED_PASSWORD.test(password);
  if (isLive || passwords === 'hashed') {
    if (!looksHashed) {
      item.reasons.push("password is said to be a hash, and is none of Kong's (40 digits in hex)");
      return false;
    }
  } else if (passwords === 'plain' || !looksHashed) return false;
  const consumer = item.parents.get('consumer');
  if (consumer !== undefined && textOf(consumer.entity['id']) === null) {
    item.reasons.push(
      "password is a SHA-1 hash over the password and the consumer's id, and the source does not " +
        'give that id: dump with ids (deck gateway dump --with-id), or give the password itself',
    );
    return false;
  }
  item.notes.push(
    "password is Kong's SHA-1 hash and is kept as it is: it goes with the id of its consumer" +
      (passwords === null && !isLive ? '; _transform: true has it read as a password' : ''),
  );
  return true;
}

export function judgeOauth2(item: Item): boolean {
  const secret = textOf(item.entity['client_secret']);
  if (item.entity['hash_secret'] !== true || secret === null) return false;
  if (!HASHED_SECRET.test(secret)) {
    if (!item.document.isLive && item.document.passwords !== 'hashed') return false;
    item.reasons.push('client_secret is said to be a hash, and is of no known form');
    return false;
  }
  if (!secret.startsWith('$pbkdf2-sha512$')) {
    item.reasons.push('client_secret is a hash of another kind than $pbkdf2-sha512$');
    return false;
  }
  if (item.document.passwords === 'plain') return false;
  item.notes.push('client_secret is a PBKDF2 hash and is kept as it is');
  return true;
}

/** Kinds whose entities can end. What is left of their time is counted from the import on. */
export function judgeLifetime(item: Item): void {
  if (item.definition?.ttl !== true) return;
  const { ttl } = item.entity;
  if (typeof ttl !== 'number') return;
  if (item.document.isLive && ttl <= 0) {
    // Written, 0 would mean "for ever".
    item.entity = { ...item.entity, ttl: 1 };
    item.changes.push('ttl: it ended while it was read, so it is given one second');
  } else if (ttl > 0) item.notes.push(`its remaining ${ttl} s count from the import on`);
}
