/**
 * Secrets that a data plane needs as they are (private keys, plugins' passwords), as records of their
 * own beside their entities, sealed for the group (decision 5). Whoever copies a database, a cache or
 * KV has ciphertext; the group's secret opens it, and only in a data plane's memory.
 *
 * AES-256-GCM under a key of the group's secret and its generation. What it belongs to (cluster, group,
 * generation, kind, workspace, id) is authenticated with it, so a record does not open in another's
 * place. The nonce is a MAC of all that and of the plaintext, as in SIV modes (RFC 5297, RFC 8452):
 * the same secret gives the same bytes whoever publishes it, and different ones never share a nonce.
 */
import { base64url, concat, fromBase64url, fromUtf8, utf8 } from '../base/bytes.ts';
import type { Crypto } from '../platform/platform.ts';
import type { JsonObject } from '../schema/field.ts';
import { canonicalJson } from './canonical.ts';
import { makeRecord, type ConfigRecord, type RecordKey } from './record.ts';

const DOMAIN = 'headgate-sealed-secrets-v1';
const KIND_PREFIX = 'sealed:';
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** Kind of the record with the sealed secrets of an entity; its other key fields are the entity's. */
export function sealedKind(kind: string): string {
  return KIND_PREFIX + kind;
}

/** Kind of the entity whose secrets a record of `kind` holds; null when it is no such record. */
export function kindOfSealed(kind: string): string | null {
  return kind.startsWith(KIND_PREFIX) ? kind.slice(KIND_PREFIX.length) : null;
}

/** Whose secret it is. */
export interface SealingGroup {
  readonly cluster: string;
  readonly groupId: string;
  readonly generation: number;
}

export interface SealingKey {
  readonly group: SealingGroup;
  readonly encryption: Uint8Array;
  readonly nonces: Uint8Array;
}

/** @param secret  the group's, of that generation; 32 bytes */
export async function sealingKey(
  secret: Uint8Array,
  group: SealingGroup,
  crypto: Crypto,
): Promise<SealingKey> {
  const { cluster, groupId, generation } = group;
  const info = `${DOMAIN}\n${generation}`;
  const bytes = await crypto.derive(secret, utf8(`${cluster}\n${groupId}`), info, KEY_BYTES * 2);
  return { group, encryption: bytes.slice(0, KEY_BYTES), nonces: bytes.slice(KEY_BYTES) };
}

/**
 * The companion record of an entity.
 *
 * @param entity  key of the entity's own record
 * @param secrets  JSON pointer into the entity → secret
 */
export async function sealSecrets(
  entity: RecordKey,
  secrets: JsonObject,
  key: SealingKey,
  crypto: Crypto,
): Promise<ConfigRecord> {
  const { kind, ws, id, placement } = entity;
  const aad = additionalData(entity, key.group);
  const plain = utf8(canonicalJson(secrets));
  const nonce = crypto.hmac(key.nonces, concat(crypto.sha256(aad), plain)).slice(0, NONCE_BYTES);
  const sealed = await crypto.encrypt(key.encryption, nonce, aad, plain);
  const body = { id, generation: key.group.generation, sealed: base64url(concat(nonce, sealed)) };
  return makeRecord({ kind: sealedKind(kind), ws, id, placement }, body, crypto);
}

/** Generation of the secret that a companion record was sealed with; null when it is none. */
export function generationOf(record: ConfigRecord): number | null {
  const { generation } = record.body;
  return typeof generation === 'number' ? generation : null;
}

/** @returns null when it was not sealed with this key for this entity, or was changed since */
export async function openSecrets(
  record: ConfigRecord,
  key: SealingKey,
  crypto: Crypto,
): Promise<JsonObject | null> {
  const kind = kindOfSealed(record.kind);
  const { sealed } = record.body;
  const bytes = typeof sealed === 'string' ? fromBase64url(sealed) : null;
  if (kind === null || bytes === null || bytes.length < NONCE_BYTES + TAG_BYTES) return null;
  const aad = additionalData({ ...record, kind }, key.group);
  const nonce = bytes.subarray(0, NONCE_BYTES);
  const plain = await crypto.decrypt(key.encryption, nonce, aad, bytes.subarray(NONCE_BYTES));
  if (plain === null) return null;
  const secrets: unknown = JSON.parse(fromUtf8(plain));
  // Authenticated: `sealSecrets` wrote it.
  return secrets as JsonObject;
}

function additionalData(
  { kind, ws, id }: Pick<RecordKey, 'kind' | 'ws' | 'id'>,
  { cluster, groupId, generation }: SealingGroup,
): Uint8Array {
  return utf8([DOMAIN, cluster, groupId, generation, kind, ws, id].join('\n'));
}
