/**
 * What becomes of a write inside its transaction: input → foreign keys resolved → entity → rules →
 * rows. Endpoints, bulk and `/config` all go through here, so that nothing is checked in one way of
 * writing and not in another.
 */
import type { EntityDefinition, JsonObject } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import {
  processInsert,
  processUpdate,
  processUpsert,
  type Processed,
  type ProcessDeps,
  ttlError,
} from '#shared/schema/process.ts';
import { withoutTransient } from '#shared/schema/transient.ts';
import { type Change, rulesOf, type RuleContext } from '../rules/rules.ts';
import type { WriteTx } from '../store/store.ts';
import { ANY_WORKSPACE } from '../access/scopes.ts';
import { authorize, GROUPS, type Principal } from './access.ts';
import type { AdminContext, AdminRequest } from './context.ts';
import { invalidOption, schemaViolation } from './errors.ts';
import { restoreSecrets } from './hidden-secrets.ts';
import { resolveForeignKeys } from './lookup.ts';

/** The entity above in a nested path, already found. */
export interface Parent {
  /** The child's foreign field (`service`). */
  readonly field: string;
  readonly id: string;
}

export class EntityWriter {
  /** Reads through it lock what they read until the transaction ends. */
  readonly tx: WriteTx;
  readonly ws: string;
  readonly #context: AdminContext;
  readonly #principal: Principal;
  readonly #rules: RuleContext;
  readonly #made = new Set<string>();

  constructor(tx: WriteTx, request: AdminRequest, context: AdminContext) {
    this.tx = tx;
    this.ws = request.workspace;
    this.#principal = request.principal;
    this.#context = context;
    this.#rules = ruleContext(context, this.ws);
  }

  /** Whether the entity of that id did not exist before. */
  hasMade(id: string): boolean {
    return this.#made.has(id);
  }

  /** @throws AdminError, StoreError */
  async insert(
    definition: EntityDefinition,
    input: JsonObject,
    parent: Parent | null,
  ): Promise<AnyEntity> {
    return this.#make(definition, input, null, parent);
  }

  /** Replaces `current` or, when it is null, inserts. @throws AdminError, StoreError */
  async replace(
    definition: EntityDefinition,
    input: JsonObject,
    current: AnyEntity | null,
    parent: Parent | null,
  ): Promise<AnyEntity> {
    return this.#make(definition, input, current, parent);
  }

  /** Merges the input into `current`. @throws AdminError, StoreError */
  async update(
    definition: EntityDefinition,
    input: JsonObject,
    current: AnyEntity,
  ): Promise<AnyEntity> {
    const given = await this.#prepare(definition, input, current, null);
    const { registry } = this.#context;
    const processed = processUpdate(definition, given, current, registry, this.#deps());
    const change = { given, current, isMerge: true };
    const made = await this.#check(definition, accepted(processed), change);
    await this.tx.update(definition, this.ws, made);
    await rulesOf(definition.name).afterWrite?.(made, change, this.tx, this.#rules);
    return made;
  }

  /** @throws AdminError, StoreError `foreign_referenced` */
  async remove(definition: EntityDefinition, current: AnyEntity): Promise<void> {
    this.refuseShared(definition);
    await rulesOf(definition.name).beforeRemove?.(current, this.tx, this.#rules);
    await this.tx.remove(definition, this.ws, current.id);
  }

  /**
   * Entities that are complete and checked already, in few statements.
   *
   * @throws AccessError, StoreError, which says which entity
   */
  async insertAll(definition: EntityDefinition, entities: readonly AnyEntity[]): Promise<void> {
    if (entities.length > 0) this.refuseShared(definition);
    await this.tx.insertMany(definition, this.ws, entities);
    for (const { id } of entities) this.#made.add(id);
  }

  /** As `insertAll`; each replaces the one of its id. @throws StoreError */
  async updateAll(definition: EntityDefinition, entities: readonly AnyEntity[]): Promise<void> {
    if (entities.length > 0) this.refuseShared(definition);
    await this.tx.updateMany(definition, this.ws, entities);
  }

  /** With what goes with them. @throws StoreError `foreign_referenced` */
  async removeAll(definition: EntityDefinition, ids: readonly string[]): Promise<void> {
    if (ids.length > 0) this.refuseShared(definition);
    await this.tx.removeMany(definition, this.ws, ids);
  }

  async #make(
    definition: EntityDefinition,
    input: JsonObject,
    current: AnyEntity | null,
    parent: Parent | null,
  ): Promise<AnyEntity> {
    const given = await this.#prepare(definition, input, current, parent);
    const { registry } = this.#context;
    const deps = this.#deps();
    const processed =
      current === null
        ? processInsert(definition, given, registry, deps)
        : processUpsert(definition, given, current, registry, deps);
    const change = { given, current, isMerge: false };
    const made = await this.#check(definition, accepted(processed), change);
    if (current === null) await this.tx.insert(definition, this.ws, made);
    else await this.tx.update(definition, this.ws, made);
    if (current === null) this.#made.add(made.id);
    await rulesOf(definition.name).afterWrite?.(made, change, this.tx, this.#rules);
    return made;
  }

  /**
   * What belongs to no workspace is everybody's, so whoever writes it must be allowed to write
   * everywhere, whichever way the write came.
   *
   * @throws AccessError 403
   */
  refuseShared({ name, workspaceable }: EntityDefinition): void {
    if (workspaceable) return;
    authorize(this.#principal, {
      area: name === GROUPS ? 'groups' : 'entities',
      workspace: ANY_WORKSPACE,
      method: 'PUT',
      params: [],
    });
  }

  /** Forces the parent of a nested path and resolves foreign keys given by name. */
  async #prepare(
    definition: EntityDefinition,
    sent: JsonObject,
    current: AnyEntity | null,
    parent: Parent | null,
  ): Promise<JsonObject> {
    this.refuseShared(definition);
    const { registry, secretsWriteOnly } = this.#context;
    const input = secretsWriteOnly ? restoreSecrets(definition, sent, current, registry) : sent;
    const lifetime = definition.ttl ? ttlError(input['ttl']) : null;
    if (lifetime !== null) throw invalidOption('ttl', lifetime);
    const given = parent === null ? input : { ...input, [parent.field]: { id: parent.id } };
    const { tx, ws } = this;
    const known = await resolveForeignKeys(tx, definition, registry.entities, ws, given);
    return (await rulesOf(definition.name).resolve?.(known, tx, this.#rules)) ?? known;
  }

  async #check(definition: EntityDefinition, made: AnyEntity, change: Change): Promise<AnyEntity> {
    const rules = rulesOf(definition.name);
    const violations =
      rules.check?.(made, this.#rules) ??
      (await rules.checkRelations?.(made, change, this.tx, this.#rules)) ??
      null;
    if (violations !== null) throw schemaViolation(violations);
    const derived = rules.derive === undefined ? made : await rules.derive(made, change.current);
    return withoutTransient(definition, derived);
  }

  #deps(): ProcessDeps {
    return this.#context.processDeps();
  }
}

export function ruleContext(context: AdminContext, ws: string): RuleContext {
  const { registry, allowUnsupported, reserved } = context;
  return { ws, registry, allowUnsupported, reserved };
}

function accepted(processed: Processed): AnyEntity {
  if (!processed.ok) throw schemaViolation(processed.violations);
  return processed.entity;
}
