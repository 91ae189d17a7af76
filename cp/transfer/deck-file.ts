/**
 * All of a workspace as a state file of decK: children in their parents, no nulls, ids kept.
 *
 * Source: go-database-reconciler `pkg/file/types.go`, `kong_json_schema.json`
 */
import type { JsonObject, JsonValue } from '#shared/schema/field.ts';
import { isObject, textOf } from './document.ts';

/** Kinds that the format has a list for at the top, in the order of its own files. */
const TOP = [
  'services',
  'routes',
  'consumers',
  'plugins',
  'upstreams',
  'certificates',
  'ca_certificates',
  'vaults',
  'key_sets',
  'keys',
];

/** Kind → the kind whose entities hold it, and the field that points there. */
const NESTED: ReadonlyMap<string, readonly [parent: string, field: string]> = new Map([
  ['routes', ['services', 'service']],
  ['targets', ['upstreams', 'upstream']],
  ['snis', ['certificates', 'certificate']],
  ['acls', ['consumers', 'consumer']],
  ['basicauth_credentials', ['consumers', 'consumer']],
  ['hmacauth_credentials', ['consumers', 'consumer']],
  ['jwt_secrets', ['consumers', 'consumer']],
  ['keyauth_credentials', ['consumers', 'consumer']],
  ['oauth2_credentials', ['consumers', 'consumer']],
]);

const SCOPES: ReadonlyMap<string, string> = new Map([
  ['service', 'services'],
  ['route', 'routes'],
  ['consumer', 'consumers'],
]);

/** Foreign fields that the format writes as the bare id. */
const BARE_IDS: ReadonlyMap<string, readonly string[]> = new Map([
  ['services', ['client_certificate']],
  ['plugins', [...SCOPES.keys()]],
]);

/** decK's certificates have no second key. */
const UNKNOWN: ReadonlyMap<string, readonly string[]> = new Map([
  ['certificates', ['cert_alt', 'key_alt', 'snis']],
]);

export interface DeckFile {
  readonly content: JsonObject;
  /** What the format has no place for, in words. */
  readonly left: readonly string[];
}

/** @param content  lists by kind, as `readAdmin` answers them */
export function deckFile(content: JsonObject, workspace: string | null): DeckFile {
  const left: string[] = [];
  const lists = new Map<string, Draft[]>();
  for (const [kind, list] of Object.entries(content)) {
    if (kind.startsWith('_') || !Array.isArray(list)) continue;
    if (!TOP.includes(kind) && !NESTED.has(kind)) {
      left.push(`${list.length} ${kind}`);
      continue;
    }
    const drafts = list.flatMap((row: JsonValue) =>
      isObject(row) ? [draftOf(kind, row, left)] : [],
    );
    lists.set(kind, drafts);
  }
  const nested = nest(lists);
  const top = TOP.map((kind): [string, JsonValue] => {
    const own = (lists.get(kind) ?? []).filter((draft) => !nested.has(draft));
    return [kind, own.map(toJson)];
  });
  return {
    content: {
      _format_version: '3.0',
      _info: { defaults: {} },
      ...(workspace === null || workspace === 'default' ? {} : { _workspace: workspace }),
      ...Object.fromEntries(top.filter(([, list]) => Array.isArray(list) && list.length > 0)),
    },
    left,
  };
}

interface Draft {
  readonly row: JsonObject;
  readonly fields: Map<string, JsonValue>;
  readonly children: Map<string, Draft[]>;
}

function draftOf(kind: string, row: JsonObject, left: string[]): Draft {
  const fields = new Map<string, JsonValue>();
  const bare = BARE_IDS.get(kind) ?? [];
  const unknown = UNKNOWN.get(kind) ?? [];
  for (const [name, value] of Object.entries(row)) {
    if (value === null || name === 'updated_at') continue;
    if (unknown.includes(name)) {
      if (name !== 'snis') left.push(`${name} of ${kind} ${textOf(row['id']) ?? ''}`);
    } else if (bare.includes(name)) fields.set(name, idOf(value) ?? value);
    // Of a configuration decK keeps nulls: they are not what a field left out means.
    else fields.set(name, name === 'config' ? value : withoutNulls(value));
  }
  return { row, fields, children: new Map() };
}

function withoutNulls(value: JsonValue): JsonValue {
  if (!isObject(value)) return value;
  const members = Object.entries(value).filter(([, member]) => member !== null);
  return Object.fromEntries(members.map(([name, member]) => [name, withoutNulls(member)]));
}

/** Moves children into their parents. @returns those that were moved */
function nest(lists: ReadonlyMap<string, readonly Draft[]>): ReadonlySet<Draft> {
  const byId = new Map<string, Draft>();
  for (const [kind, drafts] of lists) {
    for (const draft of drafts) byId.set(`${kind} ${textOf(draft.row['id']) ?? ''}`, draft);
  }
  const nested = new Set<Draft>();
  for (const [kind, drafts] of lists) {
    for (const draft of drafts) {
      const place = kind === 'plugins' ? onlyScope(draft) : (NESTED.get(kind) ?? null);
      if (place === null) continue;
      const [parentKind, field] = place;
      const parent = byId.get(`${parentKind} ${idOf(draft.row[field] ?? null) ?? ''}`);
      if (parent === undefined) continue;
      draft.fields.delete(field);
      parent.children.set(kind, [...(parent.children.get(kind) ?? []), draft]);
      nested.add(draft);
    }
  }
  return nested;
}

/** A plugin that several entities narrow down stands at the top. */
function onlyScope({ row }: Draft): readonly [parent: string, field: string] | null {
  const scopes = [...SCOPES].filter(([field]) => idOf(row[field] ?? null) !== null);
  const [first, second] = scopes;
  return first === undefined || second !== undefined ? null : [first[1], first[0]];
}

function toJson({ fields, children }: Draft): JsonObject {
  const lists = [...children].map(([kind, drafts]): [string, JsonValue] => [
    kind,
    drafts.map(toJson),
  ]);
  return { ...Object.fromEntries(fields), ...Object.fromEntries(lists) };
}

function idOf(value: JsonValue): string | null {
  return isObject(value) ? textOf(value['id']) : null;
}
