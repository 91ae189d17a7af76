/**
 * Records and tree nodes of each schema level beside each other: control planes of two releases publish
 * into one database.
 */
import type { Migration } from '../migrate.ts';

const statements = [
  'ALTER TABLE group_records ADD COLUMN level integer NOT NULL DEFAULT 1',
  'ALTER TABLE group_records DROP CONSTRAINT group_records_pkey',
  `ALTER TABLE group_records ADD CONSTRAINT group_records_pkey
    PRIMARY KEY (group_id, level, kind, ws_id, entity_id)`,
  'ALTER TABLE group_nodes ADD COLUMN level integer NOT NULL DEFAULT 1',
  'ALTER TABLE group_nodes DROP CONSTRAINT group_nodes_pkey',
  'ALTER TABLE group_nodes ADD CONSTRAINT group_nodes_pkey PRIMARY KEY (group_id, level, id)',
];

/** Code from before it writes without a level, and could not: no release had it. */
export const levels: Migration = { number: 12, name: 'levels', floor: 12, statements };
