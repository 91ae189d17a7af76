/** The control planes of a cluster, and the histories of its database. */
import type { Migration } from '../migrate.ts';

const statements = [
  // One row per process. Live: not stopped, and seen within its own ttl_seconds, by the database's
  // clock. Rows stay for a day, so that a restart does not change what addresses there are.
  `CREATE TABLE control_planes (
    id uuid PRIMARY KEY,
    urls text[] NOT NULL,
    hostname text NOT NULL,
    version text NOT NULL,
    sessions integer NOT NULL DEFAULT 0,
    ttl_seconds integer NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    stopped_at timestamptz)`,
];

export const controlPlanes: Migration = {
  number: 7,
  name: 'control_planes',
  floor: 1,
  statements,
};
