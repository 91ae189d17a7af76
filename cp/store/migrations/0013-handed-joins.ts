/**
 * All join numbers that were handed out since one was confirmed, and not only the newest: two holders of
 * one state are never given the same.
 */
import type { Migration } from '../migrate.ts';

const statements = [
  "ALTER TABLE nodes ADD COLUMN join_handed bigint[] NOT NULL DEFAULT '{}'",
  'UPDATE nodes SET join_handed = ARRAY[join_pending] WHERE join_pending IS NOT NULL',
];

/** The release before goes on by the newest of them, `join_pending`. */
export const handedJoins: Migration = { number: 13, name: 'handed joins', floor: 12, statements };
