/** What a change of a whole workspace comes to: for answers, and for who only tries it. */
import { isDeepStrictEqual } from 'node:util';
import { must } from '#shared/base/assert.ts';
import type { EntityDefinition, JsonObject, JsonValue } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import { isReplaced } from './kinds.ts';
import type { KindPlan, KindSteps } from './plan.ts';

export interface Loaded {
  readonly plans: readonly KindPlan[];
  readonly steps: readonly KindSteps[];
}

export interface Counts {
  readonly present: number;
  readonly created: number;
  readonly updated: number;
  readonly removed: number;
}

export function countsOf({ plans, steps }: Loaded): Counts {
  const sum = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0);
  const replaced = plans.filter(({ definition }) => isReplaced(definition));
  return {
    present: sum(replaced.map(({ present }) => present.size)),
    created: sum(steps.map(({ report }) => report.created.length)),
    updated: sum(steps.map(({ report }) => report.updated.length)),
    removed: sum(steps.map(({ report }) => report.removed.length)),
  };
}

/** What a dry run tells. */
export function reportOf(loaded: Loaded): JsonObject {
  const { steps } = loaded;
  const all = <T>(
    pick: (step: KindSteps) => readonly T[],
    show: (kind: EntityDefinition, one: T) => JsonObject,
  ) => steps.flatMap((step) => pick(step).map((one) => show(step.definition, one)));
  return {
    counts: { ...countsOf(loaded) },
    created: all(
      ({ report }) => report.created,
      (kind, { entity }) => nameOf(kind, entity),
    ),
    updated: all(
      ({ report }) => report.updated,
      (kind, { entity, current }) => ({
        ...nameOf(kind, entity),
        fields: changedFields(must(current, 'it was there'), entity),
      }),
    ),
    removed: all(({ report }) => report.removed, nameOf),
  };
}

/** How reports call an entity; a key that is a secret is left out. */
export function nameOf(
  { name, endpoint_key: key, fields }: EntityDefinition,
  entity: AnyEntity,
): JsonObject {
  const isSecret = key === undefined || fields[key]?.secret !== undefined;
  const value: JsonValue = isSecret ? null : (entity[key] ?? null);
  return { kind: name, id: entity.id, key: value };
}

/** Names of the fields in which two states of an entity differ. */
export function changedFields(before: AnyEntity, after: AnyEntity): string[] {
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  names.delete('updated_at');
  return [...names]
    .filter((name) => !isDeepStrictEqual(before[name] ?? null, after[name] ?? null))
    .toSorted();
}

/** In one line, for a header. */
export function summaryOf({ created, updated, removed }: Counts): string {
  return `created=${created}, updated=${updated}, removed=${removed}`;
}
