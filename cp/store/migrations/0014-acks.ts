/** What nodes run, summed up: one row per control plane and group, whatever the number of nodes. */
import type { Migration } from '../migrate.ts';

const statements = [
  // counts: [epoch, revision, nodes], newest first. laggards: who does not serve the newest, and why. edge:
  // how many of the nodes are deployments of many isolates. set_aside: how many nodes do without an entity.
  `CREATE TABLE group_acks (
    control_plane uuid NOT NULL,
    group_id uuid NOT NULL,
    connected integer NOT NULL,
    edge integer NOT NULL,
    set_aside integer NOT NULL,
    lagging integer NOT NULL,
    counts jsonb NOT NULL,
    laggards jsonb NOT NULL,
    written_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT group_acks_pkey PRIMARY KEY (control_plane, group_id))`,

  'CREATE INDEX group_acks_group_id_idx ON group_acks (group_id)',

  // Entities that the node does without, by name.
  `ALTER TABLE nodes ADD COLUMN quarantined jsonb NOT NULL DEFAULT '[]'`,

  'CREATE INDEX nodes_connected_to_idx ON nodes (group_id, connected_to) WHERE connected_to IS NOT NULL',

  // What a control plane's own nodes answered to a call that another control plane was asked for.
  `CREATE TABLE node_call_answers (
    call_id uuid NOT NULL,
    control_plane uuid NOT NULL,
    answer jsonb NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT node_call_answers_pkey PRIMARY KEY (call_id, control_plane))`,

  // Counters that the nodes of a group share, for one window of time each.
  `CREATE TABLE shared_counters (
    group_id uuid NOT NULL,
    name text NOT NULL,
    window_start bigint NOT NULL,
    seconds integer NOT NULL,
    total bigint NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT shared_counters_pkey PRIMARY KEY (group_id, name, window_start, seconds))`,

  'CREATE INDEX shared_counters_expires_at_idx ON shared_counters (expires_at)',
];

export const acks: Migration = { number: 14, name: 'acks', floor: 1, statements };
