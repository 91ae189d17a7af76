/** Answers kept for repeated requests (`Idempotency-Key`). */
import type { Migration } from '../migrate.ts';

const statements = [
  // id: keyed hash of who asked, where, and the key. fingerprint: keyed hash of the request. The rest is null
  // while the request is under way, which nobody sees but whoever waits for it. body: encrypted.
  `CREATE TABLE kept_answers (
    id text PRIMARY KEY,
    fingerprint text NOT NULL,
    status integer,
    headers jsonb,
    body_cipher bytea,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp())`,

  'CREATE INDEX kept_answers_created_at_idx ON kept_answers (created_at)',
];

export const transactions: Migration = { number: 5, name: 'transactions', floor: 1, statements };
