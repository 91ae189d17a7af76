/** The key that a node had before it changed it: who still comes with it has a copy. */
import type { Migration } from '../migrate.ts';

const statements = ['ALTER TABLE nodes ADD COLUMN previous_public_key text'];

export const previousKeys: Migration = { number: 16, name: 'previous keys', floor: 12, statements };
