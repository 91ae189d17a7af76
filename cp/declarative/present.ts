/** What a workspace holds of one kind, found by whatever is unique. */
import type { EntityDefinition } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import type { Page, Reader } from '../store/store.ts';
import { cacheKeyOf } from '../store/sql.ts';

const PAGE_SIZE = 1000;

/** Fields unique by themselves, the one that names an entity in paths first. */
export function uniqueFields({ fields, endpoint_key: key }: EntityDefinition): string[] {
  const names = Object.keys(fields).filter(
    (name) => fields[name]?.unique === true || fields[name]?.unique_across_ws === true,
  );
  return names.toSorted((a, b) => Number(b === key) - Number(a === key));
}

/** Fields unique only together; null when there are none. */
export function compositeKey({ cache_key: key = [] }: EntityDefinition): readonly string[] | null {
  return key.length < 2 ? null : key;
}

export class PresentKind {
  readonly definition: EntityDefinition;
  readonly byId: ReadonlyMap<string, AnyEntity>;
  readonly #byField = new Map<string, Map<string, AnyEntity>>();
  readonly #byComposite = new Map<string, AnyEntity>();

  constructor(definition: EntityDefinition, entities: readonly AnyEntity[]) {
    this.definition = definition;
    this.byId = new Map(entities.map((entity) => [entity.id, entity]));
    for (const field of uniqueFields(definition)) {
      const values = new Map<string, AnyEntity>();
      for (const entity of entities) {
        const value = entity[field];
        if (typeof value === 'string') values.set(value, entity);
      }
      this.#byField.set(field, values);
    }
    const composite = compositeKey(definition);
    if (composite === null) return;
    for (const entity of entities) this.#byComposite.set(cacheKeyOf(composite, entity), entity);
  }

  by(field: string, value: string): AnyEntity | null {
    return this.#byField.get(field)?.get(value) ?? null;
  }

  byComposite(key: string): AnyEntity | null {
    return this.#byComposite.get(key) ?? null;
  }
}

/** Page by page, in order of id. In a writing transaction each row is locked. */
export async function readAll(
  reader: Reader,
  definition: EntityDefinition,
  ws: string,
): Promise<AnyEntity[]> {
  const entities: AnyEntity[] = [];
  let after: string | null = null;
  do {
    const page: Page = await reader.list(definition, ws, { size: PAGE_SIZE, after });
    entities.push(...page.rows);
    after = page.next;
  } while (after !== null);
  return entities;
}
