/** A request's path as it may be written down: entities are named in it, and some names are secrets. */
import type { EntityDefinition } from '#shared/schema/field.ts';
import { isUuid } from '#shared/schema/attributes.ts';
import { secretKind } from '#shared/schema/secret-leaves.ts';
import { apiName, nestedName } from '../admin/routes.ts';

/** What is longer is cut: nothing is looked up by it. */
const LENGTH_MAX = 2_000;
const NAMES_MAX = 20;
const HIDDEN = '***';

/** Segments after which an entity may be named by a secret: `key-auths`, `key-auth`. */
export function secretSegments(
  entities: ReadonlyMap<string, EntityDefinition>,
): ReadonlySet<string> {
  const segments = new Set<string>();
  for (const definition of entities.values()) {
    const key = definition.endpoint_key;
    const field = key === undefined ? undefined : definition.fields[key];
    if (field === undefined || secretKind(field) === null) continue;
    // Also what is no segment of any path, and is taken for one.
    segments.add(apiName(definition)).add(nestedName(definition)).add(definition.name);
  }
  return segments;
}

/**
 * The path without what may be a secret in it, and of the query the names only.
 *
 * @param secrets  see `secretSegments`; the answer hides too much rather than too little
 */
export function auditedPath(url: URL, secrets: ReadonlySet<string>): string {
  let isKey = false;
  const segments = url.pathname.split('/').map((segment) => {
    if (segment === '') return segment;
    // A client that escapes too much has both in one.
    const parts = decoded(segment).toLowerCase().split('/');
    const isCollection = parts.some((part) => secrets.has(part));
    const isHidden = (isKey && !isUuid(segment)) || (isCollection && parts.length > 1);
    const shown = isHidden ? HIDDEN : segment;
    isKey = isCollection;
    return shown;
  });
  const names = [...new Set(url.searchParams.keys())]
    .filter((name) => /^[A-Za-z][\w.[\]-]{0,63}$/.test(name))
    .slice(0, NAMES_MAX);
  const query = names.length === 0 ? '' : `?${names.join('&')}`;
  return `${segments.join('/')}${query}`.slice(0, LENGTH_MAX);
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment; // Such a path is refused, and named as it came.
  }
}
