/**
 * From a workspace as it is to one as it is wanted: the writes, in an order in which no step breaks
 * a foreign key or a unique value that the end result keeps.
 */
import type { EntityDefinition, JsonObject, JsonValue } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import { cacheKeyOf, foreignId } from '../store/sql.ts';
import { isReplaced } from './kinds.ts';
import { compositeKey, uniqueFields } from './present.ts';

/** An entity as it is to be. */
export interface Wanted {
  readonly entity: AnyEntity;
  /** As it is; null: it is new. */
  readonly current: AnyEntity | null;
  /** What it was made of; null when it stays as it is. */
  readonly given: JsonObject | null;
}

/** One kind; what is there and not wanted is removed. */
export interface KindPlan {
  readonly definition: EntityDefinition;
  readonly present: ReadonlyMap<string, AnyEntity>;
  readonly wanted: readonly Wanted[];
}

export interface KindSteps {
  readonly definition: EntityDefinition;
  /** First: entities that are changed later on, out of the way of others. */
  readonly parked: readonly AnyEntity[];
  /** Then these go, children before parents. */
  readonly removed: readonly string[];
  /** Then these come, parents before children. */
  readonly updated: readonly AnyEntity[];
  readonly inserted: readonly AnyEntity[];
  /** What is to be told: each entity once. */
  readonly report: {
    readonly created: readonly Wanted[];
    readonly updated: readonly Wanted[];
    readonly removed: readonly AnyEntity[];
  };
}

/** Makes a text that no entity has. */
type MakeText = () => string;

/** @param plans  parents before children */
export function stepsOf(plans: readonly KindPlan[], makeText: MakeText): KindSteps[] {
  const going = new Map(plans.map((plan) => [plan.definition.name, goingOf(plan)]));
  return plans.map((plan) => kindSteps(plan, going, makeText));
}

function goingOf({ definition, present, wanted }: KindPlan): ReadonlyMap<string, AnyEntity> {
  if (!isReplaced(definition)) return new Map();
  const staying = new Set(wanted.map(({ entity }) => entity.id));
  return new Map([...present].filter(([id]) => !staying.has(id)));
}

function kindSteps(
  { definition, wanted }: KindPlan,
  going: ReadonlyMap<string, ReadonlyMap<string, AnyEntity>>,
  makeText: MakeText,
): KindSteps {
  const gone = going.get(definition.name) ?? new Map<string, AnyEntity>();
  const created = wanted.filter(({ current }) => current === null);
  const changed = wanted.filter(({ current, given }) => current !== null && given !== null);
  const isInTheWay = blockers(definition, [...created, ...changed]);
  const parked: AnyEntity[] = [];
  // Made anew under their id. Nothing refers to an entity with a composite key, so nothing goes with it.
  const remade = new Set<Wanted>();
  for (const one of changed) {
    const { current } = one;
    if (current === null) continue;
    const lost = lostParents(definition, current, going);
    const blocked = isInTheWay(current);
    if (lost.length === 0 && blocked.length === 0) continue;
    if (compositeKey(definition) !== null) {
      remade.add(one);
      continue;
    }
    const texts = blocked.map((field): [string, JsonValue] => [field, makeText()]);
    const nulls = lost.map((field): [string, JsonValue] => [field, null]);
    parked.push({ ...current, ...Object.fromEntries([...texts, ...nulls]), id: current.id });
  }
  return {
    definition,
    parked,
    removed: [...gone.keys(), ...[...remade].map(({ entity }) => entity.id)],
    updated: changed.filter((one) => !remade.has(one)).map(({ entity }) => entity),
    inserted: [...created, ...remade].map(({ entity }) => entity),
    report: { created, updated: changed, removed: [...gone.values()] },
  };
}

/** Foreign fields that lead to what goes. */
function lostParents(
  { fields }: EntityDefinition,
  current: AnyEntity,
  going: ReadonlyMap<string, ReadonlyMap<string, AnyEntity>>,
): string[] {
  return Object.entries(fields).flatMap(([name, field]) => {
    const id = field.type === 'foreign' ? foreignId(current[name]) : null;
    if (field.type !== 'foreign' || id === null) return [];
    return going.get(field.reference)?.has(id) === true ? [name] : [];
  });
}

/** Finds the unique fields in which an entity, as it is, has what another one is to have. */
function blockers(
  definition: EntityDefinition,
  coming: readonly Wanted[],
): (current: AnyEntity) => string[] {
  const composite = compositeKey(definition);
  const fields = uniqueFields(definition);
  const owners = new Map<string, string>();
  const keysOf = (entity: AnyEntity): [field: string, key: string][] => [
    ...fields.flatMap((field): [string, string][] => {
      const value = entity[field];
      return typeof value === 'string' ? [[field, `${field}=${value}`]] : [];
    }),
    ...(composite === null ? [] : [['', cacheKeyOf(composite, entity)] as [string, string]]),
  ];
  for (const { entity } of coming) {
    for (const [, key] of keysOf(entity)) owners.set(key, entity.id);
  }
  return (current) =>
    keysOf(current).flatMap(([field, key]) => {
      const owner = owners.get(key);
      return owner === undefined || owner === current.id ? [] : [field];
    });
}
