/** A signed manifest as it is kept in KV, SQLite and object stores: one JSON text of four texts. */
import { defineFields } from '../schema/infer.ts';
import { parseRecord } from '../schema/parse.ts';
import { parseJson } from './signed-text.ts';
import type { SignedManifest } from '../wire/frames.ts';

const text = { type: 'string', required: true } as const;
const fields = defineFields({
  manifest: text,
  signature: text,
  key_list: text,
  key_list_signature: text,
});

/** Its shape checked, its signatures not; null when it is none. */
export function signedManifestOf(json: string): SignedManifest | null {
  const parsed = parseRecord(fields, parseJson(json));
  return parsed.ok ? parsed.value : null;
}
