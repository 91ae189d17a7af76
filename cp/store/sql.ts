/**
 * Definition → SQL: which columns a definition's table has, and its statements. Values only ever
 * travel as parameters; identifiers come from definitions and are checked.
 */
import { assert } from '#shared/base/assert.ts';
import type { EntityDefinition, Field, JsonObject, JsonValue } from '#shared/schema/field.ts';
import { holdsSecrets, secretKind } from '#shared/schema/secret-leaves.ts';

export interface ForeignColumn {
  readonly field: string;
  /** `<field>_id` */
  readonly column: string;
  /** Name of the definition it points to. */
  readonly reference: string;
  /** `restrict`: a parent with children is not removed. */
  readonly onDelete: 'cascade' | 'null' | 'restrict';
}

export interface SecretColumns {
  readonly field: string;
  /** `<field>_cipher` */
  readonly cipher: string;
  /** `<field>_index`, for what is looked up by value. */
  readonly index: string | null;
  /**
   * The field holds secrets rather than being one (`plugins.config`): `doc` has null in their places,
   * and the ciphertext is of a JSON object, pointer → secret. False: the ciphertext is of the text.
   */
  readonly isTree: boolean;
}

export interface UniqueColumn {
  readonly field: string;
  /** The field itself, or its blind index. */
  readonly column: string;
  readonly isBlind: boolean;
  readonly constraint: string;
  /** Over all workspaces. */
  readonly acrossWorkspaces: boolean;
}

/** What a table looks like and how it is spoken to. */
export interface TablePlan {
  readonly definition: EntityDefinition;
  readonly table: string;
  readonly uniques: readonly UniqueColumn[];
  readonly foreigns: readonly ForeignColumn[];
  readonly secrets: readonly SecretColumns[];
  readonly hasTags: boolean;
  readonly hasExpiry: boolean;
  readonly cacheKey: readonly string[] | null;
  /** Columns written besides `ws_id` and `id`, in the order of the parameters. */
  readonly columns: readonly string[];
  readonly insert: string;
  readonly update: string;
  /**
   * `$1` workspace, `$2` JSON array of rows. Returns the ids of those that collide with nothing; the
   * others are left out without an error.
   */
  readonly insertMany: string;
  /** `$1` workspace, `$2` JSON array of rows. */
  readonly updateMany: string;
  /** `SELECT … WHERE ws_id = $1`, to be continued with ` AND …`. */
  readonly select: string;
}

const IDENTIFIER = /^[a-z][a-z0-9_]{0,50}$/;

/** Of all definitions that have a table, by name, in their order. */
export function plansOf(
  entities: ReadonlyMap<string, EntityDefinition>,
): ReadonlyMap<string, TablePlan> {
  const stored = [...entities.values()].filter((definition) => definition.stored !== false);
  return new Map(stored.map((definition) => [definition.name, planOf(definition)]));
}

export function planOf(definition: EntityDefinition): TablePlan {
  const table = definition.name;
  const fields = Object.entries(definition.fields);
  for (const name of [table, ...fields.map(([field]) => field)]) {
    assert(IDENTIFIER.test(name), `not a column or table name: ${name}`);
  }
  const shape = {
    definition,
    table,
    uniques: fields.flatMap(([field, attributes]) => uniqueOf(table, field, attributes)),
    foreigns: fields.flatMap(([field, attributes]) => foreignOf(field, attributes)),
    secrets: fields.flatMap(([field, attributes]) => secretOf(field, attributes)),
    hasTags: definition.fields['tags'] !== undefined,
    hasExpiry: definition.ttl === true,
    cacheKey: cacheKeyFields(definition),
  };
  return { ...shape, ...statementsOf(shape) };
}

/** A key of one field is what `unique` says already (and that field may be a secret). */
function cacheKeyFields({ name, cache_key: cacheKey = [], fields }: EntityDefinition) {
  if (cacheKey.length < 2) return null;
  const isSecret = cacheKey.some((part) => {
    const field = fields[part];
    return field !== undefined && holdsSecrets(field);
  });
  assert(!isSecret, `${name}: a secret cannot be part of a composite key`);
  return cacheKey;
}

function uniqueOf(table: string, field: string, attributes: Field): UniqueColumn[] {
  const acrossWorkspaces = attributes.unique_across_ws === true;
  if (attributes.unique !== true && !acrossWorkspaces) return [];
  const isBlind = attributes.secret === 'lookup';
  assert(isBlind || !holdsSecrets(attributes), `${field}: unique needs a blind index`);
  const column = isBlind ? `${field}_index` : attributes.type === 'foreign' ? `${field}_id` : field;
  return [{ field, column, isBlind, constraint: `${table}_${field}_key`, acrossWorkspaces }];
}

function foreignOf(field: string, attributes: Field): ForeignColumn[] {
  if (attributes.type !== 'foreign') return [];
  const { reference, on_delete: onDelete = 'restrict' } = attributes;
  return [{ field, column: `${field}_id`, reference, onDelete }];
}

function secretOf(field: string, attributes: Field): SecretColumns[] {
  if (!holdsSecrets(attributes)) return [];
  const isTree = attributes.type !== 'string';
  const isLookup = secretKind(attributes) === 'lookup';
  assert(!isLookup || !isTree, `${field}: only a text is looked up by value`);
  return [{ field, cipher: `${field}_cipher`, index: isLookup ? `${field}_index` : null, isTree }];
}

type Statements = 'columns' | 'insert' | 'update' | 'insertMany' | 'updateMany' | 'select';
type Shape = Omit<TablePlan, Statements>;

function statementsOf(shape: Shape): Pick<TablePlan, Statements> {
  const columns = [
    ...new Set([
      ...shape.uniques.map(({ column }) => column),
      ...shape.foreigns.map(({ column }) => column),
      ...shape.secrets.flatMap(({ cipher, index }) =>
        index === null ? [cipher] : [index, cipher],
      ),
    ]),
    ...(shape.hasTags ? ['tags'] : []),
    ...(shape.hasExpiry ? ['expires_at'] : []),
    ...(shape.cacheKey === null ? [] : ['cache_key']),
    'doc',
  ];
  const table = quoted(shape.table);
  const names = columns.map(quoted);
  const places = columns.map((_, index) => `$${index + 3}`);
  const record = `r(id uuid, ${columns.map((name) => `${quoted(name)} ${typeOf(shape, name)}`).join(', ')})`;
  const rows = `json_to_recordset($2::json) AS ${record}`;
  const read = ['doc', ...shape.secrets.map(({ cipher }) => cipher)].map(quoted);
  const strangers = strangersIn(shape);
  const setting = (valueOf: (name: string, index: number) => string): string =>
    names
      .map((name, index) => {
        const value = valueOf(name, index);
        return `${name} = ${name === '"doc"' ? `${strangers} || ${value}::jsonb` : value}`;
      })
      .join(', ');
  return {
    columns,
    insert:
      `INSERT INTO ${table} (ws_id, id, ${names.join(', ')}) ` +
      `VALUES ($1, $2, ${places.join(', ')})`,
    update:
      `UPDATE ${table} AS t SET ${setting((_name, index) => places[index] ?? '')} ` +
      'WHERE ws_id = $1 AND id = $2',
    insertMany:
      `INSERT INTO ${table} (ws_id, id, ${names.join(', ')}) ` +
      `SELECT $1::uuid, r.id, ${names.map((name) => `r.${name}`).join(', ')} FROM ${rows} ` +
      'ON CONFLICT DO NOTHING RETURNING id',
    updateMany:
      `UPDATE ${table} AS t SET ${setting((name) => `r.${name}`)} ` +
      `FROM ${rows} WHERE t.ws_id = $1::uuid AND t.id = r.id`,
    select:
      `SELECT id, ${read.join(', ')} FROM ${table} WHERE ws_id = $1` +
      (shape.hasExpiry ? ' AND (expires_at IS NULL OR expires_at > now())' : ''),
  };
}

/**
 * What a row's `doc` has that this release does not know of: the next one wrote it, and is to find it
 * again when this one has changed something else.
 */
function strangersIn({ definition, hasExpiry }: Shape): string {
  const known = [...Object.keys(definition.fields), ...(hasExpiry ? ['expires_at'] : [])];
  return `(t."doc" - ARRAY[${known.map((name) => `'${name}'`).join(', ')}])`;
}

/** The column's type in Postgres. */
export function typeOf(
  plan: Pick<TablePlan, 'foreigns' | 'secrets'>,
  column: string,
): 'uuid' | 'bytea' | 'text[]' | 'timestamptz' | 'jsonb' | 'text' {
  if (plan.foreigns.some((foreign) => foreign.column === column)) return 'uuid';
  const isBytes = plan.secrets.some(({ cipher, index }) => cipher === column || index === column);
  if (isBytes) return 'bytea';
  if (column === 'tags') return 'text[]';
  if (column === 'expires_at') return 'timestamptz';
  return column === 'doc' ? 'jsonb' : 'text';
}

export function quoted(name: string): string {
  return `"${name}"`;
}

/**
 * The fields unique together, as one text in which an absent part is a value like any other; so two
 * global plugins of one name collide, which SQL's nulls would not.
 */
export function cacheKeyOf(cacheKey: readonly string[], entity: JsonObject): string {
  return JSON.stringify(cacheKey.map((field) => foreignId(entity[field]) ?? entity[field] ?? null));
}

/** The id in `{id}`; null for anything else. */
export function foreignId(value: JsonValue | undefined): string | null {
  if (typeof value !== 'object' || value === null || !('id' in value)) return null;
  return typeof value.id === 'string' ? value.id : null;
}
