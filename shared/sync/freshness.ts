/**
 * Proof that a control plane of the cluster was asked just now and knows of nothing newer: a statement
 * over cluster, group, head and the node's own nonce, signed by a listed signing key. Who records an
 * answer and plays it again, or lets pings through and news not, proves nothing by it.
 */
import { utf8 } from '../base/bytes.ts';
import { canonicalJson } from '../config/canonical.ts';
import { publicKeyOf, verifyKeyList } from '../config/key-list.ts';
import type { Pinned } from '../config/manifest.ts';
import { DOMAIN, parseJson, verifyText } from '../config/signed-text.ts';
import type { Crypto } from '../platform/platform.ts';
import { defineFields, type RecordOf } from '../schema/infer.ts';
import { parseRecord } from '../schema/parse.ts';
import type { ResultOf, UpMethods } from '../wire/rpc-methods.ts';

const count = { type: 'integer', required: true, between: [0, Number.MAX_SAFE_INTEGER] } as const;
const text = { type: 'string', required: true } as const;

const statementFields = defineFields({
  cluster: text,
  group_id: text,
  epoch: count,
  revision: count,
  /** Of the group's head; empty before the first. */
  hash: { ...text, len_min: 0 },
  nonce: text,
  /** Since the control plane read in the database that this is the head. */
  age_ms: count,
});

export type FreshnessStatement = RecordOf<typeof statementFields>;
export type FreshnessProof = ResultOf<UpMethods['freshness']>;

/** What is signed: the statement's text, and the bytes of its signature's domain and text. */
export function freshnessText(statement: FreshnessStatement): { text: string; bytes: Uint8Array } {
  const canonical = canonicalJson(statement);
  return { text: canonical, bytes: utf8(DOMAIN.freshness + canonical) };
}

/** The statement, if it is of this cluster and group, about this nonce, and signed; else null. */
export async function verifyFreshness(
  proof: FreshnessProof,
  { pinned, nonce }: { readonly pinned: Pinned; readonly nonce: string },
  crypto: Crypto,
): Promise<FreshnessStatement | null> {
  const signedList = { text: proof.key_list, signature: proof.key_list_signature };
  const list = await verifyKeyList(signedList, pinned.rootKey, crypto);
  if (list === null || list.cluster !== pinned.cluster) return null;
  if (list.sequence < (pinned.keySequence ?? 0)) return null;
  const signed = { text: proof.statement, signature: proof.signature };
  let isSigned = false;
  for (const key of list.keys) {
    const publicKey = publicKeyOf(key);
    if (publicKey === null) continue;
    // One after the other: nearly always the first key is the one.
    isSigned ||= await verifyText(DOMAIN.freshness, signed, publicKey, crypto);
  }
  if (!isSigned) return null;
  const parsed = parseRecord(statementFields, parseJson(proof.statement));
  if (!parsed.ok) return null;
  const { cluster, group_id: groupId, nonce: about } = parsed.value;
  const isOurs = cluster === pinned.cluster && groupId === pinned.groupId && about === nonce;
  return isOurs ? parsed.value : null;
}
