/** Which kinds of entities a declarative configuration holds, and which lie in which. */
import type { EntityDefinition } from '#shared/schema/field.ts';

type Entities = ReadonlyMap<string, EntityDefinition>;

/** A kind whose entities may be nested in those of another. */
export interface ChildKind {
  readonly definition: EntityDefinition;
  /** Its foreign field that leads to the parent. */
  readonly field: string;
}

/** What a configuration is loaded into, and which data planes serve it. */
const NO_CONTENT: ReadonlySet<string> = new Set(['workspaces', 'clustering_groups']);

/** In order of foreign keys. What data planes make themselves (tokens, sessions) is no configuration. */
export function declarableKinds(entities: Entities): EntityDefinition[] {
  return [...entities.values()].filter((definition) => {
    if (NO_CONTENT.has(definition.name) || definition.stored === false) return false;
    return !definition.workspaceable || definition.wire !== false;
  });
}

/** What belongs to no workspace is added and changed, never removed: others may rely on it. */
export function isReplaced(definition: EntityDefinition): boolean {
  return definition.workspaceable;
}

export function childKinds(
  parent: EntityDefinition,
  kinds: readonly EntityDefinition[],
): ReadonlyMap<string, ChildKind> {
  const children = new Map<string, ChildKind>();
  for (const definition of kinds) {
    // A field of that name holds something else (`services.ca_certificates`).
    const own = parent.fields[definition.name];
    if (own !== undefined && own.transient !== true) continue;
    const found = Object.entries(definition.fields).find(
      ([, field]) => field.type === 'foreign' && field.reference === parent.name,
    );
    if (found !== undefined) children.set(definition.name, { definition, field: found[0] });
  }
  return children;
}
