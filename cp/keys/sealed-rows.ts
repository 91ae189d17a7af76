/**
 * Everything in the database that row keys protect, and how a batch of it is brought to the newest
 * generation. It changes no version and no entity: what is read before and after is the same.
 */
import type { JsonValue } from '#shared/schema/field.ts';
import type { Db, Param, Row } from '../store/db.ts';
import { bytesText } from '../store/entity-codec.ts';
import { BATCH_ROWS_MAX } from '../store/row-batch.ts';
import { quoted, type TablePlan } from '../store/sql.ts';
import { generationBytes } from './cipher.ts';
import type { RowKeys } from './row-keys.ts';

/** Rows in one transaction: short enough for whoever waits for one of them. */
export const SEALED_BATCH_MAX = Math.min(500, BATCH_ROWS_MAX);

interface SealedColumn {
  /** As in the place that is authenticated. */
  readonly field: string;
  readonly cipher: string;
  /** Blind index of the same value; null: none. */
  readonly index: string | null;
}

export interface SealedTable {
  readonly table: string;
  /** What identifies a row, with types; the last is the id that is authenticated. */
  readonly key: readonly (readonly [column: string, type: 'uuid' | 'text'])[];
  readonly columns: readonly SealedColumn[];
}

/** Tables of no entity that hold ciphertexts. One that is not listed would outlive its key. */
const OTHER_TABLES: readonly SealedTable[] = [
  {
    table: 'join_tokens',
    key: [['id', 'text']],
    columns: [{ field: 'verifier', cipher: 'verifier', index: null }],
  },
  {
    table: 'kept_answers',
    key: [['id', 'text']],
    columns: [{ field: 'body', cipher: 'body_cipher', index: null }],
  },
];

export function sealedTables(plans: Iterable<TablePlan>): SealedTable[] {
  const tables = [...plans]
    .filter(({ secrets }) => secrets.length > 0)
    .map(({ table, secrets }): SealedTable => {
      const key = [['ws_id', 'uuid'] as const, ['id', 'uuid'] as const];
      return { table, key, columns: secrets };
    });
  return [...tables, ...OTHER_TABLES];
}

/** Key of the last row of a batch; null before the first. */
export type RowCursor = readonly string[] | null;

/** How much is not of the newest generation yet. */
export interface Remaining {
  /** Rows with ciphertexts of an older data key, changes included. */
  readonly data: number;
  /** Rows with blind indexes of an older pepper. */
  readonly pepper: number;
}

export async function remainingOf(
  db: Db,
  tables: readonly SealedTable[],
  keys: RowKeys,
): Promise<Remaining> {
  const params = generationParams(keys);
  let [data, pepper] = [0, 0];
  for (const { table, columns } of tables) {
    const ciphers = columns.map(({ cipher }) => staleCipher(cipher)).join(' OR ');
    const indexes = columns.flatMap(({ index }) => (index === null ? [] : staleIndex(index)));
    const { rows } = await db.query<{ data: number; pepper: number }>(
      `SELECT count(*) FILTER (WHERE ${ciphers}) AS data,
         count(*) FILTER (WHERE ${['false', ...indexes].join(' OR ')}) AS pepper
       FROM ${quoted(table)} WHERE $1::bytea IS NOT NULL AND $2::bytea IS NOT NULL`,
      params,
    );
    data += rows[0]?.data ?? 0;
    pepper += rows[0]?.pepper ?? 0;
  }
  const log = await db.query<{ count: number }>(
    'SELECT count(*) FROM changes WHERE secrets IS NOT NULL AND secrets_generation <> $1',
    [keys.newest.data],
  );
  return { data: data + (log.rows[0]?.count ?? 0), pepper };
}

/**
 * The next rows of a table, in order of their keys. Those that somebody else holds are passed over.
 *
 * @returns where to go on; null at the end
 */
export async function renewRows(
  tx: Db,
  { table, key, columns }: SealedTable,
  keys: RowKeys,
  after: RowCursor,
): Promise<RowCursor> {
  const names = key.map(([name]) => quoted(name)).join(', ');
  const params: Param[] = generationParams(keys);
  const stale = columns.flatMap(({ cipher, index }) => [
    staleCipher(cipher),
    ...(index === null ? [] : [staleIndex(index)]),
  ]);
  let text =
    `SELECT ${names}, ${columns.map(({ cipher }) => quoted(cipher)).join(', ')} FROM ${quoted(table)} ` +
    `WHERE $1::bytea IS NOT NULL AND $2::bytea IS NOT NULL AND (${stale.join(' OR ')})`;
  if (after !== null) {
    const places = key.map(([, type], at) => `$${params.push(after[at] ?? '')}::${type}`);
    text += ` AND (${names}) > (${places.join(', ')})`;
  }
  const { rows } = await tx.query<Row>(
    `${text} ORDER BY ${names} LIMIT $${params.push(SEALED_BATCH_MAX)} FOR UPDATE SKIP LOCKED`,
    params,
  );
  const last = rows.at(-1);
  if (last === undefined) return null;
  const renewed = rows.map((row) => renewedRow({ table, key, columns }, row, keys));
  const set = columns.flatMap(({ cipher, index }) => (index === null ? [cipher] : [cipher, index]));
  const types = [...key, ...set.map((column) => [column, 'bytea'] as const)];
  await tx.query(
    `UPDATE ${quoted(table)} AS t SET ${set.map((column) => `${quoted(column)} = r.${quoted(column)}`).join(', ')}
     FROM json_to_recordset($1::json) AS r(${types.map(([name, type]) => `${quoted(name)} ${type}`).join(', ')})
     WHERE ${key.map(([name]) => `t.${quoted(name)} = r.${quoted(name)}`).join(' AND ')}`,
    [JSON.stringify(renewed)],
  );
  return rows.length < SEALED_BATCH_MAX ? null : key.map(([name]) => String(last[name]));
}

function renewedRow({ table, key, columns }: SealedTable, row: Row, keys: RowKeys): JsonValue {
  const renewed: Record<string, JsonValue> = {};
  for (const [name] of key) renewed[name] = String(row[name]);
  const id = String(row[key.at(-1)?.[0] ?? '']);
  for (const { field, cipher, index } of columns) {
    const sealed = row[cipher];
    const value = sealed instanceof Uint8Array ? keys.decrypt(table, field, id, sealed) : null;
    renewed[cipher] = value === null ? null : bytesText(keys.encrypt(table, field, id, value));
    if (index === null) continue;
    renewed[index] = value === null ? null : bytesText(keys.blindIndex(table, field, value));
  }
  return renewed;
}

interface LoggedSecrets {
  readonly ws_id: string;
  readonly version: number;
  readonly position: number;
  readonly kind: string;
  readonly entity_id: string;
  readonly secrets: Readonly<Record<string, string>>;
}

/** The same for the change log. @returns how many rows were done */
export async function renewChanges(tx: Db, keys: RowKeys): Promise<number> {
  const { rows } = await tx.query<LoggedSecrets>(
    `SELECT ws_id, version, position, kind, entity_id, secrets FROM changes
     WHERE secrets IS NOT NULL AND secrets_generation <> $1
     ORDER BY secrets_generation, ws_id, version, position LIMIT $2 FOR UPDATE SKIP LOCKED`,
    [keys.newest.data, SEALED_BATCH_MAX],
  );
  if (rows.length === 0) return 0;
  const renewed = rows.map(({ kind, entity_id: id, secrets, ...key }) => {
    const again = Object.entries(secrets).map(([field, text]): [string, string] => {
      const value = keys.decrypt(kind, field, id, new Uint8Array(Buffer.from(text, 'base64')));
      return [field, Buffer.from(keys.encrypt(kind, field, id, value)).toString('base64')];
    });
    return Object.assign(key, { secrets: Object.fromEntries(again) });
  });
  await tx.query(
    `UPDATE changes AS c SET secrets = r.secrets, secrets_generation = $2
     FROM json_to_recordset($1::json) AS r(ws_id uuid, version bigint, position integer, secrets jsonb)
     WHERE c.ws_id = r.ws_id AND c.version = r.version AND c.position = r.position`,
    [JSON.stringify(renewed), keys.newest.data],
  );
  return rows.length;
}

/** `$1` and `$2` of the conditions below. */
function generationParams({ newest }: RowKeys): Uint8Array[] {
  return [generationBytes(newest.data), generationBytes(newest.pepper)];
}

const FIRST = `'\\x00000001'::bytea`;

/** Not of the newest data key; as `cipher.ts` writes it. */
function staleCipher(column: string): string {
  const name = quoted(column);
  const generation = `CASE get_byte(${name}, 0) WHEN 1 THEN ${FIRST} ELSE substring(${name} FROM 2 FOR 4) END`;
  return `(${name} IS NOT NULL AND ${generation} <> $1::bytea)`;
}

/** Not of the newest pepper; as `row-keys.ts` writes it. */
function staleIndex(column: string): string {
  const name = quoted(column);
  const generation = `CASE length(${name}) WHEN 32 THEN ${FIRST} ELSE substring(${name} FROM 1 FOR 4) END`;
  return `(${name} IS NOT NULL AND ${generation} <> $2::bytea)`;
}
