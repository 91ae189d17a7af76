/** Writes entities inside one transaction: rows now, change rows by `PendingChanges` at its end. */
import { assert } from '#shared/base/assert.ts';
import type { EntityDefinition, JsonObject } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import type { Registry } from '#shared/schema/plugin-definition.ts';
import type { Db } from './db.ts';
import { encodeEntity, type EncodedEntity, type RowKeys } from './entity-codec.ts';
import { EntityReader, planFor, type Plans, type Reader, workspaceOf } from './entity-reader.ts';
import { StoreError, toEntityError } from './errors.ts';
import type { PendingChanges } from './pending-changes.ts';
import { type ForeignColumn, foreignId, quoted, type TablePlan } from './sql.ts';

/** A transaction that writes. What it reads it locks until it ends. */
export interface WriteTx extends Reader {
  /** The transaction itself, for rows of no entity that belong to the same write. */
  readonly db: Db;
  /** @throws StoreError `unique`, `primary_key`, `foreign_missing` */
  insert(definition: EntityDefinition, ws: string, entity: AnyEntity): Promise<void>;
  /** Replaces the whole entity, which must be there. @throws StoreError as `insert` */
  update(definition: EntityDefinition, ws: string, entity: AnyEntity): Promise<void>;
  /**
   * Removes an entity and its children, each with a change of its own.
   *
   * @returns false when it is not there
   * @throws StoreError `foreign_referenced` when a child restricts it
   */
  remove(definition: EntityDefinition, ws: string, id: string): Promise<boolean>;
}

export interface EntityTxOptions {
  readonly db: Db;
  readonly plans: Plans;
  readonly keys: RowKeys;
  readonly registry: Registry;
  readonly changes: PendingChanges;
}

export class EntityTx extends EntityReader implements WriteTx {
  readonly db: Db;
  readonly #plans: Plans;
  readonly #keys: RowKeys;
  readonly #registry: Registry;
  readonly #changes: PendingChanges;

  constructor(options: EntityTxOptions) {
    super({ ...options, forUpdate: true });
    this.db = options.db;
    this.#plans = options.plans;
    this.#keys = options.keys;
    this.#registry = options.registry;
    this.#changes = options.changes;
  }

  async insert(definition: EntityDefinition, ws: string, entity: AnyEntity): Promise<void> {
    const plan = planFor(this.#plans, definition);
    this.#assertParents(plan, entity);
    const encoded = encodeEntity(plan, entity, this.#keys, this.#registry);
    const owner = workspaceOf(plan, ws);
    if (plan.hasExpiry) await this.#removeExpiredRivals(plan, owner, entity.id, encoded);
    await this.#statement(plan.insert, plan, { ws: owner, entity, encoded });
    if (plan.table === 'workspaces') {
      await this.#enterWorkspace(entity.id);
    }
    this.#record(plan, owner, entity.id, 'create', encoded);
  }

  async update(definition: EntityDefinition, ws: string, entity: AnyEntity): Promise<void> {
    const plan = planFor(this.#plans, definition);
    this.#assertParents(plan, entity);
    const encoded = encodeEntity(plan, entity, this.#keys, this.#registry);
    const owner = workspaceOf(plan, ws);
    if (plan.hasExpiry) await this.#removeExpiredRivals(plan, owner, null, encoded);
    const count = await this.#statement(plan.update, plan, { ws: owner, entity, encoded });
    assert(count === 1, `update of ${plan.table} ${entity.id}, which is not there`);
    this.#record(plan, owner, entity.id, 'update', encoded);
  }

  async remove(definition: EntityDefinition, ws: string, id: string): Promise<boolean> {
    const plan = planFor(this.#plans, definition);
    // The lock keeps children from being added while the existing ones are looked for.
    if ((await this.get(definition, ws, id)) === null) return false;
    if (plan.table === 'workspaces') await this.#leaveWorkspace(id);
    await this.#removeAll(plan, workspaceOf(plan, ws), [id]);
    return true;
  }

  /** Removes rows whose time has come, at most `limit`. @returns how many */
  async removeExpired(definition: EntityDefinition, ws: string, limit: number): Promise<number> {
    const plan = planFor(this.#plans, definition);
    assert(plan.hasExpiry, `${plan.table} do not expire`);
    const { rows } = await this.db.query<{ id: string }>(
      `SELECT id FROM ${quoted(plan.table)} WHERE ws_id = $1 AND expires_at <= now() ` +
        'ORDER BY id LIMIT $2 FOR UPDATE',
      [ws, limit],
    );
    await this.#removeAll(
      plan,
      ws,
      rows.map(({ id }) => id),
    );
    return rows.length;
  }

  /** Parents of a kind that is not stored have no constraint that would miss them. */
  #assertParents(plan: TablePlan, entity: AnyEntity): void {
    for (const { field, reference } of plan.foreigns) {
      const id = foreignId(entity[field]);
      if (id === null || this.#plans.has(reference)) continue;
      throw new StoreError({ code: 'foreign_missing', field, reference, id });
    }
  }

  async #statement(
    text: string,
    plan: TablePlan,
    row: { ws: string; entity: AnyEntity; encoded: EncodedEntity },
  ): Promise<number> {
    try {
      const params = [row.ws, row.entity.id, ...row.encoded.params];
      return (await this.db.query(text, params)).count;
    } catch (error) {
      throw toEntityError(error, plan, row.entity);
    }
  }

  #record(
    plan: TablePlan,
    ws: string,
    id: string,
    operation: 'create' | 'update' | 'delete',
    after: { doc: JsonObject | null; secrets: JsonObject | null } = { doc: null, secrets: null },
  ): void {
    const { doc, secrets } = after;
    this.#changes.add({ ws, kind: plan.table, id, operation, doc, secrets });
  }

  /** Rows that no reader sees any more must not collide with a new one. */
  async #removeExpiredRivals(
    plan: TablePlan,
    ws: string,
    id: string | null,
    encoded: EncodedEntity,
  ): Promise<void> {
    const params: (string | Uint8Array)[] = [ws];
    const rivals: string[] = [];
    if (id !== null) rivals.push(`id = $${params.push(id)}`);
    for (const { column } of plan.uniques) {
      const value = encoded.params[plan.columns.indexOf(column)];
      if (typeof value !== 'string' && !(value instanceof Uint8Array)) continue;
      rivals.push(`${quoted(column)} = $${params.push(value)}`);
    }
    if (rivals.length === 0) return;
    const { rows } = await this.db.query<{ id: string }>(
      `SELECT id FROM ${quoted(plan.table)} WHERE ws_id = $1 AND expires_at <= now() ` +
        `AND (${rivals.join(' OR ')}) ORDER BY id FOR UPDATE`,
      params,
    );
    await this.#removeAll(
      plan,
      ws,
      rows.map((row) => row.id),
    );
  }

  /** Children first, so that each change leaves a consistent whole. Depth: that of the definitions. */
  async #removeAll(plan: TablePlan, ws: string, ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return;
    for (const child of this.#plans.values()) {
      for (const foreign of child.foreigns) {
        if (foreign.reference !== plan.definition.name) continue;
        await this.#orphan(child, foreign, { kind: plan.definition.name, ws, ids });
      }
    }
    await this.db.query(
      `DELETE FROM ${quoted(plan.table)} WHERE ws_id = $1 AND id = ANY($2::uuid[])`,
      [ws, ids],
    );
    for (const id of ids) this.#record(plan, ws, id, 'delete');
  }

  async #orphan(
    child: TablePlan,
    foreign: ForeignColumn,
    parents: { kind: string; ws: string; ids: readonly string[] },
  ): Promise<void> {
    const { rows } = await this.db.query<{ id: string }>(
      `SELECT id FROM ${quoted(child.table)} WHERE ws_id = $1 ` +
        `AND ${quoted(foreign.column)} = ANY($2::uuid[]) ORDER BY id FOR UPDATE`,
      [parents.ws, parents.ids],
    );
    if (rows.length === 0) return;
    if (foreign.onDelete === 'restrict') {
      const { name: by } = child.definition;
      throw new StoreError({ code: 'foreign_referenced', by, kind: parents.kind });
    }
    if (foreign.onDelete === 'cascade') {
      await this.#removeAll(
        child,
        parents.ws,
        rows.map(({ id }) => id),
      );
      return;
    }
    for (const { id } of rows) {
      const entity = await this.get(child.definition, parents.ws, id);
      if (entity === null) continue;
      await this.update(child.definition, parents.ws, { ...entity, [foreign.field]: null });
    }
  }

  /** Served by the default group, until groups can be told what they serve. */
  async #enterWorkspace(ws: string): Promise<void> {
    await this.db.query('INSERT INTO workspace_versions (ws_id, version) VALUES ($1, 0)', [ws]);
    await this.db.query(
      `UPDATE groups SET workspaces = array_append(workspaces, $1::uuid) WHERE name = 'default'`,
      [ws],
    );
  }

  /** A workspace goes only when it is empty; its counter row is what writers into it wait for. */
  async #leaveWorkspace(ws: string): Promise<void> {
    await this.db.query('SELECT 1 FROM workspace_versions WHERE ws_id = $1 FOR UPDATE', [ws]);
    for (const plan of this.#plans.values()) {
      if (!plan.definition.workspaceable) continue;
      const { count } = await this.db.query(
        `SELECT 1 FROM ${quoted(plan.table)} WHERE ws_id = $1 LIMIT 1`,
        [ws],
      );
      if (count === 0) continue;
      const { name: by } = plan.definition;
      throw new StoreError({ code: 'foreign_referenced', by, kind: 'workspaces' });
    }
    await this.db.query('DELETE FROM workspace_versions WHERE ws_id = $1', [ws]);
    await this.db.query(
      'UPDATE groups SET workspaces = array_remove(workspaces, $1::uuid) WHERE $1 = ANY(workspaces)',
      [ws],
    );
  }
}
