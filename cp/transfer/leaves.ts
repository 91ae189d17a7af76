/** Every string within a value, with the path that leads to it. */
import type { JsonValue } from '#shared/schema/field.ts';
import { isObject } from './document.ts';

export function* strings(value: JsonValue, path = ''): Generator<readonly [string, string]> {
  if (typeof value === 'string') yield [path, value];
  else if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) yield* strings(item, `${path}[${index}]`);
  } else if (isObject(value)) {
    for (const [name, item] of Object.entries(value)) {
      yield* strings(item, path === '' ? name : `${path}.${name}`);
    }
  }
}
