/** Secrets inside records, and generations of the keys that protect what is stored. */
import type { Migration } from '../migrate.ts';

export const secrets: Migration = { number: 3, name: 'secrets', floor: 1, statements: [] };
