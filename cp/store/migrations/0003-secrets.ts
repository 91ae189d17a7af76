/** Secrets inside records, and generations of the keys that protect what is stored. */
import type { Migration } from '../migrate.ts';

/** A field that holds secrets rather than being one: their ciphertext, JSON pointer → secret. */
const nestedSecrets = ['ALTER TABLE plugins ADD COLUMN IF NOT EXISTS config_cipher bytea'];

/**
 * From which version on `changes` tells what entities were like. Whoever prunes the log raises it, and
 * keeps the last change up to it of every entity that is still there.
 */
const logStart = [
  'ALTER TABLE workspace_versions ADD COLUMN IF NOT EXISTS log_start bigint NOT NULL DEFAULT 0',
];

export const secrets: Migration = {
  number: 3,
  name: 'secrets',
  floor: 1,
  statements: [...nestedSecrets, ...logStart],
};
