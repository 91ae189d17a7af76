/**
 * The change log read back: who changed what, and what entities were at an earlier version, secrets
 * included. Over any handle: the pool, or the transaction of a roll-back.
 */
import { isDeepStrictEqual } from 'node:util';
import { assert } from '#shared/base/assert.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import type { AnyEntity } from '#shared/schema/infer.ts';
import { opening } from '../keys/fresh-keys.ts';
import type { RowKeys, RowKeySource } from '../keys/row-keys.ts';
import type { Db, Param } from './db.ts';
import { decodeEntity, type EntityRow } from './entity-codec.ts';
import type { Plans } from './entity-reader.ts';
import { toStoreError } from './errors.ts';
import type { TablePlan } from './sql.ts';

/** Rows of one answer, and of one statement of a longer one. */
export const HISTORY_SIZE_MAX = 1_000;

export interface VersionEntry {
  readonly version: number;
  /** Epoch milliseconds, the database's clock. */
  readonly atMs: number;
  readonly actor: string;
  /** Address; null when it was the control plane itself. */
  readonly source: string | null;
  /** How many changes it holds. */
  readonly changes: number;
}

export interface ChangeEntry {
  readonly version: number;
  /** From 0 within its version. */
  readonly position: number;
  readonly kind: string;
  readonly id: string;
  readonly operation: 'create' | 'update' | 'delete';
  readonly actor: string;
  readonly source: string | null;
  readonly atMs: number;
}

/** Between two changes of a workspace's log. */
export type ChangeCursor = Pick<ChangeEntry, 'version' | 'position'>;

export interface KindEntity {
  readonly kind: string;
  readonly entity: AnyEntity;
}

/** One entity that two versions have differently; null: it is not there. */
export interface Difference {
  readonly kind: string;
  readonly id: string;
  readonly before: AnyEntity | null;
  readonly after: AnyEntity | null;
}

/** What a version was like, or that the log does not tell: it tells of `oldest` to `newest`. */
export type AtVersion<T> =
  | { readonly known: true; readonly value: T }
  | { readonly known: false; readonly oldest: number; readonly newest: number };

interface LoggedRow {
  readonly kind: string;
  readonly id: string;
  readonly doc: JsonObject | null;
  readonly secrets: Readonly<Record<string, string>> | null;
}

/** The newest change of each entity up to version `$2`. */
const STATE = `
  SELECT DISTINCT ON (kind, entity_id) kind, entity_id AS id, doc, secrets
  FROM changes WHERE ws_id = $1 AND version <= $2`;
const NEWEST_FIRST = 'ORDER BY kind, entity_id, version DESC, position DESC';

export class History {
  readonly #db: Db;
  readonly #plans: Plans;
  readonly #keys: RowKeySource;

  constructor(options: { readonly db: Db; readonly plans: Plans; readonly keys: RowKeySource }) {
    this.#db = options.db;
    this.#plans = options.plans;
    this.#keys = options.keys;
  }

  /**
   * Newest first.
   *
   * @param before  only versions below it; null for the newest
   * @param limit  1 to `HISTORY_SIZE_MAX`
   */
  async versions(
    ws: string,
    { before, limit }: { readonly before: number | null; readonly limit: number },
  ): Promise<VersionEntry[]> {
    return this.#query<VersionEntry>(
      `SELECT version, max(${MILLISECONDS}) AS "atMs", actor, source, count(*) AS changes
       FROM changes WHERE ws_id = $1 AND ($2::bigint IS NULL OR version < $2)
       GROUP BY version, actor, source ORDER BY version DESC LIMIT $3`,
      [ws, before, checked(limit)],
    );
  }

  /**
   * In the order in which they were committed.
   *
   * @param after  the last one known; null for the beginning
   * @param limit  1 to `HISTORY_SIZE_MAX`
   */
  async changesOf(
    ws: string,
    { after, limit }: { readonly after: ChangeCursor | null; readonly limit: number },
  ): Promise<ChangeEntry[]> {
    const { version, position } = after ?? { version: 0, position: -1 };
    return this.#query<ChangeEntry>(
      `SELECT version, position, kind, entity_id AS id, operation, actor, source,
         ${MILLISECONDS} AS "atMs"
       FROM changes WHERE ws_id = $1 AND (version, position) > ($2, $3)
       ORDER BY version, position LIMIT $4`,
      [ws, version, position, checked(limit)],
    );
  }

  /**
   * All entities of a workspace as they were, by kind and id; parents may follow their children. Those
   * of a kind that is not stored any more are left out, those that have expired since are not.
   */
  async entitiesAt(ws: string, version: number): Promise<AtVersion<KindEntity[]>> {
    const bounds = await this.#bounds(ws, [version]);
    if (bounds !== null) return bounds;
    const value: KindEntity[] = [];
    const text = `${STATE} AND (kind, entity_id) > ($3, $4::uuid) ${NEWEST_FIRST} LIMIT $5`;
    let last = { kind: '', id: NIL };
    for (;;) {
      const params = [ws, version, last.kind, last.id, HISTORY_SIZE_MAX];
      const rows = await this.#states(text, params);
      for (const { kind, entity } of rows) if (entity !== null) value.push({ kind, entity });
      const end = rows.at(-1);
      if (end === undefined || rows.length < HISTORY_SIZE_MAX) return { known: true, value };
      last = end;
    }
  }

  /** What has to change in version `from` to make it version `to`, in either direction. */
  async diff(ws: string, from: number, to: number): Promise<AtVersion<Difference[]>> {
    const bounds = await this.#bounds(ws, [from, to]);
    if (bounds !== null) return bounds;
    const value: Difference[] = [];
    let last = { kind: '', entity_id: NIL };
    for (;;) {
      const touched = await this.#query<typeof last>(
        `SELECT DISTINCT kind, entity_id FROM changes
         WHERE ws_id = $1 AND version > $2 AND version <= $3 AND (kind, entity_id) > ($4, $5::uuid)
         ORDER BY kind, entity_id LIMIT $6`,
        [ws, Math.min(from, to), Math.max(from, to), last.kind, last.entity_id, HISTORY_SIZE_MAX],
      );
      const before = await this.#statesOf(ws, from, touched);
      const after = await this.#statesOf(ws, to, touched);
      for (const { kind, entity_id: id } of touched) {
        const key = `${kind}/${id}`;
        const change = { before: before.get(key) ?? null, after: after.get(key) ?? null };
        // Changed, and changed back.
        if (isDeepStrictEqual(change.before, change.after)) continue;
        value.push({ kind, id, ...change });
      }
      const end = touched.at(-1);
      if (end === undefined || touched.length < HISTORY_SIZE_MAX) return { known: true, value };
      last = end;
    }
  }

  async #statesOf(
    ws: string,
    version: number,
    entities: readonly { readonly kind: string; readonly entity_id: string }[],
  ): Promise<Map<string, AnyEntity>> {
    const rows = await this.#states(
      `${STATE} AND (kind, entity_id) IN (SELECT * FROM unnest($3::text[], $4::uuid[])) ` +
        NEWEST_FIRST,
      [ws, version, entities.map(({ kind }) => kind), entities.map((entity) => entity.entity_id)],
    );
    const found = new Map<string, AnyEntity>();
    for (const { kind, id, entity } of rows) {
      if (entity !== null) found.set(`${kind}/${id}`, entity);
    }
    return found;
  }

  /** Null where it was removed, or is of a kind that is not stored. */
  #states(
    text: string,
    params: readonly Param[],
  ): Promise<{ kind: string; id: string; entity: AnyEntity | null }[]> {
    const read = async (keys: RowKeys) => {
      const rows = await this.#query<LoggedRow>(text, params);
      return rows.map((row) => ({ kind: row.kind, id: row.id, entity: this.#decode(row, keys) }));
    };
    return opening(this.#db, this.#keys, read).catch((error: unknown) => {
      throw toStoreError(error);
    });
  }

  /** Null when the log tells of all these versions. */
  async #bounds(ws: string, versions: readonly number[]): Promise<AtVersion<never> | null> {
    const [row] = await this.#query<{ oldest: number; newest: number }>(
      'SELECT log_start AS oldest, version AS newest FROM workspace_versions WHERE ws_id = $1',
      [ws],
    );
    const { oldest, newest } = row ?? { oldest: 0, newest: 0 };
    const isKnown = versions.every((version) => version >= oldest && version <= newest);
    return isKnown ? null : { known: false, oldest, newest };
  }

  #decode({ kind, id, doc, secrets }: LoggedRow, keys: RowKeys): AnyEntity | null {
    const plan = this.#plans.get(kind);
    return plan === undefined || doc === null
      ? null
      : decodeEntity(plan, rowOf(plan, id, doc, secrets), keys);
  }

  async #query<R>(text: string, params: readonly Param[]): Promise<R[]> {
    try {
      return (await this.#db.query<R>(text, params)).rows;
    } catch (error) {
      throw toStoreError(error);
    }
  }
}

const NIL = '00000000-0000-0000-0000-000000000000';
const MILLISECONDS = 'floor(extract(epoch FROM at) * 1000)::bigint';

function checked(limit: number): number {
  assert(limit >= 1 && limit <= HISTORY_SIZE_MAX, `limit ${limit}`);
  return limit;
}

/** The log's ciphertexts are base64 by field. */
function rowOf(
  plan: TablePlan,
  id: string,
  doc: JsonObject,
  secrets: LoggedRow['secrets'],
): EntityRow {
  const ciphers = plan.secrets.map(({ field, cipher }): [string, Uint8Array | null] => {
    const text = secrets?.[field];
    return [cipher, text === undefined ? null : new Uint8Array(Buffer.from(text, 'base64'))];
  });
  return { id, doc, ...Object.fromEntries(ciphers) };
}
