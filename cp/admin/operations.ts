/**
 * What PUT, PATCH and DELETE do to one entity, inside a transaction: it is found and locked, the
 * conditions are checked, and it is written. The same for single requests and in bulk.
 */
import type { EntityDefinition, JsonObject } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import { foreignId } from '../store/sql.ts';
import { checkConditions, type Conditions } from './entity-tag.ts';
import { entityNotFound, notFound } from './errors.ts';
import { find, type Key, keyObject } from './lookup.ts';
import type { EntityWriter, Parent } from './writer.ts';

/** Which entity a write is about. */
export interface Place {
  readonly definition: EntityDefinition;
  readonly key: Key;
  /** The entity above in a nested path: only its children are seen. */
  readonly parent: Parent | null;
}

export class Operations {
  readonly #writer: EntityWriter;
  readonly #tagKey: Uint8Array;

  constructor(writer: EntityWriter, tagKey: Uint8Array) {
    this.#writer = writer;
    this.#tagKey = tagKey;
  }

  /** Creates or replaces. The place decides which entity it is. @throws AdminError, StoreError */
  async upsert(place: Place, input: JsonObject, conditions: Conditions): Promise<AnyEntity> {
    const current = await this.#find(place);
    this.#check(conditions, current);
    return this.replace(place, input, current);
  }

  /** @throws AdminError, StoreError */
  async replace(place: Place, input: JsonObject, current: AnyEntity | null): Promise<AnyEntity> {
    const { definition, key, parent } = place;
    const fixed = current === null ? keyObject(key) : { ...keyObject(key), id: current.id };
    return this.#writer.replace(definition, { ...input, ...fixed }, current, parent);
  }

  /** @throws AdminError, StoreError */
  async update(place: Place, input: JsonObject, conditions: Conditions): Promise<AnyEntity> {
    const { definition, key, parent } = place;
    const current = await this.#find(place);
    if (current === null) throw parent === null ? entityNotFound(keyObject(key)) : notFound();
    if (!isChild(current, parent)) throw notFound();
    this.#check(conditions, current);
    return this.#writer.update(definition, input, current);
  }

  /**
   * Nothing to remove is fine, but for nested paths.
   *
   * @returns what was there
   * @throws AdminError, StoreError
   */
  async remove(place: Place, conditions: Conditions): Promise<AnyEntity | null> {
    const { definition, parent } = place;
    const found = await this.#find(place);
    const current = found !== null && isChild(found, parent) ? found : null;
    if (current === null && parent !== null) throw notFound();
    this.#check(conditions, current);
    if (current !== null) await this.#writer.remove(definition, current);
    return current;
  }

  #find({ definition, key, parent }: Place): Promise<AnyEntity | null> {
    return find(this.#writer.tx, definition, this.#writer.ws, key, parent);
  }

  #check(conditions: Conditions, current: AnyEntity | null): void {
    checkConditions(conditions, current, this.#tagKey);
  }
}

/** True when the entity lies under that parent, or no parent was named. */
export function isChild(entity: AnyEntity, parent: Parent | null): boolean {
  return parent === null || foreignId(entity[parent.field]) === parent.id;
}
