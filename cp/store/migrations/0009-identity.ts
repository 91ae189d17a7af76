/** What is known of nodes' identities beyond their keys: suspicions, locks, the rotation of keys. */
import type { Migration } from '../migrate.ts';

const statements = [
  // node_name: the only name a node may join by with it; null: any.
  'ALTER TABLE join_tokens ADD COLUMN node_name text',

  // alert: why its identity is in doubt, since when and how often. join_open: an administrator vouches
  // for whoever comes next with its key. joined_at: when it was let in last. next_public_key: of a rotation that the node has begun.
  'ALTER TABLE nodes ADD COLUMN alert jsonb',
  'ALTER TABLE nodes ADD COLUMN locked_at timestamptz',
  'ALTER TABLE nodes ADD COLUMN join_open boolean NOT NULL DEFAULT false',
  'ALTER TABLE nodes ADD COLUMN join_token text',
  'ALTER TABLE nodes ADD COLUMN joined_at timestamptz',
  'ALTER TABLE nodes ADD COLUMN next_public_key text',
  'ALTER TABLE nodes ADD COLUMN key_made_at timestamptz NOT NULL DEFAULT now()',

  'CREATE INDEX nodes_revoked_at_idx ON nodes (revoked_at) WHERE revoked_at IS NOT NULL',
  'CREATE INDEX nodes_locked_at_idx ON nodes (locked_at) WHERE locked_at IS NOT NULL',
];

export const identity: Migration = { number: 9, name: 'identity', floor: 1, statements };
