/** The node's identity in one file, for its owner only: who it is, and the keys that prove it. */
import { readFile } from 'node:fs/promises';
import { base64url, fromBase64url } from '#shared/base/bytes.ts';
import { errorCode, PRIVATE_FILE_MODE, writeFileAtomic } from '#shared/platform/node/files.ts';
import type { RawKeyPair } from '#shared/platform/platform.ts';
import { defineFields, type RecordOf } from '#shared/schema/infer.ts';
import { parseRecord } from '#shared/schema/parse.ts';
import { violationMessage } from '#shared/schema/violations.ts';
import type { IdentityStore, NodeIdentity } from '#shared/sync/client.ts';
import { StartError } from './start-error.ts';

const text = { type: 'string', required: true } as const;
const uuid = { type: 'string', required: true, uuid: true } as const;
const count = { type: 'integer', required: true, between: [0, Number.MAX_SAFE_INTEGER] } as const;
/** 32 bytes, base64url. */
const key = { type: 'string', required: true, len_eq: 43 } as const;
const pair = {
  type: 'record',
  required: true,
  fields: { private_key: key, public_key: key },
} as const;

const FILE = defineFields({
  format: { type: 'integer', required: true, one_of: [1] },
  cluster: uuid,
  node: uuid,
  group: text,
  group_id: uuid,
  root_key: key,
  signing: pair,
  sealing: pair,
  join_seq: count,
  group_secrets: {
    type: 'array',
    required: true,
    elements: { type: 'record', fields: { generation: count, secret: key } },
  },
});

export class FileIdentityStore implements IdentityStore {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /**
   * Null when there is none yet.
   * @throws StartError when there is one and it cannot be used: enrolling anew over it would lose a
   *   node that its control plane knows
   */
  async load(): Promise<NodeIdentity | null> {
    let content: string;
    try {
      content = await readFile(this.#path, 'utf8');
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return null;
      throw this.#unusable(`cannot be read (${errorCode(error) ?? 'unknown error'})`);
    }
    const parsed = parseRecord(FILE, parseJson(content));
    if (!parsed.ok) throw this.#unusable(violationMessage(parsed.violations));
    const identity = fromFile(parsed.value);
    if (identity === null) throw this.#unusable('a key in it is not base64url');
    return identity;
  }

  async save(identity: NodeIdentity): Promise<void> {
    const content = `${JSON.stringify(toFile(identity), null, 2)}\n`;
    await writeFileAtomic(this.#path, content, PRIVATE_FILE_MODE);
  }

  #unusable(reason: string): StartError {
    return new StartError(
      `the node's identity ${this.#path} is not usable: ${reason}; ` +
        'restore it, or delete it and give a join token to enrol as a new node',
    );
  }
}

type FileContent = RecordOf<typeof FILE>;

function toFile(identity: NodeIdentity): FileContent {
  return {
    format: 1,
    cluster: identity.cluster,
    node: identity.node,
    group: identity.group,
    group_id: identity.groupId,
    root_key: base64url(identity.rootKey),
    signing: pairToFile(identity.signing),
    sealing: pairToFile(identity.sealing),
    join_seq: identity.joinSeq,
    group_secrets: identity.groupSecrets.map(({ generation, secret }) => ({
      generation,
      secret: base64url(secret),
    })),
  };
}

function pairToFile(keys: RawKeyPair): FileContent['signing'] {
  return { private_key: base64url(keys.privateKey), public_key: base64url(keys.publicKey) };
}

function fromFile(file: FileContent): NodeIdentity | null {
  const rootKey = fromBase64url(file.root_key);
  const signing = pairFromFile(file.signing);
  const sealing = pairFromFile(file.sealing);
  const groupSecrets: NodeIdentity['groupSecrets'][number][] = [];
  for (const { generation, secret } of file.group_secrets) {
    const bytes = fromBase64url(secret);
    if (bytes === null) return null;
    groupSecrets.push({ generation, secret: bytes });
  }
  if (rootKey === null || signing === null || sealing === null) return null;
  const { cluster, node, group } = file;
  return {
    cluster,
    node,
    group,
    groupId: file.group_id,
    rootKey,
    signing,
    sealing,
    joinSeq: file.join_seq,
    groupSecrets,
  };
}

function pairFromFile(file: FileContent['signing']): RawKeyPair | null {
  const privateKey = fromBase64url(file.private_key);
  const publicKey = fromBase64url(file.public_key);
  return privateKey === null || publicKey === null ? null : { privateKey, publicKey };
}

function parseJson(content: string): unknown {
  try {
    return JSON.parse(content);
  } catch {
    return null;
  }
}
