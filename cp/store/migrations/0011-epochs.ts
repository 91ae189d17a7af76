/** What a database tells by that it is the one it was, and the epochs that began when it was not. */
import type { Migration } from '../migrate.ts';

const statements = [
  // xid: the transaction that wrote the row, as its own xmin says too. Only in a row that was written
  // anew from a dump the two differ.
  `CREATE TABLE database_marker (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    database_oid bigint NOT NULL,
    xid bigint NOT NULL,
    server_started timestamptz NOT NULL)`,

  `CREATE TABLE epochs (
    epoch bigint PRIMARY KEY,
    reason text NOT NULL,
    detail text NOT NULL,
    database_before text NOT NULL,
    database_now text NOT NULL,
    at timestamptz NOT NULL DEFAULT now())`,
];

export const epochs: Migration = { number: 11, name: 'epochs', floor: 1, statements };
