/** Kinds of entities in sentences. */
import type { EntityDefinition } from '#shared/schema/field.ts';

/** `ca certificates` */
export function many({ name }: EntityDefinition): string {
  return name.replaceAll('_', ' ');
}

/** `ca certificate` */
export function singular(definition: EntityDefinition): string {
  return many(definition).replace(/s$/, '');
}

/** `an upstream` */
export function oneOf(definition: EntityDefinition): string {
  const word = singular(definition);
  return `${/^[aeiou]/.test(word) ? 'an' : 'a'} ${word}`;
}
