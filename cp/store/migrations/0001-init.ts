/**
 * The first schema. One table per definition: keys, unique and foreign columns, tags, blind indexes
 * and ciphertexts as columns; everything else in `doc` (decision 11). No `ON DELETE CASCADE`: the
 * store deletes children itself, so that each leaves a change row. `sql.drift.test.ts` compares these
 * tables with the definitions.
 *
 * A foreign column whose parent has no table yet (certificates) has no constraint; the store refuses
 * a value in it.
 *
 * Constraint names matter: `sql.ts` derives from them which fields a violation is about.
 */
import type { Migration } from '../migrate.ts';

/** Rows of definitions that belong to no workspace carry this one (decision 1). */
export const SYSTEM_WORKSPACE = '00000000-0000-0000-0000-000000000000';

const KEYS = `
  ws_id uuid NOT NULL,
  id uuid NOT NULL`;

const entityTables = [
  `CREATE TABLE workspaces (${KEYS},
    name text,
    doc jsonb NOT NULL,
    CONSTRAINT workspaces_pkey PRIMARY KEY (ws_id, id),
    CONSTRAINT workspaces_name_key UNIQUE (ws_id, name))`,

  `CREATE TABLE consumers (${KEYS},
    username text,
    custom_id text,
    tags text[],
    doc jsonb NOT NULL,
    CONSTRAINT consumers_pkey PRIMARY KEY (ws_id, id),
    CONSTRAINT consumers_username_key UNIQUE (ws_id, username),
    CONSTRAINT consumers_custom_id_key UNIQUE (ws_id, custom_id))`,

  `CREATE TABLE services (${KEYS},
    name text,
    client_certificate_id uuid,
    tags text[],
    doc jsonb NOT NULL,
    CONSTRAINT services_pkey PRIMARY KEY (ws_id, id),
    CONSTRAINT services_name_key UNIQUE (ws_id, name))`,

  `CREATE TABLE routes (${KEYS},
    name text,
    service_id uuid,
    tags text[],
    doc jsonb NOT NULL,
    CONSTRAINT routes_pkey PRIMARY KEY (ws_id, id),
    CONSTRAINT routes_name_key UNIQUE (ws_id, name),
    CONSTRAINT routes_service_fkey FOREIGN KEY (ws_id, service_id)
      REFERENCES services (ws_id, id))`,

  `CREATE TABLE upstreams (${KEYS},
    name text,
    client_certificate_id uuid,
    tags text[],
    doc jsonb NOT NULL,
    CONSTRAINT upstreams_pkey PRIMARY KEY (ws_id, id),
    CONSTRAINT upstreams_name_key UNIQUE (ws_id, name))`,

  `CREATE TABLE targets (${KEYS},
    upstream_id uuid,
    tags text[],
    cache_key text,
    doc jsonb NOT NULL,
    CONSTRAINT targets_pkey PRIMARY KEY (ws_id, id),
    CONSTRAINT targets_cache_key UNIQUE (ws_id, cache_key),
    CONSTRAINT targets_upstream_fkey FOREIGN KEY (ws_id, upstream_id)
      REFERENCES upstreams (ws_id, id))`,

  `CREATE TABLE plugins (${KEYS},
    instance_name text,
    route_id uuid,
    service_id uuid,
    consumer_id uuid,
    tags text[],
    cache_key text,
    doc jsonb NOT NULL,
    CONSTRAINT plugins_pkey PRIMARY KEY (ws_id, id),
    CONSTRAINT plugins_instance_name_key UNIQUE (ws_id, instance_name),
    CONSTRAINT plugins_cache_key UNIQUE (ws_id, cache_key),
    CONSTRAINT plugins_route_fkey FOREIGN KEY (ws_id, route_id)
      REFERENCES routes (ws_id, id),
    CONSTRAINT plugins_service_fkey FOREIGN KEY (ws_id, service_id)
      REFERENCES services (ws_id, id),
    CONSTRAINT plugins_consumer_fkey FOREIGN KEY (ws_id, consumer_id)
      REFERENCES consumers (ws_id, id))`,

  `CREATE TABLE keyauth_credentials (${KEYS},
    consumer_id uuid,
    key_index bytea,
    key_cipher bytea,
    tags text[],
    expires_at timestamptz,
    doc jsonb NOT NULL,
    CONSTRAINT keyauth_credentials_pkey PRIMARY KEY (ws_id, id),
    CONSTRAINT keyauth_credentials_key_key UNIQUE (ws_id, key_index),
    CONSTRAINT keyauth_credentials_consumer_fkey FOREIGN KEY (ws_id, consumer_id)
      REFERENCES consumers (ws_id, id))`,
];

/** Foreign columns are paged through by id; tags are searched by containment. */
const entityIndexes = [
  'CREATE INDEX routes_service_id_idx ON routes (ws_id, service_id, id)',
  'CREATE INDEX targets_upstream_id_idx ON targets (ws_id, upstream_id, id)',
  'CREATE INDEX plugins_route_id_idx ON plugins (ws_id, route_id, id)',
  'CREATE INDEX plugins_service_id_idx ON plugins (ws_id, service_id, id)',
  'CREATE INDEX plugins_consumer_id_idx ON plugins (ws_id, consumer_id, id)',
  'CREATE INDEX keyauth_credentials_consumer_id_idx ON keyauth_credentials (ws_id, consumer_id, id)',
  `CREATE INDEX keyauth_credentials_expires_at_idx ON keyauth_credentials (expires_at)
    WHERE expires_at IS NOT NULL`,
  ...[
    'consumers',
    'services',
    'routes',
    'upstreams',
    'targets',
    'plugins',
    'keyauth_credentials',
  ].map((table) => `CREATE INDEX ${table}_tags_idx ON ${table} USING gin (tags)`),
];

/**
 * The change log. A workspace's counter row is updated by the last statement of a writing
 * transaction, so version order is commit order; a sequence would not give that.
 */
const changeTables = [
  `CREATE TABLE workspace_versions (
    ws_id uuid PRIMARY KEY,
    version bigint NOT NULL)`,

  `INSERT INTO workspace_versions (ws_id, version) VALUES ('${SYSTEM_WORKSPACE}', 0)`,

  // doc: the entity after the change, without secrets; null once removed. secrets: ciphertexts by
  // field, base64, so that history can be restored without knowing them.
  `CREATE TABLE changes (
    ws_id uuid NOT NULL,
    version bigint NOT NULL,
    position integer NOT NULL,
    kind text NOT NULL,
    entity_id uuid NOT NULL,
    operation text NOT NULL CHECK (operation IN ('create', 'update', 'delete')),
    actor text NOT NULL,
    source text,
    at timestamptz NOT NULL,
    doc jsonb,
    secrets jsonb,
    CONSTRAINT changes_pkey PRIMARY KEY (ws_id, version, position))`,

  'CREATE INDEX changes_entity_idx ON changes (ws_id, kind, entity_id, version)',
];

/** What is published: a group's slice in wire form, its tree, its signed manifests. */
const groupTables = [
  // published: workspace id → version contained in the group's revision.
  `CREATE TABLE groups (
    id uuid PRIMARY KEY,
    name text NOT NULL CONSTRAINT groups_name_key UNIQUE,
    workspaces uuid[] NOT NULL,
    tags text[],
    policy jsonb NOT NULL DEFAULT '{}',
    secret_generation integer NOT NULL DEFAULT 1,
    epoch bigint NOT NULL DEFAULT 1,
    revision bigint NOT NULL DEFAULT 0,
    published jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now())`,

  `CREATE TABLE group_records (
    group_id uuid NOT NULL REFERENCES groups (id),
    kind text NOT NULL,
    ws_id uuid NOT NULL,
    entity_id uuid NOT NULL,
    placement text NOT NULL,
    hash text NOT NULL,
    text text NOT NULL,
    PRIMARY KEY (group_id, kind, ws_id, entity_id))`,

  `CREATE TABLE group_nodes (
    group_id uuid NOT NULL REFERENCES groups (id),
    id text NOT NULL,
    text text NOT NULL,
    retired_revision bigint,
    PRIMARY KEY (group_id, id))`,

  `CREATE TABLE manifests (
    group_id uuid NOT NULL REFERENCES groups (id),
    epoch bigint NOT NULL,
    revision bigint NOT NULL,
    level integer NOT NULL,
    manifest text NOT NULL,
    signature text NOT NULL,
    key_list text NOT NULL,
    key_list_signature text NOT NULL,
    hash text NOT NULL,
    delta text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (group_id, epoch, revision, level))`,
];

const nodeTables = [
  `CREATE TABLE nodes (
    id uuid PRIMARY KEY,
    group_id uuid NOT NULL REFERENCES groups (id),
    public_key text NOT NULL CONSTRAINT nodes_public_key_key UNIQUE,
    sealing_key text NOT NULL,
    join_seq bigint NOT NULL DEFAULT 0,
    join_pending bigint,
    hostname text NOT NULL,
    version text NOT NULL,
    runtime text NOT NULL,
    labels jsonb NOT NULL DEFAULT '{}',
    features text[] NOT NULL DEFAULT '{}',
    level integer NOT NULL DEFAULT 1,
    ip text,
    epoch bigint NOT NULL DEFAULT 0,
    revision bigint NOT NULL DEFAULT 0,
    hash text NOT NULL DEFAULT '',
    sync_status text NOT NULL DEFAULT 'unknown',
    persisted boolean,
    last_error text,
    last_seen timestamptz,
    connected_to uuid,
    revoked_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now())`,

  'CREATE INDEX nodes_group_id_idx ON nodes (group_id, id)',

  // verifier: SHA-256 of the token's secret, encrypted.
  `CREATE TABLE join_tokens (
    id text PRIMARY KEY,
    verifier bytea NOT NULL,
    group_id uuid NOT NULL REFERENCES groups (id),
    expires_at timestamptz NOT NULL,
    uses integer NOT NULL DEFAULT 0,
    max_uses integer NOT NULL,
    cidrs text[],
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz)`,
];

/** The cluster and its keys, private parts wrapped by the key-encryption key (decision 12). */
const clusterTables = [
  `CREATE TABLE cluster (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    id uuid NOT NULL,
    database_identity text NOT NULL,
    kek_check bytea NOT NULL,
    cluster_secret bytea NOT NULL,
    index_pepper bytea NOT NULL,
    root_public_key text NOT NULL,
    key_list text NOT NULL,
    key_list_signature text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now())`,

  `CREATE TABLE signing_keys (
    id text PRIMARY KEY,
    public_key text NOT NULL,
    private_key bytea NOT NULL,
    not_before bigint NOT NULL,
    not_after bigint,
    created_at timestamptz NOT NULL DEFAULT now())`,
];

export const init: Migration = {
  number: 1,
  name: 'init',
  floor: 1,
  statements: [
    ...entityTables,
    ...entityIndexes,
    ...changeTables,
    ...groupTables,
    ...nodeTables,
    ...clusterTables,
  ],
};
