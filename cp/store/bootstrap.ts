/** What every cluster has from its first start: the workspace and the group named `default`. */
import { randomUUID } from 'node:crypto';
import { assert, AssertionError, must } from '#shared/base/assert.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import type { EntityDefinition } from '#shared/schema/field.ts';
import type { Registry } from '#shared/schema/plugin-definition.ts';
import { processInsert } from '#shared/schema/process.ts';
import type { Db } from './db.ts';
import { sealing } from '../keys/fresh-keys.ts';
import type { RowKeySource } from '../keys/row-keys.ts';
import { EntityTx } from './entity-store.ts';
import { saveGroupRow } from './group-row.ts';
import { START_LOCK } from './migrate.ts';
import { SYSTEM_WORKSPACE } from './migrations/0001-init.ts';
import { PendingChanges } from './pending-changes.ts';
import { planOf } from './sql.ts';

export const DEFAULT_NAME = 'default';

export interface Defaults {
  readonly workspace: EntityDefinition;
  /** Null where groups are no entities (tests of the store by itself). */
  readonly group: EntityDefinition | null;
}

/** @returns id of the default workspace */
export function ensureDefaults(
  db: Db,
  { workspace, group }: Defaults,
  source: RowKeySource,
): Promise<string> {
  const definitions = group === null ? [workspace] : [workspace, group];
  const plans = new Map(definitions.map((definition) => [definition.name, planOf(definition)]));
  const registry = registryOf(definitions);
  return sealing(db, source, async (tx, keys) => {
    // Two control planes may start at once on an empty database.
    await tx.query('SELECT pg_advisory_xact_lock($1::bigint)', [START_LOCK]);
    const changes = new PendingChanges();
    const entities = new EntityTx({ db: tx, plans, keys, registry, changes });
    const found = await entities.getBy(workspace, SYSTEM_WORKSPACE, 'name', DEFAULT_NAME);
    const entity = found ?? defaultOf(workspace, registry);
    if (found === null) await entities.insert(workspace, SYSTEM_WORKSPACE, entity);
    await tx.query(
      `INSERT INTO groups (id, name, serves_all, workspaces)
       VALUES ($1, $2, true, ARRAY[$3::uuid]) ON CONFLICT (name) DO NOTHING`,
      [randomUUID(), DEFAULT_NAME, entity.id],
    );
    if (group !== null) await ensureGroup(tx, entities, group, registry);
    if (changes.count > 0) await changes.commit(tx, { name: 'bootstrap', source: null }, '', keys);
    return entity.id;
  });
}

/** The entity of a group that may be older than groups are entities. */
async function ensureGroup(
  tx: Db,
  entities: EntityTx,
  group: EntityDefinition,
  registry: Registry,
): Promise<void> {
  if ((await entities.getBy(group, SYSTEM_WORKSPACE, 'name', DEFAULT_NAME)) !== null) return;
  const { rows } = await tx.query<{ id: string }>('SELECT id FROM groups WHERE name = $1', [
    DEFAULT_NAME,
  ]);
  const { id } = must(rows[0], 'the default group has a row');
  await entities.insert(group, SYSTEM_WORKSPACE, { ...defaultOf(group, registry), id });
  await saveGroupRow(tx, id);
}

function registryOf(definitions: readonly EntityDefinition[]): Registry {
  const entities = new Map(definitions.map((definition) => [definition.name, definition]));
  return { entities, plugins: new Map() };
}

function defaultOf(definition: EntityDefinition, registry: Registry): AnyEntity {
  const processed = processInsert(definition, { name: DEFAULT_NAME }, registry, {
    nowSeconds: Date.now() / 1000,
    uuid: randomUUID,
    randomText: unreachableText,
  });
  assert(processed.ok, `the default of ${definition.name} is valid`);
  return processed.entity;
}

function unreachableText(): never {
  throw new AssertionError('nothing here has a generated text');
}
