/** Routes: their regexes, and paths of formats in which a regex had no mark. */
import { compileHeaderRegex, compileRouteRegex } from '#shared/base/regex.ts';
import type { JsonValue } from '#shared/schema/field.ts';
import { routePathError } from '#shared/schema/validators.ts';
import { isObject, type Item } from './document.ts';
import { refusalText } from './pcre.ts';

/** What was a plain path before 3.0; everything else was a regex. */
const PLAIN_PATH = /^[A-Za-z0-9.\-_~/%]*$/;

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
      'router_flavor traditional_compatible',
  );
}

function judgePath(item: Item, path: JsonValue): JsonValue {
  if (typeof path !== 'string') return path;
  const migrated = item.document.hasOldPaths ? migratePath(path) : path;
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

/**
 * A path of format 1.1 or 2.1 as 3.0 writes it: plain ones in normal form, all others as regexes
 * whose needless escapes are undone.
 *
 * Source: Kong `kong/db/migrations/migrate_path_280_300.lua`
 */
export function migratePath(path: string): string {
  if (PLAIN_PATH.test(path)) {
    const normal = /consider use '(.*)' instead/.exec(routePathError(path) ?? '');
    return normal?.[1] ?? path;
  }
  return `~${path.replaceAll(/%([0-9A-Fa-f]{2})/g, unescaped)}`;
}

const RESERVED = "!#$%&'()*+,/:;=?@[]";
const META = '.^-{}\\|';

function unescaped(escape: string, digits: string): string {
  const char = String.fromCharCode(Number.parseInt(digits, 16));
  // Of longer UTF-8 sequences each byte would have to be undone together.
  if (RESERVED.includes(char) || char > '\x7e') return escape.toUpperCase();
  return META.includes(char) ? `\\${char}` : char;
}
