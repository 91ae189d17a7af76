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

/**
 * Data keys and peppers in generations, wrapped by the key-encryption key. A writing transaction ends
 * by reading the generations in force (`FOR SHARE`), so none commits with an older one after a
 * rotation. What was kept before is of generation 1.
 */
const generations = [
  `CREATE TABLE cluster_keys (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('data', 'pepper')),
    generation integer NOT NULL,
    wrapped bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    retired_at timestamptz,
    CONSTRAINT cluster_keys_generation_key UNIQUE (kind, generation))`,

  // keys_revision: grows with every change of `cluster_keys`. index_pepper: generation 1 of clusters
  // that are older than this table.
  `ALTER TABLE cluster
    ADD COLUMN data_generation integer NOT NULL DEFAULT 1,
    ADD COLUMN pepper_generation integer NOT NULL DEFAULT 1,
    ADD COLUMN keys_revision bigint NOT NULL DEFAULT 1,
    ALTER COLUMN index_pepper DROP NOT NULL`,

  // Generation of the ciphertexts of a change's `secrets`.
  'ALTER TABLE changes ADD COLUMN secrets_generation integer NOT NULL DEFAULT 1',
  `CREATE INDEX changes_secrets_generation_idx
    ON changes (secrets_generation, ws_id, version, position) WHERE secrets IS NOT NULL`,
];

export const secrets: Migration = {
  number: 3,
  name: 'secrets',
  floor: 1,
  statements: [...nestedSecrets, ...logStart, ...generations],
};
