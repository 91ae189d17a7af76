/** Groups as entities, what each was published as, and which routes need what. */
import type { Migration } from '../migrate.ts';

const statements = [
  `CREATE TABLE clustering_groups (
    ws_id uuid NOT NULL,
    id uuid NOT NULL,
    name text,
    tags text[],
    doc jsonb NOT NULL,
    CONSTRAINT clustering_groups_pkey PRIMARY KEY (ws_id, id),
    CONSTRAINT clustering_groups_name_key UNIQUE (ws_id, name))`,

  'CREATE INDEX clustering_groups_tags_idx ON clustering_groups USING gin (tags)',

  // The entity is written by the Admin API; `groups` has what publishing and joining need of it, and
  // may be locked for as long as a publication takes.
  // serves_all: every workspace, also those made later. published_as: tags, policy and generation of
  // the newest revision. (policy: the entity's settings.)
  `ALTER TABLE groups
    ADD COLUMN serves_all boolean NOT NULL DEFAULT false,
    ADD COLUMN labels jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN published_as jsonb`,

  `UPDATE groups SET serves_all = true WHERE name = 'default'`,

  // Of groups that select routes: what an entity of the slice needs beside itself.
  `CREATE TABLE group_needs (
    group_id uuid NOT NULL REFERENCES groups (id),
    ws_id uuid NOT NULL,
    kind text NOT NULL,
    entity_id uuid NOT NULL,
    need text NOT NULL,
    PRIMARY KEY (group_id, ws_id, kind, entity_id, need))`,

  'CREATE INDEX group_needs_need_idx ON group_needs (group_id, need, ws_id)',

  // Without a group, the labels of the node choose it.
  'ALTER TABLE join_tokens ALTER COLUMN group_id DROP NOT NULL',
];

export const groups: Migration = { number: 8, name: 'groups', floor: 1, statements };
