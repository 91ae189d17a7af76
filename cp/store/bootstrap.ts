/** What every cluster has from its first start: the workspace and the group named `default`. */
import { randomUUID } from 'node:crypto';
import { assert, AssertionError } from '#shared/base/assert.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import type { EntityDefinition } from '#shared/schema/field.ts';
import type { Registry } from '#shared/schema/plugin-definition.ts';
import { processInsert } from '#shared/schema/process.ts';
import type { Db } from './db.ts';
import { sealing } from '../keys/fresh-keys.ts';
import type { RowKeySource } from '../keys/row-keys.ts';
import { EntityTx } from './entity-store.ts';
import { START_LOCK } from './migrate.ts';
import { SYSTEM_WORKSPACE } from './migrations/0001-init.ts';
import { PendingChanges } from './pending-changes.ts';
import { planOf } from './sql.ts';

export const DEFAULT_NAME = 'default';

/** @returns id of the default workspace */
export function ensureDefaults(
  db: Db,
  workspace: EntityDefinition,
  source: RowKeySource,
): Promise<string> {
  const plans = new Map([[workspace.name, planOf(workspace)]]);
  const registry = registryOf(workspace);
  return sealing(db, source, async (tx, keys) => {
    // Two control planes may start at once on an empty database.
    await tx.query('SELECT pg_advisory_xact_lock($1::bigint)', [START_LOCK]);
    const changes = new PendingChanges();
    const entities = new EntityTx({ db: tx, plans, keys, registry, changes });
    const found = await entities.getBy(workspace, SYSTEM_WORKSPACE, 'name', DEFAULT_NAME);
    const entity = found ?? defaultWorkspace(workspace);
    if (found === null) await entities.insert(workspace, SYSTEM_WORKSPACE, entity);
    await tx.query(
      `INSERT INTO groups (id, name, workspaces) VALUES ($1, $2, ARRAY[$3::uuid])
       ON CONFLICT (name) DO NOTHING`,
      [randomUUID(), DEFAULT_NAME, entity.id],
    );
    if (changes.count > 0) await changes.commit(tx, { name: 'bootstrap', source: null }, '', keys);
    return entity.id;
  });
}

function registryOf(workspace: EntityDefinition): Registry {
  return { entities: new Map([[workspace.name, workspace]]), plugins: new Map() };
}

function defaultWorkspace(workspace: EntityDefinition): AnyEntity {
  const processed = processInsert(workspace, { name: DEFAULT_NAME }, registryOf(workspace), {
    nowSeconds: Date.now() / 1000,
    uuid: randomUUID,
    randomText: unreachableText,
  });
  assert(processed.ok, 'the default workspace is valid');
  return processed.entity;
}

function unreachableText(): never {
  throw new AssertionError('a workspace has no generated text');
}
