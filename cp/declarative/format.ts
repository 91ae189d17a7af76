/** What a declarative configuration says of itself, and what older versions of the format mean. */
import type { JsonObject, JsonValue } from '#shared/schema/field.ts';
import { normalizePath } from '#shared/schema/validators.ts';
import { isPlainObject } from '#shared/schema/validate.ts';
import type { ImportErrors } from './import-errors.ts';

const VERSIONS = ['1.1', '2.1', '3.0'];

export interface Format {
  /** False: secrets that are kept as hashes are hashes already. */
  readonly isTransformed: boolean;
}

/** Members of the table that are no kinds of entities. */
export const FORMAT_MEMBERS: ReadonlySet<string> = new Set([
  '_format_version',
  '_transform',
  '_comment',
  '_ignore',
  '_info',
  '_workspace',
  '_konnect',
]);

/** @param workspace  name of the request's */
export function readFormat(table: JsonObject, workspace: string, errors: ImportErrors): Format {
  const say = (name: string, text: JsonValue): void => {
    if (text !== null) errors.addAt([name], text);
  };
  const { _format_version: version = null, _transform: transform = null } = table;
  say('_format_version', versionError(version));
  if (transform !== null && typeof transform !== 'boolean') say('_transform', 'expected a boolean');
  const { _comment: comment = null, _ignore: ignored = null } = table;
  if (comment !== null && typeof comment !== 'string') say('_comment', 'expected a string');
  if (ignored !== null && !Array.isArray(ignored)) say('_ignore', 'expected an array');
  say('_info', infoError(table['_info'] ?? null));
  const named = table['_workspace'] ?? null;
  if (named !== null && named !== workspace) {
    say('_workspace', `the request goes to the workspace '${workspace}', and this is for another`);
  }
  if ((table['_konnect'] ?? null) !== null) say('_konnect', 'not a configuration for Konnect');
  return { isTransformed: transform !== false };
}

function versionError(version: JsonValue): string | null {
  if (version === null) return 'required field missing';
  if (typeof version !== 'string') return 'expected a string';
  return VERSIONS.includes(version) ? null : `expected one of: ${VERSIONS.join(', ')}`;
}

/** decK's. What would change the meaning of the rest must not be passed over. */
function infoError(info: JsonValue): JsonValue {
  if (info === null) return null;
  if (!isPlainObject(info)) return 'expected a record';
  const texts: [string, string][] = [];
  for (const name of ['select_tags', 'defaults']) {
    const value = Object.hasOwn(info, name) ? info[name] : null;
    const isEmpty = value === null || Object.keys(Object(value)).length === 0;
    if (!isEmpty) texts.push([name, "is decK's to apply: send what it makes of the file"]);
  }
  return texts.length === 0 ? null : Object.fromEntries(texts);
}

/**
 * The table in the newest format. Before 3.0 a path of a route was a regex when it looked like one;
 * now it says so by a `~`. Only routes at the top and in services at the top are looked at, as in Kong.
 *
 * Source: Kong `kong/db/declarative/migrations/route_path.lua`, `migrate_path_280_300.lua`
 */
export function migrated(table: JsonObject): JsonObject {
  if (table['_format_version'] !== '1.1' && table['_format_version'] !== '2.1') return table;
  const { routes, services } = table;
  return {
    ...table,
    ...(routes === undefined ? {} : { routes: listOf(routes, withPaths) }),
    ...(services === undefined
      ? {}
      : {
          services: listOf(services, (service) =>
            service['routes'] === undefined
              ? service
              : { ...service, routes: listOf(service['routes'], withPaths) },
          ),
        }),
  };
}

/** What is no list of objects is left for others to refuse. */
function listOf(value: JsonValue, change: (member: JsonObject) => JsonObject): JsonValue {
  if (!Array.isArray(value)) return value;
  return value.map((member: JsonValue) =>
    isPlainObject(member) ? change(member as JsonObject) : member,
  );
}

function withPaths(route: JsonObject): JsonObject {
  const { paths } = route;
  if (!Array.isArray(paths)) return route;
  const changed = paths.map((path: JsonValue) =>
    typeof path === 'string' ? migratedPath(path) : path,
  );
  return { ...route, paths: changed };
}

/** A path of format 1.1 or 2.1 as 3.0 writes it. */
export function migratedPath(path: string): string {
  if (/^[a-zA-Z0-9.\-_~/%]*$/.test(path)) return path.startsWith('/') ? normalizePath(path) : path;
  return `~${path.replaceAll(/(?:%[0-9A-Fa-f]{2})+/g, unescaped)}`;
}

/**
 * Regexes are matched against decoded paths now: of syntax a character is escaped instead. Bytes that
 * are no UTF-8 stay escaped, as no pattern can hold them.
 */
function unescaped(escapes: string): string {
  const text = decoded(escapes);
  if (text === null) return escapes.toUpperCase();
  return Array.from(text, (letter) => {
    if (!"!#$%&'()*+,/:;=?@[]".includes(letter)) {
      return '.^-{}\\|'.includes(letter) ? `\\${letter}` : letter;
    }
    return `%${letter.charCodeAt(0).toString(16).toUpperCase()}`;
  }).join('');
}

function decoded(escapes: string): string | null {
  try {
    return decodeURIComponent(escapes);
  } catch {
    return null;
  }
}
