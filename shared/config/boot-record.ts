/**
 * What a data plane must know before it can verify and use a configuration: the cluster's pins, and
 * the group's secrets. An isolate has it from its hub, a node from its control plane; KV and the object
 * store have a copy for when those cannot be asked.
 *
 * There the pins are public facts, but the secrets are only there when the operator gave a boot key
 * (HEADGATE_BOOT_KEY), and encrypted with it. Without one, who starts so serves everything but the
 * scopes that need the secrets, and those stay closed.
 */
import { base64url, concat, fromBase64url, fromUtf8, utf8 } from '../base/bytes.ts';
import type { GroupSecret } from './secrets.ts';
import { parseJson } from './signed-text.ts';
import type { Crypto, Random } from '../platform/platform.ts';
import { defineFields } from '../schema/infer.ts';
import { parseRecord } from '../schema/parse.ts';

const NONCE_BYTES = 12;
const KEY_BYTES = 32;

export interface BootRecord {
  readonly cluster: string;
  readonly groupId: string;
  readonly rootKey: Uint8Array;
  /** Newest first; empty when they are not known here. */
  readonly groupSecrets: readonly GroupSecret[];
}

const stored = defineFields({
  format: { type: 'integer', required: true, one_of: [1] },
  cluster: { type: 'string', required: true, uuid: true },
  group_id: { type: 'string', required: true, uuid: true },
  /** Ed25519, base64url. */
  root_key: { type: 'string', required: true },
  /** Base64url of nonce and ciphertext; absent without a boot key. */
  secrets: { type: 'string', required: false },
});

const storedSecrets = defineFields({
  secrets: {
    type: 'array',
    required: true,
    len_max: 16,
    elements: {
      type: 'record',
      fields: {
        generation: { type: 'integer', required: true },
        secret: { type: 'string', required: true },
      },
    },
  },
});

/** The bytes of HEADGATE_BOOT_KEY, in either base64 alphabet; null when it is not one. */
export function parseBootKey(text: string): Uint8Array | null {
  const bytes = fromBase64url(text.replaceAll('+', '-').replaceAll('/', '_').replace(/=$/, ''));
  return bytes !== null && bytes.length === KEY_BYTES ? bytes : null;
}

/** Text to be kept. */
export async function writeBootRecord(
  record: BootRecord,
  bootKey: Uint8Array | null,
  platform: { readonly crypto: Crypto; readonly random: Random },
): Promise<string> {
  const rootKey = base64url(record.rootKey);
  const head = { format: 1, cluster: record.cluster, group_id: record.groupId, root_key: rootKey };
  if (bootKey === null) return JSON.stringify(head);
  const secrets = record.groupSecrets.map(({ generation, secret }) => ({
    generation,
    secret: base64url(secret),
  }));
  const nonce = platform.random.bytes(NONCE_BYTES);
  const plain = utf8(JSON.stringify({ secrets }));
  const sealed = await platform.crypto.encrypt(bootKey, nonce, additionalData(head), plain);
  return JSON.stringify({ ...head, secrets: base64url(concat(nonce, sealed)) });
}

/**
 * A record that was kept. Null when it is none, or when it was not made with this boot key: with a key,
 * the pins are as trustworthy as the key; without one, as the place it was kept in.
 */
export async function readBootRecord(
  text: string,
  bootKey: Uint8Array | null,
  crypto: Crypto,
): Promise<BootRecord | null> {
  const parsed = parseRecord(stored, parseJson(text));
  if (!parsed.ok) return null;
  const { cluster, group_id: groupId, root_key: rootKeyText, secrets } = parsed.value;
  const rootKey = fromBase64url(rootKeyText);
  if (rootKey === null || rootKey.length !== KEY_BYTES) return null;
  if (bootKey === null) return { cluster, groupId, rootKey, groupSecrets: [] };
  const sealed = secrets === null ? null : fromBase64url(secrets);
  if (sealed === null || sealed.length <= NONCE_BYTES) return null;
  const head = { format: 1, cluster, group_id: groupId, root_key: rootKeyText };
  const nonce = sealed.subarray(0, NONCE_BYTES);
  const body = sealed.subarray(NONCE_BYTES);
  const plain = await crypto.decrypt(bootKey, nonce, additionalData(head), body);
  const groupSecrets = plain === null ? null : parseSecrets(fromUtf8(plain));
  return groupSecrets === null ? null : { cluster, groupId, rootKey, groupSecrets };
}

/** Binds the secrets to the pins beside them. */
function additionalData(head: {
  format: number;
  cluster: string;
  group_id: string;
  root_key: string;
}): Uint8Array {
  return utf8(`headgate-boot-v1\n${head.cluster}\n${head.group_id}\n${head.root_key}`);
}

function parseSecrets(text: string): GroupSecret[] | null {
  const parsed = parseRecord(storedSecrets, parseJson(text));
  if (!parsed.ok) return null;
  const secrets: GroupSecret[] = [];
  for (const entry of parsed.value.secrets) {
    const secret = fromBase64url(entry.secret);
    if (secret === null) return null;
    secrets.push({ generation: entry.generation, secret });
  }
  return secrets;
}
