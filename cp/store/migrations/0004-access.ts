/** Who may use the Admin API, and what each of them did. */
import type { Migration } from '../migrate.ts';

export const access: Migration = { number: 4, name: 'access', floor: 1, statements: [] };
