/** Routes: their regexes, and paths of formats in which a regex had no mark. */
import { compileHeaderRegex, compileRouteRegex } from '#shared/regex/regex.ts';
import type { JsonValue } from '#shared/schema/field.ts';
import { migratedPath } from '../declarative/format.ts';
import { isObject, type Item } from './document.ts';
import { refusalText } from './pcre.ts';

export function judgeRoute(item: Item): void {
  judgeExpression(item);
  const { paths } = item.entity;
  if (Array.isArray(paths)) {
    item.entity = { ...item.entity, paths: paths.map((path) => judgePath(item, path)) };
  }
  judgeHeaders(item);
}

/** Routes written in Kong's expression language. */
function judgeExpression(item: Item): void {
  const { expression = null, priority: _, ...rest } = item.entity;
  if (Object.hasOwn(item.definition?.fields ?? {}, 'expression')) return;
  if (expression === null) {
    // Every route has a priority where the router's flavor is `expressions`; it ranks expressions.
    item.entity = rest;
    return;
  }
  item.reasons.push(
    'expression: routes are written with hosts, paths, methods and headers here, as in ' +
      'router_flavor traditional_compatible; HEADGATE_ROUTER_FLAVOR=expressions takes expressions',
  );
}

function judgePath(item: Item, path: JsonValue): JsonValue {
  if (typeof path !== 'string') return path;
  const migrated = item.document.hasOldPaths ? migratedPath(path) : path;
  if (migrated !== path) item.changes.push(`path ${path} is now ${migrated}`);
  if (migrated.startsWith('~')) {
    const source = migrated.slice(1);
    const compiled = compileRouteRegex(source);
    if (!compiled.ok) {
      const text = refusalText(source, compiled.reason, compileRouteRegex);
      item.reasons.push(`path ${migrated}: ${text}`);
    }
  }
  return migrated;
}

function judgeHeaders({ entity, reasons }: Item): void {
  const { headers } = entity;
  if (!isObject(headers)) return;
  for (const [name, values] of Object.entries(headers)) {
    for (const value of Array.isArray(values) ? values : []) {
      if (typeof value !== 'string' || !value.startsWith('~*')) continue;
      const source = value.slice(2);
      const compiled = compileHeaderRegex(source);
      if (compiled.ok) continue;
      reasons.push(
        `header ${name} ${value}: ${refusalText(source, compiled.reason, compileHeaderRegex)}`,
      );
    }
  }
}
