/**
 * The part of a workspace that a tag selector leaves: which of the entities looked at belong to it, and
 * which others must be looked at because of that. What each entity needs is kept in `group_needs`, so a
 * change costs what it changes: nothing is found by reading the slice.
 */
import type { EntityDefinition } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import type { Registry } from '#shared/schema/plugin-definition.ts';
import type { Db } from '../store/db.ts';
import { SYSTEM_WORKSPACE } from '../store/migrations/0001-init.ts';
import { foreignId, quoted } from '../store/sql.ts';
import {
  FOLLOWED_KINDS,
  followedFields,
  neededAs,
  NEEDING_KINDS,
  needsOf,
  texts,
} from './closure.ts';
import { patternsOf } from './server-names.ts';

/** Rows in one statement. */
const NEEDS_BATCH = 5_000;

/** Ids by kind. */
export class Candidates {
  readonly #ids = new Map<string, Set<string>>();

  add(kind: string, ids: Iterable<string>): void {
    const known = this.#ids.get(kind) ?? new Set();
    for (const id of ids) known.add(id);
    this.#ids.set(kind, known);
  }

  of(kind: string): string[] {
    return [...(this.#ids.get(kind) ?? [])];
  }

  get kinds(): string[] {
    return [...this.#ids.keys()];
  }
}

export interface SelectionContext {
  readonly tx: Db;
  readonly registry: Registry;
  readonly groupId: string;
  readonly level: number;
  /** The selector: a route with any of these is selected. */
  readonly tags: ReadonlySet<string>;
  /** Authorities that something came to need, or stopped to: they belong to no workspace. */
  readonly authorities: Set<string>;
}

/** What was looked at together: those of the ids that are there. */
export interface Looked {
  readonly definition: EntityDefinition;
  readonly ids: readonly string[];
  readonly entities: readonly AnyEntity[];
}

export class Selection {
  readonly #context: SelectionContext;
  readonly #ws: string;
  /** `kind/id` → whether it belongs to the slice, of followed kinds that were looked at. */
  readonly #decided = new Map<string, boolean>();

  constructor(context: SelectionContext, ws: string) {
    this.#context = context;
    this.#ws = ws;
  }

  /** Forgets what anything of the workspace needs: all of it is about to be looked at. */
  async clear(): Promise<void> {
    const { tx, groupId, authorities } = this.#context;
    const { rows } = await tx.query<{ need: string }>(
      `DELETE FROM group_needs WHERE group_id = $1 AND ws_id = $2 RETURNING need`,
      [groupId, this.#ws],
    );
    addAuthorities(
      authorities,
      rows.map(({ need }) => need),
    );
  }

  /** Those that belong to the slice. */
  async members({ definition, entities }: Looked): Promise<AnyEntity[]> {
    if (definition.name === 'routes') {
      const { tags } = this.#context;
      return entities.filter((route) => texts(route['tags']).some((tag) => tags.has(tag)));
    }
    const names = entities.map((entity) => neededAs(definition.name, entity));
    const needed = await this.#needed(names.flatMap((name) => name ?? []));
    const followed = followedFields(definition);
    await this.#readDecided(followed, entities);
    return entities.filter((entity, index) => {
      const own = names[index] ?? null;
      if (own !== null) return own.some((name) => needed.has(name));
      return followed.every(([field, kind]) => {
        const id = parentId(entity, field);
        return id === null || this.#decided.get(`${kind}/${id}`) === true;
      });
    });
  }

  /**
   * Writes down what the members need.
   *
   * @param before  ids of those that belonged to the slice before; null: all that there is is looked at
   * @returns what else must be looked at because of it
   */
  async settle(
    looked: Looked,
    members: readonly AnyEntity[],
    before: ReadonlySet<string> | null,
  ): Promise<Candidates> {
    const { definition, ids } = looked;
    const { name: kind } = definition;
    const found = new Candidates();
    const now = new Set(members.map(({ id }) => id));
    if (FOLLOWED_KINDS.has(kind)) {
      for (const id of ids) this.#decided.set(`${kind}/${id}`, now.has(id));
      const moved = before === null ? [] : ids.filter((id) => now.has(id) !== before.has(id));
      await this.#addFollowers(kind, moved, found);
    }
    const needs = new Map(members.map((entity) => [entity.id, new Set(needsOf(kind, entity))]));
    if (!NEEDING_KINDS.has(kind)) return found;
    const touched = await this.#save(kind, ids, needs);
    addAuthorities(this.#context.authorities, touched);
    if (before === null) return found;
    // What others need, or go on needing, is where it was.
    const held = await this.#needed(touched, { kind, ids });
    await this.#addNeeded(
      touched.filter((need) => !held.has(need)),
      found,
    );
    return found;
  }

  /** Of these needs, the ones that something has. @param except  sources that do not count */
  async #needed(
    needs: readonly string[],
    except: { readonly kind: string; readonly ids: readonly string[] } = { kind: '', ids: [] },
  ): Promise<ReadonlySet<string>> {
    if (needs.length === 0) return new Set();
    const { tx, groupId } = this.#context;
    // An authority belongs to no workspace.
    const everywhere = this.#ws === SYSTEM_WORKSPACE;
    const { rows } = await tx.query<{ need: string }>(
      `SELECT w.need FROM (SELECT DISTINCT unnest($3::text[]) AS need) AS w WHERE EXISTS (
         SELECT 1 FROM group_needs n WHERE n.group_id = $1 AND n.need = w.need
           AND (${everywhere ? '$2::uuid IS NOT NULL' : 'n.ws_id = $2'})
           AND NOT (n.kind = $4 AND n.entity_id = ANY($5::uuid[])))`,
      [groupId, this.#ws, needs, except.kind, except.ids],
    );
    return new Set(rows.map(({ need }) => need));
  }

  /** @returns needs that one of them had not before, or has no more */
  async #save(
    kind: string,
    ids: readonly string[],
    needs: ReadonlyMap<string, ReadonlySet<string>>,
  ): Promise<string[]> {
    const { tx, groupId } = this.#context;
    const { rows } = await tx.query<{ entity_id: string; need: string }>(
      `SELECT entity_id, need FROM group_needs
       WHERE group_id = $1 AND ws_id = $2 AND kind = $3 AND entity_id = ANY($4::uuid[])`,
      [groupId, this.#ws, kind, ids],
    );
    const lost = rows.filter(({ entity_id: id, need }) => needs.get(id)?.has(need) !== true);
    const had = new Set(rows.map(({ entity_id: id, need }) => `${id} ${need}`));
    const added = [...needs].flatMap(([id, all]) =>
      [...all].filter((need) => !had.has(`${id} ${need}`)).map((need) => ({ entity_id: id, need })),
    );
    const columns = (part: readonly { readonly entity_id: string; readonly need: string }[]) => [
      part.map(({ entity_id: id }) => id),
      part.map(({ need }) => need),
    ];
    for (const batch of batches(lost)) {
      await tx.query(
        `DELETE FROM group_needs n USING unnest($4::uuid[], $5::text[]) AS gone(id, need)
         WHERE n.group_id = $1 AND n.ws_id = $2 AND n.kind = $3
           AND n.entity_id = gone.id AND n.need = gone.need`,
        [groupId, this.#ws, kind, ...columns(batch)],
      );
    }
    for (const batch of batches(added)) {
      await tx.query(
        `INSERT INTO group_needs (group_id, ws_id, kind, entity_id, need)
         SELECT $1, $2, $3, * FROM unnest($4::uuid[], $5::text[])`,
        [groupId, this.#ws, kind, ...columns(batch)],
      );
    }
    return [...new Set([...lost, ...added].map(({ need }) => need))];
  }

  async #addNeeded(needs: readonly string[], found: Candidates): Promise<void> {
    const after = (kind: string) =>
      needs
        .filter((need) => need.startsWith(`${kind}/`))
        .map((need) => need.slice(kind.length + 1));
    found.add('services', after('services'));
    found.add('certificates', after('certificates'));
    const upstreams = after('upstreams');
    if (upstreams.length > 0) {
      found.add('upstreams', await this.#ids('upstreams', 'name = ANY($2::text[])', [upstreams]));
    }
    const names = after('snis');
    if (names.length === 0) return;
    const { isAny, exact, like } = patternsOf(names);
    if (isAny) return found.add('snis', await this.#ids('snis', 'true', []));
    found.add('snis', await this.#ids('snis', 'lower(name) = ANY($2::text[])', [exact]));
    if (like.length === 0) return;
    found.add('snis', await this.#ids('snis', 'lower(name) LIKE ANY($2::text[])', [like]));
  }

  async #addFollowers(kind: string, moved: readonly string[], found: Candidates): Promise<void> {
    if (moved.length === 0) return;
    for (const definition of this.#context.registry.entities.values()) {
      if (definition.wire === false || definition.stored === false) continue;
      for (const [field, reference] of followedFields(definition)) {
        if (reference !== kind) continue;
        const condition = `${quoted(`${field}_id`)} = ANY($2::uuid[])`;
        found.add(definition.name, await this.#ids(definition.name, condition, [moved]));
      }
    }
  }

  async #ids(
    table: string,
    condition: string,
    params: readonly (readonly string[])[],
  ): Promise<string[]> {
    const { rows } = await this.#context.tx.query<{ id: string }>(
      `SELECT id FROM ${quoted(table)} WHERE ws_id = $1 AND (${condition})`,
      [this.#ws, ...params],
    );
    return rows.map(({ id }) => id);
  }

  /** What was not looked at is what it was. */
  async #readDecided(
    followed: readonly [string, string][],
    entities: readonly AnyEntity[],
  ): Promise<void> {
    const { tx, groupId, level } = this.#context;
    for (const [field, kind] of followed) {
      const ids = new Set(entities.flatMap((entity) => parentId(entity, field) ?? []));
      const unknown = [...ids].filter((id) => !this.#decided.has(`${kind}/${id}`));
      if (unknown.length === 0) continue;
      const { rows } = await tx.query<{ entity_id: string }>(
        `SELECT entity_id FROM group_records
         WHERE group_id = $1 AND level = $2 AND kind = $3 AND ws_id = $4
           AND entity_id = ANY($5::uuid[])`,
        [groupId, level, kind, this.#ws, unknown],
      );
      const there = new Set(rows.map(({ entity_id: id }) => id));
      for (const id of unknown) this.#decided.set(`${kind}/${id}`, there.has(id));
    }
  }
}

function parentId(entity: AnyEntity, field: string): string | null {
  return foreignId(entity[field])?.toLowerCase() ?? null;
}

function addAuthorities(authorities: Set<string>, needs: readonly string[]): void {
  const start = 'ca_certificates/';
  for (const need of needs) if (need.startsWith(start)) authorities.add(need.slice(start.length));
}

function* batches<T>(items: readonly T[]): Iterable<readonly T[]> {
  for (let start = 0; start < items.length; start += NEEDS_BATCH) {
    yield items.slice(start, start + NEEDS_BATCH);
  }
}
