/** Who may use the Admin API, and what each of them did. */
import type { Migration } from '../migrate.ts';

const statements = [
  // digest: SHA-256 of the secret. previous_digest: of the one before, good until previous_until.
  `CREATE TABLE admin_tokens (
    id text PRIMARY KEY,
    name text NOT NULL CONSTRAINT admin_tokens_name_key UNIQUE,
    digest bytea NOT NULL,
    previous_digest bytea,
    previous_until timestamptz,
    scopes jsonb NOT NULL,
    expires_at timestamptz,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    rotated_at timestamptz,
    last_used_at timestamptz)`,

  // One row per commit, and per request that wrote no entity or was refused. (ws_id, version) leads
  // to the rows of `changes`; both null when there are none.
  `CREATE TABLE audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    request_id text NOT NULL,
    actor text NOT NULL,
    token_id text,
    source text,
    forwarded_for text,
    method text NOT NULL,
    path text NOT NULL,
    status integer NOT NULL,
    workspace text,
    ws_id uuid,
    version bigint)`,

  'CREATE INDEX audit_at_idx ON audit (at)',
  'CREATE INDEX audit_request_id_idx ON audit (request_id)',
  'CREATE INDEX audit_actor_idx ON audit (actor, id)',
  'CREATE INDEX audit_workspace_idx ON audit (workspace, id)',
];

export const access: Migration = { number: 4, name: 'access', floor: 1, statements };
