/**
 * What is wrong with a declarative configuration, in Kong's two shapes: nested like the configuration
 * (code 14), and as a flat list of entities (`flatten_errors`).
 *
 * Source: Kong `kong/db/errors.lua`, declarative_config_flattened
 */
import type { JsonObject, JsonValue } from '#shared/schema/field.ts';
import { isUuid } from '#shared/schema/attributes.ts';
import { isPlainObject } from '#shared/schema/validate.ts';
import { luaText } from '#shared/schema/violations.ts';
import { AdminError } from '../admin/errors.ts';

/** Entities that errors are told of: nobody reads half a million. */
export const ERRORS_MAX = 100;

/** Names and indexes that lead to an entity: `['services', 3, 'routes', 0]`. */
export type Path = readonly (string | number)[];

/** What errors say of the entity they are about. */
export interface Subject {
  readonly kind: string;
  readonly path: Path;
  /** As it was given, nested entities left out. */
  readonly input: JsonObject;
}

interface Entry {
  readonly subject: Subject | null;
  readonly path: Path;
  readonly error: JsonValue;
}

type Tree = { [name: string]: Tree | JsonValue } | (Tree | JsonValue)[];

export class ImportErrors {
  readonly #entries: Entry[] = [];

  get isEmpty(): boolean {
    return this.#entries.length === 0;
  }

  /** Enough for anybody: there is no need to look for more. */
  get isFull(): boolean {
    return this.#entries.length >= ERRORS_MAX;
  }

  /** Of what is no entity. */
  addAt(path: Path, error: JsonValue): void {
    if (!this.isFull) this.#entries.push({ subject: null, path, error });
  }

  /** @param error  a text about the whole, or texts by field */
  add(subject: Subject, error: JsonValue): void {
    if (!this.isFull) this.#entries.push({ subject, path: subject.path, error });
  }

  /** @throws AdminError 400, code 14, when there is any */
  throwIfAny(isFlattened: boolean): void {
    if (this.isEmpty) return;
    if (!isFlattened) throw invalidConfiguration(nested(this.#entries));
    const rest = nested(this.#entries.filter(({ subject }) => subject === null));
    const { status, body } = invalidConfiguration(rest);
    throw new AdminError(status, { ...body, flattened_errors: flattened(this.#entries) });
  }
}

export function invalidConfiguration(fields: JsonObject): AdminError {
  return new AdminError(400, {
    code: 14,
    name: 'invalid declarative configuration',
    message: `declarative config is invalid: ${luaText(fields, '')}`,
    fields,
  });
}

/** Lists have null for the members that nothing is wrong with. */
function nested(entries: readonly Entry[]): JsonObject {
  const root: Tree = Object.create(null) as { [name: string]: Tree };
  for (const { path, error } of entries) {
    let at: Tree = root;
    for (const [index, name] of path.entries()) {
      const isLast = index === path.length - 1;
      const below = memberOf(at, name);
      if (isLast) {
        setMember(at, name, merged(below, error));
        break;
      }
      const isBranch = typeof below === 'object' && below !== null;
      const next = isBranch ? (below as Tree) : newTree(path[index + 1]);
      setMember(at, name, next);
      at = next;
    }
  }
  // It was built of JSON values.
  return root as JsonObject;
}

function newTree(name: string | number | undefined): Tree {
  return typeof name === 'number' ? [] : (Object.create(null) as { [name: string]: Tree });
}

function memberOf(tree: Tree, name: string | number): Tree | JsonValue | undefined {
  return Array.isArray(tree) ? tree[Number(name)] : tree[name];
}

function setMember(tree: Tree, name: string | number, value: Tree | JsonValue): void {
  if (!Array.isArray(tree)) {
    tree[name] = value;
    return;
  }
  while (tree.length < Number(name)) tree.push(null);
  tree[Number(name)] = value;
}

/** Errors of an entity beside those of entities nested in it. */
function merged(below: Tree | JsonValue | undefined, error: JsonValue): Tree | JsonValue {
  if (!isPlainObject(below)) return error;
  const own = isPlainObject(error) ? error : { '@entity': [error] };
  return { ...below, ...own } as Tree;
}

function flattened(entries: readonly Entry[]): JsonObject[] {
  return entries.flatMap(({ subject, error }) => {
    if (subject === null) return [];
    const { kind, input } = subject;
    const { name, id, tags } = input;
    const isList = Array.isArray(tags) && tags.every((tag) => typeof tag === 'string');
    return [
      {
        entity_type: kind.replace(/s$/, ''),
        ...(typeof name === 'string' && name !== '' ? { entity_name: name } : {}),
        ...(typeof id === 'string' && isUuid(id) ? { entity_id: id } : {}),
        ...(isList ? { entity_tags: tags } : {}),
        entity: input,
        errors: categorized(typeof error === 'string' ? { '@entity': [error] } : error, ''),
      },
    ];
  });
}

function categorized(error: JsonValue, field: string): JsonObject[] {
  if (typeof error === 'string') return [{ type: 'field', field, message: error }];
  if (typeof error !== 'object' || error === null) return [];
  // Kong counts from 1.
  const members: [string, JsonValue][] = Array.isArray(error)
    ? error.map((member: JsonValue, index) => [String(index + 1), member])
    : Object.entries(error);
  return members.flatMap(([name, member]) => {
    if (name !== '@entity') return categorized(member, field === '' ? name : `${field}.${name}`);
    const texts = Array.isArray(member) ? member : [member];
    return texts.map((text: JsonValue) => ({ type: 'entity', message: String(text) }));
  });
}
