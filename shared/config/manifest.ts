/**
 * The manifest: what a group's configuration is at one revision, signed. Everything else (records,
 * tree nodes, deltas) is proven by the root hash in it.
 */
import { hex } from '../base/bytes.ts';
import { nodeSettingsFields } from '../entities/group.ts';
import type { Crypto } from '../platform/platform.ts';
import { defineFields, type RecordOf } from '../schema/infer.ts';
import { parseRecord } from '../schema/parse.ts';
import type { FrameOf, Position, SignedManifest } from '../wire/frames.ts';
import { canonicalJson } from './canonical.ts';
import { epochsOf, publicKeyOf, verifyKeyList, type KeyList } from './key-list.ts';
import { SCHEMA_LEVEL } from './levels.ts';
import { DOMAIN, parseJson, signText, verifyText } from './signed-text.ts';

/** Longest text of a manifest, in UTF-16 units: about 20,000 workspaces. */
export const MANIFEST_LENGTH_MAX = 1024 * 1024;

export const MANIFEST_FORMAT = 1;

/** Required when nodes must stop serving what is stale (`settings.staleness`). */
export const STALENESS_FEATURE = 'staleness';

/** Features that a manifest may require and that this release has. */
export const KNOWN_FEATURES: ReadonlySet<string> = new Set([STALENESS_FEATURE]);

export type NodeSettings = RecordOf<typeof nodeSettingsFields>;

const count = { type: 'integer', required: true, between: [0, Number.MAX_SAFE_INTEGER] } as const;
const text = { type: 'string', required: true } as const;
const uuid = { type: 'string', required: true, uuid: true } as const;

export const manifestFields = defineFields({
  format: { type: 'integer', required: true, one_of: [MANIFEST_FORMAT] },
  cluster: uuid,
  /** Name, for people; `group_id` is what counts. */
  group: text,
  group_id: uuid,
  epoch: count,
  revision: count,
  /** Schema level of the records. */
  level: count,
  /** Hash of the manifest before this one; empty for a group's first. */
  previous: { type: 'string', required: true, len_min: 0, len_max: 64 },
  /** Id of the tree's root node. */
  root: { type: 'string', required: true, len_eq: 64 },
  /** Number of records in the tree. */
  records: count,
  /** Workspace id → its version that this revision contains. */
  workspaces: { type: 'map', required: true, keys: { type: 'string' }, values: count },
  /** Generation of the group's secret that the records were made with; older releases say nothing. */
  secret_generation: { ...count, required: false },
  /** Epoch seconds, by the control plane's database. */
  created_at: count,
  control_planes: { type: 'array', required: true, elements: { type: 'string' } },
  /** What a node must know to serve this as meant. */
  features: { type: 'set', required: true, elements: { type: 'string' } },
  /** Older releases say nothing: then all are at their defaults. */
  settings: { type: 'record', required: false, fields: nodeSettingsFields },
  /** Signing key, as the key list names it. */
  key_id: text,
});

export type Manifest = RecordOf<typeof manifestFields>;
export type NackCode = FrameOf<'nack'>['code'];

/** What a data plane believes without proof, from its enrolment. */
export interface Pinned {
  readonly cluster: string;
  readonly groupId: string;
  /** Ed25519 public key, 32 bytes. */
  readonly rootKey: Uint8Array;
  /** Highest key list sequence seen: an older list may hold a key that was dropped. */
  readonly keySequence?: number;
  /** Newest revision that was ever held: nothing older is taken. */
  readonly highWater?: Pick<Position, 'epoch' | 'revision'>;
}

export interface Verified {
  readonly ok: true;
  readonly manifest: Manifest;
  /** SHA-256 of the manifest's text, hex. */
  readonly hash: string;
  readonly keySequence: number;
}

export interface Refusal {
  readonly ok: false;
  readonly code: NackCode;
  readonly detail: string;
}

/** @returns the manifest's canonical text and its signature, base64url */
export async function signManifest(
  manifest: Manifest,
  signingKey: { readonly privateKey: Uint8Array },
  crypto: Crypto,
): Promise<{ manifest: string; signature: string }> {
  const canonical = canonicalJson(manifest);
  const signature = await signText(DOMAIN.manifest, canonical, signingKey.privateKey, crypto);
  return { manifest: canonical, signature };
}

/**
 * Proves a manifest from the pinned root key: root → key list → signing key → manifest, and that it
 * is for this cluster and this group. Whether it is new is not asked here, see `admit` in `replica.ts`.
 */
export async function verifySigned(
  signed: SignedManifest,
  pinned: Pinned,
  crypto: Crypto,
): Promise<Verified | Refusal> {
  if (signed.manifest.length > MANIFEST_LENGTH_MAX) {
    return refuse('too_large', `the manifest is longer than ${MANIFEST_LENGTH_MAX}`);
  }
  const listed = { text: signed.key_list, signature: signed.key_list_signature };
  const list = await verifyKeyList(listed, pinned.rootKey, crypto);
  if (list === null) return refuse('bad_signature', 'the key list is not signed by the root key');
  if (list.cluster !== pinned.cluster)
    return refuse('wrong_cluster', 'key list of another cluster');
  if (list.sequence < (pinned.keySequence ?? 0)) {
    return refuse('bad_signature', 'a newer key list is known');
  }
  const keyId = await findSigner(signed, list, crypto);
  if (keyId === null) return refuse('bad_signature', 'the manifest is not signed by a listed key');
  const read = readManifest(signed.manifest);
  if (!read.ok) return read;
  const refusal = refuseManifest(read.manifest, list, keyId, pinned);
  if (refusal !== null) return refusal;
  return {
    ok: true,
    manifest: read.manifest,
    hash: hex(crypto.sha256(signed.manifest)),
    keySequence: list.sequence,
  };
}

/** Order of two positions: by epoch, then by revision. Negative when `a` is the older one. */
export function compareRevisions(
  a: Pick<Position, 'epoch' | 'revision'>,
  b: Pick<Position, 'epoch' | 'revision'>,
): number {
  return a.epoch - b.epoch || a.revision - b.revision;
}

/** Id of the listed key that signed it. Keys are few, so nothing unsigned is parsed to find out. */
async function findSigner(
  signed: SignedManifest,
  list: KeyList,
  crypto: Crypto,
): Promise<string | null> {
  const candidate = { text: signed.manifest, signature: signed.signature };
  for (const key of list.keys) {
    const publicKey = publicKeyOf(key);
    if (publicKey === null) continue;
    // One after the other: nearly always the first key is the one.
    if (await verifyText(DOMAIN.manifest, candidate, publicKey, crypto)) return key.id;
  }
  return null;
}

/** Of this release or a later one; who signed it is not asked here. */
export function readManifest(manifest: string): { ok: true; manifest: Manifest } | Refusal {
  const value = parseJson(manifest);
  if (typeof value !== 'object' || value === null || !('format' in value)) {
    return refuse('unknown_feature', 'the manifest has no format');
  }
  const { format } = value;
  if (format !== MANIFEST_FORMAT) {
    return refuse('unknown_feature', `manifest format ${String(format).slice(0, 20)}`);
  }
  const parsed = parseRecord(manifestFields, known(value));
  if (parsed.ok) return { ok: true, manifest: parsed.value };
  const names = Object.keys(parsed.violations).join(', ');
  return refuse('unknown_feature', `the manifest has other fields than format 1: ${names}`);
}

/**
 * Without the fields that only a later release knows. What a node must know stands in `features`;
 * the rest it may pass over.
 */
function known(manifest: object): object {
  const own = pick(manifest, manifestFields);
  const { settings } = own;
  if (typeof settings !== 'object' || settings === null) return own;
  return { ...own, settings: pick(settings, nodeSettingsFields) };
}

function pick(value: object, fields: object): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(value).filter(([name]) => Object.hasOwn(fields, name)));
}

function refuseManifest(
  manifest: Manifest,
  list: KeyList,
  keyId: string,
  pinned: Pinned,
): Refusal | null {
  if (manifest.cluster !== pinned.cluster) {
    return refuse('wrong_cluster', 'manifest of another cluster');
  }
  if (manifest.group_id !== pinned.groupId)
    return refuse('wrong_group', 'manifest of another group');
  const key = list.keys.find(({ id }) => id === keyId);
  if (key === undefined || manifest.key_id !== keyId) {
    return refuse('bad_signature', 'the manifest names another key');
  }
  const { first, end } = epochsOf(list);
  if (manifest.epoch < first || manifest.epoch >= end) {
    return refuse('not_newer', 'of an epoch that the key list does not allow');
  }
  const isOver = key.not_after !== null && manifest.created_at > key.not_after;
  if (isOver || manifest.created_at < key.not_before) {
    return refuse('bad_signature', 'made when its key was not in force');
  }
  if (manifest.level > SCHEMA_LEVEL) {
    return refuse('unknown_feature', `schema level ${manifest.level}`);
  }
  const unknown = manifest.features.filter((feature) => !KNOWN_FEATURES.has(feature));
  if (unknown.length === 0) return null;
  return refuse('unknown_feature', `required: ${unknown.join(', ').slice(0, 200)}`);
}

function refuse(code: NackCode, detail: string): Refusal {
  return { ok: false, code, detail };
}
