/** Reading the audit: rows, newest first, each with what its version changed. */
import type { JsonObject } from '#shared/schema/field.ts';
import { CipherError } from '../keys/cipher.ts';
import type { RowKeys } from '../keys/row-keys.ts';
import type { Db, Param } from '../store/db.ts';
import { toStoreError } from '../store/errors.ts';

/** Changes told of one row; `changes_total` says how many there are. */
export const CHANGES_SHOWN_MAX = 20;

export interface AuditQuery {
  readonly size: number;
  /** Id of the last row of the page before; null: from the newest. */
  readonly before: string | null;
  readonly actor: string | null;
  /** Epoch seconds, inclusive. */
  readonly since: number | null;
  /** Epoch seconds, exclusive. */
  readonly until: number | null;
  readonly workspace: string | null;
  /** What the path begins with. */
  readonly path: string | null;
}

export interface AuditPage {
  readonly rows: readonly JsonObject[];
  /** `before` of the next page; null: this was the last. */
  readonly next: string | null;
}

interface AuditRow {
  readonly id: string;
  readonly ws_id: string | null;
  readonly version: number | null;
  readonly [column: string]: string | number | null;
}

interface ChangeRow {
  readonly key: number;
  readonly kind: string;
  readonly id: string;
  readonly operation: string;
  readonly total: number;
  readonly fields: string[];
  readonly secrets: JsonObject | null;
  readonly secrets_before: JsonObject | null;
}

const ROW = `id::text, round(extract(epoch FROM at), 3)::float8 AS at, request_id, actor, token_id,
  source, forwarded_for, method, path, status, workspace, ws_id, version`;

/** `updated_at` changes whenever anything does. */
const CHANGES = `
  SELECT r.key, c.kind, c.entity_id AS id, c.operation, c.secrets, was.secrets AS secrets_before,
    (SELECT max(position) + 1 FROM changes t WHERE t.ws_id = r.ws_id AND t.version = r.version)
      AS total,
    ARRAY(
      SELECT coalesce(n.key, o.key)
      FROM jsonb_each(coalesce(c.doc, '{}')) n
        FULL JOIN jsonb_each(coalesce(was.doc, '{}')) o ON n.key = o.key
      WHERE c.operation <> 'delete' AND coalesce(n.key, o.key) <> 'updated_at'
        AND coalesce(n.value, 'null') <> coalesce(o.value, 'null')
      ORDER BY 1
    ) AS fields
  FROM jsonb_to_recordset($1::jsonb) AS r(key integer, ws_id uuid, version bigint)
    CROSS JOIN LATERAL (
      SELECT * FROM changes c WHERE c.ws_id = r.ws_id AND c.version = r.version
      ORDER BY c.position LIMIT $2
    ) c
    LEFT JOIN LATERAL (
      SELECT doc, secrets FROM changes b
      WHERE b.ws_id = c.ws_id AND b.kind = c.kind AND b.entity_id = c.entity_id
        AND (b.version, b.position) < (c.version, c.position)
      ORDER BY b.version DESC, b.position DESC LIMIT 1
    ) was ON true
  ORDER BY r.key, c.position`;

/** @throws StoreError, StaleKeysError */
export async function readAudit(db: Db, keys: RowKeys, query: AuditQuery): Promise<AuditPage> {
  try {
    const { where, params } = conditions(query);
    const { rows } = await db.query<AuditRow>(
      `SELECT ${ROW} FROM audit WHERE ${where} ORDER BY audit.id DESC LIMIT $${params.length + 1}`,
      [...params, query.size + 1],
    );
    const page = rows.slice(0, query.size);
    const changes = await readChanges(db, page);
    const shown = page.map((row, key): JsonObject => {
      const own = changes.filter((change) => change.key === key);
      return {
        ...withoutWorkspaceId(row),
        changes: own.map((change) => viewOf(change, keys)),
        changes_total: own[0]?.total ?? 0,
      };
    });
    return { rows: shown, next: rows.length > query.size ? (page.at(-1)?.id ?? null) : null };
  } catch (error) {
    throw toStoreError(error);
  }
}

/** People know workspaces by their names. */
function withoutWorkspaceId(row: AuditRow): JsonObject {
  return Object.fromEntries(Object.entries(row).filter(([column]) => column !== 'ws_id'));
}

function conditions(query: AuditQuery): { where: string; params: Param[] } {
  const params: Param[] = [];
  const parts = ['true'];
  const add = (value: string | number | null, part: (place: string) => string): void => {
    if (value !== null) parts.push(part(`$${params.push(value)}`));
  };
  add(query.before, (place) => `audit.id < ${place}::bigint`);
  add(query.actor, (place) => `actor = ${place}`);
  add(query.since, (place) => `at >= to_timestamp(${place}::float8)`);
  add(query.until, (place) => `at < to_timestamp(${place}::float8)`);
  add(query.workspace, (place) => `workspace = ${place}`);
  add(query.path, (place) => `starts_with(path, ${place})`);
  return { where: parts.join(' AND '), params };
}

async function readChanges(db: Db, page: readonly AuditRow[]): Promise<ChangeRow[]> {
  const written = page.flatMap(({ ws_id: ws, version }, key) =>
    version === null ? [] : [{ key, ws_id: ws, version }],
  );
  if (written.length === 0) return [];
  const { rows } = await db.query<ChangeRow>(CHANGES, [JSON.stringify(written), CHANGES_SHOWN_MAX]);
  return rows;
}

function viewOf(change: ChangeRow, keys: RowKeys): JsonObject {
  const { kind, id, operation } = change;
  const fields = new Set([...change.fields, ...changedSecrets(change, keys)]);
  return { kind, id, operation, fields: [...fields].toSorted() };
}

/** A secret is sealed anew whenever its entity is written: only what is inside tells a change. */
function changedSecrets(change: ChangeRow, keys: RowKeys): string[] {
  if (change.operation === 'delete') return [];
  const { secrets: now, secrets_before: before } = change;
  const fields = new Set([...Object.keys(now ?? {}), ...Object.keys(before ?? {})]);
  return [...fields].filter(
    (field) =>
      opened(change, now?.[field], field, keys) !== opened(change, before?.[field], field, keys),
  );
}

/** Undefined: nothing there. A null is what does not open (any more), and equals only its like. */
function opened(
  { kind, id }: ChangeRow,
  sealed: JsonObject[string] | undefined,
  field: string,
  keys: RowKeys,
): string | null | undefined {
  if (typeof sealed !== 'string') return undefined;
  try {
    return keys.decrypt(kind, field, id, new Uint8Array(Buffer.from(sealed, 'base64')));
  } catch (error) {
    if (error instanceof CipherError) return null;
    throw error;
  }
}
