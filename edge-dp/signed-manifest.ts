/** A signed manifest as it is kept in KV and SQLite: one JSON text of four texts. */
import { defineFields } from '#shared/schema/infer.ts';
import { parseRecord } from '#shared/schema/parse.ts';
import type { SignedManifest } from '#shared/wire/frames.ts';

const text = { type: 'string', required: true } as const;
const fields = defineFields({
  manifest: text,
  signature: text,
  key_list: text,
  key_list_signature: text,
});

/** Its shape checked, its signatures not; null when it is none. */
export function signedManifestOf(json: string): SignedManifest | null {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return null;
  }
  const parsed = parseRecord(fields, value);
  return parsed.ok ? parsed.value : null;
}
