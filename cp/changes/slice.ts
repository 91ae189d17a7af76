/**
 * What changed in a group's slice: entities of its workspaces, in wire shape, against what was
 * published (`group_records`). Everything is read in one transaction (repeatable read).
 */
import type { ConfigRecord, RecordKey } from '#shared/config/record.ts';
import { sealedKind } from '#shared/config/sealed-secrets.ts';
import type { Crypto } from '#shared/platform/platform.ts';
import type { EntityDefinition } from '#shared/schema/field.ts';
import type { Registry } from '#shared/schema/plugin-definition.ts';
import type { Db } from '../store/db.ts';
import type { Reader } from '../store/store.ts';
import { SYSTEM_WORKSPACE } from '../store/migrations/0001-init.ts';
import { isWired, toWire, type GroupKeys } from './to-wire.ts';

/** Entities read one by one; with more of them changed, reading all of the workspace is cheaper. */
export const CHANGED_COUNT_MAX = 500;
/** Rows per page when all are read. */
const PAGE_SIZE = 1_000;

export interface SliceContext {
  readonly tx: Db;
  readonly reader: Reader;
  readonly groupId: string;
  /** Ids of those that the group subscribes to. */
  readonly workspaces: readonly string[];
  readonly registry: Registry;
  readonly keys: GroupKeys;
  readonly level: number;
  readonly crypto: Crypto;
}

/** Removals come first when applied: an entity that moved is removed there and added here. */
export interface SliceChange {
  readonly upserts: readonly ConfigRecord[];
  readonly removals: readonly RecordKey[];
}

interface KnownRow {
  readonly kind: string;
  readonly entity_id: string;
  readonly placement: string;
  readonly hash: string;
}

/**
 * @param from  version published last; null: never
 * @param to  version of this transaction's view
 */
export async function readWorkspace(
  context: SliceContext,
  ws: string,
  from: number | null,
  to: number,
): Promise<SliceChange> {
  const changed = from === null ? null : await readChanged(context, ws, from, to);
  if (changed === null) return readAll(context, ws);
  const ids = [...new Set(changed.map(({ entity_id: id }) => id))];
  const known = await readKnown(context, ws, ids);
  const records: ConfigRecord[] = [];
  const gone = new Map<string, KnownRow>();
  for (const { kind, entity_id: id } of changed) {
    const def = context.registry.entities.get(kind);
    if (def === undefined || !isWired(def)) continue;
    // Itself and what it has sealed: that is gone as well when it has no secrets any more.
    for (const name of [keyOf(kind, id), keyOf(sealedKind(kind), id)]) {
      const before = known.get(name);
      if (before !== undefined) gone.set(name, before);
    }
    const isWanted = isInSlice(context, def, id);
    const entity = isWanted ? await context.reader.get(def, ws, id) : null;
    if (entity !== null) await wire(context, def, ws, entity, { records, gone });
  }
  return compare(ws, records, known, [...gone.values()]);
}

/** Everything of a workspace that the group does not subscribe to any more. */
export async function dropWorkspace(context: SliceContext, ws: string): Promise<SliceChange> {
  const known = await readKnown(context, ws, null);
  return compare(ws, [], known, [...known.values()]);
}

/** Null when the log does not reach back, or so much changed that reading all is cheaper. */
async function readChanged(
  { tx }: SliceContext,
  ws: string,
  from: number,
  to: number,
): Promise<{ kind: string; entity_id: string }[] | null> {
  const params = [ws, from, to];
  const range = 'FROM changes WHERE ws_id = $1 AND version > $2 AND version <= $3';
  const seen = await tx.query<{ count: number }>(
    `SELECT count(DISTINCT version) AS count ${range}`,
    params,
  );
  if (seen.rows[0]?.count !== to - from) return null;
  const { rows } = await tx.query<{ kind: string; entity_id: string }>(
    `SELECT DISTINCT kind, entity_id ${range} LIMIT ${CHANGED_COUNT_MAX + 1}`,
    params,
  );
  return rows.length > CHANGED_COUNT_MAX ? null : rows;
}

async function readAll(context: SliceContext, ws: string): Promise<SliceChange> {
  const known = await readKnown(context, ws, null);
  const gone = new Map(known);
  const records: ConfigRecord[] = [];
  const isSystem = ws === SYSTEM_WORKSPACE;
  for (const def of context.registry.entities.values()) {
    if (!isWired(def) || def.workspaceable === isSystem) continue;
    for (let after: string | null = null, isFirst = true; isFirst || after !== null;) {
      isFirst = false;
      const page = await context.reader.list(def, ws, { size: PAGE_SIZE, after });
      for (const entity of page.rows) {
        if (!isInSlice(context, def, entity.id)) continue;
        await wire(context, def, ws, entity, { records, gone });
      }
      after = page.next;
    }
  }
  return compare(ws, records, known, [...gone.values()]);
}

/** A data plane learns of the workspaces that it serves, and of no other. */
function isInSlice({ workspaces }: SliceContext, def: EntityDefinition, id: string): boolean {
  return def.name !== 'workspaces' || workspaces.includes(id);
}

/** Adds its records to those that there are, and takes them off those that are gone. */
async function wire(
  { keys, level, crypto, registry }: SliceContext,
  def: EntityDefinition,
  ws: string,
  entity: Parameters<typeof toWire>[1],
  to: { readonly records: ConfigRecord[]; readonly gone: Map<string, KnownRow> },
): Promise<void> {
  for (const record of await toWire(def, entity, { ws, keys, level, registry }, crypto)) {
    to.records.push(record);
    to.gone.delete(keyOf(record.kind, record.id));
  }
}

async function readKnown(
  { tx, groupId }: SliceContext,
  ws: string,
  ids: readonly string[] | null,
): Promise<Map<string, KnownRow>> {
  const { rows } = await tx.query<KnownRow>(
    `SELECT kind, entity_id, placement, hash FROM group_records
     WHERE group_id = $1 AND ws_id = $2 ${ids === null ? '' : 'AND entity_id = ANY($3::uuid[])'}`,
    ids === null ? [groupId, ws] : [groupId, ws, ids],
  );
  return new Map(rows.map((row) => [keyOf(row.kind, row.entity_id), row]));
}

function compare(
  ws: string,
  records: readonly ConfigRecord[],
  known: ReadonlyMap<string, KnownRow>,
  gone: readonly KnownRow[],
): SliceChange {
  const upserts: ConfigRecord[] = [];
  const removals = gone.map((row) => recordKey(ws, row));
  for (const record of records) {
    const before = known.get(keyOf(record.kind, record.id));
    if (before?.hash === record.hash) continue;
    upserts.push(record);
    if (before !== undefined && before.placement !== record.placement) {
      removals.push(recordKey(ws, before));
    }
  }
  return { upserts, removals };
}

function recordKey(ws: string, row: KnownRow): RecordKey {
  return { kind: row.kind, ws, id: row.entity_id, placement: row.placement };
}

function keyOf(kind: string, id: string): string {
  return `${kind}/${id}`;
}
