/**
 * `POST /config`: a workspace becomes what a configuration says, in one transaction. Whatever is not
 * in it goes; what is there already and the same is left alone, so that loading it again changes
 * nothing and makes no version.
 */
import { randomUUID } from 'node:crypto';
import type { EntityDefinition, JsonObject } from '#shared/schema/field.ts';
import type { AdminContext } from '../admin/context.ts';
import { AdminError, storeFailure } from '../admin/errors.ts';
import type { EntityWriter } from '../admin/writer.ts';
import { StoreError } from '../store/store.ts';
import { Desired } from './desired.ts';
import { Flattener, type Item } from './flatten.ts';
import { migrated, readFormat } from './format.ts';
import { IdMaker } from './ids.ts';
import { ImportErrors } from './import-errors.ts';
import { declarableKinds } from './kinds.ts';
import { type KindSteps, stepsOf } from './plan.ts';
import { PresentKind, readAll } from './present.ts';
import type { Counts, Loaded } from './report.ts';
import { References } from './references.ts';

/** So many entities may always go: half of a workspace of ten is soon changed, on purpose. */
export const DROP_COUNT_FREE = 10;

export interface Configuration {
  readonly kinds: readonly EntityDefinition[];
  readonly items: ReadonlyMap<string, readonly Item[]>;
  readonly isTransformed: boolean;
  readonly isFlattened: boolean;
}

/**
 * Everything that can be said of a table without the database.
 *
 * @throws AdminError 400
 */
export async function readTable(
  context: AdminContext,
  workspace: string,
  table: JsonObject,
  isFlattened: boolean,
): Promise<Configuration> {
  const errors = new ImportErrors();
  const { isTransformed } = readFormat(table, workspace, errors);
  const kinds = declarableKinds(context.registry.entities);
  const flattener = new Flattener(kinds, new IdMaker(context.tagKey), errors);
  const items = await flattener.flatten(migrated(table));
  errors.throwIfAny(isFlattened);
  return { kinds, items, isTransformed, isFlattened };
}

/**
 * What has to be written. Until the transaction ends nobody else writes into the workspace.
 *
 * @throws AdminError 400, StoreError
 */
export async function planImport(
  context: AdminContext,
  writer: EntityWriter,
  configuration: Configuration,
): Promise<Loaded> {
  const { tx, ws } = writer;
  const { kinds, items, isTransformed, isFlattened } = configuration;
  await tx.lockWorkspace(ws);
  const present = new Map<string, PresentKind>();
  for (const definition of kinds) {
    const entities = await readAll(tx, definition, ws);
    present.set(definition.name, new PresentKind(definition, entities));
  }
  const errors = new ImportErrors();
  const references = new References(kinds, items);
  const desired = new Desired({
    context,
    ws,
    kinds,
    items,
    present,
    references,
    isTransformed,
    errors,
  });
  const plans = await desired.make(tx);
  errors.throwIfAny(isFlattened);
  return { plans, steps: stepsOf(plans, randomUUID) };
}

/** @throws AdminError, StoreError */
export async function applySteps(writer: EntityWriter, steps: readonly KindSteps[]): Promise<void> {
  for (const { definition, parked } of steps) await writer.updateAll(definition, parked);
  for (const { definition, removed } of steps.toReversed()) {
    await writer.removeAll(definition, removed);
  }
  for (const { definition, updated, inserted } of steps) {
    await writer.updateAll(definition, updated);
    await writer.insertAll(definition, inserted);
  }
}

/** What the database alone could know, said of the entity in the configuration. */
export function locatedFailure(error: unknown, { plans }: Loaded): unknown {
  if (!(error instanceof StoreError) || error.entityId === null) return error;
  const known = storeFailure(error.failure);
  if (known.status >= 500) return error;
  const { entityId } = error;
  const plan = plans.find(
    ({ wanted, present }) =>
      present.has(entityId) || wanted.some(({ entity }) => entity.id === entityId),
  );
  const kind = plan?.definition.name ?? null;
  return new AdminError(known.status, { ...known.body, entity: { kind, id: entityId } });
}

/**
 * A file that is empty, cut off or another workspace's would take down what is in service.
 *
 * @param percentMax  share of what is there that may go
 * @throws AdminError 409
 */
export function refuseGreatLoss(counts: Counts, percentMax: number): void {
  const { present, removed } = counts;
  if (removed <= DROP_COUNT_FREE || removed * 100 <= present * percentMax) return;
  throw new AdminError(409, {
    message:
      `This would remove ${removed} of ${present} entities, more than ${percentMax} percent ` +
      '(HEADGATE_CONFIG_DROP_MAX_PERCENT); repeat it with ?force=true if it is meant',
    counts: { ...counts },
  });
}
