/**
 * What a configuration makes of a workspace: each of its entities matched with the one that is there,
 * complete, checked by schema and rules, and compared.
 */
import { isDeepStrictEqual } from 'node:util';
import { must } from '#shared/base/assert.ts';
import type { EntityDefinition, JsonObject, JsonValue } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import { completeEntity, processUpsert, ttlError } from '#shared/schema/process.ts';
import { withoutTransient } from '#shared/schema/transient.ts';
import type { AdminContext } from '../admin/context.ts';
import { AdminError } from '../admin/errors.ts';
import { restoreSecrets } from '../admin/hidden-secrets.ts';
import { ruleContext } from '../admin/writer.ts';
import { type RuleContext, rulesOf } from '../rules/rules.ts';
import { cacheKeyOf } from '../store/sql.ts';
import type { Reader } from '../store/store.ts';
import type { Item } from './flatten.ts';
import type { ImportErrors } from './import-errors.ts';
import { MemoryReader } from './memory-reader.ts';
import type { KindPlan, Wanted } from './plan.ts';
import { compositeKey, type PresentKind, uniqueFields } from './present.ts';
import { asReference, danglingText, type References } from './references.ts';
import { Turns } from './turns.ts';

export interface DesiredOptions {
  readonly context: AdminContext;
  readonly ws: string;
  readonly kinds: readonly EntityDefinition[];
  readonly items: ReadonlyMap<string, readonly Item[]>;
  readonly present: ReadonlyMap<string, PresentKind>;
  readonly references: References;
  readonly isTransformed: boolean;
  readonly errors: ImportErrors;
}

interface Draft {
  readonly item: Item;
  readonly given: JsonObject;
  readonly current: AnyEntity | null;
  readonly entity: AnyEntity;
}

export class Desired {
  readonly #options: DesiredOptions;
  readonly #rules: RuleContext;
  /** The id that an entity really has, where the configuration gives none. */
  readonly #ids = new Map<Item, string>();
  readonly #current = new Map<Item, AnyEntity>();
  readonly #turns = new Turns();

  constructor(options: DesiredOptions) {
    this.#options = options;
    this.#rules = ruleContext(options.context, options.ws);
  }

  /** What is wrong goes to the errors; then what comes back is of no use. */
  async make(rest: Reader): Promise<KindPlan[]> {
    const { kinds, errors, present } = this.#options;
    const drafts = new Map<string, Draft[]>();
    for (const definition of kinds) {
      await this.#match(definition);
      drafts.set(definition.name, await this.#process(definition));
    }
    for (const definition of kinds) this.#checkUniqueness(drafts.get(definition.name) ?? []);
    if (!errors.isEmpty) return [];
    const reader = new MemoryReader(this.#whole(drafts), rest);
    const plans: KindPlan[] = [];
    for (const definition of kinds) {
      const wanted: Wanted[] = [];
      for (const draft of drafts.get(definition.name) ?? []) {
        await this.#turns.step();
        const finished = await this.#finish(draft, reader);
        if (finished !== null) wanted.push(finished);
      }
      const there = must(present.get(definition.name), 'every kind was read');
      plans.push({ definition, present: there.byId, wanted });
    }
    return plans;
  }

  /** Finds what is there already: by id, else by whatever is unique. Ids that are given come first. */
  async #match(definition: EntityDefinition): Promise<void> {
    const { items, present } = this.#options;
    const there = must(present.get(definition.name), 'every kind was read');
    const own = items.get(definition.name) ?? [];
    const taken = new Set(own.flatMap((item) => (item.hasId ? [item.id] : [])));
    for (const item of own) {
      await this.#turns.step();
      const found = item.hasId
        ? there.byId.get(item.id)
        : (this.#unclaimed(item, there, taken) ?? (await this.#byComputed(item, there, taken)));
      if (found !== undefined) {
        taken.add(found.id);
        this.#current.set(item, found);
      }
      this.#ids.set(item, found?.id ?? item.id);
    }
  }

  #unclaimed(item: Item, there: PresentKind, taken: ReadonlySet<string>): AnyEntity | undefined {
    const isFree = (entity: AnyEntity | null | undefined): entity is AnyEntity =>
      entity !== null && entity !== undefined && !taken.has(entity.id);
    for (const field of uniqueFields(item.definition)) {
      const value = item.input[field];
      const found = typeof value === 'string' ? there.by(field, value) : null;
      if (isFree(found)) return found;
    }
    const key = this.#compositeOf(item);
    const found = key === null ? null : there.byComposite(key);
    if (isFree(found)) return found;
    const same = there.byId.get(item.id);
    return isFree(same) ? same : undefined;
  }

  /** By a unique value that nobody gives: the digest of a CA certificate. */
  async #byComputed(
    item: Item,
    there: PresentKind,
    taken: ReadonlySet<string>,
  ): Promise<AnyEntity | undefined> {
    const { context } = this.#options;
    const { definition, input, id } = item;
    const { derive, check } = rulesOf(item.kind);
    const fields = uniqueFields(definition).filter((field) => input[field] === undefined);
    if (derive === undefined || fields.length === 0 || there.byId.size === 0) return undefined;
    const deps = context.processDeps();
    const made = processUpsert(definition, { ...input, id }, null, context.registry, deps);
    // What is invalid is told of later on.
    if (!made.ok || (check?.(made.entity, this.#rules) ?? null) !== null) return undefined;
    const derived = await derive(made.entity, null);
    for (const field of fields) {
      const value = derived[field];
      const found = typeof value === 'string' ? there.by(field, value) : null;
      if (found !== null && !taken.has(found.id)) return found;
    }
    return undefined;
  }

  #compositeOf(item: Item): string | null {
    const key = compositeKey(item.definition);
    if (key === null) return null;
    const { fields, normalize } = item.definition;
    const given = this.#resolved(item, new Map());
    // Before anything was checked: only what has the right type can be the key of something.
    const isUsual = key.every((field) => {
      const value = given[field] ?? null;
      return value === null || typeof value === 'string' || fields[field]?.type === 'foreign';
    });
    if (!isUsual) return null;
    const isWhole = key.every(
      (field) => fields[field]?.required !== true || (given[field] ?? null) !== null,
    );
    // Its author wrote it for the fields of this kind, of which those of the key are here.
    const normal = isWhole ? normalize?.(given as never) : undefined;
    return cacheKeyOf(key, { ...given, ...normal, id: item.id });
  }

  /**
   * The input with ids in place of whatever leads to other entities. What leads nowhere gets some id,
   * so that the schema can judge the rest.
   *
   * @param problems  gets a text for each field that leads nowhere
   */
  #resolved(item: Item, problems: Map<string, JsonValue>): JsonObject {
    const { references, context } = this.#options;
    const entries = new Map<string, JsonValue>(Object.entries(item.input));
    for (const [name, field] of Object.entries(item.definition.fields)) {
      const value = item.input[name];
      const reference = field.type === 'foreign' ? asReference(value) : null;
      if (field.type !== 'foreign' || value === undefined || reference === null) continue;
      const target = context.registry.entities.get(field.reference);
      const found = target === undefined ? null : references.find(target, reference);
      if (item.parent?.field === name && found !== item.parent.item) {
        problems.set(name, 'value must be null');
      } else if (found === null) problems.set(name, danglingText(name, value, field.reference));
      entries.set(name, { id: found === null ? item.id : this.#idOf(found) });
    }
    if (item.parent !== null) entries.set(item.parent.field, { id: this.#idOf(item.parent.item) });
    return Object.fromEntries(entries);
  }

  #idOf(item: Item): string {
    return this.#ids.get(item) ?? item.id;
  }

  async #process(definition: EntityDefinition): Promise<Draft[]> {
    const { items, errors } = this.#options;
    const drafts: Draft[] = [];
    for (const item of items.get(definition.name) ?? []) {
      await this.#turns.step();
      if (errors.isFull) break;
      const draft = this.#draft(item);
      if (draft !== null) drafts.push(draft);
    }
    return drafts;
  }

  #draft(item: Item): Draft | null {
    const { context, errors } = this.#options;
    const { definition } = item;
    const current = this.#current.get(item) ?? null;
    const lifetime = definition.ttl === true ? ttlError(item.input['ttl']) : null;
    if (lifetime !== null) {
      errors.add(item, { ttl: lifetime });
      return null;
    }
    const problems = new Map<string, JsonValue>();
    const given = this.#given(item, current, problems);
    const processed = processUpsert(
      definition,
      given,
      current,
      context.registry,
      context.processDeps(),
    );
    const violations = processed.ok ? {} : processed.violations;
    if (!processed.ok || problems.size > 0) {
      errors.add(item, { ...violations, ...Object.fromEntries(problems) });
      return null;
    }
    const made = withoutTransient(definition, processed.entity);
    const broken = rulesOf(item.kind).check?.(made, this.#rules) ?? null;
    if (broken !== null) errors.add(item, broken);
    const entity = {
      ...made,
      ...lifetimeOf(definition, made, current),
      ...datesOf(definition, given, current),
    };
    return broken === null ? { item, given, current, entity } : null;
  }

  /** What is generated and was not given stays what it is. */
  #given(item: Item, current: AnyEntity | null, problems: Map<string, JsonValue>): JsonObject {
    const { context } = this.#options;
    const { definition } = item;
    const given = new Map(Object.entries(this.#resolved(item, problems)));
    // An id that is none is the schema's to refuse.
    if ((item.input['id'] ?? null) === null || item.hasId) given.set('id', this.#idOf(item));
    for (const [name, field] of Object.entries(definition.fields)) {
      if (field.auto !== true || name === 'id' || (given.get(name) ?? null) !== null) continue;
      const value = current?.[name] ?? null;
      if (value !== null) given.set(name, value);
    }
    const input = Object.fromEntries(given);
    if (!context.secretsWriteOnly) return input;
    try {
      return restoreSecrets(definition, input, current, context.registry);
    } catch (error) {
      if (!(error instanceof AdminError)) throw error;
      const fields = error.body?.['fields'] ?? { '@entity': [error.message] };
      for (const [name, text] of Object.entries(fields as JsonObject)) problems.set(name, text);
      return input;
    }
  }

  #checkUniqueness(drafts: readonly Draft[]): void {
    const seen = new Map<string, Set<string>>();
    const isNew = (key: string, value: string): boolean => {
      const values = seen.get(key) ?? new Set();
      seen.set(key, values);
      return values.size < values.add(value).size;
    };
    for (const { item, entity } of drafts) {
      const { definition, kind } = item;
      const say = (key: string, value: string): void => {
        const text = `uniqueness violation: '${kind}' entity with ${key} set to '${value}' already declared`;
        this.#options.errors.add(item, text);
      };
      if (!isNew('id', entity.id)) say('primary key', entity.id);
      for (const field of uniqueFields(definition)) {
        const value = entity[field];
        if (typeof value === 'string' && !isNew(field, value)) say(field, value);
      }
      const key = compositeKey(definition);
      if (key === null || isNew('', cacheKeyOf(key, entity))) continue;
      const values = key.map((field) => JSON.stringify(entity[field] ?? null));
      say(key.join(', '), values.join(', '));
    }
  }

  /** All entities as they will be, as far as is known before the last step. */
  #whole(drafts: ReadonlyMap<string, readonly Draft[]>) {
    const whole = new Map<string, ReadonlyMap<string, AnyEntity>>();
    for (const { name, workspaceable } of this.#options.kinds) {
      const kept = workspaceable ? [] : (this.#options.present.get(name)?.byId ?? []);
      const wanted = (drafts.get(name) ?? []).map(({ entity }) => [entity.id, entity] as const);
      whole.set(name, new Map([...kept, ...wanted]));
    }
    return whole;
  }

  async #finish(draft: Draft, reader: Reader): Promise<Wanted | null> {
    const { context, errors, isTransformed } = this.#options;
    const { item, given, current, entity } = draft;
    const { definition } = item;
    const rules = rulesOf(item.kind);
    const violations =
      (await rules.checkRelations?.(
        entity,
        { given, current, isMerge: false },
        reader,
        this.#rules,
      )) ?? null;
    if (violations !== null) {
      errors.add(item, violations);
      return null;
    }
    // With itself as what was stored before, a secret passes for one that is hashed already.
    const before = isTransformed ? current : entity;
    const derived = rules.derive === undefined ? entity : await rules.derive(entity, before);
    if (current === null) return { entity: derived, current: null, given };
    const complete = completeEntity(definition, current, context.registry);
    const stored = withoutTransient(definition, complete);
    return isDeepStrictEqual(undated(derived), undated(stored))
      ? { entity: current, current, given: null }
      : { entity: derived, current, given };
  }
}

function undated(entity: AnyEntity): JsonObject {
  return { ...entity, updated_at: null };
}

/**
 * Seconds by which an end may come sooner and count as the same: what is left of a time is shown in
 * whole seconds, rounded down, so that what was just exported ends up to a second earlier.
 */
const LIFETIME_SLACK = 2;

/**
 * A time to live counts from when the entity came: loading the same again does not make it live
 * longer.
 */
function lifetimeOf(
  { ttl }: EntityDefinition,
  made: AnyEntity,
  current: AnyEntity | null,
): JsonObject {
  const [before, after] = [current?.['expires_at'], made['expires_at']];
  const isKept =
    typeof before === 'number' && typeof after === 'number' && before - after < LIFETIME_SLACK;
  return ttl === true && isKept ? { expires_at: before } : {};
}

/** A new entity keeps the date that it comes with: it may be a copy of one from elsewhere. */
function datesOf(
  { fields }: EntityDefinition,
  given: JsonObject,
  current: AnyEntity | null,
): JsonObject {
  const date = given['updated_at'];
  const isDate = typeof date === 'number' && date > 0 && Number.isSafeInteger(Math.floor(date));
  if (current !== null || !isDate || fields['updated_at'] === undefined) return {};
  return { updated_at: fields['updated_at'].type === 'integer' ? Math.floor(date) : date };
}
