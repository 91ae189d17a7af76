/** Writes entities inside one transaction: rows now, change rows by `PendingChanges` at its end. */
import { assert } from '#shared/base/assert.ts';
import { isUuid } from '#shared/schema/attributes.ts';
import type { EntityDefinition, JsonObject } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import type { Registry } from '#shared/schema/plugin-definition.ts';
import { fixedKeys, type RowKeys } from '../keys/row-keys.ts';
import type { Db } from './db.ts';
import { bytesText, encodeEntity, type EncodedEntity } from './entity-codec.ts';
import { EntityReader, planFor, type Plans, type Reader, workspaceOf } from './entity-reader.ts';
import { StoreError, toEntityError } from './errors.ts';
import { noWorkspace, type PendingChanges } from './pending-changes.ts';
import { type Item, lockExpiredRivals, refuseOlderRivals } from './rivals.ts';
import { BATCH_ROWS_MAX, batchesOf, partsOf, rowText } from './row-batch.ts';
import { type ForeignColumn, foreignId, quoted, type TablePlan } from './sql.ts';

/** A transaction that writes. What it reads it locks until it ends. */
export interface WriteTx extends Reader {
  /** The transaction itself, for rows of no entity that belong to the same write. */
  readonly db: Db;
  /**
   * Until the transaction ends, nobody else's write into this workspace commits.
   *
   * @returns the workspace's version
   * @throws StoreError `foreign_missing` when there is no such workspace
   */
  lockWorkspace(ws: string): Promise<number>;
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
  /**
   * As `insert` of one after the other, in few statements.
   *
   * @throws StoreError as `insert`; its `entityId` says which of them failed
   */
  insertMany(
    definition: EntityDefinition,
    ws: string,
    entities: readonly AnyEntity[],
  ): Promise<void>;
  /** As `update` of one after the other, in few statements. @throws StoreError as `insertMany` */
  updateMany(
    definition: EntityDefinition,
    ws: string,
    entities: readonly AnyEntity[],
  ): Promise<void>;
  /**
   * As `remove` of all at once, in few statements.
   *
   * @returns how many were there
   * @throws StoreError `foreign_referenced`; its `entityId` says which of them is
   */
  removeMany(definition: EntityDefinition, ws: string, ids: readonly string[]): Promise<number>;
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
    super({ ...options, keys: fixedKeys(options.keys), forUpdate: true });
    this.db = options.db;
    this.#plans = options.plans;
    this.#keys = options.keys;
    this.#registry = options.registry;
    this.#changes = options.changes;
  }

  async lockWorkspace(ws: string): Promise<number> {
    const { rows } = await this.db.query<{ version: number }>(
      'SELECT version FROM workspace_versions WHERE ws_id = $1 FOR UPDATE',
      [ws],
    );
    if (rows[0] === undefined) throw noWorkspace(ws);
    return rows[0].version;
  }

  async insert(definition: EntityDefinition, ws: string, entity: AnyEntity): Promise<void> {
    const plan = planFor(this.#plans, definition);
    this.#assertParents(plan, entity);
    const encoded = encodeEntity(plan, entity, this.#keys, this.#registry);
    const owner = workspaceOf(plan, ws);
    await this.#clearTheWay(plan, owner, [{ entity, encoded }], true);
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
    await this.#clearTheWay(plan, owner, [{ entity, encoded }], false);
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

  async insertMany(
    definition: EntityDefinition,
    ws: string,
    entities: readonly AnyEntity[],
  ): Promise<void> {
    if (entities.length < 2 || definition.name === 'workspaces') {
      for (const entity of entities) await this.insert(definition, ws, entity);
      return;
    }
    const plan = planFor(this.#plans, definition);
    const owner = workspaceOf(plan, ws);
    for (const { items, json } of this.#batches(plan, entities)) {
      await this.#lockParents(plan, owner, items);
      await this.#clearTheWay(plan, owner, items, true);
      const { rows } = await this.db.query<{ id: string }>(plan.insertMany, [owner, json]);
      const inserted = new Set(rows.map(({ id }) => id));
      for (const { entity, encoded } of items) {
        // What collided is tried by itself, for the error that names it.
        if (!inserted.delete(entity.id.toLowerCase())) {
          await this.#statement(plan.insert, plan, { ws: owner, entity, encoded });
        }
        this.#record(plan, owner, entity.id, 'create', encoded);
      }
    }
  }

  async updateMany(
    definition: EntityDefinition,
    ws: string,
    entities: readonly AnyEntity[],
  ): Promise<void> {
    const plan = planFor(this.#plans, definition);
    const owner = workspaceOf(plan, ws);
    for (const { items } of this.#batches(plan, entities)) {
      await this.#lockParents(plan, owner, items);
      const alone = await this.#changingKeys(plan, owner, items);
      const together = items.filter((item) => !alone.has(item));
      const texts = together.map(({ entity, encoded }) => rowText(plan, entity.id, encoded));
      const { count } = await this.db.query(plan.updateMany, [owner, `[${texts.join(',')}]`]);
      assert(count === together.length, `update of ${plan.table}, some of which are not there`);
      for (const item of items) {
        if (alone.has(item)) await this.update(definition, ws, item.entity);
        else this.#record(plan, owner, item.entity.id, 'update', item.encoded);
      }
    }
  }

  async removeMany(
    definition: EntityDefinition,
    ws: string,
    ids: readonly string[],
  ): Promise<number> {
    if (definition.name === 'workspaces') {
      let removed = 0;
      for (const id of ids) if (await this.remove(definition, ws, id)) removed += 1;
      return removed;
    }
    const plan = planFor(this.#plans, definition);
    const owner = workspaceOf(plan, ws);
    let removed = 0;
    for (const batch of partsOf([...new Set(ids)].filter(isUuid), BATCH_ROWS_MAX)) {
      const { rows } = await this.db.query<{ id: string }>(
        `SELECT id FROM ${quoted(plan.table)} WHERE ws_id = $1 AND id = ANY($2::uuid[]) ` +
          `${plan.hasExpiry ? 'AND (expires_at IS NULL OR expires_at > now()) ' : ''}` +
          'ORDER BY id FOR UPDATE',
        [owner, batch],
      );
      const found = new Set(rows.map(({ id }) => id));
      await this.#removeAll(
        plan,
        owner,
        batch.filter((id) => found.has(id.toLowerCase())),
      );
      removed += found.size;
    }
    return removed;
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
      const failure = { code: 'foreign_missing', field, reference, id } as const;
      throw new StoreError(failure, { entityId: entity.id });
    }
  }

  #batches(plan: TablePlan, entities: readonly AnyEntity[]) {
    const encode = (entity: AnyEntity): Item => {
      this.#assertParents(plan, entity);
      return { entity, encoded: encodeEntity(plan, entity, this.#keys, this.#registry) };
    };
    // Encoded one by one as the batches are made: they need not all be in memory.
    const items = (function* () {
      for (const entity of entities) yield encode(entity);
    })();
    return batchesOf(items, ({ entity, encoded }) => rowText(plan, entity.id, encoded));
  }

  /** The lock that a foreign key takes, taken first: its own error would not say which row it is about. */
  async #lockParents(plan: TablePlan, ws: string, items: readonly Item[]): Promise<void> {
    for (const { field, reference } of plan.foreigns) {
      const ids = new Set(items.flatMap(({ entity }) => foreignId(entity[field]) ?? []));
      const parent = this.#plans.get(reference);
      if (ids.size === 0 || parent === undefined) continue;
      const { rows } = await this.db.query<{ id: string }>(
        `SELECT id FROM ${quoted(parent.table)} WHERE ws_id = $1 AND id = ANY($2::uuid[]) ` +
          'ORDER BY id FOR KEY SHARE',
        [ws, [...ids]],
      );
      const found = new Set(rows.map(({ id }) => id));
      for (const { entity } of items) {
        const id = foreignId(entity[field]);
        if (id === null || found.has(id.toLowerCase())) continue;
        const failure = { code: 'foreign_missing', field, reference, id } as const;
        throw new StoreError(failure, { entityId: entity.id });
      }
    }
  }

  /**
   * Those whose unique values change are updated one by one, in order: within one statement two rows
   * could not exchange a name by way of a third, and no error would say which of them it is about.
   */
  async #changingKeys(
    plan: TablePlan,
    ws: string,
    items: readonly Item[],
  ): Promise<ReadonlySet<Item>> {
    const columns = plan.uniques.map(({ column }) => column);
    if (plan.cacheKey !== null) columns.push('cache_key');
    const { rows } = await this.db.query<{ id: string; keys: (string | null)[] }>(
      `SELECT id, ARRAY[${columns.map((column) => `${quoted(column)}::text`).join(', ')}]::text[] AS keys ` +
        `FROM ${quoted(plan.table)} WHERE ws_id = $1 AND id = ANY($2::uuid[]) ORDER BY id FOR UPDATE`,
      [ws, items.map(({ entity }) => entity.id)],
    );
    const current = new Map(rows.map(({ id, keys }) => [id, keys]));
    const seen = new Set<string>();
    return new Set(
      items.filter(({ entity: { id }, encoded }) => {
        const keys = current.get(id.toLowerCase()) ?? null;
        // The same row twice in one statement would be updated once.
        const isRepeated = seen.has(id);
        seen.add(id);
        return (
          isRepeated ||
          columns.some((column, index) => {
            const value = encoded.params[plan.columns.indexOf(column)] ?? null;
            const text = value instanceof Uint8Array ? bytesText(value) : value;
            return text !== (keys?.[index] ?? null);
          })
        );
      }),
    );
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

  /** What no constraint would tell, or should: see there. */
  async #clearTheWay(
    plan: TablePlan,
    ws: string,
    items: readonly Item[],
    isNew: boolean,
  ): Promise<void> {
    if (plan.hasExpiry) {
      const keys = this.#keys;
      await this.#removeAll(
        plan,
        ws,
        await lockExpiredRivals(this.db, plan, ws, items, { keys, isNew }),
      );
    }
    await refuseOlderRivals(this.db, plan, ws, items, this.#keys);
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
    const { rows } = await this.db.query<{ id: string; parent: string }>(
      `SELECT id, ${quoted(foreign.column)} AS parent FROM ${quoted(child.table)} WHERE ws_id = $1 ` +
        `AND ${quoted(foreign.column)} = ANY($2::uuid[]) ORDER BY id FOR UPDATE`,
      [parents.ws, parents.ids],
    );
    const [first] = rows;
    if (first === undefined) return;
    if (foreign.onDelete === 'restrict') {
      const { name: by } = child.definition;
      const failure = { code: 'foreign_referenced', by, kind: parents.kind } as const;
      throw new StoreError(failure, { entityId: first.parent });
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

  /** Served by the groups that serve all there are. */
  async #enterWorkspace(ws: string): Promise<void> {
    await this.db.query('INSERT INTO workspace_versions (ws_id, version) VALUES ($1, 0)', [ws]);
    await this.db.query(
      'UPDATE groups SET workspaces = array_append(workspaces, $1::uuid) WHERE serves_all',
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
      const failure = { code: 'foreign_referenced', by, kind: 'workspaces' } as const;
      throw new StoreError(failure, { entityId: ws });
    }
    await this.db.query('DELETE FROM workspace_versions WHERE ws_id = $1', [ws]);
    await this.db.query(
      'UPDATE groups SET workspaces = array_remove(workspaces, $1::uuid) WHERE $1 = ANY(workspaces)',
      [ws],
    );
  }
}
