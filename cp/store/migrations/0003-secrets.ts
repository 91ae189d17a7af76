/** Secrets inside records, and generations of the keys that protect what is stored. */
import type { Migration } from '../migrate.ts';

/** A field that holds secrets rather than being one: their ciphertext, JSON pointer → secret. */
const nestedSecrets = ['ALTER TABLE plugins ADD COLUMN IF NOT EXISTS config_cipher bytea'];

export const secrets: Migration = {
  number: 3,
  name: 'secrets',
  floor: 1,
  statements: [...nestedSecrets],
};
