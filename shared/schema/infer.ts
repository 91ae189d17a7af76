/** Types inferred from definitions, so that no shape is written twice. */
import type { EntityDefinition, Field, Fields, JsonObject, JsonValue } from './field.ts';

/** The value of a field that is present and not null. */
export type Infer<F> = F extends { type: 'string'; one_of: readonly (infer V)[] }
  ? V
  : F extends { type: 'string' }
    ? string
    : F extends { type: 'integer' | 'number'; one_of: readonly (infer V)[] }
      ? V
      : F extends { type: 'integer' | 'number' }
        ? number
        : F extends { type: 'boolean' }
          ? boolean
          : F extends { type: 'array' | 'set'; elements: infer E }
            ? readonly Infer<E>[]
            : F extends { type: 'map'; values: infer V }
              ? Readonly<Record<string, Infer<V>>>
              : F extends { type: 'record'; abstract: true }
                ? JsonObject
                : F extends { type: 'record'; fields: infer R extends Fields }
                  ? RecordOf<R>
                  : F extends { type: 'foreign' }
                    ? { readonly id: string }
                    : F extends { type: 'json' }
                      ? JsonValue
                      : never;

/** The value of a field in a complete entity: null unless required, generated, or a record. */
export type ValueOf<F> = F extends { required: true } | { auto: true }
  ? Infer<F>
  : F extends { type: 'record'; required: false }
    ? Infer<F> | null
    : F extends { type: 'record' }
      ? Infer<F>
      : Infer<F> | null;

/** A complete record: every field present. */
export type RecordOf<R extends Fields> = { readonly [K in keyof R]: ValueOf<R[K]> };

/**
 * A complete entity as stored and sent: every field present, `null` where unset. One with a time to
 * live carries when it ends (epoch seconds); the Admin API shows that as `ttl`.
 */
export type EntityOf<D extends { readonly fields: Fields }> = RecordOf<D['fields']> &
  (D extends { readonly ttl: true } ? { readonly expires_at: number | null } : unknown);

/** An entity of a kind that is not known at compile time. */
export type AnyEntity = JsonObject & { readonly id: string };

/** Checks a definition's shape while keeping its literal types. */
export function defineEntity<const D extends EntityDefinition>(definition: D): D {
  return definition;
}

/** The same for a single reusable field. */
export function defineField<const F extends Field>(field: F): F {
  return field;
}

/** The same for a list of fields (frames, settings, plugin configurations). */
export function defineFields<const R extends Fields>(fields: R): R {
  return fields;
}
