/** The change rows of one writing transaction, and the statement that gives them their version. */
import { assert, must } from '#shared/base/assert.ts';
import type { JsonObject } from '#shared/schema/field.ts';
import { assertInForce, GENERATION_COLUMNS, type GenerationRow } from '../keys/fresh-keys.ts';
import type { RowKeys } from '../keys/row-keys.ts';
import { type Actor, AUDIT_COLUMNS, AUDIT_RECORD, auditRecords } from './audited-request.ts';
import type { Db } from './db.ts';
import { StoreError } from './errors.ts';
import { batchesOf } from './row-batch.ts';

export type { Actor } from './audited-request.ts';

/** Payload: id of the store that committed, so that it can ignore its own. */
export const CHANGES_CHANNEL = 'headgate_changes';

export interface Change {
  readonly ws: string;
  readonly kind: string;
  readonly id: string;
  readonly operation: 'create' | 'update' | 'delete';
  /** The entity after the change, without secrets; null once removed. */
  readonly doc: JsonObject | null;
  /** Ciphertexts by field, base64; null when there are none. */
  readonly secrets: JsonObject | null;
}

const COLUMNS =
  'ws_id, version, position, kind, entity_id, operation, actor, source, at, doc, secrets, secrets_generation';
const RECORD =
  'c(ws_id uuid, position integer, kind text, entity_id uuid, operation text,' +
  ' doc jsonb, secrets jsonb)';

/**
 * The row lock on the counter is held from here to COMMIT, so version order is commit order. So is the
 * share of the cluster's row, taken once the counters are: a rotation of keys waits for whoever holds
 * it, and who comes after the rotation reads that the generations are others.
 */
const COMMIT_VERSION = `
  WITH v AS (
    UPDATE workspace_versions SET version = version + 1
    WHERE ws_id = ANY($1::uuid[]) RETURNING ws_id, version
  ), k AS (
    SELECT ${GENERATION_COLUMNS} FROM cluster, (SELECT count(*) FROM v) AS counted
    FOR SHARE OF cluster
  ), inserted AS (
    INSERT INTO changes (${COLUMNS})
    SELECT v.ws_id, v.version, c.position, c.kind, c.entity_id, c.operation, $3, $4,
      clock_timestamp(), c.doc, c.secrets, $6
    FROM json_to_recordset($2::json) AS ${RECORD} JOIN v ON v.ws_id = c.ws_id
  ), audited AS (
    INSERT INTO audit (${AUDIT_COLUMNS}, actor, source, ws_id, version)
    SELECT ${AUDIT_COLUMNS}, $3, $4, v.ws_id, v.version
    FROM jsonb_to_recordset($7::jsonb) AS ${AUDIT_RECORD}, v
  )
  SELECT v.ws_id, v.version, k.*, pg_notify('${CHANGES_CHANNEL}', $5) FROM v, k`;

/** What one statement does not take; the counters are the transaction's own by now. */
const FURTHER_ROWS = `
  INSERT INTO changes (${COLUMNS})
  SELECT v.ws_id, v.version, c.position, c.kind, c.entity_id, c.operation, $2, $3,
    clock_timestamp(), c.doc, c.secrets, $4
  FROM json_to_recordset($1::json) AS ${RECORD} JOIN workspace_versions v ON v.ws_id = c.ws_id`;

interface VersionRow extends GenerationRow {
  readonly ws_id: string;
  readonly version: number;
}

export function noWorkspace(id: string): StoreError {
  const where = { field: 'workspace', reference: 'workspaces', id };
  return new StoreError({ code: 'foreign_missing', ...where });
}

export class PendingChanges {
  readonly #changes: Change[] = [];

  get count(): number {
    return this.#changes.length;
  }

  add(change: Change): void {
    this.#changes.push(change);
  }

  /**
   * Takes the next version of each workspace touched and writes the change rows under it. Must be
   * the last thing a transaction does.
   *
   * @param waker  payload of the notification
   * @param keys  what the transaction encrypted by
   * @returns versions by workspace id
   * @throws StaleKeysError when those are not the newest any more
   * @throws StoreError `foreign_missing` when a workspace is not there
   */
  async commit(tx: Db, actor: Actor, waker: string, keys: RowKeys): Promise<Map<string, number>> {
    assert(this.count > 0, 'nothing to commit');
    const workspaces = [...new Set(this.#changes.map(({ ws }) => ws))].toSorted();
    if (workspaces.length > 1) {
      // In id order, or two writers of the same workspaces could wait for each other.
      await tx.query(
        'SELECT 1 FROM workspace_versions WHERE ws_id = ANY($1::uuid[]) ORDER BY ws_id FOR UPDATE',
        [workspaces],
      );
    }
    const batches = batchesOf(this.#records(), JSON.stringify)[Symbol.iterator]();
    const first = must(batches.next().value, 'a change');
    const { rows } = await tx.query<VersionRow>(COMMIT_VERSION, [
      workspaces,
      first.json,
      actor.name,
      actor.source,
      waker,
      keys.newest.data,
      auditRecords(actor),
    ]);
    const versions = new Map(rows.map(({ ws_id, version }) => [ws_id, version]));
    for (const id of workspaces) {
      if (versions.has(id)) continue;
      throw noWorkspace(id);
    }
    assertInForce(keys, rows[0]);
    for (let next = batches.next(); next.done !== true; next = batches.next()) {
      const { json } = next.value;
      await tx.query(FURTHER_ROWS, [json, actor.name, actor.source, keys.newest.data]);
    }
    return versions;
  }

  #records() {
    const positions = new Map<string, number>();
    return this.#changes.map(({ ws, kind, id, operation, doc, secrets }) => {
      const position = positions.get(ws) ?? 0;
      positions.set(ws, position + 1);
      return { ws_id: ws, position, kind, entity_id: id, operation, doc, secrets };
    });
  }
}
