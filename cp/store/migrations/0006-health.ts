/** What data planes say of the health of Upstreams' targets. */
import type { Migration } from '../migrate.ts';

const statements = [
  // report: what the node said last, as in a `health` frame; length: of its text. Only of nodes that
  // are connected.
  `CREATE TABLE node_health (
    ws_id uuid NOT NULL,
    upstream text NOT NULL,
    node_id uuid NOT NULL REFERENCES nodes (id),
    report jsonb NOT NULL,
    length integer NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (ws_id, upstream, node_id))`,

  'CREATE INDEX node_health_node_id_idx ON node_health (node_id)',
];

export const health: Migration = { number: 6, name: 'health', floor: 1, statements };
