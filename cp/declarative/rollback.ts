/**
 * `POST /headgate/rollback`: a workspace becomes what it was at an earlier version, as a new version.
 * The same rules and constraints hold as for any write: what they refuse by now is not brought back.
 */
import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { must } from '#shared/base/assert.ts';
import type { EntityDefinition, JsonObject } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import { completeEntity, validateEntity } from '#shared/schema/process.ts';
import { withoutTransient } from '#shared/schema/transient.ts';
import type { Violations } from '#shared/schema/violations.ts';
import type { AdminContext } from '../admin/context.ts';
import { AdminError } from '../admin/errors.ts';
import { type EntityWriter, ruleContext } from '../admin/writer.ts';
import { rulesOf } from '../rules/rules.ts';
import type { AtVersion } from '../store/store.ts';
import { ERRORS_MAX } from './import-errors.ts';
import { declarableKinds, isReplaced } from './kinds.ts';
import { MemoryReader } from './memory-reader.ts';
import { type KindPlan, stepsOf, type Wanted } from './plan.ts';
import { PresentKind, readAll } from './present.ts';
import { type Loaded, nameOf } from './report.ts';

/** @throws AdminError 404, 409, 410; StoreError */
export async function planRollback(
  context: AdminContext,
  writer: EntityWriter,
  version: number,
): Promise<Loaded> {
  const { tx, ws } = writer;
  const { registry, store } = context;
  await tx.lockWorkspace(ws);
  const kinds = declarableKinds(registry.entities).filter(isReplaced);
  const old = known(await store.history(tx.db).entitiesAt(ws, version));
  const byKind = new Map(kinds.map(({ name }) => [name, new Map<string, AnyEntity>()]));
  const nowSeconds = context.processDeps().nowSeconds;
  for (const { kind, entity } of old) {
    const { expires_at: end = null } = entity;
    // What has expired since does not come back.
    if (typeof end === 'number' && end <= nowSeconds) continue;
    byKind.get(kind)?.set(entity.id, restored(kind, entity, context));
  }
  await refuseInvalid(context, writer, kinds, byKind);
  const plans: KindPlan[] = [];
  for (const definition of kinds) {
    const present = new PresentKind(definition, await readAll(tx, definition, ws)).byId;
    const entities = [...(byKind.get(definition.name)?.values() ?? [])];
    const wanted = entities.map((entity) => wantedOf(entity, present.get(entity.id) ?? null));
    plans.push({ definition, present, wanted });
  }
  return { plans, steps: stepsOf(plans, randomUUID) };
}

/** @throws AdminError 404, 410 */
export function known<T>(at: AtVersion<T>): T {
  if (at.known) return at.value;
  const { oldest, newest } = at;
  throw new AdminError(oldest === 0 ? 404 : 410, {
    message: `The log of this workspace tells of the versions ${oldest} to ${newest}`,
    oldest,
    newest,
  });
}

function restored(kind: string, entity: AnyEntity, { registry }: AdminContext): AnyEntity {
  const definition = must(registry.entities.get(kind), kind);
  return withoutTransient(definition, completeEntity(definition, entity, registry));
}

function wantedOf(entity: AnyEntity, current: AnyEntity | null): Wanted {
  const isSame = current !== null && isDeepStrictEqual(entity, current);
  return { entity, current, given: isSame ? null : entity };
}

function made(given: AnyEntity) {
  return { given, current: null, isMerge: false };
}

/** @throws AdminError 409 that names what cannot be as it was */
async function refuseInvalid(
  context: AdminContext,
  writer: EntityWriter,
  kinds: readonly EntityDefinition[],
  byKind: ReadonlyMap<string, ReadonlyMap<string, AnyEntity>>,
): Promise<void> {
  const reader = new MemoryReader(byKind, writer.tx);
  const rules = ruleContext(context, writer.ws);
  const problems: JsonObject[] = [];
  for (const definition of kinds) {
    const { check, checkRelations } = rulesOf(definition.name);
    for (const entity of byKind.get(definition.name)?.values() ?? []) {
      const violations: Violations | null =
        validateEntity(definition, entity, context.registry) ??
        check?.(entity, rules) ??
        // As if it were new: what it was changed from since has no say in it.
        (await checkRelations?.(entity, made(entity), reader, rules)) ??
        null;
      if (violations === null) continue;
      problems.push({ ...nameOf(definition, entity), fields: violations });
      if (problems.length === ERRORS_MAX) break;
    }
  }
  const [first] = problems;
  if (first === undefined) return;
  throw new AdminError(409, {
    message: `What was there then is not allowed any more: ${String(first['kind'])} ${String(first['id'])}`,
    problems,
  });
}
